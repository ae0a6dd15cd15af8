/* See batch.h.  In pipeline mode without BEGIN everything up to the Sync is one transaction, and each
 * statement of it sees what was committed before that statement: so the page locks, taken first, make
 * all that follows see the last committed state of those pages. */
#include "batch.h"

#include <stdlib.h>
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

int batch_page(const struct batch *batch, int64_t page_id)
{
	const int64_t *page = bsearch(&page_id, batch->pages, batch->n_pages, sizeof *page, compare_ids);

	return (int)(page - batch->pages);
}

void batch_set_pages(struct batch *batch, size_t first, size_t n)
{
	int64_t ids[LANE_BATCH_MAX] = { 0 };

	for (size_t i = 0; i < n; i++)
		ids[i] = batch->ops[first + i]->page_id;
	qsort(ids, n, sizeof *ids, compare_ids);
	batch->n_pages = 0;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || ids[i] != ids[i - 1])
			batch->pages[batch->n_pages++] = ids[i];
}

static bool send_pages(struct batch *batch, struct connection *connection)
{
	return bind_numbers(&batch->bind, batch->pages, batch->n_pages, NULL) == ASIDE_OK &&
			connection_send(connection, CONNECTION_PAGES, &batch->bind);
}

static bool send_all(struct batch *batch, struct connection *connection, struct op *const *ops, size_t n)
{
	if (connection->kind != CONNECTION_READ && !send_pages(batch, connection))
		return false;
	for (size_t i = 0, size; i < n; i += size) {
		size = execution_size(ops + i, n - i);
		if (bind_ops(&batch->bind, ops[i]->statement, ops + i, size, NULL) != ASIDE_OK ||
				!connection_send(connection, ops[i]->statement->name, &batch->bind))
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
		int64_t ord = result_int(rows, (int)row, 0);
		if (ord < 1 || ord > (int64_t)n)
			return false;
		struct op *op = ops[ord - 1];
		if (op->n_rows == 0)
			op->first_row = row;
		if (op->first_row + op->n_rows++ != row)
			return false;
	}
	return true;
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
			batch->error = (struct sql_error){ "XX001", "rows that are not the operations'" };
	} else {
		sql_error_note(&batch->error, result);
		PQclear(result);
	}
	return !connection_lost(connection);
}

/* The answer to send_pages(): a replica's is kept. */
static bool receive_pages(struct batch *batch, struct connection *connection)
{
	PGresult *result = connection_answer(connection);

	sql_error_note(&batch->error, result);
	PQclear(batch->watermark);
	batch->watermark = connection->kind == CONNECTION_REPLICA ? result : NULL;
	if (batch->watermark == NULL)
		PQclear(result);
	return result != NULL && !connection_lost(connection);
}

static bool receive_all(struct batch *batch, struct connection *connection, struct op *const *ops, size_t n)
{
	if (connection->kind != CONNECTION_READ && !receive_pages(batch, connection))
		return false;
	for (size_t i = 0, size; i < n; i += size) {
		size = execution_size(ops + i, n - i);
		if (!receive(batch, connection, ops + i, size))
			return false;
	}
	return connection_sync(connection, &batch->error);
}

enum batch_end batch_run(struct batch *batch, struct connection *connection, size_t first, size_t n)
{
	struct op *const *ops = batch->ops + first;
	bool arrived;

	batch->error = (struct sql_error){ 0 };
	batch_set_pages(batch, first, n);
	arrived = send_all(batch, connection, ops, n) && receive_all(batch, connection, ops, n);
	if (arrived && batch->error.sqlstate[0] == '\0')
		return BATCH_DONE;
	for (size_t i = 0; i < n; i++)
		op_release(ops[i]);
	return arrived ? BATCH_ABORTED : BATCH_LOST;
}

void batch_fini(struct batch *batch)
{
	bind_fini(&batch->bind);
	PQclear(batch->watermark);
	batch->watermark = NULL;
}
