/* A lane: one thread, one connection (a replica's has a second one, see replica.h), one batch under way.
 *
 *     submit ──▶ queue ──▶ batch ──▶ lock pages, statements, Sync ──▶ done, each operation once
 *                  ▲         │ aborted: retried (class 40) or split, so that one bad item costs only itself
 *                  └─────────┘ lost: the same operations again, before anything newer
 *
 * While a batch is under way operations queue; when it is answered everything queued goes next: no timer, no
 * delay when idle.  An idle lane looks after its connection once a second.  A write is acknowledged only on a clean Sync. */
#pragma once

#include <pthread.h>

#include "connection.h"
#include "store.h"

#define LANE_BATCH_MAX 256
#define LANE_QUEUE_MAX 8192

struct batch;
struct lane;
struct replica;

/* What a kind of lane does, on its thread. */
struct lane_work {
	void (*serve)(struct lane *lane);      /* answers the batch, each operation once */
	void (*look_after)(struct lane *lane); /* at the start, and whenever there was nothing to do for a second */
};

struct lane {
	struct connection connection;
	struct batch *batch;     /* its thread's own */
	const struct lane_work *work;
	struct replica *replica; /* of a replica's lane; otherwise NULL */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct op *head, **tail;
	size_t queued;
	bool stopping, started;
	int64_t stop_by_us;
	store_committed *committed; /* of a write lane; may be NULL */
	void *committed_user;
	/* Read by others; written under `mutex`. */
	bool connected;
	size_t in_flight;
	int64_t begun_us; /* when what is in flight was sent first: CLOCK_MONOTONIC */
	uint64_t batches, operations, retries;
	uint64_t answered, fallbacks; /* of a replica's lane: operations */
};

/* Connects (with `check`: see connection.h) and starts the thread.  `number`: which of its kind, from 0.  The options' databases are borrowed.  A replica's lane
 * connects on its thread, and again and again: it starts in any case, and falls back to `primary`, a read lane that is
 * stopped after it; NULL for the others. */
enum aside_code lane_start(struct lane *lane, enum lane_kind kind, unsigned number, const struct store_options *options,
		struct lane *primary, bool check, struct aside_status *err) MUST_CHECK;

/* See store_submit(). */
enum aside_code lane_submit(struct lane *lane, struct op *op, struct aside_status *err) MUST_CHECK;

/* The same where the lane has a connection and less than a batch waiting; false: it has not taken the operation. */
bool lane_offer(struct lane *lane, struct op *op) MUST_CHECK;

/* Tells it to end when its queue is empty, or at the deadline; nothing is submitted any more.  Never blocks. */
void lane_close(struct lane *lane, int64_t deadline_us);

/* After lane_close(): waits for the thread, and frees.  May be called again; also on one that has not started. */
void lane_stop(struct lane *lane);

/* ── for replica.c, on the lane's thread ─────────────────────────────────────────────────────────── */

void lane_finish(struct op *op, enum op_outcome outcome);
void lane_set_connected(struct lane *lane, bool connected);
