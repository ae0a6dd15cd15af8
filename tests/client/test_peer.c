/* What the client does with a server that refuses, vanishes, leaves or breaks the rules: each told by a peer that the
 * test drives frame by frame. */
#include "../unit/test.h"

#include <stdio.h>
#include <unistd.h>

#include "calls.h"

static struct aside_method echo, once; /* with and without idempotency */

/* ── calls ───────────────────────────────────────────────────────────────────────────────────────── */

/* What aside-attempt says; 1 without it. */
static unsigned attempt_number(const struct frame *call)
{
	for (size_t i = 0; i < call->n_metadata; i++)
		if (call->metadata[i].key.size == 13 && memcmp(call->metadata[i].key.data, "aside-attempt", 13) == 0)
			return (unsigned)(call->metadata[i].value.data[0] - '0');
	return 1;
}

/* Makes one call of `method` that a peer answers with `code` first, and with OK if it is made again.  Its end. */
static enum aside_code call_answered(const struct aside_method *method, enum aside_code code, bool not_executed,
		bool again)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	peer_open(&peer, "once");
	channel = open_channel(peer.url, NULL);
	start(channel, method, NULL, &ending);
	answer(&peer, code, not_executed, 1000);
	if (again) {
		const struct frame *call = peer_hear(&peer, FRAME_CALL);
		assert_int_equal(attempt_number(call), 2);
		struct frame reply = peer_reply(call->call_id, ASIDE_OK, false, 0);
		peer_say(&peer, &reply, 1);
	}
	enum aside_code end = wait_for(&ending);
	aside_channel_close(channel);
	peer_close(&peer);
	return end;
}

static void what_was_not_executed_is_made_again(void **state)
{
	(void)state;
	assert_int_equal(call_answered(&once, ASIDE_UNAVAILABLE, true, true), ASIDE_OK);
	assert_int_equal(call_answered(&once, ASIDE_RESOURCE_EXHAUSTED, true, true), ASIDE_OK);
}

static void what_may_be_executed_only_where_that_is_safe(void **state)
{
	(void)state;
	assert_int_equal(call_answered(&echo, ASIDE_UNAVAILABLE, false, true), ASIDE_OK);
	assert_int_equal(call_answered(&once, ASIDE_UNAVAILABLE, false, false), ASIDE_UNAVAILABLE);
	assert_int_equal(call_answered(&echo, ASIDE_RESOURCE_EXHAUSTED, false, false), ASIDE_RESOURCE_EXHAUSTED);
	assert_int_equal(call_answered(&echo, ASIDE_NOT_FOUND, false, false), ASIDE_NOT_FOUND);
}

static void five_tries_and_no_more(void **state)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "five");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, NULL, &ending);
	for (unsigned i = 1; i <= 5; i++) {
		const struct frame *call = peer_hear(&peer, FRAME_CALL);
		assert_int_equal(attempt_number(call), i);
		struct frame reply = peer_reply(call->call_id, ASIDE_UNAVAILABLE, false, 100);
		peer_say(&peer, &reply, 1);
	}
	assert_int_equal(wait_for(&ending), ASIDE_UNAVAILABLE);
	assert_string_equal(ending.status.reason, "SCRIPTED");
	aside_channel_close(channel);
	peer_close(&peer);
}

