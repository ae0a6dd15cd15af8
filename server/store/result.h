/* The rows of one execution, shared by the operations of its batch. */
#pragma once

#include <libpq-fe.h>
#include <stdatomic.h>

#include "wire/scope.h"

struct op_result {
	PGresult *rows;
	atomic_uint references;
	void (*free)(struct op_result *result); /* with the last reference: op_release() */
};

/* An int8, int4, int2 or bool as PostgreSQL sends it; NULL is 0. */
int64_t result_int(const PGresult *rows, int row, int column);

/* Takes `rows`; NULL without memory. */
struct op_result *result_new(PGresult *rows, unsigned references) MUST_CHECK;
