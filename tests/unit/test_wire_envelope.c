/* The hand-written envelope codec against protobuf-c's: the same bytes out, the same frames in, and
 * nothing that goes beyond a limit. */
#include "test.h"

#include "aside/rpc/v1/envelope.pb-c.h"
#include "wire/envelope.h"
#include "wire/varint.h"

typedef Aside__Rpc__V1__Frame Frame;

static uint8_t ours[8 * (ENVELOPE_FRAMES_MAX + 1)], theirs[262144];

static size_t pack_frame(Frame *frame)
{
	Aside__Rpc__V1__Envelope envelope = ASIDE__RPC__V1__ENVELOPE__INIT;

	envelope.n_frames = 1;
	envelope.frames = &frame;
	assert_true(aside__rpc__v1__envelope__get_packed_size(&envelope) <= sizeof theirs);
	return aside__rpc__v1__envelope__pack(&envelope, theirs);
}

/* protobuf-c's packing of `message` and ours of `frame` are equal. */
static void assert_same(Frame *message, const struct frame *frame)
{
	size_t size = envelope_frame_size(frame);

	assert_int_equal(size, pack_frame(message));
	assert_ptr_equal(envelope_frame_write(frame, ours), ours + size);
	assert_memory_equal(ours, theirs, size);
}

static void read_one(struct bytes message, struct frame *ret)
{
	struct envelope_reader reader;
	bool more;

	envelope_read(&reader, message);
	assert_int_equal(envelope_next(&reader, ret, &more, NULL), ASIDE_OK);
	assert_true(more);
}

static void assert_malformed(struct bytes message)
{
	struct envelope_reader reader;
	struct aside_status err = { 0 };
	struct frame frame;
	enum aside_code code;
	bool more;

	envelope_read(&reader, message);
	do
		code = envelope_next(&reader, &frame, &more, &err);
	while (code == ASIDE_OK && more);
	assert_int_equal(code, ASIDE_INVALID_ARGUMENT);
	assert_false(more);
	assert_string_equal(err.reason, "MALFORMED_ENVELOPE");
}

static void assert_bytes(struct bytes actual, struct bytes expected)
{
	assert_int_equal(actual.size, expected.size);
	if (expected.size > 0)
		assert_memory_equal(actual.data, expected.data, expected.size);
}

static void head_is_golden(void **state)
{
	Aside__Rpc__V1__Envelope envelope = ASIDE__RPC__V1__ENVELOPE__INIT;
	struct envelope_head head = { 0xFEDCBA9876543210, 300 };
	struct envelope_reader reader;
	(void)state;

	envelope.session = head.session;
	envelope.sequence = head.sequence;
	size_t size = aside__rpc__v1__envelope__pack(&envelope, theirs);
	assert_int_equal(envelope_head_write(&head, ours) - ours, size);
	assert_memory_equal(ours, theirs, size);

	struct envelope_head back = envelope_read(&reader, (struct bytes){ ours, size });
	assert_true(back.session == head.session && back.sequence == head.sequence);
	assert_int_equal(reader.rest.size, 0);
	assert_ptr_equal(envelope_head_write(&(struct envelope_head){ 0 }, ours), ours); /* a plain message has none */
}

static void call_is_golden(void **state)
{
	Aside__Rpc__V1__Metadata entry = ASIDE__RPC__V1__METADATA__INIT, *entries[] = { &entry };
	Aside__Rpc__V1__Call call = ASIDE__RPC__V1__CALL__INIT;
	Frame message = ASIDE__RPC__V1__FRAME__INIT;
	struct frame frame = { .kind = FRAME_CALL, .call_id = 300, .method = BYTES("/a.B/C"),
		.payload = BYTES("\x08\x00\x01"), .timeout_us = 5000000, .n_metadata = 1 }, back;
	(void)state;

	frame.metadata[0] = (struct metadata){ BYTES("authorization"), BYTES("Bearer x") };
	entry.key = (char *)"authorization";
	entry.value = (ProtobufCBinaryData){ 8, (uint8_t *)"Bearer x" };
	call.method = (char *)"/a.B/C";
	call.payload = (ProtobufCBinaryData){ 3, (uint8_t *)"\x08\x00\x01" };
	call.timeout_us = 5000000;
	call.n_metadata = 1;
	call.metadata = entries;
	message.call_id = 300;
	message.kind_case = ASIDE__RPC__V1__FRAME__KIND_CALL;
	message.call = &call;
	assert_same(&message, &frame);

	read_one((struct bytes){ ours, envelope_frame_size(&frame) }, &back);
	assert_int_equal(back.kind, FRAME_CALL);
	assert_int_equal(back.call_id, 300);
	assert_int_equal(back.timeout_us, 5000000);
	assert_bytes(back.method, frame.method);
	assert_bytes(back.payload, frame.payload);
	assert_int_equal(back.n_metadata, 1);
	assert_bytes(back.metadata[0].value, frame.metadata[0].value);
}

