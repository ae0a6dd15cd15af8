/* Statuses: how they are filled, and that they come back from the wire as they went. */
#include "test.h"

#include "wire/status.h"

static void round_trip(const struct aside_status *in, struct aside_status *ret)
{
	struct arena arena;
	Aside__Rpc__V1__Status *message, *back;
	uint8_t packed[4096];

	arena_init(&arena, 1 << 16);
	message = status_to_proto(in, &arena);
	assert_non_null(message);
	assert_true(aside__rpc__v1__status__get_packed_size(message) <= sizeof packed);
	back = aside__rpc__v1__status__unpack(&arena.allocator, aside__rpc__v1__status__pack(message, packed), packed);
	assert_non_null(back);
	status_from_proto(back, (uint32_t)in->code, ret);
	arena_fini(&arena);
}

static void everything_comes_back(void **state)
{
	struct aside_status in = { 0 }, out;
	(void)state;

	for (unsigned i = 0; i < ASIDE_VIOLATIONS_MAX; i++)
		assert_int_equal(fail_field(&in, "content.text", "fault %u", i), ASIDE_INVALID_ARGUMENT);
	for (unsigned i = 0; i < ASIDE_FACTS_MAX; i++)
		status_add_fact(&in, i == 0 ? "current_version" : "other", "%u", 7 + i);
	in.retry_after_us = 1500001;
	in.not_executed = true;
	round_trip(&in, &out);

	assert_int_equal(out.code, ASIDE_INVALID_ARGUMENT);
	assert_string_equal(out.reason, "FIELD_INVALID");
	assert_string_equal(out.domain, DOMAIN_SERVICE);
	assert_string_equal(out.message, in.message);
	assert_int_equal(out.retry_after_us, 1500001);
	assert_true(out.not_executed);
	assert_int_equal(out.n_violations, ASIDE_VIOLATIONS_MAX);
	assert_string_equal(out.violations[3].field, "content.text");
	assert_string_equal(out.violations[3].description, "fault 3");
	assert_int_equal(out.n_facts, ASIDE_FACTS_MAX);
	assert_string_equal(aside_status_fact(&out, "current_version"), "7");
	assert_null(aside_status_fact(&out, "absent"));
}

static void a_new_failure_clears_the_old(void **state)
{
	struct aside_status err = { 0 };
	(void)state;

	assert_int_equal(fail_field(&err, "a", "bad"), ASIDE_INVALID_ARGUMENT);
	status_add_fact(&err, "k", "v");
	assert_int_equal(fail(&err, ASIDE_NOT_FOUND, "GONE", "no %s", "such"), ASIDE_NOT_FOUND);
	assert_string_equal(err.domain, DOMAIN_RUNTIME);
	assert_string_equal(err.message, "no such");
	assert_int_equal(err.n_violations, 0);
	assert_int_equal(err.n_facts, 0);
	assert_int_equal(fail(NULL, ASIDE_ABORTED, "X", "x"), ASIDE_ABORTED);
}

static void what_is_too_much_is_dropped(void **state)
{
	struct aside_status err = { 0 };
	(void)state;

	for (unsigned i = 0; i < ASIDE_VIOLATIONS_MAX + 2; i++)
		(void)fail_field(&err, "a", "bad");
	for (unsigned i = 0; i < ASIDE_FACTS_MAX + 2; i++)
		status_add_fact(&err, "k", "v");
	assert_int_equal(err.n_violations, ASIDE_VIOLATIONS_MAX);
	assert_int_equal(err.n_facts, ASIDE_FACTS_MAX);
}

static void long_text_is_cut_between_characters(void **state)
{
	struct aside_status err;
	char text[600] = "";
	(void)state;

	for (unsigned i = 0; i < 290; i++)
		strcat(text, "é");
	(void)fail(&err, ASIDE_INTERNAL, "X", "%s", text);
	assert_int_equal(strlen(err.message), 254);
	assert_memory_equal(err.message, text, 254);
}

/* A peer may send what ours never would: two BadRequests, a strange code, an endless wait. */
static void a_hostile_status_is_survived(void **state)
{
	Aside__Rpc__V1__BadRequest bad = ASIDE__RPC__V1__BAD_REQUEST__INIT;
	Aside__Rpc__V1__BadRequest__FieldViolation field = ASIDE__RPC__V1__BAD_REQUEST__FIELD_VIOLATION__INIT;
	Aside__Rpc__V1__BadRequest__FieldViolation *fields[] = { &field, &field, &field, &field, &field };
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT, junk = GOOGLE__PROTOBUF__ANY__INIT;
	Google__Protobuf__Any *details[] = { &any, &any, &any, &junk };
	Aside__Rpc__V1__Status status = ASIDE__RPC__V1__STATUS__INIT;
	struct aside_status out;
	uint8_t packed[64];
	(void)state;

	bad.n_field_violations = N_OF(fields);
	bad.field_violations = fields;
	any.type_url = (char *)"type.googleapis.com/aside.rpc.v1.BadRequest";
	any.value = (ProtobufCBinaryData){ aside__rpc__v1__bad_request__pack(&bad, packed), packed };
	junk.type_url = (char *)"x/aside.rpc.v1.RetryInfo";
	junk.value = (ProtobufCBinaryData){ 2, (uint8_t *)"\x0A\x7F" };
	status.n_details = N_OF(details);
	status.details = details;
	status_from_proto(&status, 4711, &out);
	assert_int_equal(out.code, ASIDE_UNKNOWN);
	assert_int_equal(out.n_violations, ASIDE_VIOLATIONS_MAX);
	assert_int_equal(out.retry_after_us, 0);
	status_from_proto(NULL, ASIDE_NOT_FOUND, &out);
	assert_int_equal(out.code, ASIDE_NOT_FOUND);
}

static void every_allocation_may_fail(void **state)
{
	struct aside_status in = { 0 };
	unsigned nth = 0;
	bool done = false;
	(void)state;

	(void)fail_field(&in, "a", "bad");
	in.retry_after_us = 1;
	while (!done) {
		struct arena arena;
		arena_init(&arena, 1 << 16);
		arena_fail_nth(++nth);
		done = status_to_proto(&in, &arena) != NULL;
		arena_fail_nth(0);
		arena_fini(&arena);
		assert_true(nth < 100);
	}
	assert_int_equal(nth, 3 + 3 * 3 + 1);
}

static void codes_have_names(void **state)
{
	(void)state;
	assert_string_equal(aside_code_name(ASIDE_OK), "OK");
	assert_string_equal(aside_code_name(ASIDE_UNAUTHENTICATED), "UNAUTHENTICATED");
	assert_string_equal(aside_code_name((enum aside_code)17), "UNKNOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(a_new_failure_clears_the_old),
		cmocka_unit_test(what_is_too_much_is_dropped),
		cmocka_unit_test(long_text_is_cut_between_characters),
		cmocka_unit_test(a_hostile_status_is_survived),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(codes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
