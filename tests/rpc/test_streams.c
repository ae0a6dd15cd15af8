/* Streams by proto/README.md's rules: credit, half-close, cancel, deadlines, and peers that break them. */
#include "peer.h"

#include <malloc.h>
#include <stdlib.h>

#include "echo.pb-c.h"
#include "../echo/echo_service.h"
#include "rpc/session.h"

#define REPEAT "/echo.v1.EchoService/Repeat"
#define COLLECT "/echo.v1.EchoService/Collect"
#define CONVERSE "/echo.v1.EchoService/Converse"
#define DAY_US 86400000000ll

static const struct handlers *const all[] = { &echo_handlers, NULL };
static struct server *server;
static struct peer peer;

static int set_up(void **state)
{
	(void)state;
	server = peer_server(all, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_fini(&peer);
	peer_server_close(server);
	return 0;
}

/* A session whose streams begin with this credit. */

static void put_repeat(uint64_t call_id, size_t payload_size, uint64_t count, bool stay_open)
{
	static uint8_t payload[1 << 16];
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;

	request.payload = (ProtobufCBinaryData){ payload_size, payload };
	request.count = count;
	request.stay_open = stay_open;
	peer_put_call(&peer, call_id, REPEAT, &request.base);
}

static void put_item(uint64_t call_id, const char *text)
{
	Echo__V1__EchoRequest item = ECHO__V1__ECHO_REQUEST__INIT;

	item.payload = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	peer_put_item(&peer, call_id, &item.base);
}

static void put_credit(uint64_t call_id, uint32_t items, uint64_t bytes)
{
	peer_put(&peer, &(struct frame){ .call_id = call_id, .kind = FRAME_CREDIT, .items = items, .payload_bytes = bytes });
}

static void expect_item(uint64_t call_id, const char *text)
{
	struct frame frame;

	peer_expect(&peer, call_id, FRAME_ITEM, &frame);
	Echo__V1__EchoResponse *item = echo__v1__echo_response__unpack(NULL, frame.payload.size, frame.payload.data);
	assert_non_null(item);
	assert_int_equal(item->payload.len, strlen(text));
	assert_memory_equal(item->payload.data, text, strlen(text));
	echo__v1__echo_response__free_unpacked(item, NULL);
}

static void expect_items(uint64_t call_id, unsigned n)
{
	struct frame frame;

	for (; n > 0; n--)
		peer_expect(&peer, call_id, FRAME_ITEM, &frame);
}

static void expect_end(uint64_t call_id)
{
	struct frame frame;

	peer_expect(&peer, call_id, FRAME_REPLY, &frame);
	assert_int_equal(frame.code, ASIDE_OK);
}

static void expect_sum(uint64_t call_id, uint64_t items, uint64_t bytes)
{
	struct frame frame;

	peer_expect(&peer, call_id, FRAME_REPLY, &frame);
	Echo__V1__CollectResponse *sum = echo__v1__collect_response__unpack(NULL, frame.payload.size, frame.payload.data);
	assert_non_null(sum);
	assert_int_equal(sum->items, items);
	assert_int_equal(sum->payload_bytes, bytes);
	echo__v1__collect_response__free_unpacked(sum, NULL);
}

/* The peer is told why, and its session is no more. */
static void expect_break(const char *why)
{
	struct frame frame;

	peer_wait(&peer, &frame);
	assert_int_equal(frame.kind, FRAME_GOAWAY);
	assert_int_equal(frame.reason.size, strlen(why));
	assert_memory_equal(frame.reason.data, why, strlen(why));
	peer_wait_parked(&peer, 0);
	while (peer_next(&peer, &frame)) /* every other turn */
		assert_int_equal(frame.kind, FRAME_GOAWAY);
	peer_send(&peer);
	peer_wait(&peer, &frame);
	assert_int_equal(frame.kind, FRAME_GOAWAY);
}

/* ── credit ──────────────────────────────────────────────────────────────────────────────────────── */

static void the_server_sends_as_many_items_as_it_may(void **state)
{
	(void)state;
	peer_greet(&peer, 4, 1 << 20);
	put_repeat(1, 10, 10, false);
	peer_send(&peer);
	expect_items(1, 4);
	peer_expect_nothing(&peer);
	put_credit(1, 5, 0);
	peer_send(&peer);
	expect_items(1, 5);
	peer_expect_nothing(&peer);
	put_credit(1, 5, 0);
	peer_send(&peer);
	expect_items(1, 1);
	expect_end(1);
	peer_expect_nothing(&peer);
}

/* An item takes its bytes, of which the last may be missing: so that a large one passes a small window. */
static void the_server_sends_as_many_bytes_as_it_may(void **state)
{
	(void)state;
	peer_greet(&peer, 100, 250);
	put_repeat(1, 100, 3, false);
	put_repeat(2, 1000, 2, false);
	peer_send(&peer);
	expect_items(1, 3); /* of 102 bytes each: after two 46 are left */
	expect_end(1);
	expect_items(2, 1);
	peer_expect_nothing(&peer);
	put_credit(2, 0, 753); /* as much as is missing */
	peer_send(&peer);
	peer_expect_nothing(&peer);
	put_credit(2, 0, 1);
	peer_send(&peer);
	expect_items(2, 1);
	expect_end(2);
}

static void without_credit_nothing_is_sent(void **state)
{
	(void)state;
	peer_greet(&peer, 0, 0);
	put_repeat(1, 10, 2, false);
	put_repeat(2, 0, 0, false); /* which needs none */
	peer_send(&peer);
	expect_end(2);
	put_credit(1, 1, 0);
	peer_send(&peer);
	peer_expect_nothing(&peer);
	put_credit(1, 1, 1);
	peer_send(&peer);
	expect_items(1, 1);
	peer_expect_nothing(&peer);
}

static void credit_has_an_end(void **state)
{
	(void)state;
	peer_greet(&peer, 1, 1);
	put_repeat(1, 1, 5, true);
	peer_send(&peer);
	expect_items(1, 1);
	put_credit(1, UINT32_MAX, UINT64_MAX);
	peer_send(&peer);
	expect_break("more credit than can be counted");
}

/* ── what the client sends ───────────────────────────────────────────────────────────────────────── */

static void items_are_collected_over_many_messages(void **state)
{
	struct frame frame;
	unsigned granted = 0;
	(void)state;

	peer_greet(&peer, 0, 0);
	peer_put_call(&peer, 1, COLLECT, NULL);
	peer_send(&peer);
	for (unsigned i = 0; i < 200; i++) {
		put_item(1, "abc");
		peer_send(&peer);
		while (peer_next(&peer, &frame)) {
			assert_int_equal(frame.kind, FRAME_CREDIT);
			granted += frame.items;
		}
	}
	assert_in_range(granted, 200 - STREAM_ITEMS, 200); /* what was taken comes back, half a window late at most */
	peer_put_kind(&peer, 1, FRAME_ITEM);
	peer_send(&peer);
	expect_sum(1, 200, 600);
	put_item(1, "late"); /* of a call that has ended: dropped */
	peer_send(&peer);
	peer_expect_nothing(&peer);
}

static void call_and_items_may_come_in_one_message(void **state)
{
	(void)state;
	peer_greet(&peer, 8, 1000);
	peer_put_call(&peer, 1, COLLECT, NULL);
	put_item(1, "abc");
	put_item(1, "");
	peer_put_kind(&peer, 1, FRAME_ITEM);
	peer_put_call(&peer, 2, CONVERSE, NULL);
	put_item(2, "here");
	put_item(2, "there");
	peer_put_kind(&peer, 2, FRAME_ITEM);
	peer_send(&peer);
	expect_sum(1, 2, 3);
	expect_item(2, "here");
	expect_item(2, "there");
	expect_end(2);
}

/* Items that cannot be answered wait, in order, and so does the half-close behind them. */
static void a_conversation_waits_for_its_slow_side(void **state)
{
	(void)state;
	peer_greet(&peer, 0, 0);
	peer_put_call(&peer, 1, CONVERSE, NULL);
	put_item(1, "one");
	put_item(1, "two");
	put_item(1, "three");
	peer_put_kind(&peer, 1, FRAME_ITEM);
	peer_send(&peer);
	peer_expect_nothing(&peer);
	put_credit(1, 2, 100);
	peer_send(&peer);
	expect_item(1, "one");
	expect_item(1, "two");
	peer_expect_nothing(&peer);
	put_credit(1, 9, 0);
	peer_send(&peer);
	expect_item(1, "three");
	expect_end(1);
}

static void items_without_credit_break_the_session(void **state)
{
	(void)state;
	peer_greet(&peer, 0, 0);
	peer_put_call(&peer, 1, CONVERSE, NULL);
	for (unsigned i = 0; i < STREAM_ITEMS; i++)
		put_item(1, "kept");
	peer_send(&peer);
	peer_expect_nothing(&peer);
	put_item(1, "too many");
	peer_send(&peer);
	expect_break("an item without credit");
}

static void bytes_without_credit_break_the_session(void **state)
{
	char *text = malloc(STREAM_BYTES + 1);
	(void)state;

	memset(text, 'x', STREAM_BYTES);
	text[STREAM_BYTES] = '\0';
	peer_greet(&peer, 0, 0);
	peer_put_call(&peer, 1, CONVERSE, NULL);
	peer_send(&peer);
	put_item(1, text); /* one byte of the message's own too many: fine, as the last */
	peer_send(&peer);
	put_item(1, "");
	peer_send(&peer);
	expect_break("an item without credit");
	free(text);
}

static void items_after_the_last_break_the_session(void **state)
{
	(void)state;
	peer_greet(&peer, 0, 0);
	peer_put_call(&peer, 1, CONVERSE, NULL);
	put_item(1, "kept");
	peer_put_kind(&peer, 1, FRAME_ITEM);
	put_item(1, "after the last");
	peer_send(&peer);
	expect_break("an item without credit");
}

static void items_for_a_server_that_streams_break_the_session(void **state)
{
	(void)state;
	peer_greet(&peer, 0, 0);
	put_repeat(1, 1, 1, false);
	put_item(1, "unasked");
	peer_send(&peer);
	expect_break("an item without credit");
}

static void a_bad_item_ends_its_stream(void **state)
{
	(void)state;
	peer_greet(&peer, 8, 1000);
	peer_put_call(&peer, 1, COLLECT, NULL);
	peer_put_call(&peer, 2, COLLECT, NULL);
	peer_put(&peer, &(struct frame){ .call_id = 1, .kind = FRAME_ITEM, .payload = { (const uint8_t *)"\x0A\x05x", 3 } });
	put_item(1, "more of it");
	put_item(2, "fine");
	peer_put_kind(&peer, 2, FRAME_ITEM);
	peer_send(&peer);
	peer_expect_failure(&peer, 1, ASIDE_INVALID_ARGUMENT, "MALFORMED_REQUEST");
	expect_sum(2, 1, 4);
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────────── */

static void a_stream_is_cancelled_once(void **state)
{
	(void)state;
	peer_greet(&peer, 2, 1000);
	put_repeat(1, 1, 9, true);
	peer_send(&peer);
	expect_items(1, 2);
	peer_put_kind(&peer, 1, FRAME_CANCEL);
	put_credit(1, 9, 9);
	peer_put_kind(&peer, 1, FRAME_CANCEL);
	peer_send(&peer);
	peer_expect_failure(&peer, 1, ASIDE_CANCELLED, "CANCELLED");
	peer_expect_nothing(&peer);
}

static void a_stream_lasts_as_long_as_its_caller_says(void **state)
{
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .method = { (const uint8_t *)COLLECT, strlen(COLLECT) },
		.timeout_us = 3600 * 1000000ull };
	(void)state;

	peer_greet(&peer, 0, 0);
	peer_put(&peer, &call);
	call.call_id = 2;
	call.timeout_us = 0;
	peer_put(&peer, &call);
	peer_send(&peer);
	for (int64_t seconds = 30; seconds < 3600; seconds += 30) { /* the heartbeat takes a turn, another one is parked */
		peer_sleep(server, 30 * 1000000);
		peer_wait_parked(&peer, 0);
		peer_send(&peer);
		peer_expect_nothing(&peer);
	}
	peer_sleep(server, 30 * 1000000);
	peer_wait_failure(&peer, 1, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
	peer_send(&peer);
	peer_expect_nothing(&peer);
}

static void the_longest_stream_lasts_a_day(void **state)
{
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .method = { (const uint8_t *)COLLECT, strlen(COLLECT) },
		.timeout_us = UINT64_MAX };
	(void)state;

	peer_greet(&peer, 0, 0);
	peer_put(&peer, &call);
	peer_send(&peer);
	peer_sleep(server, DAY_US);
	peer_wait_failure(&peer, 1, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
}

/* ── many ────────────────────────────────────────────────────────────────────────────────────────── */

/* The next frame, with a request parked for it. */
static void fetch(struct frame *ret)
{
	if (peer_next(&peer, ret))
		return;
	if (peer_parked(&peer) == 0)
		peer_send(&peer);
	peer_wait(&peer, ret);
}

/* A peer that does not fetch what its streams send makes them wait; then all of them go on. */
static void an_outbox_has_a_limit(void **state)
{
	enum { STREAMS = 100, ITEMS = 50, SIZE = 20000 };
	unsigned seen[STREAMS + 1] = { 0 }, ended = 0;
	struct mallinfo2 before, after;
	struct frame frame;
	(void)state;

	peer_greet(&peer, ITEMS, ITEMS * 65536);
	before = mallinfo2();
	for (uint64_t i = 1; i <= STREAMS; i++)
		put_repeat(i, SIZE, ITEMS, false);
	peer_send(&peer);
	after = mallinfo2();
	assert_true(after.uordblks < before.uordblks + (8 << 20)); /* of 100 MB they have to send */
	while (ended < STREAMS) {
		fetch(&frame);
		assert_in_range(frame.call_id, 1, STREAMS);
		seen[frame.call_id] += frame.kind == FRAME_ITEM;
		ended += frame.kind == FRAME_REPLY;
	}
	for (unsigned i = 1; i <= STREAMS; i++)
		assert_int_equal(seen[i], ITEMS);
}

static void ten_thousand_idle_streams_are_cheap(void **state)
{
	enum { STREAMS = 10000, BATCH = 500 };
	struct mallinfo2 before, after;
	unsigned cancelled = 0;
	struct frame frame;
	(void)state;

	peer_greet(&peer, 16, 65536);
	before = mallinfo2();
	for (uint64_t id = 1; id <= STREAMS; id++) {
		put_repeat(id, 10, 0, true);
		if (id % BATCH == 0)
			peer_send(&peer);
	}
	after = mallinfo2();
	size_t each = (after.uordblks - before.uordblks) / STREAMS;
	print_message("# %zu bytes a stream\n", each);
	assert_in_range(each, 0, 2048);
	peer_expect_nothing(&peer);
	for (uint64_t id = 1; id <= STREAMS; id++)
		peer_put_kind(&peer, id, FRAME_CANCEL);
	peer_send(&peer);
	for (; cancelled < STREAMS; cancelled++) {
		fetch(&frame);
		assert_int_equal(frame.code, ASIDE_CANCELLED);
	}
}

/* Everything of theirs is freed with the connection: ASan's leak check sees to that. */
static void streams_end_with_their_connection(void **state)
{
	struct server_stats stats;
	(void)state;

	peer_greet(&peer, 0, 0);
	for (uint64_t id = 1; id <= 20; id++)
		peer_put_call(&peer, id, id % 2 ? COLLECT : CONVERSE, NULL);
	put_item(2, "kept");
	peer_send(&peer);
	server_stats(server, &stats);
	assert_int_equal(stats.admission.streams, 20);
	peer_leave(&peer);
	do
		server_stats(server, &stats);
	while (stats.admission.streams > 0 || stats.sessions > 0);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(the_server_sends_as_many_items_as_it_may),
		STREAM_TEST(the_server_sends_as_many_bytes_as_it_may),
		STREAM_TEST(without_credit_nothing_is_sent),
		STREAM_TEST(credit_has_an_end),
		STREAM_TEST(items_are_collected_over_many_messages),
		STREAM_TEST(call_and_items_may_come_in_one_message),
		STREAM_TEST(a_conversation_waits_for_its_slow_side),
		STREAM_TEST(items_without_credit_break_the_session),
		STREAM_TEST(bytes_without_credit_break_the_session),
		STREAM_TEST(items_after_the_last_break_the_session),
		STREAM_TEST(items_for_a_server_that_streams_break_the_session),
		STREAM_TEST(a_bad_item_ends_its_stream),
		STREAM_TEST(a_stream_is_cancelled_once),
		STREAM_TEST(a_stream_lasts_as_long_as_its_caller_says),
		STREAM_TEST(the_longest_stream_lasts_a_day),
		STREAM_TEST(an_outbox_has_a_limit),
		STREAM_TEST(ten_thousand_idle_streams_are_cheap),
		STREAM_TEST(streams_end_with_their_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
