/* See bind.h; the formats are those of PostgreSQL's *_recv and array_recv functions. */
#include "bind.h"

#include <endian.h>
#include <string.h>

#define EPOCH_OFFSET_US 946684800000000ll

static const struct {
	Oid oid, array_oid;
	uint8_t size; /* 0: as long as it is */
} types[] = {
	[VALUE_INT8] = { 20, 1016, 8 },
	[VALUE_INT4] = { 23, 1007, 4 },
	[VALUE_INT2] = { 21, 1005, 2 },
	[VALUE_BOOL] = { 16, 1000, 1 },
	[VALUE_TEXT] = { 25, 1009, 0 },
	[VALUE_BYTEA] = { 17, 1001, 0 },
	[VALUE_UUID] = { 2950, 2951, 0 },
	[VALUE_TIMESTAMPTZ] = { 1184, 1185, 8 },
};

Oid bind_oid(enum value_type type, bool array)
{
	return array ? types[type].array_oid : types[type].oid;
}

void bind_fini(struct bind *bind)
{
	free(bind->data);
	*bind = (struct bind){ 0 };
}

static bool put(struct bind *bind, const void *data, size_t size)
{
	if (size > bind->room - bind->size) {
		size_t room = (bind->room + size) * 2 + 4096;
		uint8_t *grown = realloc(bind->data, room);
		if (grown == NULL)
			return false;
		bind->data = grown;
		bind->room = room;
	}
	if (size > 0)
		memcpy(bind->data + bind->size, data, size);
	bind->size += size;
	return true;
}

static bool put_int(struct bind *bind, int32_t value)
{
	uint32_t big = htobe32((uint32_t)value);

	return put(bind, &big, sizeof big);
}

static bool put_value(struct bind *bind, enum value_type type, const struct op_value *value)
{
	uint64_t big;

	if (types[type].size == 0)
		return put(bind, value->bytes.data, value->bytes.size);
	big = htobe64((uint64_t)(value->number - (type == VALUE_TIMESTAMPTZ ? EPOCH_OFFSET_US : 0)));
	return put(bind, (uint8_t *)&big + 8 - types[type].size, types[type].size);
}

static bool put_element(struct bind *bind, enum value_type type, const struct op_value *value)
{
	size_t size = types[type].size != 0 ? types[type].size : value->bytes.size;

	if (value->null)
		return put_int(bind, -1);
	return put_int(bind, (int32_t)size) && put_value(bind, type, value);
}

static bool put_array_head(struct bind *bind, enum value_type type, size_t n)
{
	return put_int(bind, 1) && put_int(bind, 1) && put_int(bind, (int32_t)types[type].oid) &&
			put_int(bind, (int32_t)n) && put_int(bind, 1);
}

static void param_begin(struct bind *bind)
{
	bind->offsets[bind->n] = bind->size;
	bind->formats[bind->n] = 1;
}

static void param_end(struct bind *bind)
{
	bind->lengths[bind->n] = (int)(bind->size - bind->offsets[bind->n]);
	bind->n++;
}

/* The data may have moved while it grew: the pointers are made last. */
static void finish(struct bind *bind)
{
	for (int i = 0; i < bind->n; i++)
		bind->values[i] = bind->lengths[i] < 0 ? NULL : (const char *)bind->data + bind->offsets[i];
}

static enum aside_code full(struct aside_status *err)
{
	return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

enum aside_code bind_ops(struct bind *bind, const struct statement *statement, struct op *const *ops, size_t n,
		struct aside_status *err)
{
	bool ok = put(bind, "", 1); /* so that `data` is never NULL */

	bind->n = 0;
	bind->size = 0;
	for (size_t p = 0; p < statement->n_params && ok; p++) {
		enum value_type type = statement->params[p].type;
		param_begin(bind);
		if (statement->form == FORM_SINGLE) {
			ok = put_value(bind, type, &ops[0]->params[p]);
			param_end(bind);
			if (ops[0]->params[p].null)
				bind->lengths[bind->n - 1] = -1;
			continue;
		}
		ok = put_array_head(bind, type, n);
		for (size_t i = 0; i < n && ok; i++)
			ok = put_element(bind, type, &ops[i]->params[p]);
		param_end(bind);
	}
	finish(bind);
	return ok ? ASIDE_OK : full(err);
}

enum aside_code bind_numbers(struct bind *bind, const int64_t *numbers, size_t n, struct aside_status *err)
{
	bool ok;

	bind->n = 0;
	bind->size = 0;
	param_begin(bind);
	ok = put_array_head(bind, VALUE_INT8, n);
	for (size_t i = 0; i < n && ok; i++)
		ok = put_element(bind, VALUE_INT8, &(struct op_value){ .number = numbers[i] });
	param_end(bind);
	finish(bind);
	return ok ? ASIDE_OK : full(err);
}
