/* Peers that do not keep to the envelope: whatever comes is answered, or ends that connection and nothing else. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "raw.h"
#include "wire/status.h"

#define CHECK "/aside.rpc.v1.HealthService/Check"
#define LIST_MINE "/aside.v1.ThreadService/ListMyThreads"
#define MESSAGE_BYTES_MAX (4u << 20) /* the server's limit */

static struct raw raw;

/* An envelope under construction. */
struct draft {
	uint8_t *bytes;
	size_t size, room;
};

static struct frame call_of(uint64_t id, const char *method)
{
	return (struct frame){ .call_id = id, .kind = FRAME_CALL, .method = { (const uint8_t *)method, strlen(method) } };
}

static void add_frame(struct draft *draft, const struct frame *frame)
{
	if (draft->size + envelope_frame_size(frame) > draft->room) {
		draft->room = 2 * (draft->size + envelope_frame_size(frame));
		draft->bytes = realloc(draft->bytes, draft->room);
		assert_non_null(draft->bytes);
	}
	(void)envelope_frame_write(frame, draft->bytes + draft->size);
	draft->size += envelope_frame_size(frame);
}

/* Sends the draft and forgets it; the reply, which must come. */
static struct bytes send_draft(struct draft *draft)
{
	struct bytes reply = raw_exchange(&raw, (struct bytes){ draft->bytes, draft->size });

	assert_non_null(reply.data);
	free(draft->bytes);
	*draft = (struct draft){ 0 };
	return reply;
}

/* The one reply frame of `body`: its code and reason. */
static void assert_reply(struct bytes body, enum aside_code code, const char *reason)
{
	struct aside_status ended = { 0 };
	struct frame frame;

	assert_true(raw_first_frame(body, &frame));
	assert_int_equal(frame.kind, FRAME_REPLY);
	Aside__Rpc__V1__Status *wire = aside__rpc__v1__status__unpack(NULL, frame.status.size, frame.status.data);
	assert_non_null(wire);
	status_from_proto(wire, frame.code, &ended);
	aside__rpc__v1__status__free_unpacked(wire, NULL);
	if (frame.code != code || strcmp(ended.reason, reason) != 0)
		fail_msg("expected %s, got %s %s: %s", reason, aside_code_name(frame.code), ended.reason, ended.message);
}

static void assert_refused_frame(const struct frame *frame, enum aside_code code, const char *reason)
{
	struct draft draft = { 0 };

	add_frame(&draft, frame);
	assert_reply(send_draft(&draft), code, reason);
}

static void bytes_that_are_no_envelope_are_refused(void **state)
{
	static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n", "\x1A", "\x1A\x05\x08", "\x1A\x02\x1A\x05", "\xFF\xFF\xFF\xFF",
		"\x1A\x02\x18\x01" /* a CALL that is a number */, "\x1A\x04\x1A\x02\x08\x01" /* a method that is */,
		"\x1A\x04\x1A\x00\x1A\x00" /* two kinds */, "\x0B\x0C" /* a group */ };
	(void)state;

	for (size_t i = 0; i < N_OF(garbage); i++)
		assert_reply(raw_exchange(&raw, (struct bytes){ (const uint8_t *)garbage[i],
						i == 7 ? 6 : strlen(garbage[i]) }),
				ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE");
}

