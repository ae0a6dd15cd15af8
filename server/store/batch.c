/* See batch.h.  In pipeline mode without BEGIN everything up to the Sync is one transaction, and each
 * statement of it sees what was committed before that statement: so the page locks, taken first, make
 * all that follows see the last committed state of those pages. */
#include "batch.h"

#include <stdio.h>
#include <string.h>

#include "result.h"

/* How many operations from `ops` on make one execution. */
static size_t execution_size(struct op *const *ops, size_t n)
{
	size_t size = 1;

	while (size < n && ops[size]->execution == ops[0]->execution)
		size++;
	return size;
}

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool send_bound(struct batch *batch, struct connection *connection, const char *name)
{
	struct bind *bind = &batch->bind;

	return PQsendQueryPrepared(connection->pg, name, bind->n, bind->values, bind->lengths, bind->formats, 1) == 1;
}

/* What is first in a batch: takes the pages' locks, or says where they stand. */
static bool send_pages(struct batch *batch, struct connection *connection, struct op *const *ops, size_t n)
{
	int64_t ids[LANE_BATCH_MAX] = { 0 };

	for (size_t i = 0; i < n; i++)
		ids[i] = ops[i]->page_id;
	qsort(ids, n, sizeof *ids, compare_ids);
	batch->n_pages = 0;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || ids[i] != ids[i - 1])
			batch->pages[batch->n_pages++] = ids[i];
	return bind_numbers(&batch->bind, batch->pages, batch->n_pages, NULL) == ASIDE_OK &&
			send_bound(batch, connection, CONNECTION_PAGES);
}

static bool send_all(struct batch *batch, struct connection *connection, struct op *const *ops, size_t n)
{
	if (connection->kind != LANE_READ && !send_pages(batch, connection, ops, n))
		return false;
	for (size_t i = 0, size; i < n; i += size) {
		size = execution_size(ops + i, n - i);
		if (bind_ops(&batch->bind, ops[i]->statement, ops + i, size, NULL) != ASIDE_OK ||
				!send_bound(batch, connection, ops[i]->statement->name))
			return false;
	}
	return PQpipelineSync(connection->pg) == 1 && connection_flush(connection);
}

/* Gives the rows of one execution to its operations: by `ord`, for a set, where each one's are together. */
static bool distribute(PGresult *rows, struct op *const *ops, size_t n)
{
	unsigned n_rows = (unsigned)PQntuples(rows);
	struct op_result *result = result_new(rows, (unsigned)n);

	if (result == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		ops[i]->result = result;
		ops[i]->first_row = 0;
		ops[i]->n_rows = ops[i]->statement->form == FORM_SINGLE ? n_rows : 0;
	}
	if (ops[0]->statement->form == FORM_SINGLE)
		return true;
	for (unsigned row = 0; row < n_rows; row++) {
		const uint8_t *big = (const uint8_t *)PQgetvalue(rows, (int)row, 0);
		size_t ord = 0;
		for (int k = 0; k < PQgetlength(rows, (int)row, 0); k++)
			ord = ord << 8 | big[k];
		if (ord == 0 || ord > n)
			return false;
		struct op *op = ops[ord - 1];
		if (op->n_rows == 0)
			op->first_row = row;
		if (op->first_row + op->n_rows++ != row)
			return false;
	}
	return true;
}

static void note_error(struct batch *batch, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (batch->sqlstate[0] != '\0')
		return;
	(void)snprintf(batch->sqlstate, sizeof batch->sqlstate, "%s", state != NULL ? state : "XX000");
	(void)snprintf(batch->message, sizeof batch->message, "%s", message != NULL ? message : "");
}

/* Reads one execution's result; false: the connection is lost. */
static bool receive(struct batch *batch, struct connection *connection, struct op *const *ops, size_t n)
{
	PGresult *result = connection_answer(connection);
	ExecStatusType status = PQresultStatus(result);

	if (result == NULL)
		return false;
	if (status == PGRES_TUPLES_OK) {
		if (!distribute(result, ops, n))
			(void)snprintf(batch->sqlstate, sizeof batch->sqlstate, "XX001");
	} else {
		if (status == PGRES_FATAL_ERROR)
			note_error(batch, result);
		PQclear(result);
	}
	return !connection_lost(connection);
}

/* The answer to send_pages(): of a replica it is kept. */
static bool receive_pages(struct batch *batch, struct connection *connection)
{
	PGresult *result = connection_answer(connection);

	if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
		note_error(batch, result);
	PQclear(batch->stand);
	batch->stand = connection->kind == LANE_REPLICA ? result : NULL;
	if (batch->stand == NULL)
		PQclear(result);
	return result != NULL && !connection_lost(connection);
}

/* false: the connection is lost. */
static bool receive_sync(struct batch *batch, struct connection *connection)
{
	PGresult *sync;

	/* An error of the commit itself comes before the Sync. */
	while ((sync = connection_result(connection)) != NULL || !connection_lost(connection)) {
		ExecStatusType status = PQresultStatus(sync);
		if (status == PGRES_FATAL_ERROR)
			note_error(batch, sync);
		PQclear(sync);
		if (status == PGRES_PIPELINE_SYNC)
			return true;
	}
	return false;
}

static bool receive_all(struct batch *batch, struct connection *connection, struct op *const *ops, size_t n)
{
	if (connection->kind != LANE_READ && !receive_pages(batch, connection))
		return false;
	for (size_t i = 0, size; i < n; i += size) {
		size = execution_size(ops + i, n - i);
		if (!receive(batch, connection, ops + i, size))
			return false;
	}
	return receive_sync(batch, connection);
}

enum batch_end batch_run(struct batch *batch, struct connection *connection, size_t first, size_t n)
{
	struct op *const *ops = batch->ops + first;
	bool arrived;

	batch->sqlstate[0] = '\0';
	batch->message[0] = '\0';
	arrived = send_all(batch, connection, ops, n) && receive_all(batch, connection, ops, n);
	if (arrived && batch->sqlstate[0] == '\0')
		return BATCH_DONE;
	for (size_t i = 0; i < n; i++)
		op_release(ops[i]);
	return arrived ? BATCH_ABORTED : BATCH_LOST;
}

bool batch_ask(struct batch *batch, struct connection *connection, size_t first, size_t n)
{
	return send_pages(batch, connection, batch->ops + first, n) && PQpipelineSync(connection->pg) == 1 &&
			connection_flush(connection);
}

PGresult *batch_heard(struct batch *batch, struct connection *connection)
{
	PGresult *result = connection_answer(connection);

	if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
		note_error(batch, result);
	if (result != NULL && receive_sync(batch, connection) && PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	PQclear(result);
	return NULL;
}

void batch_fini(struct batch *batch)
{
	bind_fini(&batch->bind);
	PQclear(batch->stand);
	batch->stand = NULL;
}
