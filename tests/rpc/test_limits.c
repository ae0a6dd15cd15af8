/* What is too much: calls, what they keep, replies that nobody fetches. */
#include "asking.h"

#include <sched.h>

#include "rpc/session.h"
#include "store/op.h"

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
	peer_greet(&peer, 1, 1);
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

/* ── calls ───────────────────────────────────────────────────────────────────────────────────────── */

/* What is too much is refused at once, also in a session, and does not harm the rest. */
static void a_flood_is_refused_beyond_the_limit(void **state)
{
	enum { CALLS = 12000, LIMIT = 10001 / 4 * 3 + 1 }; /* one caller's share */
	struct frame frame;
	(void)state;

	peer_greet(&peer, 1, 1);
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

/* A call that is answered at once, without the store. */
static void ask_for_nothing(struct peer *caller, uint64_t call_id)
{
	peer_put_call(caller, call_id, "/x", NULL);
	peer_send(caller);
}

/* One message costs the server as much as many refusals: while replies come they wait for the next. */
static void a_refusal_waits_for_the_next_reply(void **state)
{
	enum { LIMIT = 10001 / 4 * 3 + 1, OTHER = 100000 };
	struct peer next;
	(void)state;

	peer_greet(&peer, 1, 1);
	for (uint64_t i = 1; i <= LIMIT; i++) { /* in small messages: handled on this thread */
		asking_put(&peer, i, "abc");
		if (i % 500 == 0 || i == LIMIT)
			peer_send(&peer);
	}
	peer_sleep(server, REFUSALS_WAIT_US);
	asking_put(&peer, OTHER, "abc"); /* no reply has left for so long */
	peer_send(&peer);
	peer_expect_failure(&peer, OTHER, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS_OF_PRINCIPAL");

	peer_stop_time(true);
	ask_for_nothing(&peer, OTHER + 1);
	peer_expect_failure(&peer, OTHER + 1, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN");
	asking_put(&peer, OTHER + 2, "abc");
	peer_send(&peer);
	peer_expect_nothing(&peer);
	ask_for_nothing(&peer, OTHER + 3);
	peer_expect_failure(&peer, OTHER + 2, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS_OF_PRINCIPAL");
	const struct answer *message = peer.reading;
	peer_expect_failure(&peer, OTHER + 3, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN");
	assert_ptr_equal(peer.reading, message);

	asking_put_within(&peer, OTHER + 4, REFUSALS_HASTE_US); /* its caller would not wait */
	peer_send(&peer);
	peer_expect_failure(&peer, OTHER + 4, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS_OF_PRINCIPAL");

	peer_greet(&next, 1, 1);
	ask_for_nothing(&next, 1);
	peer_expect_failure(&next, 1, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN");
	asking_put(&next, 2, "abc"); /* nothing else is asked, and so no reply to come */
	peer_send(&next);
	peer_expect_failure(&next, 2, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS_OF_PRINCIPAL");
	peer_fini(&next);

	asking_put(&peer, OTHER + 5, "abc");
	peer_send(&peer);
	peer_expect_nothing(&peer);
	peer_stop_time(false);
	peer_sleep(server, REFUSALS_WAIT_US);
	peer_wait_failure(&peer, OTHER + 5, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS_OF_PRINCIPAL");
	peer_expect_nothing(&peer); /* it has not waited until a call was late */
}

/* ── replies ─────────────────────────────────────────────────────────────────────────────────────── */

/* It asks and asks; what it may fetch with the requests it sends is little of what it is owed. */
static void replies_that_are_not_fetched_end_the_session(void **state)
{
	enum { MESSAGES = 40, CALLS = 60000 }; /* of which each is owed some 70 bytes */
	(void)state;

	peer_greet(&peer, 1, 1);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		for (uint64_t k = 1; k <= CALLS; k++)
			peer_put_call(&peer, i * CALLS + k, "/x", NULL);
		peer_send(&peer);
	}
	peer_wait_goaway(&peer, "replies that are not fetched");
}

/* It was answered 20,000 calls, more than may be under way; that it does not fetch the replies is no concern of others. */
static void replies_that_are_not_fetched_take_no_place(void **state)
{
	enum { OTHERS = 40000, CALLS = 20000 };
	struct peer next;
	(void)state;

	peer_greet(&peer, 1, 1);
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

	peer_stop_time(true); /* however long the others take, no heartbeat takes the turn of the modest one */
	peer_init(&modest, 1);
	peer_put_hello(&modest, 1, 1);
	peer_send(&modest);
	peer_expect(&modest, 0, FRAME_HELLO, &frame);
	asking_put(&modest, 1, "");
	peer_send(&modest);
	peer_greet(&peer, 1, 1);
	hoard(0);
	asking_answer();
	asking_expect(&modest, 1, "");
	assert_int_equal(peer_cuts(&modest), 0);
	peer_fini(&modest);
}

/* Its sessions end all the same; and it is tried again for as long as something is kept for it. */
static void a_connection_that_is_not_found_is_looked_for_again(void **state)
{
	(void)state;

	peer_greet(&peer, 1, 1);
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
		cmocka_unit_test_setup_teardown(what_a_call_keeps_is_counted_until_it_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_is_what_a_plain_call_keeps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replies_that_are_not_fetched_end_the_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_is_refused_beyond_the_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_refusal_waits_for_the_next_reply, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replies_that_are_not_fetched_take_no_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_most_kept_is_cut_off_and_nobody_else, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_connection_that_is_not_found_is_looked_for_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
