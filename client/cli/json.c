/* See json.h; the mapping is https://protobuf.dev/programming-guides/json/.  Base64 is OpenSSL's. */
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define FIELD_MASK "google.protobuf.FieldMask"

static void camel(const char *name, char out[128])
{
	size_t n = 0;

	for (; *name != '\0' && n < 127; name++) {
		if (*name == '_' && name[1] != '\0')
			out[n++] = (char)toupper((unsigned char)*++name);
		else
			out[n++] = *name;
	}
	out[n] = '\0';
}

/* ── from JSON ───────────────────────────────────────────────────────────────────────────────────── */

struct reader {
	struct arena *arena;
	char *where;
	const char *why;
};

static bool refuse(struct reader *reader, const char *why)
{
	reader->why = why;
	return false;
}

static bool read_number(struct reader *reader, const json_t *json, int64_t *ret)
{
	const char *text = json_string_value(json);
	char *end;

	if (json_is_integer(json)) {
		*ret = json_integer_value(json);
		return true;
	}
	if (text == NULL || text[0] == '\0')
		return refuse(reader, "is no number");
	errno = 0;
	*ret = text[0] == '-' ? strtoll(text, &end, 10) : (int64_t)strtoull(text, &end, 10);
	return (*end == '\0' && errno == 0) || refuse(reader, "is no number");
}

static bool read_bytes(struct reader *reader, const char *text, ProtobufCBinaryData *ret)
{
	size_t length = strlen(text), padding = 0;
	int n;

	ret->data = arena_alloc(reader->arena, length / 4 * 3 + 3);
	if (ret->data == NULL)
		return refuse(reader, "is too large");
	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	n = length % 4 == 0 ? EVP_DecodeBlock(ret->data, (const unsigned char *)text, (int)length) : -1;
	if (n < 0)
		return refuse(reader, "is not base64");
	ret->len = (size_t)n - padding;
	return true;
}

static bool read_enum(struct reader *reader, const ProtobufCEnumDescriptor *desc, const json_t *json, int *ret)
{
	int64_t number;

	if (json_is_string(json)) {
		const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(desc, json_string_value(json));
		if (value == NULL)
			return refuse(reader, "has no such value");
		*ret = value->value;
		return true;
	}
	if (!read_number(reader, json, &number))
		return false;
	*ret = (int)number;
	return true;
}

static ProtobufCMessage *read_message(struct reader *reader, const json_t *json, const ProtobufCMessageDescriptor *desc);

static bool read_value(struct reader *reader, const ProtobufCFieldDescriptor *field, const json_t *json, void *out)
{
	int64_t number = 0;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (!json_is_string(json))
			return refuse(reader, "is no string");
		*(char **)out = arena_strndup(reader->arena, json_string_value(json), json_string_length(json));
		return *(char **)out != NULL || refuse(reader, "is too large");
	case PROTOBUF_C_TYPE_BYTES:
		return json_is_string(json) ? read_bytes(reader, json_string_value(json), out) : refuse(reader, "is no base64 string");
	case PROTOBUF_C_TYPE_MESSAGE: return (*(ProtobufCMessage **)out = read_message(reader, json, field->descriptor)) != NULL;
	case PROTOBUF_C_TYPE_ENUM: return read_enum(reader, field->descriptor, json, out);
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)out = json_is_true(json);
		return json_is_boolean(json) || refuse(reader, "is neither true nor false");
	case PROTOBUF_C_TYPE_DOUBLE: *(double *)out = json_number_value(json); return true;
	case PROTOBUF_C_TYPE_FLOAT: *(float *)out = (float)json_number_value(json); return true;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: return read_number(reader, json, out);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32: break;
	}
	if (!read_number(reader, json, &number))
		return false;
	if (number < INT32_MIN || number > UINT32_MAX)
		return refuse(reader, "is beyond 32 bits");
	*(int32_t *)out = (int32_t)number;
	return true;
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
	static const uint8_t sizes[] = {
		[PROTOBUF_C_TYPE_INT32] = 4, [PROTOBUF_C_TYPE_SINT32] = 4, [PROTOBUF_C_TYPE_SFIXED32] = 4,
		[PROTOBUF_C_TYPE_INT64] = 8, [PROTOBUF_C_TYPE_SINT64] = 8, [PROTOBUF_C_TYPE_SFIXED64] = 8,
		[PROTOBUF_C_TYPE_UINT32] = 4, [PROTOBUF_C_TYPE_FIXED32] = 4, [PROTOBUF_C_TYPE_UINT64] = 8,
		[PROTOBUF_C_TYPE_FIXED64] = 8, [PROTOBUF_C_TYPE_FLOAT] = 4, [PROTOBUF_C_TYPE_DOUBLE] = 8,
		[PROTOBUF_C_TYPE_BOOL] = sizeof(protobuf_c_boolean), [PROTOBUF_C_TYPE_ENUM] = 4,
		[PROTOBUF_C_TYPE_STRING] = sizeof(char *), [PROTOBUF_C_TYPE_BYTES] = sizeof(ProtobufCBinaryData),
		[PROTOBUF_C_TYPE_MESSAGE] = sizeof(void *),
	};

	return sizes[field->type];
}

