/* From JSON.  See json.h; the syntax is jansson's, base64 is OpenSSL's. */
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "google/protobuf/field_mask.pb-c.h"
#include "wire/validate.h"

struct reader {
	struct arena *arena;
	struct json_fault *fault;
	size_t where_bytes; /* of fault->where in use */
	unsigned depth;
};

static bool refuse(struct reader *reader, const char *fmt, ...) ASIDE_PRINTF(2, 3);
static bool refuse(struct reader *reader, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reader->fault->why, sizeof reader->fault->why, fmt, ap);
	va_end(ap);
	return false;
}

/* Goes a step down; the step ends with leave(), unless something is refused there. */
static size_t enter(struct reader *reader, const char *fmt, ...) ASIDE_PRINTF(2, 3);
static size_t enter(struct reader *reader, const char *fmt, ...)
{
	size_t before = reader->where_bytes, room = sizeof reader->fault->where - before;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(reader->fault->where + before, room, fmt, ap);
	va_end(ap);
	reader->where_bytes += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
	return before;
}

static void leave(struct reader *reader, size_t before)
{
	reader->where_bytes = before;
	reader->fault->where[before] = '\0';
}

/* ── syntax ──────────────────────────────────────────────────────────────────────────────────────── */

json_t *json_parse(const char *text, size_t size, struct json_fault *ret_fault)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	const char *why = error.text;

	if (json != NULL)
		return json;
	if (json_error_code(&error) == json_error_null_character)
		why = "a string with a NUL, \\u0000, is in no message";
	else if (json_error_code(&error) == json_error_numeric_overflow)
		why = "a number too large to stand without quotes";
	(void)snprintf(ret_fault->where, sizeof ret_fault->where, "line %d, column %d:", error.line, error.column);
	(void)snprintf(ret_fault->why, sizeof ret_fault->why, "%s", size == 0 ? "nothing is there" : why);
	return NULL;
}

/* ── numbers ─────────────────────────────────────────────────────────────────────────────────────── */

/* An integer of up to 64 bits, signed or not. */
struct whole {
	uint64_t magnitude;
	bool negative;
};

/* A JSON number in a string, without a space around it. */
static json_t *unquote(const char *text, size_t flags)
{
	size_t length = strlen(text);

	if (length == 0 || !isdigit((unsigned char)text[length - 1]) || !(text[0] == '-' || isdigit((unsigned char)text[0])))
		return NULL;
	return json_loadb(text, length, JSON_DECODE_ANY | flags, NULL);
}

static bool whole_of_real(double value, struct whole *ret)
{
	*ret = (struct whole){ .negative = value < 0 };
	if (value != floor(value) || fabs(value) >= 0x1p64)
		return false;
	ret->magnitude = (uint64_t)fabs(value);
	return true;
}

/* Exactly: digits do not pass through a double. */
static bool whole_of_text(const char *text, struct whole *ret)
{
	const char *digits = text + (text[0] == '-');
	bool ok = false;

	if (isdigit((unsigned char)digits[0]) && digits[strspn(digits, "0123456789")] == '\0') {
		*ret = (struct whole){ .negative = text[0] == '-' };
		errno = 0;
		ret->magnitude = strtoull(digits, NULL, 10);
		return errno == 0 && (digits[0] != '0' || digits[1] == '\0');
	}
	json_t *number = unquote(text, 0);
	if (json_is_real(number))
		ok = whole_of_real(json_real_value(number), ret);
	json_decref(number);
	return ok;
}

/* 1e3 is an integer, 1.5 is none. */
static bool whole_of(const json_t *json, struct whole *ret)
{
	json_int_t value = json_integer_value(json);

	if (json_is_string(json))
		return whole_of_text(json_string_value(json), ret);
	if (json_is_real(json))
		return whole_of_real(json_real_value(json), ret);
	*ret = (struct whole){ value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0 };
	return json_is_integer(json);
}

static bool read_integer(struct reader *reader, const json_t *json, uint64_t min_magnitude, uint64_t max, uint64_t *ret)
{
	struct whole whole;

	if (!whole_of(json, &whole))
		return refuse(reader, "is no integer");
	if (whole.magnitude > (whole.negative ? min_magnitude : max))
		return refuse(reader, "is not from %s%llu to %llu", min_magnitude > 0 ? "-" : "", (unsigned long long)min_magnitude,
				(unsigned long long)max);
	*ret = whole.negative ? 0 - whole.magnitude : whole.magnitude;
	return true;
}

static bool real_of_text(const char *text, double *ret)
{
	json_t *number;
	bool ok = true;

	if (strcmp(text, "NaN") == 0)
		*ret = NAN;
	else if (strcmp(text, "Infinity") == 0)
		*ret = INFINITY;
	else if (strcmp(text, "-Infinity") == 0)
		*ret = -INFINITY;
	else {
		number = unquote(text, JSON_DECODE_INT_AS_REAL);
		ok = number != NULL;
		*ret = json_number_value(number);
		json_decref(number);
	}
	return ok;
}

