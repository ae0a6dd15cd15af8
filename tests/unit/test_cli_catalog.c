/* The catalog: descriptors made while the program runs are those that protoc-c makes, and bad ones are refused. */
#include "test.h"

#include <stdlib.h>

#include "cli/catalog.h"
#include "cli/json.h"
#include "kinds.pb-c.h"
#include "kinds.rpc.h"
#include "wire/validate.h"

static struct catalog catalog;
static struct aside_status status;

static ProtobufCBinaryData bytes_of(const struct aside_file *file)
{
	return (ProtobufCBinaryData){ file->descriptor_bytes, (uint8_t *)(uintptr_t)file->descriptor };
}

static int load(void **state)
{
	const ProtobufCBinaryData files[] = { bytes_of(aside_file_kinds.imports[0]), bytes_of(&aside_file_kinds) };
	(void)state;

	return catalog_init(&catalog, files, 2, &status) == ASIDE_OK ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	catalog_fini(&catalog);
	return 0;
}

static const struct symbol *find(unsigned kinds, const char *name)
{
	const struct symbol *symbol = NULL;

	if (catalog_find(&catalog, kinds, name, &symbol, &status) != ASIDE_OK)
		fail_msg("%s: %s", name, status.message);
	return symbol;
}

static const ProtobufCMessageDescriptor *message(const char *name)
{
	return &find(SYMBOL_MESSAGE, name)->type.message;
}

/* ── the same descriptors ────────────────────────────────────────────────────────────────────────── */

static void assert_same_enum(const ProtobufCEnumDescriptor *ours, const ProtobufCEnumDescriptor *theirs)
{
	assert_string_equal(ours->name, theirs->name);
	assert_int_equal(ours->n_values, theirs->n_values);
	assert_int_equal(ours->n_value_names, theirs->n_value_names);
	for (int value = -10; value < 50; value++) {
		const ProtobufCEnumValue *mine = protobuf_c_enum_descriptor_get_value(ours, value);
		const ProtobufCEnumValue *other = protobuf_c_enum_descriptor_get_value(theirs, value);
		assert_int_equal(mine == NULL, other == NULL);
		if (mine != NULL)
			assert_string_equal(mine->name, other->name);
	}
	for (unsigned i = 0; i < theirs->n_value_names; i++) {
		const char *name = theirs->values_by_name[i].name;
		const ProtobufCEnumValue *mine = protobuf_c_enum_descriptor_get_value_by_name(ours, name);
		assert_non_null(mine);
		assert_int_equal(mine->value, protobuf_c_enum_descriptor_get_value_by_name(theirs, name)->value);
	}
}

static void assert_same_message(const ProtobufCMessageDescriptor *ours, const ProtobufCMessageDescriptor *theirs)
{
	assert_string_equal(ours->name, theirs->name);
	assert_int_equal(ours->n_fields, theirs->n_fields);
	for (unsigned i = 0; i < theirs->n_fields; i++) {
		const ProtobufCFieldDescriptor *other = &theirs->fields[i];
		const ProtobufCFieldDescriptor *mine = protobuf_c_message_descriptor_get_field(ours, other->id);
		assert_non_null(mine);
		assert_ptr_equal(mine, protobuf_c_message_descriptor_get_field_by_name(ours, other->name));
		assert_string_equal(mine->name, other->name);
		assert_int_equal(mine->label, other->label);
		assert_int_equal(mine->type, other->type);
		assert_int_equal(mine->flags, other->flags);
		assert_int_equal(mine->descriptor == NULL, other->descriptor == NULL);
		if (other->type == PROTOBUF_C_TYPE_ENUM)
			assert_same_enum(mine->descriptor, other->descriptor);
		if (other->type == PROTOBUF_C_TYPE_MESSAGE)
			assert_same_message(mine->descriptor, other->descriptor);
	}
	assert_null(protobuf_c_message_descriptor_get_field(ours, 500));
	assert_null(protobuf_c_message_descriptor_get_field_by_name(ours, "nothing"));
}

static void descriptors_are_those_of_protoc_c(void **state)
{
	(void)state;
	assert_same_message(message("kinds.v1.Kinds"), &kinds__v1__kinds__descriptor);
	assert_same_enum(&find(SYMBOL_ENUM, "Warmth")->type.enumeration, &kinds__v1__warmth__descriptor);
}

