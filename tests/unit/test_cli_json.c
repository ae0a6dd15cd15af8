/* Protobuf's JSON mapping, both ways: https://protobuf.dev/programming-guides/json/. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/json.h"
#include "kinds.pb-c.h"
#include "wire/validate.h"

static struct arena arena;

/* NULL with `fault` where the text is no Kinds. */
static struct json_fault fault;

static const Kinds__V1__Kinds *read(const char *text)
{
	json_t *json = json_parse(text, strlen(text), &fault);
	const ProtobufCMessage *message = NULL;

	if (json != NULL)
		message = json_to_message(json, &kinds__v1__kinds__descriptor, &arena, &fault);
	json_decref(json);
	return (const Kinds__V1__Kinds *)message;
}

static const Kinds__V1__Kinds *must_read(const char *text)
{
	const Kinds__V1__Kinds *kinds = read(text);

	if (kinds == NULL)
		fail_msg("%s: %s %s", text, fault.where, fault.why);
	return kinds;
}

static void assert_refused(const char *text, const char *where, const char *why)
{
	if (read(text) != NULL)
		fail_msg("%s was taken", text);
	/* Where a syntax error is noticed is jansson's own affair, but for its line. */
	bool there = strncmp(where, "line ", 5) == 0 ? strncmp(fault.where, where, strlen(where)) == 0 : strcmp(fault.where, where) == 0;
	if (!there || strstr(fault.why, why) == NULL)
		fail_msg("%s: \"%s\" \"%s\" instead of \"%s\" \"%s\"", text, fault.where, fault.why, where, why);
}

/* What comes out for what went in. */
static void assert_written(const char *in, bool defaults, const char *out)
{
	json_t *json = json_from_message(&must_read(in)->base, defaults);
	char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);

	assert_string_equal(text, out);
	free(text);
	json_decref(json);
}

static void assert_same(const char *text)
{
	assert_written(text, false, text);
}

/* ── numbers ─────────────────────────────────────────────────────────────────────────────────────── */

static void integers_come_as_numbers_or_strings(void **state)
{
	(void)state;
	assert_int_equal(must_read("{\"int32Value\": -2147483648}")->int32_value, INT32_MIN);
	assert_int_equal(must_read("{\"int32Value\": \"2147483647\"}")->int32_value, INT32_MAX);
	assert_int_equal(must_read("{\"sint32Value\": -7}")->sint32_value, -7);
	assert_int_equal(must_read("{\"sfixed32Value\": \"-7\"}")->sfixed32_value, -7);
	assert_int_equal(must_read("{\"uint32Value\": 4294967295}")->uint32_value, UINT32_MAX);
	assert_int_equal(must_read("{\"fixed32Value\": \"4294967295\"}")->fixed32_value, UINT32_MAX);
	assert_true(must_read("{\"int64Value\": -9223372036854775808}")->int64_value == INT64_MIN);
	assert_true(must_read("{\"int64Value\": \"-9223372036854775808\"}")->int64_value == INT64_MIN);
	assert_true(must_read("{\"sint64Value\": \"9223372036854775807\"}")->sint64_value == INT64_MAX);
	assert_true(must_read("{\"sfixed64Value\": 9007199254740993}")->sfixed64_value == 9007199254740993ll);
	assert_true(must_read("{\"uint64Value\": \"18446744073709551615\"}")->uint64_value == UINT64_MAX);
	assert_true(must_read("{\"fixed64Value\": 9223372036854775807}")->fixed64_value == INT64_MAX);
}

static void integers_may_have_exponents_and_no_fractions(void **state)
{
	(void)state;
	assert_int_equal(must_read("{\"int32Value\": 1e3}")->int32_value, 1000);
	assert_int_equal(must_read("{\"int32Value\": \"-1.5e1\"}")->int32_value, -15);
	assert_int_equal(must_read("{\"int32Value\": 4.0}")->int32_value, 4);
	assert_true(must_read("{\"uint64Value\": 1e19}")->uint64_value == 10000000000000000000ull);
	assert_refused("{\"int32Value\": 1.5}", "int32Value", "is no integer");
	assert_refused("{\"int32Value\": \"0.5\"}", "int32Value", "is no integer");
}

