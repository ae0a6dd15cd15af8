/* Layouts: their text, their fingerprint, and which two of them may talk. */
#include "test.h"

#include "aside/rpc/v1/envelope.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "wire/schema.h"

static const struct aside_method method = {
	.path = "/x.Y/Z",
	.request = &aside__rpc__v1__call__descriptor,
	.response = &aside__rpc__v1__cancel__descriptor,
};
#define LAYOUT "{1:string,2:bytes,3:uint64,4:[{1:string,2:bytes}]}>{}"

static void a_layout_is_golden(void **state)
{
	char text[SCHEMA_LAYOUT_MAX];
	(void)state;

	assert_int_equal(schema_layout(&method, text, sizeof text), strlen(LAYOUT));
	assert_string_equal(text, LAYOUT);
}

static void a_long_layout_is_cut(void **state)
{
	char text[10];
	(void)state;

	memset(text, 'x', sizeof text);
	assert_int_equal(schema_layout(&method, text, sizeof text), strlen(LAYOUT));
	assert_string_equal(text, "{1:string");
}

static void a_message_within_itself_ends(void **state)
{
	const struct aside_method recursive = {
		.request = &google__protobuf__descriptor_proto__descriptor,
		.response = &aside__rpc__v1__cancel__descriptor,
	};
	static char text[1 << 16];
	(void)state;

	assert_true(schema_layout(&recursive, text, sizeof text) < sizeof text);
	assert_non_null(strstr(text, "3:[*]"));
	assert_int_equal(schema_compare(text, text, NULL), ASIDE_OK);
}

static void the_fingerprint_is_fnv1a(void **state)
{
	(void)state;
	assert_true(schema_fingerprint("") == 0xCBF29CE484222325ull);
	assert_true(schema_fingerprint("a") == 0xAF63DC4C8601EC8Cull);
	assert_true(schema_fingerprint("foobar") == 0x85944171F73967E8ull);
}

static void layouts_that_agree(void **state)
{
	static const char *const pairs[][2] = {
		{ LAYOUT, LAYOUT },
		{ "{1:int64}>{}", "{1:int64,2:bytes}>{1:bool}" },      /* theirs is newer */
		{ "{1:int64,2:bytes}>{1:bool}", "{}>{}" },             /* theirs is older */
		{ "{1:int64,3:bool}>{}", "{1:int64,2:bytes,3:bool}>{}" },
		{ "{1:[{1:string}]}>{}", "{1:[{1:string,2:int32}]}>{}" },
		{ "{2:{1:string},10:bool}>{}", "{1:bool,2:{1:string,7:[bytes]},10:bool}>{}" },
	};
	(void)state;

	for (size_t i = 0; i < N_OF(pairs); i++)
		assert_int_equal(schema_compare(pairs[i][0], pairs[i][1], NULL), ASIDE_OK);
}

static void layouts_that_conflict(void **state)
{
	static const struct {
		const char *ours, *theirs, *field;
	} cases[] = {
		{ "{1:int64}>{}", "{1:sint64}>{}", "field 1 of the request" },
		{ "{1:int64}>{}", "{1:int6}>{}", "field 1 of the request" },
		{ "{1:bool,3:int64}>{}", "{3:[int64]}>{}", "field 3 of the request" },
		{ "{1:bool,3:[int64]}>{}", "{3:int64}>{}", "field 3 of the request" },
		{ "{1:{1:bool}}>{}", "{1:bytes}>{}", "field 1 of the request" },
		{ "{4:[{1:bool,2:{5:bool}}]}>{}", "{4:[{2:{5:int32}}]}>{}", "field 4.2.5 of the request" },
		{ "{1:bool}>{2:string}", "{1:bool}>{2:bytes}", "field 2 of the response" },
	};
	(void)state;

	for (size_t i = 0; i < N_OF(cases); i++) {
		struct aside_status err = { 0 };
		assert_int_equal(schema_compare(cases[i].ours, cases[i].theirs, &err), ASIDE_FAILED_PRECONDITION);
		assert_string_equal(err.reason, "SCHEMA_CONFLICT");
		assert_non_null(strstr(err.message, cases[i].field));
	}
}

static void nonsense_is_survived(void **state)
{
	static const char *const texts[] = { "", "{", "}", ">", "{>{", "{1", "{1:", "{:}", "{-1:x}", "{1:[", "{1:{1:{",
		"]]]]", "{99999999999999999999:x}", "{1:int64", "{ 1:int64}>{" };
	(void)state;

	for (size_t i = 0; i < N_OF(texts); i++) {
		enum aside_code code = schema_compare(LAYOUT, texts[i], NULL);
		assert_true(code == ASIDE_OK || code == ASIDE_FAILED_PRECONDITION);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_layout_is_golden),
		cmocka_unit_test(a_long_layout_is_cut),
		cmocka_unit_test(a_message_within_itself_ends),
		cmocka_unit_test(the_fingerprint_is_fnv1a),
		cmocka_unit_test(layouts_that_agree),
		cmocka_unit_test(layouts_that_conflict),
		cmocka_unit_test(nonsense_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