static void sizes_around_a_length_byte_are_golden(void **state)
{
	static const size_t sizes[] = { 0, 1, 115, 120, 127, 128, 129, 16383, 16384, 200000 };
	static uint8_t payload[200000];
	(void)state;

	for (size_t i = 0; i < N_OF(sizes); i++) {
		Aside__Rpc__V1__Item item = ASIDE__RPC__V1__ITEM__INIT;
		Frame message = ASIDE__RPC__V1__FRAME__INIT;
		struct frame frame = { .kind = FRAME_ITEM, .call_id = UINT64_MAX,
			.payload = { payload, sizes[i] }, .end = i % 2 };
		item.payload = (ProtobufCBinaryData){ sizes[i], payload };
		item.end = i % 2;
		message.call_id = UINT64_MAX;
		message.kind_case = ASIDE__RPC__V1__FRAME__KIND_ITEM;
		message.item = &item;
		assert_same(&message, &frame);
	}
}

static void reply_is_golden(void **state)
{
	Aside__Rpc__V1__Status status = ASIDE__RPC__V1__STATUS__INIT;
	Aside__Rpc__V1__Reply reply = ASIDE__RPC__V1__REPLY__INIT;
	Frame message = ASIDE__RPC__V1__FRAME__INIT;
	uint8_t packed[64];
	struct frame frame = { .kind = FRAME_REPLY, .call_id = 1, .code = 5 };
	(void)state;

	status.code = 5;
	status.message = (char *)"no such thread";
	reply.code = 5;
	reply.status = &status;
	message.call_id = 1;
	message.kind_case = ASIDE__RPC__V1__FRAME__KIND_REPLY;
	message.reply = &reply;
	frame.status = (struct bytes){ packed, aside__rpc__v1__status__pack(&status, packed) };
	assert_same(&message, &frame);
}

static void small_kinds_are_golden(void **state)
{
	Aside__Rpc__V1__Credit credit = ASIDE__RPC__V1__CREDIT__INIT;
	Aside__Rpc__V1__Cancel cancel = ASIDE__RPC__V1__CANCEL__INIT;
	Aside__Rpc__V1__Goaway goaway = ASIDE__RPC__V1__GOAWAY__INIT;
	Aside__Rpc__V1__Hello hello = ASIDE__RPC__V1__HELLO__INIT;
	Frame message = ASIDE__RPC__V1__FRAME__INIT;
	uint8_t packed[64];
	struct frame frame = { .kind = FRAME_CREDIT, .call_id = 9, .items = 128, .payload_bytes = 1 << 20 };
	(void)state;

	message.call_id = 9;
	message.kind_case = ASIDE__RPC__V1__FRAME__KIND_CREDIT;
	message.credit = &credit;
	credit.items = 128;
	credit.payload_bytes = 1 << 20;
	assert_same(&message, &frame);

	message.kind_case = ASIDE__RPC__V1__FRAME__KIND_CANCEL;
	message.cancel = &cancel;
	assert_same(&message, &(struct frame){ .kind = FRAME_CANCEL, .call_id = 9 });

	message.call_id = 0;
	message.kind_case = ASIDE__RPC__V1__FRAME__KIND_GOAWAY;
	message.goaway = &goaway;
	goaway.last_call_id = 77;
	goaway.reason = (char *)"restart";
	assert_same(&message, &(struct frame){ .kind = FRAME_GOAWAY, .last_call_id = 77, .reason = BYTES("restart") });

	message.kind_case = ASIDE__RPC__V1__FRAME__KIND_HELLO;
	message.hello = &hello;
	hello.protocol_version = 1;
	hello.peer_name = (char *)"libaside/0.1.0";
	frame = (struct frame){ .kind = FRAME_HELLO };
	frame.payload = (struct bytes){ packed, aside__rpc__v1__hello__pack(&hello, packed) };
	assert_same(&message, &frame);
}

static void unknown_fields_and_kinds_are_skipped(void **state)
{
	struct frame frame;
	(void)state;

	/* An unknown field of the envelope, then a frame { call_id 1, kind 9 }. */
	read_one(BYTES("\x22\x01x\x1A\x05\x08\x01\x4A\x01y"), &frame);
	assert_int_equal(frame.kind, FRAME_NONE);
	assert_int_equal(frame.call_id, 1);
	/* CREDIT with an unknown field 9. */
	read_one(BYTES("\x1A\x06\x32\x04\x08\x07\x48\x01"), &frame);
	assert_int_equal(frame.kind, FRAME_CREDIT);
	assert_int_equal(frame.items, 7);
}