/* JSON → message of one kind of descriptor → bytes → message of the other → JSON. */
static void carry(const char *text, const ProtobufCMessageDescriptor *from, const ProtobufCMessageDescriptor *to)
{
	uint8_t bytes[1024];
	struct json_fault fault;
	struct arena arena;
	json_t *json = json_parse(text, strlen(text), &fault);

	arena_init(&arena, 1 << 20);
	ProtobufCMessage *sent = json_to_message(json, from, &arena, &fault);
	if (sent == NULL)
		fail_msg("%s %s", fault.where, fault.why);
	json_decref(json);
	size_t size = protobuf_c_message_pack(sent, bytes);
	assert_int_equal(size, protobuf_c_message_get_packed_size(sent));
	assert_int_equal(validate(to, (struct bytes){ bytes, size }, &status), ASIDE_OK);
	ProtobufCMessage *got = protobuf_c_message_unpack(to, NULL, size, bytes);
	assert_non_null(got);
	json = json_from_message(got, false);
	char *out = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
	assert_string_equal(out, text);
	free(out);
	json_decref(json);
	protobuf_c_message_free_unpacked(got, NULL);
	arena_fini(&arena);
}

static void messages_travel_between_the_two(void **state)
{
	static const char *const texts[] = { "{}",
		"{\"int32Value\":-1,\"sint32Value\":-2,\"sfixed32Value\":-3,\"uint32Value\":4,\"fixed32Value\":5,\"int64Value\":\"-6\","
		"\"sint64Value\":\"-7\",\"sfixed64Value\":\"-8\",\"uint64Value\":\"9\",\"fixed64Value\":\"10\",\"floatValue\":0.5,"
		"\"doubleValue\":-0.25,\"boolValue\":true,\"stringValue\":\"s\",\"bytesValue\":\"AAE=\",\"warmth\":\"WARMTH_COLD\","
		"\"inner\":{\"leaf\":{\"name\":\"n\"},\"light\":\"LIGHT_ON\"},\"mask\":\"a,b\",\"number\":7,\"numbers\":[1,-2],"
		"\"words\":[\"\",\"w\"],\"blobs\":[\"AA==\"],\"leaves\":[{},{\"depth\":1}],\"warmths\":[\"WARMTH_HOT\"],\"flags\":[true,false],"
		"\"doubles\":[0.5],\"farAway\":\"f\"}",
		"{\"word\":\"\"}", "{\"leaf\":{\"name\":\"x\"}}" };
	const ProtobufCMessageDescriptor *ours = message("Kinds");
	(void)state;

	for (size_t i = 0; i < N_OF(texts); i++) {
		carry(texts[i], ours, &kinds__v1__kinds__descriptor);
		carry(texts[i], &kinds__v1__kinds__descriptor, ours);
		carry(texts[i], ours, ours);
	}
}

static void methods_are_those_of_the_generator(void **state)
{
	(void)state;
	for (size_t i = 0; i < kinds_v1_kind_service.n_methods; i++) {
		const struct aside_method *other = &kinds_v1_kind_service.methods[i];
		const struct aside_method *mine = &find(SYMBOL_METHOD, other->path)->type.method;
		assert_string_equal(mine->path, other->path);
		assert_string_equal(mine->name, other->name);
		assert_string_equal(mine->request->name, other->request->name);
		assert_string_equal(mine->response->name, other->response->name);
		assert_int_equal(mine->idempotency, other->idempotency);
		assert_int_equal(mine->callers, other->callers);
		assert_string_equal(mine->scope, other->scope);
		assert_string_equal(mine->role, other->role);
		assert_int_equal(mine->timeout_ms, other->timeout_ms);
		assert_int_equal(mine->request_bytes, other->request_bytes);
		assert_int_equal(mine->client_streaming, other->client_streaming);
		assert_int_equal(mine->server_streaming, other->server_streaming);
	}
}

/* ── names and words ─────────────────────────────────────────────────────────────────────────────── */

