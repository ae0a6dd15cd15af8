/* Parameters of one execution in PostgreSQL's binary form. */
#pragma once

#include <libpq-fe.h>

#include "op.h"
#include "statement.h"

struct bind {
	uint8_t *data; /* all values, one after the other; grows, is used again and again */
	size_t size, room;
	const char *values[OP_PARAMS_MAX];
	int lengths[OP_PARAMS_MAX];
	int formats[OP_PARAMS_MAX]; /* all 1: binary */
	size_t offsets[OP_PARAMS_MAX];
	int n;
};

void bind_fini(struct bind *bind);

/* The parameters of `n` operations of one statement: values (FORM_SINGLE, n is 1) or arrays. */
enum aside_code bind_ops(struct bind *bind, const struct statement *statement, struct op *const *ops, size_t n,
		struct aside_status *err) MUST_CHECK;

/* One int8[] parameter. */
enum aside_code bind_numbers(struct bind *bind, const int64_t *numbers, size_t n,
		struct aside_status *err) MUST_CHECK;

/* PostgreSQL's type of a value, or of an array of it. */
Oid bind_oid(enum value_type type, bool array);
