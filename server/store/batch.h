/* One batch: operations of a lane, sent in one pipeline and one transaction, and answered. */
#pragma once

#include "bind.h"
#include "connection.h"
#include "lane.h"
#include "order.h"

/* How a trip to the database ended. */
enum batch_end {
	BATCH_DONE,    /* committed: every operation has its rows */
	BATCH_ABORTED, /* rolled back: batch->sqlstate says why */
	BATCH_LOST,    /* the connection died; whether it was committed is unknown */
};

struct batch {
	struct op *ops[LANE_BATCH_MAX]; /* those of one execution side by side */
	size_t n;
	char sqlstate[6];
	char message[160]; /* for the log */
	struct bind bind;
	struct order order;
	int64_t pages[LANE_BATCH_MAX]; /* of what was sent last: ascending, each once */
	size_t n_pages;
	PGresult *stand; /* of a replica's: where those pages stand there, a row each; until the next run */
};

void batch_fini(struct batch *batch);

/* Executes operations [first, first + n), which have their executions (order.h).  On BATCH_DONE each has its result; otherwise none has. */
enum batch_end batch_run(struct batch *batch, struct connection *connection, size_t first, size_t n);

/* Asks where the pages of [first, first + n) stand, of a replica's connection or its witness; does not wait.  false: the
 * connection is lost. */
bool batch_ask(struct batch *batch, struct connection *connection, size_t first, size_t n);

/* The answer to batch_ask(): a row for each of batch->pages, see connection.c.  The caller's to PQclear().  NULL: the
 * connection is lost, or the other end has refused, and batch->message says why. */
PGresult *batch_heard(struct batch *batch, struct connection *connection);