static void names_may_be_short_while_they_are_clear(void **state)
{
	const struct symbol *symbol = NULL;
	(void)state;

	assert_string_equal(find(SYMBOL_METHOD, "Turn")->name, "kinds.v1.KindService/Turn");
	assert_string_equal(find(SYMBOL_METHOD, "KindService/Turn")->name, "kinds.v1.KindService/Turn");
	assert_string_equal(find(SYMBOL_METHOD, "/kinds.v1.KindService/Turn")->name, "kinds.v1.KindService/Turn");
	assert_string_equal(find(SYMBOL_SERVICE, "KindService")->name, "kinds.v1.KindService");
	assert_string_equal(find(SYMBOL_MESSAGE, "Kinds.Inner")->name, "kinds.v1.Kinds.Inner");
	assert_string_equal(find(SYMBOL_ENUM | SYMBOL_MESSAGE, ".kinds.v1.Kinds.Inner.Light")->name, "kinds.v1.Kinds.Inner.Light");
	assert_int_equal(catalog_find(&catalog, SYMBOL_METHOD, "urn", &symbol, &status), ASIDE_NOT_FOUND);
	assert_int_equal(catalog_find(&catalog, SYMBOL_METHOD, "", &symbol, &status), ASIDE_NOT_FOUND);
	assert_int_equal(catalog_find(&catalog, SYMBOL_SERVICE, "Turn", &symbol, &status), ASIDE_NOT_FOUND);
	assert_string_equal(status.reason, "NAME_UNKNOWN");
}

static void a_name_of_several_is_refused(void **state)
{
	const ProtobufCBinaryData twice[] = { bytes_of(aside_file_kinds.imports[0]), bytes_of(&aside_file_kinds), bytes_of(&aside_file_kinds) };
	const struct symbol *symbol = NULL;
	struct catalog doubled;
	(void)state;

	assert_int_equal(catalog_init(&doubled, twice, 3, &status), ASIDE_OK);
	assert_int_equal(catalog_find(&doubled, SYMBOL_METHOD, "Turn", &symbol, &status), ASIDE_FAILED_PRECONDITION);
	assert_string_equal(status.reason, "NAME_AMBIGUOUS");
	assert_string_equal(status.message, "Turn may be kinds.v1.KindService/Turn, kinds.v1.KindService/Turn");
	catalog_fini(&doubled);
}

static void comments_are_found(void **state)
{
	(void)state;
	assert_string_equal(symbol_comment(find(SYMBOL_SERVICE, "KindService")), " Takes everything.\n");
	assert_string_equal(symbol_comment(find(SYMBOL_METHOD, "Turn")), " Gives everything back.\n In two lines.\n");
	assert_string_equal(symbol_comment(find(SYMBOL_MESSAGE, "Kinds.Inner")), " One within.\n");
	assert_string_equal(symbol_comment(find(SYMBOL_ENUM, "Light")), " How warm.\n");
	assert_string_equal(symbol_member_comment(find(SYMBOL_ENUM, "Light"), 1), " On.\n");
	assert_string_equal(symbol_member_comment(find(SYMBOL_MESSAGE, "Kinds"), 0), " 32 bits.\n");
	assert_string_equal(symbol_member_comment(find(SYMBOL_MESSAGE, "Kinds"), 1), "");
	assert_string_equal(symbol_member_comment(find(SYMBOL_MESSAGE, "Leaf"), 1), " How deep it hangs.\n");
}

/* ── bad descriptors ─────────────────────────────────────────────────────────────────────────────── */

typedef Google__Protobuf__FieldDescriptorProto Field;

/* A file with one message, M, of one field. */
static enum aside_code load_one_field(Field *field, struct catalog *ret)
{
	Google__Protobuf__FileDescriptorProto file = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT;
	Google__Protobuf__DescriptorProto one = GOOGLE__PROTOBUF__DESCRIPTOR_PROTO__INIT, *messages[] = { &one };
	Field *fields[] = { field };
	uint8_t bytes[512];

	one.name = (char *)"M";
	one.field = fields;
	one.n_field = 1;
	file.name = (char *)"m.proto";
	file.message_type = messages;
	file.n_message_type = 1;
	ProtobufCBinaryData packed = { google__protobuf__file_descriptor_proto__pack(&file, bytes), bytes };
	return catalog_init(ret, &packed, 1, &status);
}

static Field a_field(void)
{
	Field field = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__INIT;

	field.name = (char *)"inner";
	field.has_number = field.has_type = field.has_label = 1;
	field.number = 1;
	field.label = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_OPTIONAL;
	field.type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE;
	field.type_name = (char *)".M";
	return field;
}

