/* Operations: filled by a handler, read back by it.  Values travel in PostgreSQL's binary form; this file
 * and bind.c are the only ones that know it.  See op.h. */
#include "op.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "result.h"
#include "statement.h"

#define EPOCH_OFFSET_US 946684800000000ll /* PostgreSQL counts from 2000-01-01 */

struct op *op_new(struct arena *arena, const struct statement *statement, int64_t page_id)
{
	struct op *op = arena_alloc(arena, sizeof *op);

	if (op != NULL) {
		op->statement = statement;
		op->page_id = page_id;
	}
	return op;
}

static struct op_value *next_param(struct op *op)
{
	assert(op->n_params < OP_PARAMS_MAX && op->n_params < op->statement->n_params);
	return &op->params[op->n_params++];
}

void op_int(struct op *op, int64_t value)
{
	next_param(op)->number = value;
}

void op_bool(struct op *op, bool value)
{
	next_param(op)->number = value;
}

void op_text(struct op *op, const char *text)
{
	next_param(op)->bytes = (struct bytes){ (const uint8_t *)text, strlen(text) };
}

void op_bytes(struct op *op, struct bytes value)
{
	next_param(op)->bytes = value;
}

void op_null(struct op *op)
{
	next_param(op)->null = true;
}

/* ── rows ────────────────────────────────────────────────────────────────────────────────────────── */

/* The column in the result: `ord` comes before those a handler counts. */
static int column_of(const struct op *op, unsigned row, unsigned column)
{
	assert(op->result != NULL && row < op->n_rows && column < op->statement->n_columns);
	return (int)column + (op->statement->form == FORM_SET);
}

static struct bytes cell(const struct op *op, unsigned row, unsigned column)
{
	int c = column_of(op, row, column), r = (int)(op->first_row + row);

	return (struct bytes){ (const uint8_t *)PQgetvalue(op->result->rows, r, c),
		(size_t)PQgetlength(op->result->rows, r, c) };
}

bool op_is_null(const struct op *op, unsigned row, unsigned column)
{
	return PQgetisnull(op->result->rows, (int)(op->first_row + row), column_of(op, row, column)) != 0;
}

int64_t op_row_int(const struct op *op, unsigned row, unsigned column)
{
	struct bytes bytes = cell(op, row, column);
	int64_t value = 0;

	if (bytes.size == 0)
		return 0;
	value = (int8_t)bytes.data[0] < 0 ? -1 : 0;
	for (size_t i = 0; i < bytes.size; i++)
		value = (int64_t)((uint64_t)value << 8 | bytes.data[i]);
	return op->statement->columns[column].type == VALUE_TIMESTAMPTZ ? value + EPOCH_OFFSET_US : value;
}

bool op_row_bool(const struct op *op, unsigned row, unsigned column)
{
	return op_row_int(op, row, column) != 0;
}

const char *op_row_text(const struct op *op, unsigned row, unsigned column)
{
	return (const char *)cell(op, row, column).data; /* libpq ends every value with a NUL */
}

struct bytes op_row_bytes(const struct op *op, unsigned row, unsigned column)
{
	return cell(op, row, column);
}

void op_abandon(struct op *op)
{
	atomic_store(&op->abandoned, true);
}

void op_release(struct op *op)
{
	result_release(op->result);
	op->result = NULL;
	op->n_rows = 0;
}