static void integers_have_bounds(void **state)
{
	(void)state;
	assert_refused("{\"int32Value\": 2147483648}", "int32Value", "from -2147483648 to 2147483647");
	assert_refused("{\"int32Value\": \"-2147483649\"}", "int32Value", "from -2147483648");
	assert_refused("{\"uint32Value\": -1}", "uint32Value", "from 0 to 4294967295");
	assert_refused("{\"uint32Value\": 4294967296}", "uint32Value", "to 4294967295");
	assert_refused("{\"int64Value\": \"9223372036854775808\"}", "int64Value", "to 9223372036854775807");
	assert_refused("{\"uint64Value\": \"18446744073709551616\"}", "uint64Value", "is no integer");
	assert_refused("{\"uint64Value\": 1e20}", "uint64Value", "is no integer");
	assert_refused("{\"uint64Value\": -1}", "uint64Value", "from 0");
	/* jansson's own bound; the quoted form above is the mapping's. */
	assert_refused("{\"uint64Value\": 18446744073709551615}", "line 1, ", "without quotes");
}

static void integers_look_like_numbers(void **state)
{
	static const char *const none[] = { "\"\"", "\" 1\"", "\"1 \"", "\"+1\"", "\"01\"", "\"-\"", "\"0x10\"", "\"1e\"", "\"1.\"",
		"\"one\"", "\"NaN\"", "\"--1\"", "\"1,000\"", "true", "{}", "[]", "[1]" };
	char text[64];
	(void)state;

	for (size_t i = 0; i < N_OF(none); i++) {
		(void)snprintf(text, sizeof text, "{\"int64Value\": %s}", none[i]);
		assert_refused(text, "int64Value", "is no integer");
	}
}

static void real_numbers_have_their_special_words(void **state)
{
	(void)state;
	assert_true(must_read("{\"doubleValue\": 0.1}")->double_value == 0.1);
	assert_true(must_read("{\"doubleValue\": \"-2.5e-3\"}")->double_value == -2.5e-3);
	assert_true(must_read("{\"doubleValue\": 7}")->double_value == 7);
	assert_true(must_read("{\"doubleValue\": \"18446744073709551616\"}")->double_value == 0x1p64);
	assert_true(isnan(must_read("{\"doubleValue\": \"NaN\"}")->double_value));
	assert_true(must_read("{\"floatValue\": \"-Infinity\"}")->float_value == -INFINITY);
	assert_true(must_read("{\"floatValue\": 0.5}")->float_value == 0.5f);
	assert_refused("{\"floatValue\": 1e39}", "floatValue", "beyond a float");
	assert_refused("{\"doubleValue\": 1e400}", "line 1, ", "too large");
	assert_refused("{\"doubleValue\": \"1e400\"}", "doubleValue", "is no number");
	assert_refused("{\"doubleValue\": \"nan\"}", "doubleValue", "is no number");
	assert_refused("{\"doubleValue\": \"inf\"}", "doubleValue", "is no number");
	assert_refused("{\"doubleValue\": \"\"}", "doubleValue", "is no number");
	assert_refused("{\"doubleValue\": true}", "doubleValue", "is no number");
	assert_same("{\"floatValue\":\"Infinity\",\"doubleValue\":\"NaN\"}");
	assert_same("{\"doubleValue\":-0.0}");
}

/* ── text, bytes, names ──────────────────────────────────────────────────────────────────────────── */

static void strings_are_unicode_without_nul(void **state)
{
	(void)state;
	assert_string_equal(must_read("{\"stringValue\": \"\\ud83d\\ude00 caf\\u00e9\"}")->string_value, "\xf0\x9f\x98\x80 caf\xc3\xa9");
	assert_refused("{\"stringValue\": \"a\\u0000b\"}", "line 1, ", "NUL");
	assert_refused("{\"stringValue\": \"\\ud83d\"}", "line 1, ", "");
	assert_refused("{\"stringValue\": \"\\ude00\"}", "line 1, ", "");
	assert_refused("{\"stringValue\": \"\\ud83d\\u0041\"}", "line 1, ", "");
	assert_refused("{\"stringValue\": \"\xc3\x28\"}", "line 1, ", "");
	assert_refused("{\"stringValue\": \"\xed\xa0\x80\"}", "line 1, ", "");
	assert_refused("{\"stringValue\": 7}", "stringValue", "is no string");
	assert_refused("{\"a\\u0000b\": 7}", "line 1, ", "NUL");
}

