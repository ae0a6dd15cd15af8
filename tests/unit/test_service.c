/* What the services make of a request before the store sees it: fields, page tokens, contents, refusals; and that
 * every allocation on the way may fail. */
#include "../functional/requests.h"
#include "test.h"

#include <stdio.h>

#include "aside/v1/reason.pb-c.h"
#include "rpc/dispatch.h"
#include "service/content.h"
#include "service/service.h"
#include "service/sniff.h"

#define ARENA_BYTES (1u << 20)

/* ── fields ──────────────────────────────────────────────────────────────────────────────────────── */

static void several_faults_are_told_at_once(void **state)
{
	struct aside_status err = { 0 };
	enum aside_code code = check_id(-1, "page_id", &err) |
			check_uuid((ProtobufCBinaryData){ 15, (uint8_t *)"0123456789abcde" }, "client_key", &err) |
			check_text("", "name", 1, 200, &err);
	(void)state;

	assert_int_equal(code, ASIDE_INVALID_ARGUMENT);
	assert_string_equal(err.reason, "FIELD_INVALID");
	assert_int_equal(err.n_violations, 3);
	assert_string_equal(err.violations[0].field, "page_id");
	assert_string_equal(err.violations[1].field, "client_key");
	assert_string_equal(err.violations[2].field, "name");
}