/* The budget is a thousand: four for each call, until it is used up.  Refusals do not fill it again. */
static void refused_calls_earn_no_tries(void **state)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "budget");
	channel = open_channel(peer.url, NULL);
	for (unsigned i = 0; i < 300; i++) {
		start(channel, &echo, NULL, &ending);
		for (unsigned tries = i < 250 ? 5 : 1; tries > 0; tries--)
			answer(&peer, ASIDE_RESOURCE_EXHAUSTED, true, 1);
		assert_int_equal(wait_for(&ending), ASIDE_RESOURCE_EXHAUSTED);
	}
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_wait_beyond_the_deadline_is_not_waited(void **state)
{
	struct aside_call_options options = { .timeout_ms = 20000 };
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "pushback");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, &options, &ending);
	answer(&peer, ASIDE_RESOURCE_EXHAUSTED, true, 60000000);
	assert_int_equal(wait_for(&ending), ASIDE_RESOURCE_EXHAUSTED); /* now, not in 20 s: the test's time says so */
	assert_true(ending.status.not_executed);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_lost_connection_is_made_anew(void **state)
{
	struct aside_channel *channel;
	struct ending safe, unsafe;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "lost");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, NULL, &safe);
	(void)peer_hear(&peer, FRAME_CALL);
	start(channel, &once, NULL, &unsafe);
	(void)peer_hear(&peer, FRAME_CALL);
	peer_hang_up(&peer);
	assert_int_equal(wait_for(&unsafe), ASIDE_UNAVAILABLE);
	assert_string_equal(unsafe.status.reason, "CONNECTION_LOST");
	assert_false(unsafe.status.not_executed);
	answer(&peer, ASIDE_OK, false, 0);
	assert_int_equal(wait_for(&safe), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_thousand_calls_outlive_their_connection(void **state)
{
	static struct ending endings[1000];
	struct aside_channel *channel;
	struct frame replies[64];
	static struct peer peer;

	(void)state;
	peer_open(&peer, "thousand");
	channel = open_channel(peer.url, NULL);
	for (size_t i = 0; i < N_OF(endings); i++)
		start(channel, &echo, NULL, &endings[i]);
	for (size_t i = 0; i < 10; i++)
		(void)peer_hear(&peer, FRAME_CALL);
	peer_hang_up(&peer);
	for (size_t left = N_OF(endings); left > 0;) {
		size_t n = 0;
		for (; n < N_OF(replies) && left > 0; n++, left--)
			replies[n] = peer_reply(peer_hear(&peer, FRAME_CALL)->call_id, ASIDE_OK, false, 0);
		peer_say(&peer, replies, n);
	}
	for (size_t i = 0; i < N_OF(endings); i++)
		assert_int_equal(wait_for(&endings[i]), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

/* ── cancelling ──────────────────────────────────────────────────────────────────────────────────── */

static void the_server_hears_of_a_cancelled_call(void **state)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "cancel");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, NULL, &ending);
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	aside_call_cancel(channel, ending.call_id);
	assert_true(peer_hear(&peer, FRAME_CANCEL)->call_id == id);
	assert_int_equal(wait_for(&ending), ASIDE_CANCELLED);
	aside_call_cancel(channel, ending.call_id); /* it has ended: nothing */
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_call_that_moved_is_cancelled_where_it_is(void **state)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "moved");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, NULL, &ending);
	uint64_t first = peer_hear(&peer, FRAME_CALL)->call_id;
	struct frame reply = peer_reply(first, ASIDE_UNAVAILABLE, true, 100);
	peer_say(&peer, &reply, 1);
	uint64_t second = peer_hear(&peer, FRAME_CALL)->call_id;
	assert_true(second > first);
	aside_call_cancel(channel, ending.call_id);
	assert_true(peer_hear(&peer, FRAME_CANCEL)->call_id == second);
	assert_int_equal(wait_for(&ending), ASIDE_CANCELLED);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_deadline_cancels_at_the_server(void **state)
{
	struct aside_call_options options = { .timeout_ms = 50 };
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "late");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, &options, &ending);
	const struct frame *call = peer_hear(&peer, FRAME_CALL);
	assert_true(call->timeout_us > 0 && call->timeout_us <= 50000);
	uint64_t id = call->call_id;
	assert_true(peer_hear(&peer, FRAME_CANCEL)->call_id == id);
	assert_int_equal(wait_for(&ending), ASIDE_DEADLINE_EXCEEDED);
	assert_false(ending.status.not_executed); /* it had left */
	aside_channel_close(channel);
	peer_close(&peer);
}

/* ── leaving ─────────────────────────────────────────────────────────────────────────────────────── */

