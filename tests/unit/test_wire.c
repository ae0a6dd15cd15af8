/* The wire: envelopes, validation, statuses and layouts, bytes in and bytes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* ours makes a status */

#include "aside/rpc/v1/envelope.pb-c.h"
#include "aside/v1/messages.rpc.h"
#include "aside/v1/pages.rpc.h"
#include "wire/arena.h"
#include "wire/envelope.h"
#include "wire/schema.h"
#include "wire/status.h"
#include "wire/validate.h"

#define TEXT(s) { (const uint8_t *)(s), sizeof(s) - 1 }

static struct frame a_call(void)
{
	return (struct frame){
		.call_id = 300,
		.kind = FRAME_CALL,
		.method = TEXT("/aside.v1.MessageService/SendMessage"),
		.payload = TEXT("payload"),
		.timeout_us = 5000000,
		.metadata = { { TEXT("act-as-user"), TEXT("42") } },
		.n_metadata = 1,
	};
}

static void frames_are_what_protobuf_c_writes(void **state)
{
	struct frame frame = a_call();
	uint8_t ours[512], theirs[512];
	(void)state;

	size_t size = (size_t)(envelope_frame_write(&frame, ours) - ours);
	assert_int_equal(size, envelope_frame_size(&frame));

	Aside__Rpc__V1__Envelope *envelope = aside__rpc__v1__envelope__unpack(NULL, size, ours);
	assert_non_null(envelope);
	assert_int_equal(envelope->n_frames, 1);
	assert_int_equal(envelope->frames[0]->call_id, 300);
	assert_string_equal(envelope->frames[0]->call->method, "/aside.v1.MessageService/SendMessage");
	assert_int_equal(aside__rpc__v1__envelope__pack(envelope, theirs), size);
	assert_memory_equal(ours, theirs, size);
	aside__rpc__v1__envelope__free_unpacked(envelope, NULL);
}

static void frames_come_back_as_they_went(void **state)
{
	struct frame sent[] = { a_call(), { .call_id = 7, .kind = FRAME_CANCEL },
		{ .kind = FRAME_GOAWAY, .last_call_id = 9, .reason = TEXT("draining") } };
	struct envelope_reader reader;
	struct frame frame;
	uint8_t buffer[1024], *end = buffer;
	bool more;
	(void)state;

	for (size_t i = 0; i < 3; i++)
		end = envelope_frame_write(&sent[i], end);
	envelope_read(&reader, (struct bytes){ buffer, (size_t)(end - buffer) });
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(envelope_next(&reader, &frame, &more, NULL), ASIDE_OK);
		assert_true(more);
		assert_int_equal(frame.kind, sent[i].kind);
		assert_int_equal(frame.call_id, sent[i].call_id);
		assert_int_equal(frame.n_metadata, sent[i].n_metadata);
		assert_int_equal(frame.last_call_id, sent[i].last_call_id);
	}
	assert_int_equal(envelope_next(&reader, &frame, &more, NULL), ASIDE_OK);
	assert_false(more);
}

static void every_cut_envelope_is_refused_or_shorter(void **state)
{
	struct frame frame = a_call();
	struct envelope_reader reader;
	uint8_t buffer[512];
	struct aside_status err;
	size_t size = (size_t)(envelope_frame_write(&frame, buffer) - buffer);
	bool more;
	(void)state;

	for (size_t cut = 1; cut < size; cut++) {
		envelope_read(&reader, (struct bytes){ buffer, cut });
		assert_int_equal(envelope_next(&reader, &frame, &more, &err), ASIDE_INVALID_ARGUMENT);
		assert_string_equal(err.reason, "MALFORMED_ENVELOPE");
	}
}

static enum aside_code check(const char *bytes, size_t size, struct aside_status *err)
{
	return validate(&aside__v1__send_message_request__descriptor,
			(struct bytes){ (const uint8_t *)bytes, size }, err);
}

