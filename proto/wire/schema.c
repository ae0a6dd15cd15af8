/* Layouts: made from descriptors, compared as text.  See schema.h.
 *
 *     method  = message ">" message
 *     message = "{" [ number ":" type { "," number ":" type } ] "}"
 *     type    = "int64" | "string" | … | message | "[" type "]" (repeated)
 *             | "*"          (a message within itself: its fields stand further out)
 */
#include "schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "status.h"

/* ── making ──────────────────────────────────────────────────────────────────────────────────────── */

struct text {
	char *out;
	size_t size, used;
};

static void put(struct text *text, const char *fmt, ...) ASIDE_PRINTF(2, 3);
static void put(struct text *text, const char *fmt, ...)
{
	size_t left = text->used < text->size ? text->size - text->used : 0;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(left > 0 ? text->out + text->used : NULL, left, fmt, ap);
	va_end(ap);
	text->used += n > 0 ? (size_t)n : 0;
}

/* The messages around the one being written, innermost first. */
struct around {
	const ProtobufCMessageDescriptor *desc;
	const struct around *outer;
};

static void put_message(struct text *text, const ProtobufCMessageDescriptor *desc, const struct around *outer);

static void put_field(struct text *text, const ProtobufCFieldDescriptor *field, const struct around *around)
{
	static const char *const names[] = {
		"int32", "sint32", "sfixed32", "int64", "sint64", "sfixed64", "uint32", "fixed32", "uint64",
		"fixed64", "float", "double", "bool", "enum", "string", "bytes", "message",
	};
	bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;

	put(text, "%u:%s", field->id, repeated ? "[" : "");
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		put_message(text, field->descriptor, around);
	else
		put(text, "%s", names[field->type]);
	put(text, "%s", repeated ? "]" : "");
}

static void put_message(struct text *text, const ProtobufCMessageDescriptor *desc, const struct around *outer)
{
	struct around around = { desc, outer };

	for (; outer != NULL; outer = outer->outer)
		if (outer->desc == desc) {
			put(text, "*");
			return;
		}
	put(text, "{");
	for (unsigned i = 0; i < desc->n_fields; i++) {
		put(text, "%s", i > 0 ? "," : "");
		put_field(text, &desc->fields[i], &around);
	}
	put(text, "}");
}

size_t schema_layout(const struct aside_method *method, char *out, size_t size)
{
	struct text text = { out, size, 0 };

	put_message(&text, method->request, NULL);
	put(&text, ">");
	put_message(&text, method->response, NULL);
	return text.used;
}

uint64_t schema_fingerprint(const char *layout)
{
	uint64_t hash = 0xCBF29CE484222325ull;

	for (; *layout != '\0'; layout++)
		hash = (hash ^ (uint8_t)*layout) * 0x100000001B3ull;
	return hash;
}

/* ── comparing ───────────────────────────────────────────────────────────────────────────────────── */

/* The end of the type at `s`: the next ',' or closing bracket of its own level. */
static const char *type_end(const char *s)
{
	unsigned depth = 0;

	for (; *s != '\0'; s++) {
		if (*s == '{' || *s == '[')
			depth++;
		else if ((*s == '}' || *s == ']') && depth-- == 0)
			return s;
		else if (*s == ',' && depth == 0)
			return s;
	}
	return s;
}

/* The type of field `number` in the message at `s` ("{…}"); NULL if it has no such field. */
static const char *find_field(const char *s, unsigned long number)
{
	while (*s == '{' || *s == ',') {
		char *colon;
		if (strtoul(s + 1, &colon, 10) == number && *colon == ':')
			return colon + 1;
		if (*colon != ':')
			return NULL;
		s = type_end(colon + 1);
	}
	return NULL;
}

static bool same_word(const char *a, const char *b)
{
	size_t length = strcspn(a, ",}]");

	return length == strcspn(b, ",}]") && memcmp(a, b, length) == 0 && *a != '{' && *b != '{';
}

/* Where two layouts part, as field numbers from the outside in: "4.2.5". */
struct conflict {
	char path[64];
	size_t used;
};

/* Finds the first field, in the order of `ours`, that the two read differently; false: none. */
static bool find_conflict(const char *ours, const char *theirs, unsigned depth, struct conflict *conflict)
{
	size_t outer = conflict->used;

	while ((*ours == '{' || *ours == ',') && ours[1] != '}' && depth < 32) {
		char *colon;
		unsigned long number = strtoul(ours + 1, &colon, 10);
		if (*colon != ':')
			return false;
		const char *a = colon + 1, *b = find_field(theirs, number);
		ours = type_end(a);
		if (b == NULL)
			continue;
		struct text path = { conflict->path, sizeof conflict->path, outer };
		put(&path, "%s%lu", outer > 0 ? "." : "", number);
		conflict->used = path.used;
		if (*a == '[' && *b == '[') {
			a++;
			b++;
		}
		if (*a == '{' && *b == '{' ? find_conflict(a, b, depth + 1, conflict) : !same_word(a, b))
			return true;
	}
	return false;
}

enum aside_code schema_compare(const char *ours, const char *theirs, struct aside_status *err)
{
	const char *sides[] = { "request", "response" };

	for (unsigned i = 0; i < 2; i++) {
		struct conflict conflict = { 0 };
		if (find_conflict(ours, theirs, 0, &conflict))
			return fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_CONFLICT",
					"the two sides disagree on field %s of the %s", conflict.path, sides[i]);
		ours += strcspn(ours, ">");
		theirs += strcspn(theirs, ">");
		if (*ours != '>' || *theirs != '>')
			break;
		ours++;
		theirs++;
	}
	return ASIDE_OK;
}
