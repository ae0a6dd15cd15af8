/* An operation: one statement of sql/, its parameters, and in the end its rows.
 *
 * This is the whole of the store as a service sees it: no libpq, no SQL.  A statement is named
 * SQL_SEND_MESSAGE for sql/send_message.sql; its head comment declares lane, parameters and columns:
 *
 *     -- A person's message to a page.  P1, P3, P5, P8, P10, P11, P12, P13.
 *     -- lane: write            (write: under the page's lock, in its lane; read: any read lane; replica: the
 *     --                         same, and first a replica's, for what does not change unless the page's
 *     --                         last_event, first_event or first_message do: see replica.h)
 *     -- form: set              (set: one execution for many operations of a batch, parameters as arrays,
 *     --                         first column `ord`, from 1; single: one execution each)
 *     -- thread: user_id        (of a set: touches only the page's thread with this person; without it, or
 *     --                         where it is NULL: the whole page)
 *     -- apart: client_key, ... (of a set: an execution never has two operations of a page that agree in one
 *     --                         of these; NULL agrees with nothing)
 *     -- also: send_text without items   (another statement: this without the lines from "-- items: begin" to
 *     --                         "-- items: end")
 *     -- params: page_id int8, user_id int8, client_key uuid, body text, ...
 *     -- columns: reason text, seq int4, ...
 *
 * The build turns heads into tables (sql.h); at start every statement is prepared and what PostgreSQL
 * says of its parameters and columns is held against its head.  Refusals are rows: a write statement's
 * first column (after `ord`) is `reason`, NULL for success.  No rows: there is no such page.
 *
 * A write that makes an event answers its number as `event_number int8`, NULL where it has made none, and as
 * `opens_thread_of int8` the person whose first message it was: the store tells them to whoever watches. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "wire/arena.h"
#include "wire/scope.h"
#include "wire/status.h"

struct statement; /* SQL_…, in the generated sql.h */

#define OP_PARAMS_MAX 24

/* How an operation ended. */
enum op_outcome {
	OP_PENDING = 0,
	OP_DONE,    /* executed; a write is committed and durable */
	OP_FAILED,  /* not executed, and never will be; op->err says why */
	OP_UNKNOWN, /* the connection died after Sync and the deadline passed before it could be settled */
};

struct op_value {
	bool null;
	int64_t number;     /* int8, int4, int2, bool, timestamptz (microseconds since 1970) */
	struct bytes bytes; /* text, bytea, uuid (16 bytes); borrowed until the operation is done */
};

struct op_result; /* shared by the operations of one execution */

struct op {
	const struct statement *statement;
	int64_t page_id; /* chooses the lane, the lock of a write, whose watermark a replica must have; 0: none */
	struct op_value params[OP_PARAMS_MAX];
	unsigned n_params;
	int64_t deadline_us; /* monotonic; not sent to the database after this */
	/* Runs exactly once, on a lane's thread, with `outcome` set: must only hand over. */
	void (*done)(struct op *op);
	void *user;
	atomic_bool abandoned; /* nobody waits for it: not sent any more, if it was not */
	enum op_outcome outcome;
	struct aside_status err; /* with OP_FAILED and OP_UNKNOWN */
	struct op_result *result;
	unsigned first_row, n_rows; /* this operation's rows in it */
	struct op *next;            /* the lane's */
	unsigned execution;         /* which of its batch: see order.h */
};

/* A new operation in `arena`; NULL when it is full.  Parameters follow in the order of the head. */
struct op *op_new(struct arena *arena, const struct statement *statement, int64_t page_id) MUST_CHECK;
void op_int(struct op *op, int64_t value); /* int8, int4, int2, timestamptz */
void op_bool(struct op *op, bool value);
void op_text(struct op *op, const char *text); /* borrowed */
void op_bytes(struct op *op, struct bytes value); /* bytea, uuid; borrowed */
void op_null(struct op *op);

/* The rows.  `row` < op->n_rows; `column` counts from 0, `ord` left out.  A NULL reads as 0, "" or no bytes.
 * Borrowed until op_release(). */
bool op_is_null(const struct op *op, unsigned row, unsigned column);
int64_t op_row_int(const struct op *op, unsigned row, unsigned column);
bool op_row_bool(const struct op *op, unsigned row, unsigned column);
const char *op_row_text(const struct op *op, unsigned row, unsigned column);
struct bytes op_row_bytes(const struct op *op, unsigned row, unsigned column);

/* The result is no longer wanted: `done` still runs.  An operation that was sent is not cancelled.  Any thread. */
void op_abandon(struct op *op);

/* Gives the rows back.  By whoever waited for the operation, once, on any thread. */
void op_release(struct op *op);