static void bytes_are_base64_of_either_alphabet(void **state)
{
	static const struct {
		const char *text;
		const char *bytes;
		size_t size;
	} same[] = {
		{ "", "", 0 }, { "AA==", "\0", 1 }, { "AA", "\0", 1 }, { "-_-_", "\xfb\xff\xbf", 3 }, { "+/+/", "\xfb\xff\xbf", 3 },
		{ "SGVsbG8=", "Hello", 5 }, { "SGVsbG8", "Hello", 5 }, { "AAAAAA==", "\0\0\0\0", 4 },
	};
	static const char *const none[] = { "A", "A===", "AA=", "AA= =", " AA=", "AA==\\n", "A A=", "AAAA=", "A=A=", "AA==AA==", ("\xc3\xa9" "A==") };
	char text[64];
	(void)state;

	for (size_t i = 0; i < N_OF(same); i++) {
		(void)snprintf(text, sizeof text, "{\"bytesValue\": \"%s\"}", same[i].text);
		const Kinds__V1__Kinds *kinds = must_read(text);
		assert_int_equal(kinds->bytes_value.len, same[i].size);
		assert_memory_equal(kinds->bytes_value.data, same[i].bytes, same[i].size);
	}
	for (size_t i = 0; i < N_OF(none); i++) {
		(void)snprintf(text, sizeof text, "{\"bytesValue\": \"%s\"}", none[i]);
		assert_refused(text, "bytesValue", "is no base64");
	}
	assert_refused("{\"bytesValue\": 7}", "bytesValue", "is no base64");
	assert_same("{\"bytesValue\":\"+/+/AA==\"}");
}

static void enums_are_names_or_numbers(void **state)
{
	(void)state;
	assert_int_equal(must_read("{\"warmth\": \"WARMTH_COLD\"}")->warmth, -5);
	assert_int_equal(must_read("{\"warmth\": \"WARMTH_BOILING\"}")->warmth, 40);
	assert_int_equal(must_read("{\"warmth\": -5}")->warmth, -5);
	assert_int_equal(must_read("{\"warmth\": 77}")->warmth, 77); /* of a newer schema */
	assert_refused("{\"warmth\": \"WARMTH_MILD\"}", "warmth", "WARMTH_MILD is no value of kinds.v1.Warmth");
	assert_refused("{\"warmth\": \"warmth_cold\"}", "warmth", "no value");
	assert_refused("{\"warmth\": \"40\"}", "warmth", "no value");
	assert_refused("{\"warmth\": 2147483648}", "warmth", "from -2147483648");
	assert_refused("{\"warmth\": true}", "warmth", "is no integer");
	assert_same("{\"warmth\":\"WARMTH_COLD\",\"warmths\":[\"WARMTH_HOT\",77]}");
}

static void booleans_are_booleans(void **state)
{
	(void)state;
	assert_true(must_read("{\"boolValue\": true}")->bool_value);
	assert_false(must_read("{\"boolValue\": false}")->bool_value);
	assert_refused("{\"boolValue\": \"true\"}", "boolValue", "neither true nor false");
	assert_refused("{\"boolValue\": 1}", "boolValue", "neither true nor false");
}