static void calls_beyond_a_goaway_go_elsewhere(void **state)
{
	struct ending kept, moved;
	struct aside_channel *channel;
	static struct peer leaving, staying;
	char urls[256];

	(void)state;
	peer_open(&leaving, "leaving");
	(void)snprintf(urls, sizeof urls, "%s,ipc:///tmp/aside-peer-%d-staying.sock", leaving.url, (int)getpid());
	channel = open_channel(urls, NULL); /* nobody listens at the second yet */
	start(channel, &once, NULL, &kept);
	uint64_t first = peer_hear(&leaving, FRAME_CALL)->call_id;
	start(channel, &once, NULL, &moved);
	(void)peer_hear(&leaving, FRAME_CALL);
	struct frame goaway = { .kind = FRAME_GOAWAY, .last_call_id = first };
	peer_say(&leaving, &goaway, 1);
	peer_open(&staying, "staying");
	answer(&staying, ASIDE_OK, false, 0); /* the second call: it was certainly not executed */
	assert_int_equal(wait_for(&moved), ASIDE_OK);
	struct frame reply = peer_reply(first, ASIDE_OK, false, 0);
	peer_say(&leaving, &reply, 1);
	assert_int_equal(wait_for(&kept), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&leaving);
	peer_close(&staying);
}

/* Both are connected once, of two calls under way, each is at another. */
static void connect_both(struct aside_channel *channel, struct peer peers[2])
{
	struct ending pair[2];
	struct peer *at[2];
	uint64_t ids[2];

	do {
		for (unsigned i = 0; i < 2; i++) {
			start(channel, &echo, NULL, &pair[i]);
			at[i] = peers_any(peers, 2);
			ids[i] = peer_hear(at[i], FRAME_CALL)->call_id;
		}
		for (unsigned i = 0; i < 2; i++) {
			struct frame reply = peer_reply(ids[i], ASIDE_OK, false, 0);
			peer_say(at[i], &reply, 1);
			assert_int_equal(wait_for(&pair[i]), ASIDE_OK);
		}
	} while (at[0] == at[1]);
}

static void a_server_that_drains_gets_no_more_calls(void **state)
{
	struct aside_channel *channel;
	static struct peer peers[2];
	struct ending ending;
	char urls[300];

	(void)state;
	peer_open(&peers[0], "drains");
	peer_open(&peers[1], "serves");
	(void)snprintf(urls, sizeof urls, "%s,%s", peers[0].url, peers[1].url);
	channel = open_channel(urls, NULL);
	connect_both(channel, peers);
	start(channel, &once, NULL, &ending);
	struct peer *drains = peers_any(peers, 2), *serves = &peers[drains == &peers[0]];
	struct frame refusal = peer_drain(peer_hear(drains, FRAME_CALL)->call_id);
	peer_say(drains, &refusal, 1);
	answer(serves, ASIDE_OK, false, 0);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	for (unsigned i = 0; i < 50; i++) {
		start(channel, &once, NULL, &ending);
		assert_ptr_equal(peers_any(peers, 2), serves);
		answer(serves, ASIDE_OK, false, 0);
		assert_int_equal(wait_for(&ending), ASIDE_OK);
	}
	aside_channel_close(channel);
	peer_close(&peers[0]);
	peer_close(&peers[1]);
}

static void nothing_follows_hello_before_it_is_answered(void **state)
{
	static struct ending endings[20];
	struct aside_channel *channel;
	static struct peer peer;
	struct frame replies[N_OF(endings)];

	(void)state;
	peer_open(&peer, "hello");
	channel = open_channel(peer.url, NULL);
	for (size_t i = 0; i < N_OF(endings); i++)
		start(channel, &once, NULL, &endings[i]);
	peer_wait(&peer);
	assert_int_equal(peer_arrived(&peer), 1);
	for (size_t i = 0; i < N_OF(endings); i++)
		replies[i] = peer_reply(peer_hear(&peer, FRAME_CALL)->call_id, ASIDE_OK, false, 0);
	peer_say(&peer, replies, N_OF(endings));
	for (size_t i = 0; i < N_OF(endings); i++)
		assert_int_equal(wait_for(&endings[i]), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_slow_answer_is_asked_for_twice(void **state)
{
	struct aside_call_options options = { .hedge_after_ms = 1 };
	struct aside_channel *channel;
	struct ending hedged;
	static struct peer peers[2];
	char urls[300];
	uint64_t ids[2];

	(void)state;
	peer_open(&peers[0], "slow");
	peer_open(&peers[1], "quick");
	(void)snprintf(urls, sizeof urls, "%s,%s", peers[0].url, peers[1].url);
	channel = open_channel(urls, NULL);
	connect_both(channel, peers);
	start(channel, &echo, &options, &hedged);
	for (unsigned i = 0; i < 2; i++)
		ids[i] = peer_hear(&peers[i], FRAME_CALL)->call_id;
	unsigned winner = ids[1] > ids[0]; /* the hedge, made later */
	struct frame reply = peer_reply(ids[winner], ASIDE_OK, false, 0);
	peer_say(&peers[winner], &reply, 1);
	assert_int_equal(wait_for(&hedged), ASIDE_OK);
	assert_true(peer_hear(&peers[!winner], FRAME_CANCEL)->call_id == ids[!winner]);
	aside_channel_close(channel);
	peer_close(&peers[0]);
	peer_close(&peers[1]);
}

static void a_session_that_the_server_forgot_is_begun_anew(void **state)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "forgot");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, NULL, &ending);
	(void)peer_hear(&peer, FRAME_CALL);
	uint64_t first = peer.session;
	struct envelope_head head = { first, 0 };
	uint8_t body[ENVELOPE_HEAD_MAX];
	peer_say_bytes(&peer, body, (size_t)(envelope_head_write(&head, body) - body));
	answer(&peer, ASIDE_OK, false, 0);
	assert_true(peer.session != first);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

