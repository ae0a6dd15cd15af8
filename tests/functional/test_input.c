/* Every bad input is answered with its code and reason, whatever the method and the field; nothing crashes and
 * nothing bad reaches SQL (the world looks into the log). */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "raw.h"
#include "requests.h"
#include "wire/status.h"
#include "wire/validate.h"
#include "wire/varint.h"

#define ARENA_BYTES (64u << 20)
#define LONG_TEXT 10001

static struct raw raw;

/* The status of a reply. */
static struct aside_status read_status(const struct frame *reply)
{
	struct aside_status ret = { 0 };
	Aside__Rpc__V1__Status *wire = aside__rpc__v1__status__unpack(NULL, reply->status.size, reply->status.data);

	if (reply->code != ASIDE_OK)
		status_from_proto(wire, reply->code, &ret);
	if (wire != NULL)
		aside__rpc__v1__status__free_unpacked(wire, NULL);
	return ret;
}

static struct aside_status call(const struct request *request, struct bytes body)
{
	struct frame reply;

	if (!raw_call(&raw, request->method->path, body, request->caller, &reply))
		fail_msg("%s was not answered", request->method->path);
	return read_status(&reply);
}

/* The bytes are at fault, and not what they ask for. */
static bool is_malformed(const struct aside_status *ended)
{
	return strcmp(ended->reason, "FIELD_INVALID") == 0 || strcmp(ended->reason, "MALFORMED_REQUEST") == 0 ||
			ended->code == ASIDE_INTERNAL || ended->code == ASIDE_PERMISSION_DENIED;
}

static void valid_requests_are_valid(void **state)
{
	struct request requests[REQUESTS_MAX];
	struct arena arena;
	(void)state;

	arena_init(&arena, ARENA_BYTES);
	size_t n = requests_make(&arena, new_page(), requests);
	for (size_t i = 0; i < n; i++) {
		struct aside_status ended = call(&requests[i], requests[i].body);
		if (is_malformed(&ended))
			fail_msg("%s: %s %s", requests[i].method->path, ended.reason, ended.message);
	}
	arena_fini(&arena);
}

/* ── fields ──────────────────────────────────────────────────────────────────────────────────────── */

/* A field of a request, at any depth. */
struct place {
	const struct request *request;
	struct arena *arena;
	const ProtobufCFieldDescriptor *desc;
	uint32_t path[8];
	char name[128]; /* "content.text" */
	size_t depth;
	unsigned *tried;
};

static uint32_t number_of(const struct place *place)
{
	return place->path[place->depth - 1];
}

/* "content.attachments[0].link_url" is content.attachments.link_url. */
static bool same_field(const char *violation, const char *name)
{
	for (; *violation != '\0' && *name != '\0'; violation++, name++) {
		if (*violation == '[')
			violation = strchr(violation, ']') + 1;
		if (*violation != *name)
			return false;
	}
	/* A fault may be the whole's: "content" for an empty content.text. */
	return *violation == '\0' && (*name == '\0' || *name == '.');
}

static void expect(const struct place *place, struct bytes field, const char *reason, const char *what)
{
	struct bytes body = request_with(place->arena, place->request->body, place->path, place->depth, field);
	struct aside_status ended = call(place->request, body);
	bool named = strcmp(reason, "FIELD_INVALID") != 0 && strcmp(reason, "MALFORMED_REQUEST") != 0;

	for (unsigned i = 0; i < ended.n_violations; i++)
		named = named || same_field(ended.violations[i].field, place->name);
	if (ended.code != ASIDE_INVALID_ARGUMENT || strcmp(ended.reason, reason) != 0 || !named)
		fail_msg("%s, %s %s: expected %s, got %s %s (%s)", place->request->method->path, place->name, what, reason,
				aside_code_name(ended.code), ended.reason, ended.n_violations > 0 ? ended.violations[0].field : "");
	++*place->tried;
}

static void expect_number(const struct place *place, uint64_t value, const char *what)
{
	expect(place, raw_number(place->arena, number_of(place), value), "FIELD_INVALID", what);
}

static void expect_bytes(const struct place *place, const void *data, size_t size, const char *reason, const char *what)
{
	expect(place, raw_bytes(place->arena, number_of(place), data, size), reason, what);
}

static bool ends_in(const char *name, const char *end)
{
	size_t length = strlen(name), size = strlen(end);

	return length >= size && strcmp(name + length - size, end) == 0;
}

/* What no field may be on the wire. */
static void try_wire_types(const struct place *place)
{
	struct arena *arena = place->arena;
	bool text = place->desc->type == PROTOBUF_C_TYPE_STRING || place->desc->type == PROTOBUF_C_TYPE_BYTES ||
			place->desc->type == PROTOBUF_C_TYPE_MESSAGE;

	expect(place, raw_fixed(arena, number_of(place), 4), "MALFORMED_REQUEST", "as a fixed32");
	expect(place, raw_fixed(arena, number_of(place), 8), "MALFORMED_REQUEST", "as a fixed64");
	expect(place, text ? raw_number(arena, number_of(place), 1) : raw_bytes(arena, number_of(place), "x", 1),
			"MALFORMED_REQUEST", "of another type");
}

