/* Descriptors for protobuf-c, made of FileDescriptorProtos while the program runs: what protoc-c writes at build time.
 *
 *     message:  | ProtobufCMessage | slot | slot | …      one slot a field, or a oneof
 *     slot:     | quantifier: how many, or which of a oneof | value, or the pointer to an array of them |
 *
 * Every slot has room for any type, so that no layout needs to be thought about. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "json.h"
#include "wire/status.h"

struct slot {
	size_t quantifier;
	ProtobufCBinaryData value; /* the largest there is */
};

static const ProtobufCMessageDescriptor *const known[] = { &google__protobuf__field_mask__descriptor };

static enum aside_code bad(struct aside_status *err, const char *name, const char *member, const char *why)
{
	return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_DESCRIPTOR", "the server's descriptors: %s, %s: %s", name,
			member != NULL ? member : "?", why);
}

static enum aside_code full(struct aside_status *err)
{
	return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "the server's descriptors are too large");
}

/* The numbers of a sorted list, as runs; one more than there are closes it. */
static const ProtobufCIntRange *make_ranges(struct arena *arena, const void *first, size_t stride, size_t n, unsigned *ret_n)
{
	ProtobufCIntRange *ranges = arena_alloc(arena, (n + 1) * sizeof *ranges);
	unsigned used = 0;
	int32_t before = 0;

	for (size_t i = 0; ranges != NULL && i < n; i++) {
		int32_t number = *(const int32_t *)(const void *)((const char *)first + i * stride);
		if (i == 0 || number != before + 1)
			ranges[used++] = (ProtobufCIntRange){ number, (unsigned)i };
		before = number;
	}
	if (ranges != NULL)
		ranges[used] = (ProtobufCIntRange){ 0, (unsigned)n };
	*ret_n = used;
	return ranges;
}

/* ── enums ───────────────────────────────────────────────────────────────────────────────────────── */

static int by_value(const void *a, const void *b)
{
	int left = ((const ProtobufCEnumValue *)a)->value, right = ((const ProtobufCEnumValue *)b)->value;

	return (left > right) - (left < right);
}

static int by_value_name(const void *a, const void *b)
{
	return strcmp(((const ProtobufCEnumValueIndex *)a)->name, ((const ProtobufCEnumValueIndex *)b)->name);
}

/* Each number once, with the first of its names. */
static unsigned list_values(const Google__Protobuf__EnumDescriptorProto *proto, ProtobufCEnumValue *values)
{
	unsigned n = 0;

	for (size_t i = 0; i < proto->n_value; i++) {
		unsigned k = 0;
		while (k < n && values[k].value != proto->value[i]->number)
			k++;
		if (k == n)
			values[n++] = (ProtobufCEnumValue){ proto->value[i]->name, proto->value[i]->name, proto->value[i]->number };
	}
	qsort(values, n, sizeof *values, by_value);
	return n;
}

static enum aside_code build_enum(struct arena *arena, struct symbol *symbol, struct aside_status *err)
{
	const Google__Protobuf__EnumDescriptorProto *proto = symbol->proto.enumeration;
	ProtobufCEnumDescriptor *desc = &symbol->type.enumeration;
	ProtobufCEnumValue *values = arena_alloc(arena, proto->n_value * sizeof *values);
	ProtobufCEnumValueIndex *names = arena_alloc(arena, proto->n_value * sizeof *names);

	for (size_t i = 0; i < proto->n_value; i++)
		if (proto->value[i]->name == NULL)
			return bad(err, symbol->name, NULL, "a value without a name");
	if (values == NULL || names == NULL)
		return full(err);
	*desc = (ProtobufCEnumDescriptor){ .magic = PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC, .name = symbol->name,
		.short_name = proto->name, .c_name = proto->name, .package_name = symbol->file->package, .values = values,
		.values_by_name = names };
	desc->n_values = list_values(proto, values);
	for (; desc->n_value_names < proto->n_value; desc->n_value_names++) {
		const Google__Protobuf__EnumValueDescriptorProto *value = proto->value[desc->n_value_names];
		unsigned k = 0;
		while (values[k].value != value->number)
			k++;
		names[desc->n_value_names] = (ProtobufCEnumValueIndex){ value->name, k };
	}
	qsort(names, desc->n_value_names, sizeof *names, by_value_name);
	desc->value_ranges = make_ranges(arena, desc->n_values > 0 ? &values[0].value : NULL, sizeof *values, desc->n_values,
			&desc->n_value_ranges);
	return desc->value_ranges != NULL ? ASIDE_OK : full(err);
}

