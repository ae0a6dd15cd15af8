/* One batch: operations of a lane, sent in one pipeline and one transaction, and answered. */
#pragma once

#include "bind.h"
#include "connection.h"
#include "lane.h"
#include "order.h"

/* How a trip to the database ended. */
enum batch_end {
	BATCH_DONE,    /* committed: every operation has its rows */
	BATCH_ABORTED, /* rolled back: batch->error says why */
	BATCH_LOST,    /* the connection died; whether it was committed is unknown */
};

struct batch {
	struct op *ops[LANE_BATCH_MAX]; /* those of one execution side by side */
	size_t n;
	struct sql_error error;
	struct bind bind;
	struct order order;
	int64_t pages[LANE_BATCH_MAX]; /* of what was sent last: ascending, each once */
	size_t n_pages;
	PGresult *watermark; /* of a replica's: how far those pages are there, a row each; until the next run */
};

void batch_fini(struct batch *batch);

/* Executes operations [first, first + n), which have their executions (order.h).  On BATCH_DONE each has its result; otherwise none has. */
enum batch_end batch_run(struct batch *batch, struct connection *connection, size_t first, size_t n);

/* Makes the pages of [first, first + n) the batch's, as batch_run() does. */
void batch_set_pages(struct batch *batch, size_t first, size_t n);

/* Which of batch->pages it is; it is one of them. */
int batch_page(const struct batch *batch, int64_t page_id);
