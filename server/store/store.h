/* The store: operations to SQL in batches.  Knows no protobuf and no sockets.
 *
 * `page_id` hashes to one of K write lanes; reads go to read lanes, or first to those of a replica.  Each lane is one
 * thread with one pipelined, non-blocking connection; see lane.c. */
#pragma once

#include "op.h"

#define STORE_SILENT_SECONDS 5

struct store;

/* An event of a page, durable from now on. */
struct committed {
	int64_t page_id, event_number;
	int64_t opens_thread_of; /* the person whose thread with the page begins here; 0: of no one */
};

/* Tells of a batch's events, pages in no order.  On a write lane's thread: must only hand over. */
typedef void store_committed(void *user, const struct committed *events, size_t n);

struct store_options {
	const char *database;      /* libpq DSN; several hosts allowed */
	const char *read_database; /* the same, of replicas, each as good as the other; NULL: there are none */
	unsigned write_lanes; /* 0: the measured default */
	unsigned read_lanes;
	store_committed *committed; /* NULL: nobody listens */
	void *committed_user;
};

/* Connects, checks the schema version and every statement; fails with the first that does not fit.  Waits for no replica. */
enum aside_code store_open(const struct store_options *options, struct store **ret,
		struct aside_status *err) MUST_CHECK;

/* Hands an operation over; op->done runs once for each that was taken.  RESOURCE_EXHAUSTED, reason
 * QUEUE_FULL, when the lane's queue is at its limit: done never runs.  Any thread; never blocks. */
enum aside_code store_submit(struct store *store, struct op *op, struct aside_status *err) MUST_CHECK;

/* Whether every lane has a connection and no batch has been under way for STORE_SILENT_SECONDS, lanes of replicas left
 * out: for /readyz and health.  Logs when the database falls silent, and when it answers again.  Any thread. */
bool store_ready(struct store *store);

/* Operations queued and in flight over all lanes, for metrics. */
struct store_stats {
	uint64_t queued, in_flight, batches, operations, retries;
};
void store_stats(struct store *store, struct store_stats *ret);

/* Reads on replicas: see replica.h. */
struct replica_stats {
	unsigned lanes, connected; /* 0 without read_database */
	uint64_t answered, fallbacks;
};
void store_replica_stats(struct store *store, struct replica_stats *ret);

/* store_stats() of one lane, from 0, and its name, "write 1", "read 1" or "replica 1"; false: there are no more. */
bool store_lane_stats(struct store *store, unsigned index, struct store_stats *ret, char *ret_name, size_t size);

/* Finishes what was submitted, until `deadline_us` on the monotonic clock; what has not ended by then ends as
 * unknown, with its connection.  Operations submitted afterwards are refused.  NULL is fine. */
void store_stop(struct store *store, int64_t deadline_us);

/* The same, and frees. */
void store_close(struct store *store, int64_t deadline_us);
