/* One libpq connection of a lane: made, prepared, checked and waited on.  Its lane's thread only. */
#pragma once

#include <libpq-fe.h>

#include "op.h"
#include "statement.h"

struct connection {
	PGconn *pg;
	enum lane_kind kind;
	const char *dsn;
};

/* Connects, prepares every statement of the lane's kind and enters pipeline mode; with `check`, holds what
 * PostgreSQL says of their types against their heads.  Blocks. */
enum aside_code connection_open(struct connection *connection, bool check, struct aside_status *err) MUST_CHECK;
void connection_close(struct connection *connection);

/* The next result of the pipeline, waiting for it; NULL between two executions, or when the connection is
 * lost (then `connection_lost`). */
PGresult *connection_result(struct connection *connection);
bool connection_lost(const struct connection *connection);

/* Sends all that is queued.  false: the connection is lost. */
bool connection_flush(struct connection *connection);
