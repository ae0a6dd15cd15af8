/* One libpq connection of a lane: made, prepared, checked and waited on.  Its lane's thread only. */
#pragma once

#include <libpq-fe.h>
#include <stdatomic.h>

#include "op.h"
#include "statement.h"

/* A lane's plans are made once, perhaps on empty tables: they are to be right for large ones, and that is an index for
 * every row looked up, whatever the statistics say.  tests/store/test_schema.c holds every statement to it. */
extern const char connection_plan_settings[];

/* The prepared statement that is given all pages of a batch, and comes first in it: locks them (write), or says how far
 * they are (replica, witness: watermark.h).  Connections that only read have none. */
#define CONNECTION_PAGES "pages"

struct bind;

enum connection_kind {
	CONNECTION_READ,
	CONNECTION_WRITE,
	CONNECTION_REPLICA,
	CONNECTION_WITNESS, /* a replica's lane's, to the primary (replica.h) */
	CONNECTION_KINDS,
};

/* What PostgreSQL refused a pipeline with; "": nothing. */
struct sql_error {
	char sqlstate[6];
	char message[160]; /* for the log */
};

/* Notes the error that `result` is, if it is one, and none is noted yet.  NULL is fine. */
void sql_error_note(struct sql_error *error, const PGresult *result);

struct connection {
	PGconn *pg;
	enum connection_kind kind;
	const char *dsn;              /* borrowed */
	int stop_fd;                  /* readable once stop_by_us is set */
	_Atomic int64_t stop_by_us;   /* monotonic: the connection is given up then; 0: never */
	int64_t give_up_us;           /* the same, for what is waited for next: the lane's thread sets it */
	unsigned next_host;           /* a replica's: which host of the dsn is next */
};

/* Closed, yet.  RESOURCE_EXHAUSTED without a file descriptor; connection_fini() is right in any case. */
enum aside_code connection_init(struct connection *connection, enum connection_kind kind, const char *dsn,
		struct aside_status *err) MUST_CHECK;
void connection_fini(struct connection *connection);

/* Makes whoever waits for the connection give it up at `deadline_us`.  Any thread. */
void connection_stop(struct connection *connection, int64_t deadline_us);

/* Connects, enters pipeline mode and prepares every statement of its kind; with `check`, holds what
 * PostgreSQL says of their types against their heads.  Blocks: to find its host's address, and for
 * the dsn's connect_timeout, 5 s by default, while it connects to a host (reads, writes: to one of its addresses) and sets up;
 * replicas and witnesses until they are stopped at most.  Of several hosts the first that takes it, from the first on; a
 * replica's goes on from one attempt to the next, for its host may turn out to be none. */
enum aside_code connection_open(struct connection *connection, bool check, struct aside_status *err) MUST_CHECK;
void connection_close(struct connection *connection);

/* Sends a prepared statement with its parameters.  false: the connection is lost. */
bool connection_send(struct connection *connection, const char *name, const struct bind *bind);

/* The next result of the pipeline, waiting for it; NULL between two executions, or when the connection is
 * lost (then `connection_lost`). */
PGresult *connection_result(struct connection *connection);

/* The result of the next execution, and past the NULL after it; NULL when the connection is lost. */
PGresult *connection_answer(struct connection *connection);

/* Reads on to the end of the pipeline, past its Sync.  false: the connection is lost. */
bool connection_sync(struct connection *connection, struct sql_error *error);
bool connection_lost(const struct connection *connection);

/* Looks, without waiting, whether the other end has gone.  Between two batches only. */
bool connection_alive(struct connection *connection);

/* Sends all that is queued.  false: the connection is lost. */
bool connection_flush(struct connection *connection);