static void every_cut_is_answered(void **state)
{
	struct draft draft = { 0 };
	struct frame call = call_of(1, CHECK);
	(void)state;

	add_frame(&draft, &call);
	for (size_t size = 0; size < draft.size; size++) {
		struct bytes reply = raw_exchange(&raw, (struct bytes){ draft.bytes, size });
		assert_non_null(reply.data);
		if (size > 0)
			assert_reply(reply, ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE");
		else
			assert_int_equal(reply.size, 0); /* no calls, no replies */
	}
	free(draft.bytes);
}

static void unknown_methods_are_named(void **state)
{
	static const char *const methods[] = { "", "/", "Check", "/aside.rpc.v1.HealthService/check",
		"/aside.rpc.v1.HealthService/Check/", "/aside.v1.PageService/DropTables" };
	char longest[METHOD_PATH_MAX + 2] = "";
	struct frame call;
	(void)state;

	for (size_t i = 0; i < N_OF(methods); i++) {
		call = call_of(1, methods[i]);
		assert_refused_frame(&call, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN");
	}
	memset(longest, 'x', METHOD_PATH_MAX + 1);
	call = call_of(1, longest);
	assert_refused_frame(&call, ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE");
}

static void metadata_has_limits(void **state)
{
	static uint8_t value[METADATA_BYTES_MAX];
	struct frame call = call_of(1, CHECK), more = call_of(2, CHECK);
	struct draft draft = { 0 };
	(void)state;

	call.metadata[0] = (struct metadata){ { (const uint8_t *)"key", 3 }, { value, METADATA_BYTES_MAX - 3 } };
	call.n_metadata = 1;
	add_frame(&draft, &call);
	struct bytes reply = send_draft(&draft);
	assert_true(raw_first_frame(reply, &more));
	assert_int_equal(more.code, ASIDE_OK);
	call.metadata[0].value.size++;
	assert_refused_frame(&call, ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE");
	for (call.n_metadata = 0; call.n_metadata < METADATA_MAX; call.n_metadata++)
		call.metadata[call.n_metadata] = (struct metadata){ { (const uint8_t *)"k", 1 }, { value, 1 } };
	add_frame(&draft, &call);
	reply = send_draft(&draft);
	assert_true(raw_first_frame(reply, &more));
	assert_int_equal(more.code, ASIDE_OK);
	/* One more entry than the writer has room for, put there by hand: frames { call { metadata {} … } }. */
	uint8_t crowd[4 + 2 * (METADATA_MAX + 1)] = { 0x1A, sizeof crowd - 2, 0x1A, sizeof crowd - 4 };
	for (size_t i = 4; i < sizeof crowd; i += 2)
		memcpy(crowd + i, "\x22\x00", 2);
	assert_reply(raw_exchange(&raw, (struct bytes){ crowd, sizeof crowd }), ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE");
}

static void act_as_user_is_a_user_id(void **state)
{
	static const struct {
		const char *text;
		size_t size;
	} values[] = { { "", 0 }, { "0", 1 }, { "-1", 2 }, { "+42", 3 }, { " 42", 3 }, { "42 ", 3 }, { "42\0x", 4 }, { "0x2A", 4 },
		{ "johnny", 6 }, { "9223372036854775808", 19 }, { "99999999999999999999999999", 26 } };
	struct frame call = call_of(1, LIST_MINE);
	(void)state;

	call.n_metadata = 1;
	for (size_t i = 0; i < N_OF(values); i++) {
		call.metadata[0] = (struct metadata){ { (const uint8_t *)"act-as-user", 11 },
			{ (const uint8_t *)values[i].text, values[i].size } };
		assert_refused_frame(&call, ASIDE_INVALID_ARGUMENT, "ACT_AS_INVALID");
	}
}

static void frames_of_other_kinds_are_passed_over(void **state)
{
	static const enum frame_kind kinds[] = { FRAME_REPLY, FRAME_ITEM, FRAME_CREDIT, FRAME_CANCEL, FRAME_GOAWAY };
	struct frame call = call_of(7, CHECK), reply;
	struct draft draft = { 0 };
	(void)state;

	for (size_t i = 0; i < N_OF(kinds); i++)
		add_frame(&draft, &(struct frame){ .call_id = 7, .kind = kinds[i], .last_call_id = 9, .items = 1, .end = true });
	add_frame(&draft, &call);
	assert_true(raw_first_frame(send_draft(&draft), &reply));
	assert_int_equal(reply.kind, FRAME_REPLY);
	assert_int_equal(reply.call_id, 7);
	assert_int_equal(reply.code, ASIDE_OK);
}

/* How many REPLYs of code `code` there are in `body`; each id from 1 must be there once. */
static unsigned count_replies(struct bytes body, uint32_t code, unsigned n_calls)
{
	bool *seen = calloc(n_calls + 1, sizeof *seen);
	struct envelope_reader reader;
	struct frame frame;
	unsigned n = 0, matching = 0;
	bool more = true;

	assert_non_null(seen);
	envelope_read(&reader, body);
	while (envelope_next(&reader, &frame, &more, NULL) == ASIDE_OK && more) {
		assert_int_equal(frame.kind, FRAME_REPLY);
		assert_in_range(frame.call_id, 1, n_calls);
		assert_false(seen[frame.call_id]);
		seen[frame.call_id] = true;
		matching += frame.code == code;
		n++;
	}
	assert_int_equal(n, n_calls);
	free(seen);
	return matching;
}

static void a_plain_message_is_answered_as_a_whole(void **state)
{
	enum { CALLS = 1000 };
	struct draft draft = { 0 };
	(void)state;

	for (uint64_t i = 1; i <= CALLS; i++) {
		struct frame call = call_of(i, i % 2 == 0 ? CHECK : LIST_MINE);
		call.metadata[0] = (struct metadata){ { (const uint8_t *)"act-as-user", 11 }, { (const uint8_t *)"42", 2 } };
		call.n_metadata = 1;
		add_frame(&draft, &call);
	}
	assert_int_equal(count_replies(send_draft(&draft), ASIDE_OK, CALLS), CALLS);
}

static void a_message_has_so_many_frames(void **state)
{
	struct draft draft = { 0 };
	(void)state;

	for (unsigned i = 0; i <= ENVELOPE_FRAMES_MAX; i++)
		add_frame(&draft, &(struct frame){ .kind = FRAME_CREDIT, .items = 1 });
	assert_reply(send_draft(&draft), ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE");
}

static void a_deadline_is_kept(void **state)
{
	struct frame call = call_of(1, LIST_MINE);
	(void)state;

	call.timeout_us = 1;
	call.metadata[0] = (struct metadata){ { (const uint8_t *)"act-as-user", 11 }, { (const uint8_t *)"42", 2 } };
	call.n_metadata = 1;
	assert_refused_frame(&call, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
}

/* nng drops the connection; the socket makes another, and nobody else has noticed. */
static void a_message_has_a_size(void **state)
{
	struct draft draft = { .bytes = calloc(1, MESSAGE_BYTES_MAX + 1), .size = MESSAGE_BYTES_MAX + 1 };
	struct frame call = call_of(1, CHECK);
	nng_msg *msg = NULL;
	(void)state;

	assert_non_null(draft.bytes);
	assert_int_equal(nng_msg_alloc(&msg, draft.size), 0);
	assert_int_equal(nng_sendmsg(raw.socket, msg, 0), 0);
	free(draft.bytes);
	raw_close(&raw);
	assert_true(raw_open(&raw, aside_harness_address(harness, 0)));
	draft = (struct draft){ 0 };
	add_frame(&draft, &call);
	assert_int_equal(count_replies(send_draft(&draft), ASIDE_OK, 1), 1);
	assert_true(send_text(JOHNNY, new_page(), 1, "Hello") != 0);
}

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

#define RAW_TEST(name) cmocka_unit_test_setup_teardown(name, connect_raw, disconnect_raw)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RAW_TEST(bytes_that_are_no_envelope_are_refused),
		RAW_TEST(every_cut_is_answered),
		RAW_TEST(unknown_methods_are_named),
		RAW_TEST(metadata_has_limits),
		RAW_TEST(act_as_user_is_a_user_id),
		RAW_TEST(frames_of_other_kinds_are_passed_over),
		RAW_TEST(a_plain_message_is_answered_as_a_whole),
		RAW_TEST(a_message_has_so_many_frames),
		RAW_TEST(a_deadline_is_kept),
		RAW_TEST(a_message_has_a_size),
	};

	return WORLD_RUN("envelope", tests, NULL);
}