static void limits_are_inclusive(void **state)
{
	unsigned n = 0;
	(void)state;

	assert_int_equal(check_id(1, "x", NULL), ASIDE_OK);
	assert_int_equal(check_id(0, "x", NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(check_id(INT64_MAX, "x", NULL), ASIDE_OK);
	assert_int_equal(check_range(10, "x", 10, 20, NULL), ASIDE_OK);
	assert_int_equal(check_range(20, "x", 10, 20, NULL), ASIDE_OK);
	assert_int_equal(check_range(9, "x", 10, 20, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(check_range(21, "x", 10, 20, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(check_text("\xE2\x82\xAC\xE2\x82\xAC", "x", 2, 2, NULL), ASIDE_OK); /* characters, not bytes */
	assert_int_equal(check_uuid((ProtobufCBinaryData){ 16, (uint8_t[16]){ 0 } }, "x", NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(check_page_size(0, &n, NULL), ASIDE_OK);
	assert_int_equal(n, 50);
	assert_int_equal(check_page_size(200, &n, NULL), ASIDE_OK);
	assert_int_equal(n, 200);
	assert_int_equal(check_page_size(201, &n, NULL), ASIDE_INVALID_ARGUMENT);
}

/* ── page tokens ─────────────────────────────────────────────────────────────────────────────────── */

static void tokens_come_back(void **state)
{
	const int64_t keys[] = { 7, INT64_MIN, -1, INT64_MAX };
	struct arena arena;
	(void)state;

	arena_init(&arena, ARENA_BYTES);
	for (size_t n = 1; n <= N_OF(keys); n++) {
		int64_t back[4] = { 0 };
		const char *token = page_token_new(&arena, 'x', keys, n);
		assert_non_null(token);
		assert_int_equal(page_token_read(token, 'x', 7, back, n, NULL), ASIDE_OK);
		assert_memory_equal(back, keys, n * sizeof *keys);
	}
	arena_fini(&arena);
}

static void tokens_are_one_methods_and_one_pages(void **state)
{
	struct aside_status err = { 0 };
	int64_t keys[] = { 7, 8 }, back[4] = { 1, 2, 3, 4 };
	struct arena arena;
	(void)state;

	arena_init(&arena, ARENA_BYTES);
	const char *token = page_token_new(&arena, 'x', keys, 2);
	assert_int_equal(page_token_read(token, 'y', 7, back, 2, &err), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(err.reason, "PAGE_TOKEN_INVALID");
	assert_int_equal(page_token_read(token, 'x', 6, back, 2, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(page_token_read(token, 'x', 7, back, 1, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(page_token_read(token, 'x', 7, back, 3, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(page_token_read("!", 'x', 7, back, 2, NULL), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(page_token_read("", 'x', 7, back, 2, NULL), ASIDE_OK); /* the beginning */
	assert_int_equal(back[0], 1); /* and nothing was touched */
	arena_fini(&arena);
}

/* ── refusals ────────────────────────────────────────────────────────────────────────────────────── */

static void every_reason_of_the_schema_can_be_given(void **state)
{
	const ProtobufCEnumDescriptor *reasons = &aside__v1__reason__descriptor;
	(void)state;

	for (unsigned i = 0; i < reasons->n_values; i++) {
		const char *name = reasons->values[i].name + strlen("REASON_");
		struct aside_status err = { 0 };
		if (reasons->values[i].value == 0)
			continue;
		if (refuse(&err, name) == ASIDE_INTERNAL)
			fail_msg("%s has no code", name);
		assert_string_equal(err.reason, name);
		assert_string_equal(err.domain, "aside.v1");
		assert_true(err.message[0] != '\0');
	}
	assert_int_equal(refuse(NULL, "NO_SUCH_REASON"), ASIDE_INTERNAL);
}

/* ── contents ────────────────────────────────────────────────────────────────────────────────────── */

static int64_t hash_of(Aside__V1__Content *content, char kind, int64_t user, int64_t entry)
{
	struct call call = { 0 };
	struct content checked = { 0 };

	arena_init(&call.arena, ARENA_BYTES);
	assert_int_equal(content_check(&call, content, kind, user, entry, &checked, NULL), ASIDE_OK);
	arena_fini(&call.arena);
	return checked.hash;
}

static void two_sends_are_the_same_only_if_all_is(void **state)
{
	Aside__V1__Attachment link, other;
	Aside__V1__Attachment *one[] = { &link, &other }, *swapped[] = { &other, &link };
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT, different = content;
	(void)state;

	aside__v1__attachment__init(&link);
	aside__v1__attachment__init(&other);
	link.content_case = other.content_case = ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL;
	link.link_url = (char *)"https://example.com/a";
	other.link_url = (char *)"https://example.com/b";
	content.text = (char *)"Hello";
	content.attachments = one;
	content.n_attachments = 2;
	int64_t hash = hash_of(&content, 'r', 42, 0);
	assert_true(hash == hash_of(&content, 'r', 42, 0));
	assert_true(hash != hash_of(&content, 'm', 42, 0));
	assert_true(hash != hash_of(&content, 'r', 43, 0));
	assert_true(hash != hash_of(&content, 'r', 42, 1));
	different = content;
	different.text = (char *)"Hello ";
	assert_true(hash != hash_of(&different, 'r', 42, 0));
	different = content;
	different.attachments = swapped;
	assert_true(hash != hash_of(&different, 'r', 42, 0));
	different = content;
	different.n_attachments = 1;
	assert_true(hash != hash_of(&different, 'r', 42, 0));
}

static void bytes_are_what_they_are(void **state)
{
	(void)state;
	assert_string_equal(sniff(BYTES("\xFF\xD8\xFF\xE0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0")), "image/jpeg");
	assert_string_equal(sniff(BYTES("GIF89a\1\0\1\0\0\0\0")), "image/gif");
	assert_true(sniff_fits(1, "image/jpeg"));
	assert_false(sniff_fits(2, "image/jpeg"));
	assert_true(sniff_fits(2, "video/mp4"));
	assert_false(sniff_fits(1, "image/svg+xml"));
	assert_false(sniff_fits(0, "image/jpeg"));
	assert_false(sniff_fits(3, "text/html"));
}

/* ── memory ──────────────────────────────────────────────────────────────────────────────────────── */

/* Unpacks and begins `request` as the server would, on its own memory: the code, and what the store would be asked. */
static enum aside_code begin(const struct dispatcher *dispatcher, const struct request *request, unsigned fail_nth,
		bool *ret_asks)
{
	const char *path = request->method->path;
	const struct route *route = dispatcher_find(dispatcher, (struct bytes){ (const uint8_t *)path, strlen(path) });
	struct call call = { .now_us = 1, .deadline_us = INT64_MAX };
	struct aside_status err = { 0 };
	ProtobufCMessage *unpacked = NULL;

	assert_non_null(route);
	call.method = route->method;
	call.handler = route->handler;
	call.principal = (struct principal){ .kind = request->caller != 0 ? PRINCIPAL_PERSON : PRINCIPAL_SERVICE,
		.user_id = request->caller };
	arena_init(&call.arena, ARENA_BYTES);
	arena_fail_nth(fail_nth);
	enum aside_code code = dispatch_unpack(&call, request->body, &unpacked, &err);
	if (code == ASIDE_OK)
		code = route->handler->begin(&call, unpacked, &err);
	arena_fail_nth(0);
	*ret_asks = call.op != NULL;
	if (code != ASIDE_OK)
		assert_int_equal(code, err.code);
	arena_fini(&call.arena);
	return code;
}

static void every_allocation_of_a_request_may_fail(void **state)
{
	enum { ALLOCATIONS_MAX = 200 };
	struct request requests[REQUESTS_MAX];
	struct dispatcher *dispatcher = NULL;
	struct arena arena;
	(void)state;

	arena_init(&arena, 16u << 20);
	assert_int_equal(dispatcher_open(service_all, &dispatcher, NULL), ASIDE_OK);
	size_t n = requests_make(&arena, 1, requests);
	for (size_t i = 0; i < n; i++) {
		unsigned failed = 0;
		bool asks;
		if (strncmp(requests[i].method->path, "/aside.v1.", 10) != 0)
			continue; /* the runtime's own */
		for (enum aside_code code; (code = begin(dispatcher, &requests[i], failed + 1, &asks)) != ASIDE_OK; failed++) {
			if (code != ASIDE_RESOURCE_EXHAUSTED || failed == ALLOCATIONS_MAX)
				fail_msg("%s, allocation %u: %s", requests[i].method->path, failed + 1, aside_code_name(code));
			assert_false(asks);
		}
		assert_true(failed > 0);
	}
	dispatcher_close(dispatcher);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_faults_are_told_at_once),
		cmocka_unit_test(limits_are_inclusive),
		cmocka_unit_test(tokens_come_back),
		cmocka_unit_test(tokens_are_one_methods_and_one_pages),
		cmocka_unit_test(every_reason_of_the_schema_can_be_given),
		cmocka_unit_test(two_sends_are_the_same_only_if_all_is),
		cmocka_unit_test(bytes_are_what_they_are),
		cmocka_unit_test(every_allocation_of_a_request_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