/* ── fields ──────────────────────────────────────────────────────────────────────────────────────── */

static bool type_of(const Google__Protobuf__FieldDescriptorProto *proto, ProtobufCType *ret)
{
	static const struct {
		bool known;
		ProtobufCType type;
	} types[] = {
#define TYPE(theirs, ours) [GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##theirs] = { true, PROTOBUF_C_TYPE_##ours }
		TYPE(DOUBLE, DOUBLE), TYPE(FLOAT, FLOAT), TYPE(INT64, INT64), TYPE(UINT64, UINT64), TYPE(INT32, INT32),
		TYPE(FIXED64, FIXED64), TYPE(FIXED32, FIXED32), TYPE(BOOL, BOOL), TYPE(STRING, STRING), TYPE(MESSAGE, MESSAGE),
		TYPE(BYTES, BYTES), TYPE(UINT32, UINT32), TYPE(ENUM, ENUM), TYPE(SFIXED32, SFIXED32), TYPE(SFIXED64, SFIXED64),
		TYPE(SINT32, SINT32), TYPE(SINT64, SINT64),
#undef TYPE
	};
	size_t number = (size_t)proto->type;

	if (!proto->has_type || number >= sizeof types / sizeof *types || !types[number].known)
		return false;
	*ret = types[number].type;
	return true;
}

static const void *refer(const struct catalog *catalog, const Google__Protobuf__FieldDescriptorProto *proto, ProtobufCType type)
{
	const struct symbol *symbol = catalog_type(catalog, proto->type_name);

	if (symbol != NULL && symbol->kind == (type == PROTOBUF_C_TYPE_ENUM ? SYMBOL_ENUM : SYMBOL_MESSAGE))
		return type == PROTOBUF_C_TYPE_ENUM ? (const void *)&symbol->type.enumeration : &symbol->type.message;
	for (size_t i = 0; symbol == NULL && proto->type_name != NULL && i < sizeof known / sizeof *known; i++)
		if (type == PROTOBUF_C_TYPE_MESSAGE && strcmp(known[i]->name, proto->type_name + (proto->type_name[0] == '.')) == 0)
			return known[i];
	return NULL;
}

static bool is_packable(ProtobufCType type)
{
	return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES && type != PROTOBUF_C_TYPE_MESSAGE;
}

