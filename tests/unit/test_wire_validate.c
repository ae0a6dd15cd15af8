/* What validate() lets through and what it stops, against messages of the protocol itself and against
 * protobuf's own description of files, the one recursive message at hand. */
#include "test.h"

#include "aside/rpc/v1/envelope.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "wire/validate.h"

#define HELLO &aside__rpc__v1__hello__descriptor
#define MESSAGE_TYPE &google__protobuf__descriptor_proto__descriptor
#define LOCATION &google__protobuf__source_code_info__location__descriptor

static void assert_valid(const ProtobufCMessageDescriptor *desc, struct bytes body)
{
	assert_int_equal(validate(desc, body, NULL), ASIDE_OK);
}

static void assert_refused(const ProtobufCMessageDescriptor *desc, struct bytes body, const char *message)
{
	struct aside_status err = { 0 };

	assert_int_equal(validate(desc, body, &err), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(err.reason, "MALFORMED_REQUEST");
	assert_string_equal(err.message, message);
	assert_int_equal(validate(desc, body, NULL), ASIDE_INVALID_ARGUMENT);
}

static void well_formed_bytes_pass(void **state)
{
	(void)state;
	assert_valid(HELLO, (struct bytes){ NULL, 0 });
	assert_valid(HELLO, BYTES("\x08\x01\x12\x02hi\x1A\x06\x0A\x01k\x12\x01\xFF"));
	assert_valid(HELLO, BYTES("\x78\x01\x7A\x01\xFF")); /* fields it does not know */
}

static void truncated_bytes_are_refused(void **state)
{
	static const char whole[] = "\x08\x81\x01\x12\x02hi\x1A\x06\x0A\x01k\x12\x01v";
	(void)state;

	for (size_t cut = 1; cut < sizeof whole - 1; cut++) {
		if (cut == 3 || cut == 7) /* between two fields */
			continue;
		struct bytes body = { (const uint8_t *)whole, cut };
		assert_int_equal(validate(HELLO, body, NULL), ASIDE_INVALID_ARGUMENT);
	}
	assert_refused(HELLO, BYTES("\x12\x05hi"), "is cut short");
	assert_refused(HELLO, BYTES("\x1A\x02\x0A\x05"), "metadata: is cut short");
}

static void text_must_be_utf8_without_nul(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{ "a", true }, { "\xC3\xA9", true }, { "\xE2\x82\xAC", true }, { "\xF0\x9F\x98\x80", true },
		{ "\xF4\x8F\xBF\xBF", true }, { "\x80", false }, { "\xC0\xAF", false }, { "\xC3", false },
		{ "\xE0\x80\xAF", false }, { "\xED\xA0\x80", false }, { "\xF4\x90\x80\x80", false },
		{ "\xF8\x88\x80\x80\x80", false }, { "\xE2\x82", false }, { "\xE2\x82g", false }, { "\xFF", false },
	};
	uint8_t body[16] = { 0x12 };
	(void)state;

	for (size_t i = 0; i < N_OF(cases); i++) {
		size_t length = strlen(cases[i].text);
		body[1] = (uint8_t)length;
		memcpy(body + 2, cases[i].text, length);
		struct bytes bytes = { body, 2 + length };
		if (cases[i].valid)
			assert_valid(HELLO, bytes);
		else
			assert_refused(HELLO, bytes, "peer_name: is not valid UTF-8");
	}
	assert_refused(HELLO, BYTES("\x12\x03h\0i"), "peer_name: has a NUL");
	assert_refused(HELLO, BYTES("\x1A\x03\x0A\x01\xFF"), "metadata.key: is not valid UTF-8");
}

static void the_path_of_the_field_is_told(void **state)
{
	struct aside_status err = { 0 };
	(void)state;

	assert_int_equal(validate(HELLO, BYTES("\x1A\x03\x0A\x01\xFF"), &err), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(err.n_violations, 1);
	assert_string_equal(err.violations[0].field, "metadata.key");
	assert_string_equal(err.violations[0].description, "is not valid UTF-8");
}

static void a_field_has_its_type(void **state)
{
	(void)state;
	assert_refused(HELLO, BYTES("\x0A\x01\x01"), "protocol_version: has another type");
	assert_refused(HELLO, BYTES("\x10\x01"), "peer_name: has another type");
	assert_refused(HELLO, BYTES("\x28\x01"), "limits: has another type");
	assert_refused(HELLO, BYTES("\x0B\x0C"), "is cut short"); /* a group */
}

static void a_message_is_given_once(void **state)
{
	(void)state;
	assert_valid(HELLO, BYTES("\x2A\x02\x08\x01"));
	assert_refused(HELLO, BYTES("\x2A\x02\x08\x01\x2A\x02\x10\x01"), "limits: is given twice");
}

static void packed_numbers_end_where_they_should(void **state)
{
	(void)state;
	assert_valid(LOCATION, BYTES("\x0A\x03\x01\x80\x01"));
	assert_valid(LOCATION, BYTES("\x08\x01\x08\x02")); /* not packed */
	assert_refused(LOCATION, BYTES("\x0A\x02\x01\x80"), "path: is cut short");
}

/* `depth` messages, each the nested_type of the one before; returns where it begins. */
static struct bytes nest(uint8_t *end, unsigned depth)
{
	size_t size = 0;

	while (depth-- > 0) {
		uint8_t head[12], *p = head;
		*p++ = 0x1A;
		for (size_t rest = size; ; rest >>= 7) {
			*p++ = (uint8_t)(rest < 0x80 ? rest : (rest & 0x7F) | 0x80);
			if (rest < 0x80)
				break;
		}
		size += (size_t)(p - head);
		memcpy(end - size, head, (size_t)(p - head));
	}
	return (struct bytes){ end - size, size };
}

static void depth_is_limited(void **state)
{
	static uint8_t space[65536];
	struct aside_status err = { 0 };
	uint8_t *end = space + sizeof space;
	(void)state;

	assert_valid(MESSAGE_TYPE, nest(end, VALIDATE_DEPTH_MAX - 1));
	assert_int_equal(validate(MESSAGE_TYPE, nest(end, VALIDATE_DEPTH_MAX + 1), &err), ASIDE_INVALID_ARGUMENT);
	assert_non_null(strstr(err.message, "is nested too deep"));
	assert_int_equal(validate(MESSAGE_TYPE, nest(end, 10000), NULL), ASIDE_INVALID_ARGUMENT);
}

static void fields_are_limited(void **state)
{
	static uint8_t body[2 * (VALIDATE_FIELDS_MAX + 1)];
	(void)state;

	for (size_t i = 0; i < sizeof body; i += 2)
		body[i] = 0x78; /* unknown ones count, too */
	assert_valid(HELLO, (struct bytes){ body, sizeof body - 2 });
	assert_refused(HELLO, (struct bytes){ body, sizeof body }, "has too many fields");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed_bytes_pass),
		cmocka_unit_test(truncated_bytes_are_refused),
		cmocka_unit_test(text_must_be_utf8_without_nul),
		cmocka_unit_test(the_path_of_the_field_is_told),
		cmocka_unit_test(a_field_has_its_type),
		cmocka_unit_test(a_message_is_given_once),
		cmocka_unit_test(packed_numbers_end_where_they_should),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(fields_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