static void assert_no_field(Field *field, const char *why)
{
	struct catalog one;

	assert_int_equal(load_one_field(field, &one), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "BAD_DESCRIPTOR");
	if (strstr(status.message, why) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", status.message, why);
	catalog_fini(&one);
}

static void fields_that_cannot_be_are_refused(void **state)
{
	char long_name[200];
	Field field = a_field();
	(void)state;

	field.type_name = (char *)".N";
	assert_no_field(&field, "M, inner: its type is not there");
	field.type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_ENUM;
	field.type_name = (char *)".M";
	assert_no_field(&field, "its type is not there");
	field.type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP;
	assert_no_field(&field, "does not know");
	field = a_field();
	field.number = 0;
	assert_no_field(&field, "a number");
	field = a_field();
	field.name = NULL;
	assert_no_field(&field, "a name");
	memset(long_name, 'n', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	field.name = long_name;
	assert_no_field(&field, "a name");
	field = a_field();
	field.has_oneof_index = 1;
	field.oneof_index = 0;
	assert_no_field(&field, "oneof");
	field.oneof_index = -1;
	assert_no_field(&field, "oneof");
}

/* A message within itself is a type like another; the depth of its JSON is bounded. */
static void recursion_ends(void **state)
{
	enum { DEEP = VALIDATE_DEPTH_MAX };
	char text[16 * DEEP] = "";
	struct json_fault fault;
	struct catalog one;
	struct arena arena;
	Field field = a_field();
	(void)state;

	assert_int_equal(load_one_field(&field, &one), ASIDE_OK);
	for (unsigned depth = DEEP; depth <= DEEP + 1; depth++) {
		text[0] = '\0';
		for (unsigned i = 1; i < depth; i++)
			strcat(text, "{\"inner\":");
		strcat(text, "{}");
		for (unsigned i = 1; i < depth; i++)
			strcat(text, "}");
		json_t *json = json_parse(text, strlen(text), &fault);
		assert_non_null(json);
		arena_init(&arena, 1 << 20);
		assert_int_equal(json_to_message(json, &one.symbols[0].type.message, &arena, &fault) != NULL, depth == DEEP);
		arena_fini(&arena);
		json_decref(json);
	}
	assert_string_equal(fault.why, "is nested too deep");
	catalog_fini(&one);
}

/* Whatever a server sends: refused, or usable. */
static void no_bytes_break_it(void **state)
{
	size_t size = aside_file_kinds.descriptor_bytes;
	uint8_t *bytes = malloc(size);
	struct catalog broken;
	(void)state;

	for (size_t i = 0; i < 2 * size; i += 13) {
		ProtobufCBinaryData files[] = { bytes_of(aside_file_kinds.imports[0]), { i < size ? size : i - size, bytes } };
		memcpy(bytes, aside_file_kinds.descriptor, size);
		if (i < size)
			bytes[i] ^= (uint8_t)(1 + i * 37 % 255);
		if (catalog_init(&broken, files, 2, &status) == ASIDE_OK) {
			const struct symbol *symbol = NULL;
			if (catalog_find(&broken, SYMBOL_MESSAGE, "kinds.v1.Kinds", &symbol, &status) == ASIDE_OK)
				assert_true(symbol_comment(symbol) != NULL);
		}
		catalog_fini(&broken);
	}
	free(bytes);
}

static void memory_may_end_anywhere(void **state)
{
	const ProtobufCBinaryData files[] = { bytes_of(aside_file_kinds.imports[0]), bytes_of(&aside_file_kinds) };
	enum aside_code code = ASIDE_UNKNOWN;
	struct catalog starved;
	(void)state;

	for (unsigned n = 1; code != ASIDE_OK; n++) {
		arena_fail_nth(n);
		code = catalog_init(&starved, files, 2, &status);
		arena_fail_nth(0);
		catalog_fini(&starved);
		assert_true(n < 5000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_those_of_protoc_c),
		cmocka_unit_test(messages_travel_between_the_two),
		cmocka_unit_test(methods_are_those_of_the_generator),
		cmocka_unit_test(names_may_be_short_while_they_are_clear),
		cmocka_unit_test(a_name_of_several_is_refused),
		cmocka_unit_test(comments_are_found),
		cmocka_unit_test(fields_that_cannot_be_are_refused),
		cmocka_unit_test(recursion_ends),
		cmocka_unit_test(no_bytes_break_it),
		cmocka_unit_test(memory_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
