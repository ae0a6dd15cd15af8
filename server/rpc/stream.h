/* What a stream does between the first step of its call and the last: it takes items and gives items, each for credit, in
 * the order of session.h's frames.  Its state is the task's.  Visitor's thread of its session. */
#pragma once

#include "task.h"

/* Frames of a stream under way. */
void stream_item(struct task *task, const struct frame *frame);
void stream_credit(struct task *task, const struct frame *frame);

/* There is room in the outbox again. */
void stream_unstalled(struct task *task);

/* The next thing a stream has to do, done: *ret_code is how the handler's step has ended.  False: nothing. */
bool stream_next_step(struct task *task, enum aside_code *ret_code, struct aside_status *err) MUST_CHECK;

/* Forgets the items that wait. */
void stream_drop_items(struct task *task);
