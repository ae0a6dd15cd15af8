/* A lane: one thread, one connection, one batch under way.
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

struct lane {
	struct connection connection;
	struct batch *batch; /* its thread's own */
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
	uint64_t batches, operations, retries;
};

/* Connects (with `check`: see connection.h) and starts the thread.  options->database is borrowed. */
enum aside_code lane_start(struct lane *lane, enum lane_kind kind, const struct store_options *options, bool check,
		struct aside_status *err) MUST_CHECK;

/* See store_submit(). */
enum aside_code lane_submit(struct lane *lane, struct op *op, struct aside_status *err) MUST_CHECK;

/* Ends when the queue is empty or at the deadline; waits for the thread.  May be called again. */
void lane_stop(struct lane *lane, int64_t deadline_us);