static bool read_real(struct reader *reader, const json_t *json, double max, double *ret)
{
	if (json_is_string(json) ? !real_of_text(json_string_value(json), ret) : !json_is_number(json))
		return refuse(reader, "is no number");
	if (!json_is_string(json))
		*ret = json_number_value(json);
	return !isfinite(*ret) || fabs(*ret) <= max || refuse(reader, "is beyond a float");
}

/* ── values ──────────────────────────────────────────────────────────────────────────────────────── */

static bool read_string(struct reader *reader, const json_t *json, char **ret)
{
	if (!json_is_string(json))
		return refuse(reader, "is no string");
	*ret = arena_strndup(reader->arena, json_string_value(json), json_string_length(json));
	return *ret != NULL || refuse(reader, "is too large");
}

/* Both alphabets, with or without padding: made the one form that OpenSSL reads. */
static bool normalize_base64(const char *text, size_t length, char *out)
{
	size_t padding = 0, n;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	n = length - padding;
	if (n % 4 == 1 || (padding > 0 && length % 4 != 0))
		return false;
	for (size_t i = 0; i < n; i++) {
		out[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
		if (!isalnum((unsigned char)out[i]) && out[i] != '+' && out[i] != '/')
			return false;
	}
	for (; n % 4 != 0; n++)
		out[n] = '=';
	out[n] = '\0';
	return true;
}

static bool read_bytes(struct reader *reader, const json_t *json, ProtobufCBinaryData *ret)
{
	size_t length = json_string_length(json);
	char *normal = arena_alloc(reader->arena, length + 4);
	int n = -1;

	ret->data = arena_alloc(reader->arena, length + 3);
	if (ret->data == NULL || normal == NULL || length > INT32_MAX)
		return refuse(reader, "is too large");
	if (json_is_string(json) && normalize_base64(json_string_value(json), length, normal))
		n = EVP_DecodeBlock(ret->data, (const unsigned char *)normal, (int)strlen(normal));
	if (n < 0)
		return refuse(reader, "is no base64 string");
	ret->len = (size_t)n;
	for (const char *end = normal + strlen(normal); end > normal && end[-1] == '='; end--)
		ret->len--; /* OpenSSL counts padding as bytes */
	return true;
}

static bool read_enum(struct reader *reader, const ProtobufCEnumDescriptor *desc, const json_t *json, int32_t *ret)
{
	const ProtobufCEnumValue *value;
	uint64_t number;

	if (!json_is_string(json)) {
		if (!read_integer(reader, json, 1ull << 31, INT32_MAX, &number))
			return false;
		*ret = (int32_t)number; /* proto3 keeps numbers it has no name for */
		return true;
	}
	value = protobuf_c_enum_descriptor_get_value_by_name(desc, json_string_value(json));
	if (value == NULL)
		return refuse(reader, "%.80s is no value of %s", json_string_value(json), desc->name);
	*ret = value->value;
	return true;
}

static bool read_32(struct reader *reader, const json_t *json, uint64_t min_magnitude, uint64_t max, uint32_t *ret)
{
	uint64_t number;

	if (!read_integer(reader, json, min_magnitude, max, &number))
		return false;
	*ret = (uint32_t)number;
	return true;
}

static bool read_float(struct reader *reader, const json_t *json, float *ret)
{
	double value;

	if (!read_real(reader, json, (double)FLT_MAX, &value))
		return false;
	*ret = (float)value;
	return true;
}

static ProtobufCMessage *read_message(struct reader *reader, const json_t *json, const ProtobufCMessageDescriptor *desc);

static bool read_value(struct reader *reader, const ProtobufCFieldDescriptor *field, const json_t *json, void *out)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING: return read_string(reader, json, out);
	case PROTOBUF_C_TYPE_BYTES: return read_bytes(reader, json, out);
	case PROTOBUF_C_TYPE_MESSAGE: return (*(ProtobufCMessage **)out = read_message(reader, json, field->descriptor)) != NULL;
	case PROTOBUF_C_TYPE_ENUM: return read_enum(reader, field->descriptor, json, out);
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)out = json_is_true(json);
		return json_is_boolean(json) || refuse(reader, "is neither true nor false");
	case PROTOBUF_C_TYPE_DOUBLE: return read_real(reader, json, DBL_MAX, out);
	case PROTOBUF_C_TYPE_FLOAT: return read_float(reader, json, out);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64: return read_integer(reader, json, 1ull << 63, INT64_MAX, out);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: return read_integer(reader, json, 0, UINT64_MAX, out);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32: return read_32(reader, json, 0, UINT32_MAX, out);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32: break;
	}
	return read_32(reader, json, 1ull << 31, INT32_MAX, out);
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static void *quantifier_of(const ProtobufCFieldDescriptor *field, ProtobufCMessage *message)
{
	return (char *)message + field->quantifier_offset;
}

