/* One batch: operations of a lane, sent in one pipeline and one transaction, and answered. */
#pragma once

#include "bind.h"
#include "connection.h"
#include "lane.h"

/* How a trip to the database ended. */
enum batch_end {
	BATCH_DONE,    /* committed: every operation has its rows */
	BATCH_ABORTED, /* rolled back: batch->sqlstate says why */
	BATCH_LOST,    /* the connection died; whether it was committed is unknown */
};

struct batch {
	struct op *ops[LANE_BATCH_MAX]; /* those of one set statement side by side */
	size_t n;
	char sqlstate[6];
	char message[160]; /* for the log */
	struct bind bind;
};

/* Puts the operations of a set statement side by side, keeping their order. */
void batch_sort(struct batch *batch);

/* Executes operations [first, first + n).  On BATCH_DONE each has its result; otherwise none has. */
enum batch_end batch_run(struct batch *batch, struct connection *connection, size_t first, size_t n);