/* NULL, or why there is no such field. */
static const char *build_field(const struct catalog *catalog, const Google__Protobuf__FieldDescriptorProto *proto, unsigned slot,
		ProtobufCFieldDescriptor *ret)
{
	size_t offset = sizeof(ProtobufCMessage) + slot * sizeof(struct slot);

	if (proto->name == NULL || proto->name[0] == '\0' || strlen(proto->name) >= JSON_NAME_BYTES || proto->number <= 0)
		return "a field needs a name of less than 128 bytes and a number";
	*ret = (ProtobufCFieldDescriptor){ .name = proto->name, .id = (uint32_t)proto->number, .label = PROTOBUF_C_LABEL_NONE,
		.quantifier_offset = (unsigned)(offset + offsetof(struct slot, quantifier)),
		.offset = (unsigned)(offset + offsetof(struct slot, value)) };
	if (!type_of(proto, &ret->type))
		return "a type that this command does not know";
	if (proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED) {
		ret->label = PROTOBUF_C_LABEL_REPEATED;
		ret->flags = is_packable(ret->type) ? PROTOBUF_C_FIELD_FLAG_PACKED : 0;
	} else if (proto->has_oneof_index) {
		ret->flags = PROTOBUF_C_FIELD_FLAG_ONEOF;
	}
	/* protobuf-c writes a oneof's default over the value of its other members. */
	if (ret->type == PROTOBUF_C_TYPE_STRING && !proto->has_oneof_index)
		ret->default_value = &protobuf_c_empty_string;
	if (ret->type != PROTOBUF_C_TYPE_MESSAGE && ret->type != PROTOBUF_C_TYPE_ENUM)
		return NULL;
	ret->descriptor = refer(catalog, proto, ret->type);
	return ret->descriptor != NULL ? NULL : "its type is not there";
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static int by_id(const void *a, const void *b)
{
	uint32_t left = ((const ProtobufCFieldDescriptor *)a)->id, right = ((const ProtobufCFieldDescriptor *)b)->id;

	return (left > right) - (left < right);
}

/* By name: for protobuf_c_message_descriptor_get_field_by_name().  An insertion sort, for it has no context. */
static const unsigned *sort_names(struct arena *arena, const ProtobufCFieldDescriptor *fields, unsigned n)
{
	unsigned *order = arena_alloc(arena, n * sizeof *order);

	for (unsigned i = 0; order != NULL && i < n; i++) {
		unsigned at = i;
		for (; at > 0 && strcmp(fields[order[at - 1]].name, fields[i].name) > 0; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return order;
}

/* Members of a oneof share the slots after those of the other fields. */
static const char *build_fields(const struct catalog *catalog, const Google__Protobuf__DescriptorProto *proto,
		ProtobufCFieldDescriptor *fields, const char **ret_name)
{
	for (size_t i = 0; i < proto->n_field; i++) {
		const Google__Protobuf__FieldDescriptorProto *field = proto->field[i];
		size_t slot = field->has_oneof_index ? proto->n_field + (size_t)field->oneof_index : i;
		*ret_name = field->name;
		if (field->has_oneof_index && (size_t)field->oneof_index >= proto->n_oneof_decl)
			return "its oneof is not there";
		const char *why = build_field(catalog, field, (unsigned)slot, &fields[i]);
		if (why != NULL)
			return why;
	}
	qsort(fields, proto->n_field, sizeof *fields, by_id);
	for (size_t i = 1; i < proto->n_field; i++) {
		*ret_name = fields[i].name;
		if (fields[i].id == fields[i - 1].id)
			return "its number is given twice";
	}
	return NULL;
}

static enum aside_code build_message(struct catalog *catalog, struct symbol *symbol, struct aside_status *err)
{
	const Google__Protobuf__DescriptorProto *proto = symbol->proto.message;
	ProtobufCMessageDescriptor *desc = &symbol->type.message;
	ProtobufCFieldDescriptor *fields = arena_alloc(&catalog->arena, proto->n_field * sizeof *fields);
	const char *name = NULL, *why;

	if (fields == NULL)
		return full(err);
	why = build_fields(catalog, proto, fields, &name);
	if (why != NULL)
		return bad(err, symbol->name, name, why);
	*desc = (ProtobufCMessageDescriptor){ .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC, .name = symbol->name,
		.short_name = proto->name, .c_name = proto->name, .package_name = symbol->file->package,
		.sizeof_message = sizeof(ProtobufCMessage) + (proto->n_field + proto->n_oneof_decl) * sizeof(struct slot),
		.n_fields = (unsigned)proto->n_field, .fields = fields };
	desc->fields_sorted_by_name = sort_names(&catalog->arena, fields, desc->n_fields);
	desc->field_ranges = make_ranges(&catalog->arena, desc->n_fields > 0 ? &fields[0].id : NULL, sizeof *fields, desc->n_fields,
			&desc->n_field_ranges);
	return desc->fields_sorted_by_name != NULL && desc->field_ranges != NULL ? ASIDE_OK : full(err);
}

enum aside_code types_build(struct catalog *catalog, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (size_t i = 0; i < catalog->n_symbols && code == ASIDE_OK; i++) {
		struct symbol *symbol = &catalog->symbols[i];
		if (symbol->kind == SYMBOL_ENUM)
			code = build_enum(&catalog->arena, symbol, err);
		else if (symbol->kind == SYMBOL_MESSAGE)
			code = build_message(catalog, symbol, err);
	}
	return code;
}
