/* What a peer expects to read.  See peer.h. */
#include "peer.h"

#include "aside/rpc/v1/envelope.pb-c.h"
#include "wire/status.h"

void peer_expect(struct peer *peer, uint64_t call_id, enum frame_kind kind, struct frame *ret)
{
	if (!peer_next(peer, ret))
		fail_msg("no frame came where %d of call %llu should have", (int)kind, (unsigned long long)call_id);
	assert_int_equal(ret->kind, kind);
	assert_int_equal(ret->call_id, call_id);
}

void peer_read_status(const struct frame *frame, struct aside_status *ret)
{
	assert_int_equal(frame->kind, FRAME_REPLY);
	Aside__Rpc__V1__Status *wire = aside__rpc__v1__status__unpack(NULL, frame->status.size, frame->status.data);
	status_from_proto(wire, frame->code, ret);
	aside__rpc__v1__status__free_unpacked(wire, NULL);
}

static void check_failure(const struct frame *frame, uint64_t call_id, enum aside_code code, const char *reason)
{
	struct aside_status status;

	peer_read_status(frame, &status);
	assert_int_equal(frame->call_id, call_id);
	assert_string_equal(status.reason, reason);
	assert_int_equal(frame->code, code);
}

void peer_expect_failure(struct peer *peer, uint64_t call_id, enum aside_code code, const char *reason)
{
	struct frame frame;

	peer_expect(peer, call_id, FRAME_REPLY, &frame);
	check_failure(&frame, call_id, code, reason);
}

void peer_wait_failure(struct peer *peer, uint64_t call_id, enum aside_code code, const char *reason)
{
	struct frame frame;

	peer_wait(peer, &frame);
	check_failure(&frame, call_id, code, reason);
}

void peer_expect_nothing(struct peer *peer)
{
	struct frame frame;

	if (peer_next(peer, &frame))
		fail_msg("a frame %d (code %u) of call %llu came where none should have: %.*s", (int)frame.kind, frame.code,
				(unsigned long long)frame.call_id, (int)frame.reason.size, (const char *)frame.reason.data);
}

void peer_greet(struct peer *peer, uint32_t stream_items, uint64_t stream_bytes)
{
	struct frame frame;

	peer_init(peer, 0x1234567890ABCDEF);
	peer_put_hello(peer, stream_items, stream_bytes);
	peer_send(peer);
	peer_expect(peer, 0, FRAME_HELLO, &frame);
}

void peer_wait_goaway(struct peer *peer, const char *why)
{
	struct frame frame;

	do
		peer_wait(peer, &frame);
	while (frame.kind == FRAME_REPLY);
	assert_int_equal(frame.kind, FRAME_GOAWAY);
	assert_int_equal(frame.reason.size, strlen(why));
	assert_memory_equal(frame.reason.data, why, strlen(why));
}