static void strings_are_utf8_without_nul(void **state)
{
	struct aside_status err;
	(void)state;

	/* field 3 (content) of 4 bytes: field 1 (text) of 2 bytes */
	assert_int_equal(check("\x1a\x04\x0a\x02\xc3\xa9", 6, &err), ASIDE_OK);
	assert_int_equal(check("\x1a\x04\x0a\x02\xc3\x28", 6, &err), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(err.reason, "MALFORMED_REQUEST");
	assert_string_equal(err.violations[0].field, "content.text");
	assert_int_equal(check("\x1a\x04\x0a\x02\x61\x00", 6, &err), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(check("\x1a\x05\x0a\x03\xed\xa0\x80", 7, &err), ASIDE_INVALID_ARGUMENT);
}

static void malformed_bytes_are_refused(void **state)
{
	(void)state;
	assert_int_equal(check("\x1a\x7f", 2, NULL), ASIDE_INVALID_ARGUMENT);                 /* cut short */
	assert_int_equal(check("\x1a\x00\x1a\x00", 4, NULL), ASIDE_INVALID_ARGUMENT);         /* given twice */
	assert_int_equal(check("\x0a\x01x", 3, NULL), ASIDE_INVALID_ARGUMENT);                /* another type */
	assert_int_equal(check("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(check("\xa8\x46\x01", 3, NULL), ASIDE_OK);                           /* unknown field */
}

static void a_status_keeps_its_details(void **state)
{
	struct aside_status sent, got;
	struct arena arena;
	(void)state;

	arena_init(&arena, 1 << 16);
	(void)fail_field(&sent, "content.text", "must not be empty");
	status_add_fact(&sent, "limit", "%d", 2000);
	sent.retry_after_us = 1500000;
	sent.not_executed = true;
	status_from_proto(status_to_proto(&sent, &arena), sent.code, &got);
	arena_fini(&arena);
	assert_int_equal(got.code, ASIDE_INVALID_ARGUMENT);
	assert_string_equal(got.reason, "FIELD_INVALID");
	assert_string_equal(got.domain, "aside.v1");
	assert_string_equal(got.violations[0].field, "content.text");
	assert_string_equal(aside_status_fact(&got, "limit"), "2000");
	assert_int_equal(got.retry_after_us, 1500000);
	assert_true(got.not_executed);
}

static void an_arena_that_is_full_says_so(void **state)
{
	struct aside_status status;
	struct arena arena;
	Aside__Rpc__V1__Status *made = NULL;
	(void)state;

	(void)fail(&status, ASIDE_INTERNAL, "BROKEN", "broken");
	for (unsigned n = 1; made == NULL; n++) {
		arena_init(&arena, 1 << 16);
		arena_fail_nth(n);
		made = status_to_proto(&status, &arena);
		arena_fail_nth(0);
		assert_true(n < 50);
		arena_fini(&arena);
	}
	arena_init(&arena, 64);
	assert_null(arena_alloc(&arena, 65));
	assert_non_null(arena_alloc(&arena, 64));
	assert_null(arena_alloc(&arena, 0));
	arena_fini(&arena);
}

static void layouts_agree_unless_one_would_misread(void **state)
{
	struct aside_status err;
	char layout[SCHEMA_LAYOUT_MAX];
	(void)state;

	size_t size = schema_layout(&aside_v1_message_service.methods[0], layout, sizeof layout);
	assert_true(size < sizeof layout);
	assert_int_equal(schema_compare(layout, layout, &err), ASIDE_OK);
	assert_int_equal(schema_compare("{1:int64}>{}", "{1:int64,2:string}>{1:bool}", &err), ASIDE_OK);
	assert_int_equal(schema_compare("{1:int64}>{}", "{1:string}>{}", &err), ASIDE_FAILED_PRECONDITION);
	assert_string_equal(err.reason, "SCHEMA_CONFLICT");
	assert_int_equal(schema_compare("{1:[{2:int32}]}>{}", "{1:[{2:bool}]}>{}", &err), ASIDE_FAILED_PRECONDITION);
	assert_int_equal(schema_compare("{1:[int32]}>{}", "{1:int32}>{}", &err), ASIDE_FAILED_PRECONDITION);
	assert_int_equal(schema_compare("{}>{1:int64}", "{}>{1:int32}", &err), ASIDE_FAILED_PRECONDITION);
}

static void policies_come_from_the_schema(void **state)
{
	const struct aside_method *method = &aside_v1_page_settings_service.methods[1];
	(void)state;

	assert_string_equal(method->path, "/aside.v1.PageSettingsService/UpdatePageSettings");
	assert_int_equal(method->callers, ASIDE_CALLER_PERSON);
	assert_string_equal(method->role, "admin");
	assert_int_equal(method->timeout_ms, 5000);
	assert_int_equal(method->idempotency, ASIDE_NOT_IDEMPOTENT);
	assert_int_equal(aside_v1_message_service.methods[0].idempotency, ASIDE_IDEMPOTENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_what_protobuf_c_writes),
		cmocka_unit_test(frames_come_back_as_they_went),
		cmocka_unit_test(every_cut_envelope_is_refused_or_shorter),
		cmocka_unit_test(strings_are_utf8_without_nul),
		cmocka_unit_test(malformed_bytes_are_refused),
		cmocka_unit_test(a_status_keeps_its_details),
		cmocka_unit_test(an_arena_that_is_full_says_so),
		cmocka_unit_test(layouts_agree_unless_one_would_misread),
		cmocka_unit_test(policies_come_from_the_schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
