/* Operations: filled by a handler, and let go.  Without libpq, for the runtime hands them on without a store, too.  See
 * op.h; their rows are read in rows.c. */
#include "op.h"

#include <assert.h>
#include <string.h>

#include "result.h"
#include "statement.h"

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

void op_abandon(struct op *op)
{
	atomic_store(&op->abandoned, true);
}

void op_release(struct op *op)
{
	struct op_result *result = op->result;

	if (result != NULL && atomic_fetch_sub(&result->references, 1) == 1)
		result->free(result);
	op->result = NULL;
	op->n_rows = 0;
}
