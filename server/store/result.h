/* The rows of one execution, shared by the operations of its batch. */
#pragma once

#include <libpq-fe.h>
#include <stdatomic.h>

struct op_result {
	PGresult *rows;
	atomic_uint references;
};

/* NULL is fine. */
static inline void result_release(struct op_result *result)
{
	if (result == NULL || atomic_fetch_sub(&result->references, 1) > 1)
		return;
	PQclear(result->rows);
	free(result);
}