static bool read_list(struct reader *reader, const ProtobufCFieldDescriptor *field, const json_t *json, ProtobufCMessage *message)
{
	size_t n = json_array_size(json), size = json_value_bytes(field->type);
	char *values = arena_alloc(reader->arena, n * size + 1);

	if (!json_is_array(json))
		return refuse(reader, "is no list");
	if (values == NULL)
		return refuse(reader, "is too large");
	for (size_t i = 0; i < n; i++) {
		size_t before = enter(reader, "[%zu]", i);
		if (!read_value(reader, field, json_array_get(json, i), values + i * size))
			return false;
		leave(reader, before);
	}
	*(size_t *)quantifier_of(field, message) = n;
	*(char **)(void *)((char *)message + field->offset) = values;
	return true;
}

static bool read_field(struct reader *reader, const ProtobufCFieldDescriptor *field, const json_t *json, ProtobufCMessage *message)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return read_list(reader, field, json, message);
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		uint32_t *chosen = quantifier_of(field, message);
		if (*chosen != 0)
			return refuse(reader, "is the second choice of one oneof");
		*chosen = field->id;
	}
	return read_value(reader, field, json, (char *)message + field->offset);
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *desc, const char *name)
{
	char other[JSON_NAME_BYTES];

	for (unsigned i = 0; i < desc->n_fields; i++)
		if (strcmp(name, json_name(desc->fields[i].name, other)) == 0 || strcmp(name, desc->fields[i].name) == 0)
			return &desc->fields[i];
	return NULL;
}

/* "messagingEnabled,content.text" → { "messaging_enabled", "content.text" }; false for an empty path or one with
 * what is no camel case. */
static bool split_mask(const char *text, char *out, char **paths, size_t *ret_n)
{
	size_t n = 0;

	for (; *text != '\0'; text += *text == ',') {
		paths[n++] = out;
		if (*text == ',')
			return false;
		for (; *text != '\0' && *text != ','; text++) {
			if (!isalnum((unsigned char)*text) && *text != '.')
				return false;
			if (isupper((unsigned char)*text))
				*out++ = '_';
			*out++ = (char)tolower((unsigned char)*text);
		}
		*out++ = '\0';
		if (*text == ',' && text[1] == '\0')
			return false;
	}
	*ret_n = n;
	return true;
}

static bool read_mask(struct reader *reader, const json_t *json, ProtobufCMessage *message)
{
	Google__Protobuf__FieldMask *mask = (Google__Protobuf__FieldMask *)message;
	size_t length = json_string_length(json);
	char *text = arena_alloc(reader->arena, 2 * length + 2);

	mask->paths = arena_alloc(reader->arena, (length + 1) * sizeof *mask->paths);
	if (text == NULL || mask->paths == NULL)
		return refuse(reader, "is too large");
	if (!json_is_string(json) || !split_mask(json_string_value(json), text, mask->paths, &mask->n_paths))
		return refuse(reader, "is no string of field names in camel case, separated by commas");
	return true;
}

/* null says that a field is not set. */
static bool read_fields(struct reader *reader, const json_t *json, ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;
	bool *seen = arena_alloc(reader->arena, desc->n_fields);
	const char *name;
	json_t *value;

	if (seen == NULL)
		return refuse(reader, "is too large");
	json_object_foreach((json_t *)(uintptr_t)json, name, value) {
		const ProtobufCFieldDescriptor *field = find_field(desc, name);
		size_t before = enter(reader, "%s%.100s", reader->where_bytes > 0 ? "." : "", name);
		if (field == NULL)
			return refuse(reader, "is no field of %s", desc->name);
		if (seen[field - desc->fields])
			return refuse(reader, "is given twice");
		seen[field - desc->fields] = true;
		if (!json_is_null(value) && !read_field(reader, field, value, message))
			return false;
		leave(reader, before);
	}
	return true;
}

/* Not protobuf_c_message_init(): descriptors made while the program runs have no function for it. */
static ProtobufCMessage *new_message(const ProtobufCMessageDescriptor *desc, struct arena *arena)
{
	ProtobufCMessage *message = arena_alloc(arena, desc->sizeof_message);

	if (message == NULL)
		return NULL;
	message->descriptor = desc;
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];
		if (field->type == PROTOBUF_C_TYPE_STRING && field->label == PROTOBUF_C_LABEL_NONE &&
				!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			*(const void **)(void *)((char *)message + field->offset) = field->default_value;
	}
	return message;
}

static ProtobufCMessage *read_message(struct reader *reader, const json_t *json, const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *message = new_message(desc, reader->arena);
	bool ok = false;

	if (message == NULL) {
		(void)refuse(reader, "is too large");
		return NULL;
	}
	reader->depth++;
	if (desc == &google__protobuf__field_mask__descriptor)
		ok = read_mask(reader, json, message);
	else if (!json_is_object(json))
		(void)refuse(reader, "is no object");
	else if (reader->depth > VALIDATE_DEPTH_MAX)
		(void)refuse(reader, "is nested too deep");
	else
		ok = read_fields(reader, json, message);
	reader->depth--;
	return ok ? message : NULL;
}

ProtobufCMessage *json_to_message(const json_t *json, const ProtobufCMessageDescriptor *desc, struct arena *arena,
		struct json_fault *ret_fault)
{
	struct reader reader = { .arena = arena, .fault = ret_fault };

	*ret_fault = (struct json_fault){ "", "" };
	return read_message(&reader, json, desc);
}
