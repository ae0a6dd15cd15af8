/* One call on its way through the server.
 *
 *     RUNNING ──op──▶ WAITING ──done──▶ RUNNING ──▶ ENDED
 *        └─ a stream between two steps: OPEN ──item, credit, wake──▶ RUNNING
 *
 * A call gets exactly one REPLY.  One that is cancelled is answered at once; if its operation is with the store
 * by then the task waits for it, answered, and ends unheard.  Visitor's thread of its session, but for what is
 * said otherwise. */
#pragma once

#include "admission.h"
#include "session.h"

enum task_state {
	TASK_RUNNING,
	TASK_WAITING, /* its operation is with the store */
	TASK_OPEN,    /* a stream: until there is news */
	TASK_ENDED,   /* only its mail keeps it */
};

/* News that reach a task by mail. */
enum {
	TASK_RETURNED = 1 << 0, /* its operation is done */
	TASK_WOKEN = 1 << 1,    /* call_wake() */
};

struct item;

struct task {
	struct call call;
	struct session *session;
	uint64_t call_id;
	unsigned route;  /* its index */
	int64_t began_us, took_us; /* took_us: once answered */
	enum task_state state;
	bool answered;
	struct ticket ticket;
	size_t kept_bytes; /* in its session's task_bytes */
	struct task *next_call; /* in its session's table */
	struct task *next;      /* in the mail */
	unsigned mail;          /* news under way, under the session's mutex */
	unsigned news;          /* news taken out */
	/* Streams. */
	uint32_t credit_items; /* what may be sent */
	int64_t credit_bytes;
	uint32_t open_items; /* what the peer may still send */
	int64_t open_bytes;
	uint32_t handled_items; /* since credit was last given */
	int64_t handled_bytes;
	struct item *items, **items_tail; /* not handled yet */
	bool half_closed, told_half_closed;
	bool pull; /* there may be something to send */
	bool begun;
	bool stalled; /* in its session's list of those that wait for the outbox */
	struct task *next_stalled;
	bool token_bound; /* its deadline is the end of its caller's token */
	struct arena_mark beginning; /* what it had in the arena when it first rested */
};

/* A CALL frame. */
void task_start(struct session *session, const struct frame *frame);

/* Ends it early. */
void task_cancel(struct task *task, const struct aside_status *why);

/* News from the mail. */
void task_news(struct task *task);

/* Answers a call whose operation, or a stream that, is past its deadline; otherwise returns when it will be.  INT64_MAX:
 * never. */
int64_t task_tick(struct task *task, int64_t now_us);

/* ── for stream.c ────────────────────────────────────────────────────────────────────────────────── */

/* After a step: submits its operation, goes on to the next, or ends the call. */
void task_advance(struct task *task, enum aside_code code, struct aside_status *status);

/* Has a stream that rests go on, if there is something to do. */
void task_stir(struct task *task);
