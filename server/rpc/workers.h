/* The threads that visit sessions, and the queue of sessions that have mail. */
#pragma once

#include <stdbool.h>

#include "wire/scope.h"

struct session;
struct workers;

typedef void workers_visit(struct session *session);

/* Starts `n` threads (0: one a processor, at least 2) that call `visit` for each session in the queue. */
enum aside_code workers_start(unsigned n, workers_visit *visit, struct workers **ret, struct aside_status *err) MUST_CHECK;

/* Puts a session at the end of the queue.  Any thread; never blocks for long. */
void workers_queue(struct workers *workers, struct session *session);

/* Whether the caller, a thread that must be free again soon, may visit a session itself: saves a hop when
 * little is going on.  True: call workers_leave() afterwards. */
bool workers_enter(struct workers *workers) MUST_CHECK;
void workers_leave(struct workers *workers);

/* Waits until the queue is empty and the threads have ended.  NULL is fine. */
void workers_stop(struct workers *workers);
