/* An operation's rows, as a handler reads them.  Values travel in PostgreSQL's binary form; this file and bind.c are the
 * only ones that know it.  See op.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "op.h"
#include "result.h"
#include "statement.h"

#define EPOCH_OFFSET_US 946684800000000ll /* PostgreSQL counts from 2000-01-01 */

static void free_result(struct op_result *result)
{
	PQclear(result->rows);
	free(result);
}

struct op_result *result_new(PGresult *rows, unsigned references)
{
	struct op_result *result = malloc(sizeof *result);

	if (result == NULL)
		PQclear(rows);
	else
		*result = (struct op_result){ .rows = rows, .references = references, .free = free_result };
	return result;
}

int64_t result_int(const PGresult *rows, int row, int column)
{
	const char *bytes = PQgetvalue(rows, row, column);
	int size = PQgetlength(rows, row, column);
	int64_t value = size > 0 && (int8_t)bytes[0] < 0 ? -1 : 0;

	for (int i = 0; i < size; i++)
		value = (int64_t)((uint64_t)value << 8 | (uint8_t)bytes[i]);
	return value;
}

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
	int64_t value = result_int(op->result->rows, (int)(op->first_row + row), column_of(op, row, column));

	return op->statement->columns[column].type == VALUE_TIMESTAMPTZ && !op_is_null(op, row, column) ? value + EPOCH_OFFSET_US : value;
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