static void try_text(const struct place *place)
{
	static char long_text[LONG_TEXT + 1];
	static const char *const not_utf8[] = { "\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "x\xE2\x82" };

	memset(long_text, 'x', LONG_TEXT);
	for (size_t i = 0; i < N_OF(not_utf8); i++)
		expect_bytes(place, not_utf8[i], strlen(not_utf8[i]), "MALFORMED_REQUEST", "without UTF-8");
	expect_bytes(place, "a\0b", 3, "MALFORMED_REQUEST", "with a NUL");
	if (ends_in(place->name, "page_token")) {
		expect_bytes(place, "x", 1, "PAGE_TOKEN_INVALID", "of one letter");
		expect_bytes(place, long_text, 1000, "PAGE_TOKEN_INVALID", "of a thousand letters");
	} else if (ends_in(place->name, "update_mask.paths")) {
		expect_bytes(place, "no_such", 7, "FIELD_INVALID", "of no setting");
		expect_bytes(place, "", 0, "FIELD_INVALID", "empty");
	} else if (strncmp(place->request->method->path, "/aside.rpc.", 11) != 0) {
		expect_bytes(place, long_text, LONG_TEXT, "FIELD_INVALID", "too long");
	}
}

static void try_bytes(const struct place *place)
{
	static const uint8_t bytes[33] = { 0 };

	if (ends_in(place->name, "sha256")) {
		expect_bytes(place, bytes, 31, "FIELD_INVALID", "of 31 bytes");
		expect_bytes(place, bytes, 33, "FIELD_INVALID", "of 33 bytes");
	} else if (ends_in(place->name, "data")) {
		expect_bytes(place, bytes, 0, "FIELD_INVALID", "empty");
	} else {
		expect_bytes(place, bytes, 0, "FIELD_INVALID", "empty");
		expect_bytes(place, "0123456789abcde", 15, "FIELD_INVALID", "of 15 bytes");
		expect_bytes(place, "0123456789abcdefg", 17, "FIELD_INVALID", "of 17 bytes");
		expect_bytes(place, bytes, 16, "FIELD_INVALID", "nil");
	}
}

static void try_number(const struct place *place)
{
	ProtobufCType type = place->desc->type;

	if (type == PROTOBUF_C_TYPE_INT64) {
		expect_number(place, (uint64_t)-1, "of -1");
		expect_number(place, (uint64_t)INT64_MIN, "the least");
		if (ends_in(place->name, "_us"))
			expect_number(place, INT64_MAX, "beyond all time");
	} else if (type == PROTOBUF_C_TYPE_ENUM) {
		expect_number(place, 99, "of 99");
		expect_number(place, (uint64_t)-1, "of -1");
		expect_number(place, INT32_MAX, "the greatest");
	} else if (type == PROTOBUF_C_TYPE_UINT32) {
		expect_number(place, UINT32_MAX, "the greatest");
		if (ends_in(place->name, "page_size"))
			expect_number(place, 201, "of 201");
	} else if (type == PROTOBUF_C_TYPE_UINT64 && !ends_in(place->name, "offset_bytes")) {
		expect_number(place, 0, "of 0"); /* an offset may be 0, or beyond every file: RANGE_BEYOND_END */
		expect_number(place, UINT64_MAX, "the greatest");
	}
}

static bool is_output(const char *name)
{
	return ends_in(name, "privately_replied") || ends_in(name, "attachments.kind") || ends_in(name, "attachments.size_bytes") ||
			ends_in(name, "attachments.media_type");
}

static void try_message(struct place *place, struct bytes body);

static void try_field(struct place *place, struct bytes body)
{
	try_wire_types(place);
	if (is_output(place->name))
		return;
	if (place->desc->type == PROTOBUF_C_TYPE_STRING) {
		try_text(place);
	} else if (place->desc->type == PROTOBUF_C_TYPE_BYTES) {
		try_bytes(place);
	} else if (place->desc->type != PROTOBUF_C_TYPE_MESSAGE) {
		try_number(place);
	} else {
		expect_bytes(place, "\x0A\x05x", 3, "MALFORMED_REQUEST", "cut short");
		expect_bytes(place, "\x0B", 1, "MALFORMED_REQUEST", "with a group");
		expect_bytes(place, "\x00", 1, "MALFORMED_REQUEST", "with a field 0");
		if (place->desc->label != PROTOBUF_C_LABEL_REPEATED)
			expect(place, (struct bytes){ NULL, 0 }, "FIELD_INVALID", "missing");
		try_message(place, body);
	}
}

/* All fields of the message at `place`; what is not in `body` as well. */
static void try_message(struct place *place, struct bytes body)
{
	const ProtobufCMessageDescriptor *desc =
			place->depth == 0 ? place->request->method->request : place->desc->descriptor;
	size_t length = strlen(place->name);

	for (unsigned i = 0; i < desc->n_fields; i++) {
		struct place inner = *place;
		struct bytes rest = body, found = { NULL, 0 };
		struct field field = { 0 };
		inner.desc = &desc->fields[i];
		inner.path[inner.depth++] = inner.desc->id;
		(void)snprintf(inner.name + length, sizeof inner.name - length, "%s%s", length > 0 ? "." : "", inner.desc->name);
		while (rest.size > 0 && field_take(&rest, &field))
			if (field.number == inner.desc->id)
				found = field.bytes;
		try_field(&inner, found);
	}
}

static void every_bad_field_is_named(void **state)
{
	struct request requests[REQUESTS_MAX];
	struct arena arena;
	unsigned tried = 0;
	(void)state;

	arena_init(&arena, ARENA_BYTES);
	size_t n = requests_make(&arena, new_page(), requests);
	for (size_t i = 0; i < n; i++) {
		struct place place = { .request = &requests[i], .arena = &arena, .tried = &tried };
		try_message(&place, requests[i].body);
	}
	print_message("# %u bad fields of %zu methods\n", tried, n);
	arena_fini(&arena);
}

/* ── requests as a whole ─────────────────────────────────────────────────────────────────────────── */

static void assert_ended(struct aside_status ended, enum aside_code code, const char *reason, const char *what)
{
	if (ended.code != code || strcmp(ended.reason, reason) != 0)
		fail_msg("%s: expected %s, got %s %s", what, reason, aside_code_name(ended.code), ended.reason);
}

static void every_method_bounds_its_requests(void **state)
{
	struct request requests[REQUESTS_MAX];
	struct arena arena;
	(void)state;

	arena_init(&arena, ARENA_BYTES);
	size_t n = requests_make(&arena, new_page(), requests);
	for (size_t i = 0; i < n; i++) {
		const struct aside_method *method = requests[i].method;
		uint8_t *body = arena_alloc(&arena, method->request_bytes + 1u);
		struct bytes first = requests[i].body;
		assert_non_null(body);
		assert_ended(call(&requests[i], (struct bytes){ body, method->request_bytes + 1u }), ASIDE_RESOURCE_EXHAUSTED,
				"REQUEST_TOO_LARGE", method->path);
		assert_ended(call(&requests[i], (struct bytes){ (const uint8_t *)"\xFF\xFF\xFF", 3 }), ASIDE_INVALID_ARGUMENT,
				"MALFORMED_REQUEST", method->path);
		for (size_t k = 0; k < VALIDATE_FIELDS_MAX + 1; k++) /* unknown fields, of two bytes each */
			memcpy(body + 2 * k, "\x78\x01", 2);
		if (method->request_bytes >= 2 * (VALIDATE_FIELDS_MAX + 1))
			assert_ended(call(&requests[i], (struct bytes){ body, 2 * (VALIDATE_FIELDS_MAX + 1) }),
					ASIDE_INVALID_ARGUMENT, "MALFORMED_REQUEST", method->path);
		/* A few of them are a newer client's. */
		struct bytes newer = request_with(&arena, first, (uint32_t[]){ 15 }, 1, raw_number(&arena, 15, 1));
		struct aside_status ended = call(&requests[i], newer);
		assert_false(is_malformed(&ended));
	}
	arena_fini(&arena);
}

static void anything_may_be_mutilated(void **state)
{
	struct request requests[REQUESTS_MAX];
	struct arena arena;
	(void)state;

	srand(19450612);
	arena_init(&arena, ARENA_BYTES);
	size_t n = requests_make(&arena, new_page(), requests);
	for (unsigned round = 0; round < 4000; round++) {
		const struct request *request = &requests[(size_t)rand() % n];
		uint8_t body[4096];
		size_t size = request->body.size;
		if (size == 0)
			continue;
		memcpy(body, request->body.data, size);
		for (int flips = 1 + rand() % 4; flips > 0; flips--)
			body[(size_t)rand() % size] ^= (uint8_t)(1 << rand() % 8);
		if (rand() % 4 == 0)
			size = (size_t)rand() % size;
		struct aside_status ended = call(request, (struct bytes){ body, size });
		if (ended.code == ASIDE_INTERNAL || ended.code == ASIDE_UNKNOWN || ended.code == ASIDE_UNAVAILABLE)
			fail_msg("round %u, %s: %s %s", round, request->method->path, ended.reason, ended.message);
	}
	arena_fini(&arena);
}

/* ── the run ─────────────────────────────────────────────────────────────────────────────────────── */

static int connect_raw(void **state)
{
	(void)state;
	return raw_open(&raw, aside_harness_address(harness, 0)) ? 0 : -1;
}

static int disconnect_raw(void **state)
{
	(void)state;
	raw_close(&raw);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(valid_requests_are_valid, connect_raw, disconnect_raw),
		cmocka_unit_test_setup_teardown(every_bad_field_is_named, connect_raw, disconnect_raw),
		cmocka_unit_test_setup_teardown(every_method_bounds_its_requests, connect_raw, disconnect_raw),
		cmocka_unit_test_setup_teardown(anything_may_be_mutilated, connect_raw, disconnect_raw),
	};

	return WORLD_RUN("input", tests, NULL);
}
