/* One call after the other through the runtime: what goes in, what comes out. */
#include "asking.h"

#include <sched.h>
#include <stdlib.h>

#include "store/op.h"

static struct server *server;
static struct peer peer;

static int set_up(void **state)
{
	(void)state;
	server = asking_server();
	peer_init(&peer, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_fini(&peer);
	peer_server_close(server);
	return 0;
}

static void send_echo(const char *text)
{
	asking_put(&peer, 1, text);
	peer_send(&peer);
}

/* What a client of any age sends and reads, byte for byte: Echo("abc") as call 5, and its reply. */
static void request_and_reply_are_golden(void **state)
{
	static const uint8_t request[] = { 0x1A, 0x26, 0x08, 0x05, 0x1A, 0x22, 0x0A, 0x19, '/', 'e', 'c', 'h', 'o', '.', 'v', '1', '.',
		'E', 'c', 'h', 'o', 'S', 'e', 'r', 'v', 'i', 'c', 'e', '/', 'E', 'c', 'h', 'o', 0x12, 0x05, 0x0A, 0x03, 'a', 'b', 'c' };
	static const uint8_t reply[] = { 0x1A, 0x0B, 0x08, 0x05, 0x22, 0x07, 0x12, 0x05, 0x0A, 0x03, 'a', 'b', 'c' };
	struct bytes got;
	(void)state;

	peer_send_bytes(&peer, (struct bytes){ request, sizeof request });
	asking_answer();
	got = peer_wait_bytes(&peer);
	assert_int_equal(got.size, sizeof reply);
	assert_memory_equal(got.data, reply, sizeof reply);
}

static void a_handler_may_ask_twice(void **state)
{
	(void)state;
	send_echo("again");
	asking_answer();
	asking_answer();
	asking_expect(&peer, 1, "again");
	assert_int_equal(asking_asked(), 2);
	assert_int_equal(asking_ended(), 2);
}

static void a_handler_may_fail(void **state)
{
	(void)state;
	send_echo("lost");
	asking_answer();
	peer_wait_failure(&peer, 1, ASIDE_NOT_FOUND, "NO_SUCH_ECHO");
	send_echo("mute"); /* or forget its response */
	asking_answer();
	peer_wait_failure(&peer, 1, ASIDE_INTERNAL, "NO_RESPONSE");
}

static void the_store_may_refuse(void **state)
{
	(void)state;
	asking_refuse();
	send_echo("abc");
	peer_expect_failure(&peer, 1, ASIDE_RESOURCE_EXHAUSTED, "QUEUE_FULL");
	assert_int_equal(asking_ended(), 0);
}

static void replies_to_a_plain_message_leave_together(void **state)
{
	(void)state;
	asking_put(&peer, 1, "abc");
	peer_put_call(&peer, 2, "/echo.v1.EchoService/None", NULL);
	peer_send(&peer);
	peer_expect_nothing(&peer); /* the first still asks the store */
	asking_answer();
	peer_wait_failure(&peer, 2, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN");
	asking_expect(&peer, 1, "abc");
	peer_expect_nothing(&peer);
	assert_int_equal(peer_parked(&peer), 0);
}

static void a_plain_message_of_many_calls_is_answered_as_a_whole(void **state)
{
	enum { CALLS = 30000 }; /* to which the replies are well over 1 MiB */
	struct frame frame;
	(void)state;

	for (uint64_t i = 1; i <= CALLS; i++)
		peer_put_call(&peer, i, "/x", NULL);
	peer_send(&peer);
	for (uint64_t i = 1; i <= CALLS; i++) {
		peer_wait(&peer, &frame);
		assert_int_equal(frame.call_id, i);
	}
	peer_expect_nothing(&peer);
}

static void streams_need_a_session(void **state)
{
	static const char *const methods[] = { "/echo.v1.EchoService/Repeat", "/echo.v1.EchoService/Collect",
		"/echo.v1.EchoService/Converse" };
	(void)state;

	for (uint64_t i = 0; i < N_OF(methods); i++)
		peer_put_call(&peer, i, methods[i], NULL);
	peer_send(&peer);
	for (uint64_t i = 0; i < N_OF(methods); i++)
		peer_expect_failure(&peer, i, ASIDE_UNIMPLEMENTED, "SESSION_REQUIRED");
}

static void bad_requests_do_not_reach_the_handler(void **state)
{
	static const char *const bad[] = { "\x0A\x05x", "\x08\x01", "\x0A", "\xFF" };
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .method = { (const uint8_t *)ECHO, strlen(ECHO) } };
	uint8_t *large = calloc(1, (1 << 20) + 1);
	(void)state;

	for (size_t i = 0; i < N_OF(bad); i++) {
		call.payload = (struct bytes){ (const uint8_t *)bad[i], strlen(bad[i]) };
		peer_put(&peer, &call);
		peer_send(&peer);
		peer_expect_failure(&peer, 1, ASIDE_INVALID_ARGUMENT, "MALFORMED_REQUEST");
	}
	call.payload = (struct bytes){ large, (1 << 20) + 1 };
	peer_put(&peer, &call);
	peer_send(&peer);
	peer_wait_failure(&peer, 1, ASIDE_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE");
	assert_int_equal(asking_asked(), 0);
	free(large);
}

/* The message waited for longer than its call may last. */
static void what_is_too_late_is_not_begun(void **state)
{
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .timeout_us = 1000, .method = { (const uint8_t *)ECHO, strlen(ECHO) } };
	(void)state;

	peer_put(&peer, &call);
	peer_delay(2000);
	peer_send(&peer);
	peer_expect_failure(&peer, 1, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
	assert_int_equal(asking_asked(), 0);
	peer_put(&peer, &call);
	peer_send(&peer);
	assert_int_equal(asking_asked(), 1);
	asking_answer();
	asking_expect(&peer, 1, "");
}

static void operations_inherit_the_deadline(void **state)
{
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .timeout_us = 5000000, .method = { (const uint8_t *)ECHO, strlen(ECHO) } };
	int64_t before = clock_monotonic_us();
	(void)state;

	peer_put(&peer, &call);
	peer_send(&peer);
	assert_in_range(asking_first()->deadline_us, before + 5000000, clock_monotonic_us() + 5000000);
	asking_answer();
	asking_expect(&peer, 1, "");
}

/* ── a store that does not answer ────────────────────────────────────────────────────────────────── */

static void put_call_with(uint64_t call_id, uint64_t timeout_us)
{
	struct frame call = { .call_id = call_id, .kind = FRAME_CALL, .timeout_us = timeout_us,
		.method = { (const uint8_t *)ECHO, strlen(ECHO) } };

	peer_put(&peer, &call);
}

/* Whether it is done nobody can say: it may be done later. */
static void expect_late(uint64_t call_id)
{
	struct aside_status late;
	struct frame frame;

	peer_wait(&peer, &frame);
	assert_int_equal(frame.call_id, call_id);
	peer_read_status(&frame, &late);
	assert_int_equal(late.code, ASIDE_DEADLINE_EXCEEDED);
	assert_string_equal(late.reason, "DEADLINE_EXCEEDED");
	assert_false(late.not_executed);
}

static void greet(void)
{
	struct frame frame;

	peer_init(&peer, 0x1234567890ABCDEF);
	peer_put_hello(&peer, 1, 1);
	peer_send(&peer);
	peer_expect(&peer, 0, FRAME_HELLO, &frame);
}

static void a_call_ends_at_its_deadline_whatever_the_store_does(void **state)
{
	(void)state;
	greet();
	put_call_with(1, 20000000);
	put_call_with(2, 5000000);
	peer_send(&peer);
	peer_send(&peer);
	peer_sleep(server, 4000000);
	peer_expect_nothing(&peer);
	peer_sleep(server, 2000000);
	expect_late(2);
	peer_send(&peer);
	peer_expect_nothing(&peer); /* the first has time */
	assert_false(asking_first()->abandoned);
	asking_answer();
	asking_expect(&peer, 1, "");
	assert_true(asking_first()->abandoned); /* so that it is not begun any more */
	asking_answer(); /* but it was under way */
	put_call_with(3, 5000000);
	peer_send(&peer);
	asking_answer();
	asking_expect(&peer, 3, "");
	assert_int_equal(asking_ended(), 2); /* the handler heard no more of the second */
}

static void so_does_a_plain_call(void **state)
{
	(void)state;
	put_call_with(1, 5000000);
	put_call_with(2, 20000000);
	peer_send(&peer);
	peer_sleep(server, 6000000);
	assert_int_equal(asking_asked(), 2);
	peer_expect_nothing(&peer); /* replies to a plain message leave together */
	peer_sleep(server, 15000000);
	expect_late(1);
	expect_late(2);
	asking_answer();
	asking_answer();
	assert_int_equal(peer_parked(&peer), 0);
}

/* As a session's are. */
static void plain_calls_of_a_lost_peer_are_cancelled(void **state)
{
	(void)state;
	put_call_with(1, 5000000);
	peer_send(&peer);
	assert_false(asking_first()->abandoned);
	peer_leave(&peer);
	peer_wait_parked(&peer, 0);
	asking_answer();
	peer_server_close(server); /* which waits for whoever visits the session */
	assert_int_equal(asking_ended(), 0);
	server = asking_server();
}

/* ── what calls keep ─────────────────────────────────────────────────────────────────────────────── */

static uint64_t kept_bytes(void)
{
	struct server_stats stats;

	server_stats(server, &stats);
	return stats.kept_bytes;
}

/* A worker may still be at it: ten seconds at most. */
static void assert_kept_in_the_end(uint64_t most)
{
	int64_t until_us = clock_monotonic_us() + 10000000;

	while (kept_bytes() > most && clock_monotonic_us() < until_us)
		sched_yield();
	assert_in_range(kept_bytes(), 0, most);
}

static void what_a_call_keeps_is_counted_until_it_ends(void **state)
{
	enum { CALLS = 60 };
	char text[1000] = "";
	(void)state;

	memset(text, 'x', sizeof text - 1);
	greet();
	for (uint64_t i = 1; i <= CALLS; i++)
		asking_put(&peer, i, text);
	peer_send(&peer);
	/* The requests, and what the handler has made of them; the session itself, and a step of counting. */
	assert_in_range(kept_bytes(), CALLS * (sizeof text + sizeof(struct op)), CALLS * (sizeof text + sizeof(struct op) + 2048) + 20000);
	for (uint64_t i = 1; i <= CALLS; i++) {
		asking_answer();
		peer_send(&peer);
		asking_expect(&peer, i, text);
	}
	assert_kept_in_the_end(20000);
	peer_leave(&peer);
	assert_kept_in_the_end(0);
}

static void so_is_what_a_plain_call_keeps(void **state)
{
	enum { CALLS = 60 };
	(void)state;

	for (uint64_t i = 1; i <= CALLS; i++)
		asking_put(&peer, i, "abc");
	peer_send(&peer);
	assert_true(kept_bytes() >= CALLS * sizeof(struct op));
	for (uint64_t i = 1; i <= CALLS; i++)
		asking_answer();
	for (uint64_t i = 1; i <= CALLS; i++)
		asking_expect(&peer, i, "abc");
	assert_kept_in_the_end(0);
}

/* ── peers that break the rules ──────────────────────────────────────────────────────────────────── */

/* Reads until the session is ended; because of this. */
static void expect_goaway(const char *why)
{
	struct frame frame;

	do
		peer_wait(&peer, &frame);
	while (frame.kind == FRAME_REPLY);
	assert_int_equal(frame.kind, FRAME_GOAWAY);
	assert_int_equal(frame.reason.size, strlen(why));
	assert_memory_equal(frame.reason.data, why, strlen(why));
}

static void a_frame_that_cannot_be_read_ends_the_session(void **state)
{
	static const uint8_t cut[] = { 0x1A, 0x02, 0x08, 0xFF };
	(void)state;

	greet();
	peer_put_call(&peer, 1, "/x", NULL);
	peer_put_bytes(&peer, (struct bytes){ cut, sizeof cut });
	peer_put_call(&peer, 2, "/x", NULL); /* which nobody will answer */
	peer_send(&peer);
	expect_goaway("a frame that cannot be read");
}

/* It asks and asks; what it may fetch with the requests it sends is little of what it is owed. */
static void replies_that_are_not_fetched_end_the_session(void **state)
{
	enum { MESSAGES = 40, CALLS = 60000 }; /* of which each is owed some 70 bytes */
	(void)state;

	greet();
	for (uint64_t i = 0; i < MESSAGES; i++) {
		for (uint64_t k = 1; k <= CALLS; k++)
			peer_put_call(&peer, i * CALLS + k, "/x", NULL);
		peer_send(&peer);
	}
	expect_goaway("replies that are not fetched");
}

/* What is too much is refused at once, also in a session, and does not harm the rest. */
static void a_flood_is_refused_beyond_the_limit(void **state)
{
	enum { CALLS = 12000, LIMIT = (10001 + 512) / 4 * 3 + 1 }; /* one caller's share; 512: anyone may call it */
	struct frame frame;
	(void)state;

	greet();
	for (uint64_t i = 1; i <= CALLS; i++)
		asking_put(&peer, i, "abc");
	peer_send(&peer);
	for (uint64_t i = LIMIT + 1; i <= CALLS; i++)
		peer_wait_failure(&peer, i, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS_OF_PRINCIPAL");
	for (uint64_t i = 1; i <= LIMIT; i++)
		asking_answer();
	for (uint64_t i = 1; i <= LIMIT; i++) {
		if (peer_parked(&peer) == 0)
			peer_send(&peer); /* a turn for what is done */
		peer_wait(&peer, &frame);
		assert_int_equal(frame.code, ASIDE_OK);
	}
	asking_put(&peer, CALLS + 1, "abc");
	peer_send(&peer);
	asking_answer();
	asking_expect(&peer, CALLS + 1, "abc");
}

/* So that nothing is on its way when it closes the connection. */
static void a_client_that_leaves_gets_back_all_its_requests(void **state)
{
	(void)state;

	greet();
	asking_put(&peer, 1, "abc"); /* which the store is asked */
	peer_send(&peer);
	peer_send(&peer);
	peer_put_kind(&peer, 0, FRAME_GOAWAY);
	peer_send(&peer);
	for (unsigned i = 0; i < 3; i++)
		expect_goaway("the client has left");
	assert_int_equal(peer_parked(&peer), 0);
	asking_answer();
	peer_expect_nothing(&peer);
}

/* It was answered 20,000 calls, all there may be; that it does not fetch the replies is no concern of others. */
static void replies_that_are_not_fetched_take_no_place(void **state)
{
	enum { OTHERS = 40000, CALLS = 20000 };
	struct peer next;
	(void)state;

	greet();
	asking_refuse();
	for (uint64_t i = 1; i <= OTHERS; i++) /* these fill what one request may fetch */
		peer_put_call(&peer, i, "/x", NULL);
	for (uint64_t i = 1; i <= CALLS; i++)
		asking_put(&peer, OTHERS + i, "abc");
	peer_send(&peer);
	peer_wait_parked(&peer, 0);
	peer_init(&next, 0);
	asking_put(&next, 1, "abc");
	peer_send(&next);
	peer_wait_failure(&next, 1, ASIDE_RESOURCE_EXHAUSTED, "QUEUE_FULL");
	peer_fini(&next);
}

/* Each session keeps within its own limit; there are many of them, on the peer's connection, of which `parked` requests
 * wait. */
static void hoard(unsigned parked)
{
	enum { SESSIONS = 128, CALLS = 40000 }; /* of which each is owed some 70 bytes */

	for (unsigned i = 0; i < SESSIONS && peer_cuts(&peer) == 0; i++) {
		struct peer another = { .connection = peer.connection, .session = i + 2, .next_out = 1, .next_in = 1 };
		peer_put_hello(&another, 1, 1);
		for (uint64_t k = 1; k <= CALLS; k++)
			peer_put_call(&another, k, "/x", NULL);
		peer_send(&another);
		peer_wait_parked(&another, parked); /* it has been handled */
		peer_fini(&another);
	}
	assert_int_not_equal(peer_cuts(&peer), 0); /* more than once where that took until the next tick */
}

static void who_has_most_kept_is_cut_off_and_nobody_else(void **state)
{
	struct peer modest;
	struct frame frame;
	(void)state;

	peer_init(&modest, 1);
	peer_put_hello(&modest, 1, 1);
	peer_send(&modest);
	peer_expect(&modest, 0, FRAME_HELLO, &frame);
	asking_put(&modest, 1, "abc");
	peer_send(&modest);
	greet();
	hoard(0);
	asking_answer();
	asking_expect(&modest, 1, "abc");
	assert_int_equal(peer_cuts(&modest), 0);
	peer_fini(&modest);
}

/* Its sessions end all the same; and it is tried again for as long as something is kept for it. */
static void a_connection_that_is_not_found_is_looked_for_again(void **state)
{
	(void)state;

	greet();
	peer_hide(&peer);
	asking_put(&peer, 1, "abc");
	peer_send(&peer);
	hoard(1);
	peer_wait_parked(&peer, 0);
	unsigned before = peer_cuts(&peer);
	peer_sleep(server, 1000000);
	assert_true(peer_cuts(&peer) > before);
	asking_answer();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(request_and_reply_are_golden, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_handler_may_ask_twice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_handler_may_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_store_may_refuse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replies_to_a_plain_message_leave_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_plain_message_of_many_calls_is_answered_as_a_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(streams_need_a_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_requests_do_not_reach_the_handler, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_late_is_not_begun, set_up, tear_down),
		cmocka_unit_test_setup_teardown(operations_inherit_the_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_call_ends_at_its_deadline_whatever_the_store_does, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_does_a_plain_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(plain_calls_of_a_lost_peer_are_cancelled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_call_keeps_is_counted_until_it_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_is_what_a_plain_call_keeps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_frame_that_cannot_be_read_ends_the_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_is_refused_beyond_the_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replies_that_are_not_fetched_end_the_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_leaves_gets_back_all_its_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replies_that_are_not_fetched_take_no_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_most_kept_is_cut_off_and_nobody_else, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_connection_that_is_not_found_is_looked_for_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
