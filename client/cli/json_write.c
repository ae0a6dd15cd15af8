/* To JSON, and the names both ways share.  See json.h. */
#include "json.h"

#include <ctype.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "google/protobuf/field_mask.pb-c.h"

const char *json_name(const char *field, char out[JSON_NAME_BYTES])
{
	size_t n = 0;
	bool up = false;

	for (; *field != '\0' && n < JSON_NAME_BYTES - 1; field++) {
		if (*field != '_')
			out[n++] = up ? (char)toupper((unsigned char)*field) : *field;
		up = *field == '_';
	}
	out[n] = '\0';
	return out;
}

size_t json_value_bytes(ProtobufCType type)
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

	return sizes[type];
}

/* ── values ──────────────────────────────────────────────────────────────────────────────────────── */

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

static json_t *write_signed(int64_t value)
{
	char digits[24];

	(void)snprintf(digits, sizeof digits, "%lld", (long long)value);
	return json_string(digits);
}

static json_t *write_unsigned(uint64_t value)
{
	char digits[24];

	(void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
	return json_string(digits);
}

static json_t *write_real(double value)
{
	if (isnan(value))
		return json_string("NaN");
	if (isinf(value))
		return json_string(value > 0 ? "Infinity" : "-Infinity");
	return json_real(value);
}

static json_t *write_value(const ProtobufCFieldDescriptor *field, const void *at, bool defaults)
{
	const ProtobufCEnumValue *value;
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		text = *(char *const *)at;
		return json_string(text != NULL ? text : "");
	case PROTOBUF_C_TYPE_BYTES: return write_bytes(at);
	case PROTOBUF_C_TYPE_MESSAGE: return json_from_message(*(const ProtobufCMessage *const *)at, defaults);
	case PROTOBUF_C_TYPE_BOOL: return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		value = protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at);
		return value != NULL ? json_string(value->name) : json_integer(*(const int *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64: return write_signed(*(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: return write_unsigned(*(const uint64_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32: return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_DOUBLE: return write_real(*(const double *)at);
	case PROTOBUF_C_TYPE_FLOAT: return write_real((double)*(const float *)at);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32: break;
	}
	return json_integer(*(const int32_t *)at);
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static const void *at_of(const ProtobufCMessage *message, unsigned offset)
{
	return (const char *)message + offset;
}

static json_t *write_list(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message, bool defaults)
{
	size_t n = *(const size_t *)at_of(message, field->quantifier_offset);
	const char *values = *(char *const *)at_of(message, field->offset);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(list, write_value(field, values + i * json_value_bytes(field->type), defaults)) != 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const void *at)
{
	static const char zeros[sizeof(ProtobufCBinaryData)];
	const char *text;

	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)at)->len == 0;
	if (field->type != PROTOBUF_C_TYPE_STRING)
		return memcmp(at, zeros, json_value_bytes(field->type)) == 0;
	text = *(char *const *)at;
	return text == NULL || text[0] == '\0';
}

static bool is_shown(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message, bool defaults)
{
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)at_of(message, field->quantifier_offset) == field->id;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return defaults || *(const size_t *)at_of(message, field->quantifier_offset) > 0;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)at_of(message, field->offset) != NULL;
	return defaults || !is_zero(field, at_of(message, field->offset));
}

/* { "messaging_enabled", "content.text" } → "messagingEnabled,content.text" */
static json_t *write_mask(const Google__Protobuf__FieldMask *mask)
{
	char name[JSON_NAME_BYTES];
	json_t *text = json_string("");

	for (size_t i = 0; i < mask->n_paths && text != NULL; i++) {
		json_t *longer = json_sprintf("%s%s%s", json_string_value(text), i > 0 ? "," : "", json_name(mask->paths[i], name));
		json_decref(text);
		text = longer;
	}
	return text;
}

json_t *json_from_message(const ProtobufCMessage *message, bool defaults)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;
	char name[JSON_NAME_BYTES];
	json_t *object;

	if (desc == &google__protobuf__field_mask__descriptor)
		return write_mask((const Google__Protobuf__FieldMask *)message);
	object = json_object();
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];
		if (!is_shown(field, message, defaults))
			continue;
		json_t *value = field->label == PROTOBUF_C_LABEL_REPEATED ? write_list(field, message, defaults) :
									    write_value(field, at_of(message, field->offset), defaults);
		if (json_object_set_new(object, json_name(field->name, name), value) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}