/* A session without the server's limits would be one whose streams wait for ever. */
static void a_hello_that_cannot_be_read_is_asked_for_again(void **state)
{
	static const uint8_t noise[] = { 0xFF, 0xFF };
	struct frame hello = { .kind = FRAME_HELLO, .payload = { noise, sizeof noise } };
	struct aside_call_options options = { .wait_for_ready = true };
	uint8_t body[ENVELOPE_HEAD_MAX + 64];
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "mumbles");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, &options, &ending);
	for (unsigned i = 0; i < 5; i++) { /* beyond what the client takes for a mishap */
		peer_wait_anew(&peer);
		struct envelope_head head = { peer.session, 1 };
		uint8_t *end = envelope_frame_write(&hello, envelope_head_write(&head, body));
		peer_say_bytes(&peer, body, (size_t)(end - body));
	}
	peer_wait_anew(&peer);
	answer(&peer, ASIDE_OK, false, 0);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void bytes_that_are_no_envelope_end_the_connection(void **state)
{
	struct aside_channel *channel;
	struct ending ending;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "noise");
	channel = open_channel(peer.url, NULL);
	start(channel, &echo, NULL, &ending);
	(void)peer_hear(&peer, FRAME_CALL);
	struct envelope_head head = { peer.session, 2 }; /* the first was HELLO's answer */
	uint8_t body[ENVELOPE_HEAD_MAX + 2];
	uint8_t *end = envelope_head_write(&head, body);
	*end++ = 0x1A; /* frames, of more bytes than there are */
	*end++ = 0x7F;
	peer_say_bytes(&peer, body, (size_t)(end - body));
	answer(&peer, ASIDE_OK, false, 0); /* over a new connection */
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_executed_is_made_again),
		cmocka_unit_test(what_may_be_executed_only_where_that_is_safe),
		cmocka_unit_test(five_tries_and_no_more),
		cmocka_unit_test(refused_calls_earn_no_tries),
		cmocka_unit_test(a_wait_beyond_the_deadline_is_not_waited),
		cmocka_unit_test(a_lost_connection_is_made_anew),
		cmocka_unit_test(a_thousand_calls_outlive_their_connection),
		cmocka_unit_test(the_server_hears_of_a_cancelled_call),
		cmocka_unit_test(a_call_that_moved_is_cancelled_where_it_is),
		cmocka_unit_test(a_deadline_cancels_at_the_server),
		cmocka_unit_test(calls_beyond_a_goaway_go_elsewhere),
		cmocka_unit_test(a_server_that_drains_gets_no_more_calls),
		cmocka_unit_test(nothing_follows_hello_before_it_is_answered),
		cmocka_unit_test(a_slow_answer_is_asked_for_twice),
		cmocka_unit_test(a_session_that_the_server_forgot_is_begun_anew),
		cmocka_unit_test(a_hello_that_cannot_be_read_is_asked_for_again),
		cmocka_unit_test(bytes_that_are_no_envelope_end_the_connection),
	};

	echo = once = echo_v1_echo_service.methods[echo_v1_echo_service_echo_index];
	once.idempotency = ASIDE_NOT_IDEMPOTENT;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