static void an_empty_message_has_no_frame(void **state)
{
	struct envelope_reader reader;
	struct frame frame;
	bool more = true;
	(void)state;

	envelope_read(&reader, (struct bytes){ NULL, 0 });
	assert_int_equal(envelope_next(&reader, &frame, &more, NULL), ASIDE_OK);
	assert_false(more);
}

static void malformed_bytes_are_refused(void **state)
{
	(void)state;
	assert_malformed(BYTES("\x1A"));                         /* no length */
	assert_malformed(BYTES("\x1A\x02\x08"));                 /* a length beyond the end */
	assert_malformed(BYTES("\x00\x00"));                     /* field 0 */
	assert_malformed(BYTES("\x0B\x0C"));                     /* a group */
	assert_malformed(BYTES("\x1A\x04\x3A\x00\x3A\x00"));     /* two kinds */
	assert_malformed(BYTES("\x1A\x02\x18\x01"));             /* CALL as a number */
	assert_malformed(BYTES("\x1A\x04\x1A\x02\x08\x01"));     /* method as a number */
	assert_malformed(BYTES("\x1A\x0C\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")); /* 11 bytes */
}

/* Every cut of a message is refused, but the cut between two frames. */
static void every_cut_is_refused(void **state)
{
	struct frame frame = { .kind = FRAME_CALL, .call_id = 300, .method = BYTES("/a.B/C"), .n_metadata = 1 };
	size_t size;
	(void)state;

	frame.metadata[0] = (struct metadata){ BYTES("k"), BYTES("v") };
	size = envelope_frame_size(&frame);
	(void)envelope_frame_write(&frame, ours);
	for (size_t cut = 1; cut < size; cut++)
		assert_malformed((struct bytes){ ours, cut });
}

/* A CALL written by hand, for struct frame has no room for one entry too many. */
static size_t write_call(size_t n_metadata, size_t value_size, size_t method_size)
{
	size_t entry = 1 + varint_size(value_size) + value_size;
	size_t body = 1 + varint_size(method_size) + method_size + n_metadata * (1 + varint_size(entry) + entry);
	uint8_t *out = ours;

	*out++ = 0x1A; /* Envelope.frames */
	out = varint_write(out, 1 + varint_size(body) + body);
	*out++ = 0x1A; /* Frame.call */
	out = varint_write(out, body);
	*out++ = 0x0A; /* Call.method */
	out = varint_write(out, method_size);
	memset(out, 'm', method_size);
	out += method_size;
	for (size_t i = 0; i < n_metadata; i++) {
		*out++ = 0x22; /* Call.metadata */
		out = varint_write(out, entry);
		*out++ = 0x12; /* Metadata.value */
		out = varint_write(out, value_size);
		memset(out, 'v', value_size);
		out += value_size;
	}
	return (size_t)(out - ours);
}

static void limits_are_kept(void **state)
{
	struct frame frame;
	(void)state;

	read_one((struct bytes){ ours, write_call(METADATA_MAX, 1, 5) }, &frame);
	assert_int_equal(frame.n_metadata, METADATA_MAX);
	assert_malformed((struct bytes){ ours, write_call(METADATA_MAX + 1, 1, 5) });
	read_one((struct bytes){ ours, write_call(1, METADATA_BYTES_MAX, 5) }, &frame);
	assert_malformed((struct bytes){ ours, write_call(1, METADATA_BYTES_MAX + 1, 5) });
	assert_malformed((struct bytes){ ours, write_call(2, METADATA_BYTES_MAX / 2 + 1, 5) });
	read_one((struct bytes){ ours, write_call(0, 1, METHOD_PATH_MAX) }, &frame);
	assert_malformed((struct bytes){ ours, write_call(0, 1, METHOD_PATH_MAX + 1) });
}

static void too_many_frames_are_refused(void **state)
{
	struct frame frame = { .kind = FRAME_CANCEL, .call_id = 1 };
	uint8_t *out = ours;
	(void)state;

	for (unsigned i = 0; i < ENVELOPE_FRAMES_MAX + 1; i++)
		out = envelope_frame_write(&frame, out);
	assert_malformed((struct bytes){ ours, (size_t)(out - ours) });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_is_golden),
		cmocka_unit_test(call_is_golden),
		cmocka_unit_test(sizes_around_a_length_byte_are_golden),
		cmocka_unit_test(reply_is_golden),
		cmocka_unit_test(small_kinds_are_golden),
		cmocka_unit_test(unknown_fields_and_kinds_are_skipped),
		cmocka_unit_test(an_empty_message_has_no_frame),
		cmocka_unit_test(malformed_bytes_are_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(too_many_frames_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