static void masks_are_paths_in_camel_case(void **state)
{
	const Kinds__V1__Kinds *kinds = must_read("{\"mask\": \"int32Value,inner.leaf,name\"}");
	(void)state;

	assert_int_equal(kinds->mask->n_paths, 3);
	assert_string_equal(kinds->mask->paths[0], "int32_value");
	assert_string_equal(kinds->mask->paths[1], "inner.leaf");
	assert_string_equal(kinds->mask->paths[2], "name");
	assert_int_equal(must_read("{\"mask\": \"\"}")->mask->n_paths, 0);
	assert_refused("{\"mask\": \"int32_value\"}", "mask", "camel case");
	assert_refused("{\"mask\": \"a,,b\"}", "mask", "camel case");
	assert_refused("{\"mask\": \"a,\"}", "mask", "camel case");
	assert_refused("{\"mask\": \",a\"}", "mask", "camel case");
	assert_refused("{\"mask\": {\"paths\": [\"a\"]}}", "mask", "camel case");
	assert_same("{\"mask\":\"int32Value,inner.leaf\"}");
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static void names_are_taken_in_both_forms_and_once(void **state)
{
	(void)state;
	assert_int_equal(must_read("{\"int32_value\": 5}")->int32_value, 5);
	assert_refused("{\"int32Value\": 5, \"int32_value\": 5}", "int32_value", "is given twice");
	assert_refused("{\"int32Value\": null, \"int32_value\": 5}", "int32_value", "is given twice");
	assert_refused("{\"int32Value\": 5, \"int32Value\": 5}", "line 1, ", "duplicate");
	assert_refused("{\"Int32Value\": 5}", "Int32Value", "is no field of kinds.v1.Kinds");
	assert_refused("{\"inner\": {\"leaf\": {\"nam\": 1}}}", "inner.leaf.nam", "is no field of kinds.v1.Leaf");
	assert_refused("{\"\": 5}", "", "is no field");
}

static void null_is_nothing(void **state)
{
	const Kinds__V1__Kinds *kinds = must_read("{\"int32Value\": null, \"stringValue\": null, \"inner\": null, \"numbers\": null, "
						  "\"bytesValue\": null, \"warmth\": null, \"number\": null, \"word\": \"yes\", \"mask\": null}");
	(void)state;

	assert_null(kinds->inner);
	assert_int_equal(kinds->n_numbers, 0);
	assert_string_equal(kinds->string_value, "");
	assert_string_equal(kinds->word, "yes");
	assert_refused("{\"numbers\": [null]}", "numbers[0]", "is no integer");
	assert_refused("{\"leaves\": [{}, null]}", "leaves[1]", "is no object");
	assert_refused("null", "", "is no object");
}

static void a_oneof_is_chosen_once(void **state)
{
	const Kinds__V1__Kinds *kinds = must_read("{\"number\": 0}");
	(void)state;

	assert_int_equal(kinds->choice_case, KINDS__V1__KINDS__CHOICE_NUMBER);
	assert_refused("{\"number\": 0, \"word\": \"\"}", "word", "second choice");
	assert_refused("{\"leaf\": {}, \"number\": 1}", "number", "second choice");
	assert_same("{\"number\":0}");
	assert_same("{\"word\":\"\"}");
	assert_same("{\"leaf\":{}}");
}

static void lists_are_lists(void **state)
{
	(void)state;
	assert_same("{\"numbers\":[1,-2,0],\"words\":[\"\",\"a\"],\"blobs\":[\"AA==\",\"\"],\"leaves\":[{},{\"name\":\"x\",\"depth\":-1}],"
		    "\"flags\":[true,false],\"doubles\":[0.5,\"NaN\"],\"farAway\":\"far\"}");
	assert_int_equal(must_read("{\"numbers\": []}")->n_numbers, 0);
	assert_refused("{\"numbers\": 1}", "numbers", "is no list");
	assert_refused("{\"numbers\": {}}", "numbers", "is no list");
	assert_refused("{\"numbers\": [[1]]}", "numbers[0]", "is no integer");
	assert_refused("{\"leaves\": [{\"depth\": 1}, {\"depth\": \"x\"}]}", "leaves[1].depth", "is no integer");
	assert_refused("{\"inner\": [{}]}", "inner", "is no object");
	assert_refused("[]", "", "is no object");
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	assert_same("{\"int32Value\":-1,\"uint32Value\":4294967295,\"int64Value\":\"-9223372036854775808\","
		    "\"uint64Value\":\"18446744073709551615\",\"boolValue\":true,\"stringValue\":\"\xc3\xa9\\u001B\\n\","
		    "\"inner\":{\"leaf\":{\"name\":\"x\"},\"light\":\"LIGHT_ON\"}}");
	assert_same("{}");
	assert_written("{\"int32Value\":0,\"stringValue\":\"\",\"warmth\":0,\"boolValue\":false,\"doubleValue\":0}", false, "{}");
}

static void defaults_are_written_on_request(void **state)
{
	(void)state;
	assert_written("{\"leaf\":{\"name\":\"x\"},\"inner\":{}}", true,
			"{\"int32Value\":0,\"sint32Value\":0,\"sfixed32Value\":0,\"uint32Value\":0,\"fixed32Value\":0,"
			"\"int64Value\":\"0\",\"sint64Value\":\"0\",\"sfixed64Value\":\"0\",\"uint64Value\":\"0\",\"fixed64Value\":\"0\","
			"\"floatValue\":0.0,\"doubleValue\":0.0,\"boolValue\":false,\"stringValue\":\"\",\"bytesValue\":\"\","
			"\"warmth\":\"WARMTH_UNSPECIFIED\",\"inner\":{\"light\":\"LIGHT_UNSPECIFIED\"},\"leaf\":{\"name\":\"x\",\"depth\":0},"
			"\"numbers\":[],\"words\":[],\"blobs\":[],\"leaves\":[],\"warmths\":[],\"flags\":[],\"doubles\":[],\"farAway\":\"\"}");
}

/* ── limits ──────────────────────────────────────────────────────────────────────────────────────── */

static void depth_is_bounded(void **state)
{
	enum { DEEP = 100000 };
	char *text = malloc(2 * DEEP + 1);
	(void)state;

	memset(text, '[', DEEP);
	memset(text + DEEP, ']', DEEP);
	text[2 * DEEP] = '\0';
	assert_null(read(text));
	assert_string_equal(fault.why, "maximum parsing depth reached near '['");
	free(text);
}

static void syntax_is_json(void **state)
{
	(void)state;
	assert_refused("", "line 1, ", "nothing is there");
	assert_refused("{", "line 1, ", "");
	assert_refused("{} {}", "line 1, ", "end of file expected");
	assert_refused("{\n  \"int32Value\": 01\n}", "line 2, ", "");
	assert_refused("{'int32Value': 1}", "line 1, ", "");
	assert_refused("{\"int32Value\": NaN}", "line 1, ", "");
}

/* Each allocation fails in turn: a fault, never a crash. */
static void memory_may_end_anywhere(void **state)
{
	static const char text[] = "{\"stringValue\":\"a\",\"bytesValue\":\"AA\",\"mask\":\"a,b\",\"inner\":{\"leaf\":{}},\"words\":[\"a\"],\"leaves\":[{}]}";
	json_t *json = json_parse(text, strlen(text), &fault);
	ProtobufCMessage *message = NULL;
	(void)state;

	for (unsigned n = 1; message == NULL; n++) {
		arena_fail_nth(n);
		message = json_to_message(json, &kinds__v1__kinds__descriptor, &arena, &fault);
		arena_fail_nth(0);
		if (message == NULL)
			assert_string_equal(fault.why, "is too large");
		assert_true(n < 100);
	}
	json_decref(json);
}

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(integers_come_as_numbers_or_strings),
		TEST(integers_may_have_exponents_and_no_fractions),
		TEST(integers_have_bounds),
		TEST(integers_look_like_numbers),
		TEST(real_numbers_have_their_special_words),
		TEST(strings_are_unicode_without_nul),
		TEST(bytes_are_base64_of_either_alphabet),
		TEST(enums_are_names_or_numbers),
		TEST(booleans_are_booleans),
		TEST(masks_are_paths_in_camel_case),
		TEST(names_are_taken_in_both_forms_and_once),
		TEST(null_is_nothing),
		TEST(a_oneof_is_chosen_once),
		TEST(lists_are_lists),
		TEST(what_is_written_is_read_again),
		TEST(defaults_are_written_on_request),
		TEST(depth_is_bounded),
		TEST(syntax_is_json),
		TEST(memory_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