static bool read_field(struct reader *reader, const ProtobufCFieldDescriptor *field, const json_t *json, ProtobufCMessage *message)
{
	char *at = (char *)message + field->offset;
	size_t n = json_array_size(json), size = size_of(field);

	if (field->label != PROTOBUF_C_LABEL_REPEATED) {
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			*(uint32_t *)(void *)((char *)message + field->quantifier_offset) = field->id;
		return read_value(reader, field, json, at);
	}
	if (!json_is_array(json))
		return refuse(reader, "is no list");
	char *values = arena_alloc(reader->arena, n * size + 1);
	if (values == NULL)
		return refuse(reader, "is too large");
	for (size_t i = 0; i < n; i++)
		if (!read_value(reader, field, json_array_get(json, i), values + i * size))
			return false;
	*(size_t *)(void *)((char *)message + field->quantifier_offset) = n;
	*(char **)(void *)at = values;
	return true;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *desc, const char *name)
{
	char other[128];

	for (unsigned i = 0; i < desc->n_fields; i++) {
		camel(desc->fields[i].name, other);
		if (strcmp(name, other) == 0 || strcmp(name, desc->fields[i].name) == 0)
			return &desc->fields[i];
	}
	return NULL;
}

/* "messagingEnabled,replyBudget" → { "paths": ["messaging_enabled", "reply_budget"] } */
static json_t *expand_mask(const char *text)
{
	json_t *paths = json_array();
	char path[128];

	while (*text != '\0') {
		size_t n = 0;
		for (; *text != '\0' && *text != ',' && n < 126; text++) {
			if (isupper((unsigned char)*text))
				path[n++] = '_';
			path[n++] = (char)tolower((unsigned char)*text);
		}
		path[n] = '\0';
		json_array_append_new(paths, json_string(path));
		text += strcspn(text, ",");
		text += *text == ',';
	}
	return json_pack("{s:o}", "paths", paths);
}

static ProtobufCMessage *read_message(struct reader *reader, const json_t *json, const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *message = arena_alloc(reader->arena, desc->sizeof_message);
	json_t *mask = NULL;
	const char *name;
	json_t *value;
	bool ok = message != NULL;

	if (message != NULL)
		protobuf_c_message_init(desc, message);
	if (json_is_string(json) && strcmp(desc->name, FIELD_MASK) == 0)
		json = mask = expand_mask(json_string_value(json));
	if (!json_is_object(json))
		ok = refuse(reader, "is no object");
	json_object_foreach((json_t *)(uintptr_t)json, name, value) {
		const ProtobufCFieldDescriptor *field = find_field(desc, name);
		if (!ok || json_is_null(value))
			continue;
		(void)snprintf(reader->where, 128, "%s", name);
		ok = field == NULL ? refuse(reader, "is no such field") : read_field(reader, field, value, message);
	}
	json_decref(mask);
	return ok ? message : NULL;
}

ProtobufCMessage *json_to_message(const json_t *json, const ProtobufCMessageDescriptor *desc, struct arena *arena,
		char where[128], const char **why)
{
	struct reader reader = { .arena = arena, .where = where, .why = "is too large" };
	ProtobufCMessage *message;

	where[0] = '\0';
	message = read_message(&reader, json, desc);
	*why = reader.why;
	return message;
}

/* ── to JSON ─────────────────────────────────────────────────────────────────────────────────────── */

static json_t *write_bytes(const ProtobufCBinaryData *data)
{
	char *text = malloc((data->len + 2) / 3 * 4 + 1);

	if (text == NULL)
		return NULL;
	int n = EVP_EncodeBlock((unsigned char *)text, data->data != NULL ? data->data : (const uint8_t *)"", (int)data->len);
	json_t *json = json_stringn(text, (size_t)n);
	free(text);
	return json;
}

static json_t *write_long(const char *format, long long value)
{
	char digits[24];

	(void)snprintf(digits, sizeof digits, format[0] == 'u' ? "%llu" : "%lld", value);
	return json_string(digits);
}

static json_t *write_value(const ProtobufCFieldDescriptor *field, const void *at)
{
	const ProtobufCEnumValue *value;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING: return json_string(*(char *const *)at);
	case PROTOBUF_C_TYPE_BYTES: return write_bytes(at);
	case PROTOBUF_C_TYPE_MESSAGE: return json_from_message(*(const ProtobufCMessage *const *)at);
	case PROTOBUF_C_TYPE_BOOL: return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		value = protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at);
		return value != NULL ? json_string(value->name) : json_integer(*(const int *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64: return write_long("d", *(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: return write_long("u", *(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32: return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_DOUBLE: return json_real(*(const double *)at);
	case PROTOBUF_C_TYPE_FLOAT: return json_real((double)*(const float *)at);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32: break;
	}
	return json_integer(*(const int32_t *)at);
}

static bool is_default(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message, const char *at)
{
	static const char zeros[sizeof(ProtobufCBinaryData)];

	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(const void *)((const char *)message + field->quantifier_offset) != field->id;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return *(char *const *)(const void *)at == NULL || **(char *const *)(const void *)at == '\0';
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)(const void *)at)->len == 0;
	return memcmp(at, zeros, size_of(field)) == 0;
}

json_t *json_from_message(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;
	json_t *object = json_object();
	char name[128];

	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];
		const char *at = (const char *)message + field->offset;
		camel(field->name, name);
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t n = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
			json_t *list = json_array();
			for (size_t k = 0; k < n; k++)
				json_array_append_new(list, write_value(field, *(char *const *)(const void *)at + k * size_of(field)));
			if (n > 0)
				json_object_set(object, name, list);
			json_decref(list);
		} else if (!is_default(field, message, at)) {
			json_object_set_new(object, name, write_value(field, at));
		}
	}
	return object;
}
