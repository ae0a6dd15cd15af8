/* One libpq connection of a lane: made, prepared, checked and waited on.  Its lane's thread only. */
#pragma once

#include <libpq-fe.h>
#include <stdatomic.h>

#include "op.h"
#include "statement.h"

/* A lane's plans are made once, perhaps on empty tables: they are to be right for large ones, and that is an index for
 * every row looked up, whatever the statistics say.  tests/store/test_schema.c holds every statement to it. */
extern const char connection_plan_settings[];

struct connection {
	PGconn *pg;
	enum lane_kind kind;
	const char *dsn;
	int stop_fd;                  /* readable once stop_by_us is set */
	_Atomic int64_t stop_by_us;   /* monotonic: the connection is given up then; 0: never */
};

/* Makes whoever waits for the connection give it up at `deadline_us`.  Any thread. */
void connection_stop(struct connection *connection, int64_t deadline_us);

/* Connects, prepares every statement of the lane's kind and enters pipeline mode; with `check`, holds what
 * PostgreSQL says of their types against their heads.  Blocks. */
enum aside_code connection_open(struct connection *connection, bool check, struct aside_status *err) MUST_CHECK;
void connection_close(struct connection *connection);

/* The next result of the pipeline, waiting for it; NULL between two executions, or when the connection is
 * lost (then `connection_lost`). */
PGresult *connection_result(struct connection *connection);
bool connection_lost(const struct connection *connection);

/* Looks, without waiting, whether the other end has gone.  Between two batches only. */
bool connection_alive(struct connection *connection);

/* Sends all that is queued.  false: the connection is lost. */
bool connection_flush(struct connection *connection);
