/* One walk over the bytes, with the descriptor beside it.  See validate.h. */
#include "validate.h"

#include <stdio.h>
#include <string.h>

#include "status.h"
#include "varint.h"

struct walk {
	unsigned depth;
	size_t n_fields;
	const ProtobufCFieldDescriptor *path[VALIDATE_DEPTH_MAX];
	struct aside_status *err;
};

static enum aside_code malformed(struct walk *walk, const char *what)
{
	char path[sizeof walk->err->violations[0].field] = "";
	size_t used = 0;

	for (unsigned i = 0; i < walk->depth && used < sizeof path - 1; i++) {
		int n = snprintf(path + used, sizeof path - used, "%s%s", i > 0 ? "." : "",
				walk->path[i]->name);
		used += n > 0 ? (size_t)n : 0;
	}
	(void)fail(walk->err, ASIDE_INVALID_ARGUMENT, "MALFORMED_REQUEST", "%s%s%s", path,
			path[0] != '\0' ? ": " : "", what);
	if (walk->err != NULL && path[0] != '\0') {
		struct aside_violation *violation = &walk->err->violations[walk->err->n_violations++];
		memcpy(violation->field, path, sizeof path);
		(void)snprintf(violation->description, sizeof violation->description, "%s", what);
	}
	return ASIDE_INVALID_ARGUMENT;
}

/* Length of the well-formed UTF-8 character at `s` (RFC 3629), 0 if there is none. */
static size_t utf8_length(const uint8_t *s, size_t left)
{
	static const struct {
		uint8_t first_min, first_max, second_min, second_max, length;
	} forms[] = {
		{ 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
		{ 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
		{ 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		if (s[0] < forms[i].first_min || s[0] > forms[i].first_max)
			continue;
		if (left < forms[i].length || s[1] < forms[i].second_min || s[1] > forms[i].second_max)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((s[k] & 0xC0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static const char *check_string(struct bytes text)
{
	for (size_t i = 0; i < text.size;) {
		size_t length = text.data[i] < 0x80 ? text.data[i] != 0 : utf8_length(text.data + i, text.size - i);
		if (length == 0)
			return text.data[i] == 0 ? "has a NUL" : "is not valid UTF-8";
		i += length;
	}
	return NULL;
}

static enum wire_type type_on_wire(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT: return WIRE_FIXED32;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE: return WIRE_FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE: return WIRE_BYTES;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_ENUM: break;
	}
	return WIRE_VARINT;
}

/* A packed run of numbers must end where a number ends. */
static const char *check_packed(enum wire_type type, struct bytes run)
{
	uint64_t value;

	if (type == WIRE_FIXED32 || type == WIRE_FIXED64)
		return run.size % (type == WIRE_FIXED32 ? 4 : 8) != 0 ? "is cut short" : NULL;
	while (run.size > 0)
		if (!varint_take(&run, &value))
			return "is cut short";
	return NULL;
}

static enum aside_code walk_message(struct walk *walk, const ProtobufCMessageDescriptor *desc, struct bytes body);

static enum aside_code walk_field(struct walk *walk, const ProtobufCFieldDescriptor *desc,
		const struct field *field)
{
	enum wire_type type = type_on_wire(desc->type);
	const char *why = NULL;

	if (desc->type == PROTOBUF_C_TYPE_MESSAGE && field->type == WIRE_BYTES) {
		if (walk->depth == VALIDATE_DEPTH_MAX) /* the next field would have no place in the path */
			return malformed(walk, "is nested too deep");
		return walk_message(walk, desc->descriptor, field->bytes);
	}
	if (field->type != type)
		why = field->type == WIRE_BYTES && desc->label == PROTOBUF_C_LABEL_REPEATED ?
				check_packed(type, field->bytes) :
				"has another type";
	else if (desc->type == PROTOBUF_C_TYPE_STRING)
		why = check_string(field->bytes);
	return why == NULL ? ASIDE_OK : malformed(walk, why);
}

static enum aside_code walk_message(struct walk *walk, const ProtobufCMessageDescriptor *desc, struct bytes body)
{
	uint64_t seen = 0; /* of the message fields, by their index; ours have far fewer than 64 */
	enum aside_code code;
	struct field field;

	while (body.size > 0) {
		if (!field_take(&body, &field))
			return malformed(walk, "is cut short");
		if (++walk->n_fields > VALIDATE_FIELDS_MAX)
			return malformed(walk, "has too many fields");
		const ProtobufCFieldDescriptor *known =
				protobuf_c_message_descriptor_get_field(desc, field.number);
		if (known == NULL)
			continue;
		walk->path[walk->depth++] = known;
		if (known->type == PROTOBUF_C_TYPE_MESSAGE && known->label != PROTOBUF_C_LABEL_REPEATED) {
			uint64_t bit = 1ull << ((known - desc->fields) & 63);
			if (seen & bit)
				return malformed(walk, "is given twice");
			seen |= bit;
		}
		code = walk_field(walk, known, &field);
		if (code != ASIDE_OK)
			return code;
		walk->depth--;
	}
	return ASIDE_OK;
}

enum aside_code validate(const ProtobufCMessageDescriptor *desc, struct bytes body, struct aside_status *err)
{
	struct walk walk = { .err = err };

	return walk_message(&walk, desc, body);
}
