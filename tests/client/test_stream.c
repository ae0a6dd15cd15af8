/* What the client does with streams: credit, moving elsewhere, closing; told by a peer that the test drives. */
#include "../unit/test.h"

#include "aside/stream.h"
#include "calls.h"

#define CONNECTION_ITEMS 64 /* credit with which a server's half begins: the client's */

static struct aside_method watch, collect;

static struct aside_stream *open_stream(struct aside_channel *channel, const struct aside_method *method)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_stream *stream = NULL;
	struct aside_status status;

	assert_int_equal(aside_stream_open(channel, method, method->client_streaming ? NULL : &request.base, NULL, NULL, &stream,
			&status), ASIDE_OK);
	return stream;
}

static void items_without_credit_end_the_connection(void **state)
{
	struct frame items[CONNECTION_ITEMS + 1] = { 0 };
	struct aside_channel *channel;
	ProtobufCMessage *item = NULL;
	struct aside_stream *stream;
	struct aside_status status;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "flood");
	channel = open_channel(peer.url, NULL);
	stream = open_stream(channel, &watch);
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	for (size_t i = 0; i < N_OF(items); i++)
		items[i] = (struct frame){ .kind = FRAME_ITEM, .call_id = id };
	peer_say(&peer, items, N_OF(items));
	for (size_t i = 0; i < CONNECTION_ITEMS; i++) { /* those that had credit */
		assert_int_equal(aside_stream_receive(stream, &item, &status), ASIDE_OK);
		assert_non_null(item);
		aside_free(item);
	}
	assert_int_equal(aside_stream_receive(stream, &item, &status), ASIDE_UNAVAILABLE);
	assert_string_equal(status.reason, "CONNECTION_LOST");
	peer_wait_anew(&peer); /* nng 1.5.2 leaks a connection that is closed while it is made */
	aside_stream_close(stream);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_sender_stops_where_its_credit_ends(void **state)
{
	Echo__V1__EchoRequest item = ECHO__V1__ECHO_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	struct aside_channel *channel;
	struct aside_stream *stream;
	struct aside_status status;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "credit");
	channel = open_channel(peer.url, NULL);
	stream = open_stream(channel, &collect);
	assert_int_equal(aside_stream_try_send(stream, &item.base, &status), ASIDE_RESOURCE_EXHAUSTED);
	assert_string_equal(status.reason, "NO_CREDIT");
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	peer_say(&peer, NULL, 0); /* HELLO, and with it the first credit */
	for (unsigned i = 0; i < PEER_STREAM_ITEMS; i++) {
		assert_int_equal(aside_stream_send(stream, &item.base, &status), ASIDE_OK);
		assert_true(peer_hear(&peer, FRAME_ITEM)->call_id == id);
	}
	assert_int_equal(aside_stream_try_send(stream, &item.base, &status), ASIDE_RESOURCE_EXHAUSTED);
	struct frame credit = { .kind = FRAME_CREDIT, .call_id = id, .items = 1, .payload_bytes = 1 };
	peer_say(&peer, &credit, 1);
	assert_int_equal(aside_stream_send(stream, &item.base, &status), ASIDE_OK);
	assert_false(peer_hear(&peer, FRAME_ITEM)->end);
	aside_stream_close_send(stream);
	assert_true(peer_hear(&peer, FRAME_ITEM)->end);
	assert_int_equal(aside_stream_send(stream, &item.base, &status), ASIDE_FAILED_PRECONDITION);
	assert_string_equal(status.reason, "HALF_CLOSED");
	struct frame reply = peer_reply(id, ASIDE_OK, false, 0);
	peer_say(&peer, &reply, 1);
	assert_int_equal(aside_stream_finish(stream, &response, &status), ASIDE_OK);
	aside_free(response);
	aside_stream_close(stream);
	aside_channel_close(channel);
	peer_close(&peer);
}

/* A server that hears one ends the session, and with it all other calls. */
static void nothing_is_sent_where_only_the_server_streams(void **state)
{
	Echo__V1__EchoRequest item = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_channel *channel;
	struct aside_stream *stream;
	struct aside_status status;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "one_way");
	channel = open_channel(peer.url, NULL);
	stream = open_stream(channel, &watch);
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	peer_say(&peer, NULL, 0); /* HELLO, and with it credit */
	assert_int_equal(aside_stream_send(stream, &item.base, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "NO_CLIENT_STREAM");
	assert_int_equal(aside_stream_try_send(stream, &item.base, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "NO_CLIENT_STREAM");
	struct frame reply = peer_reply(id, ASIDE_OK, false, 0); /* it goes on as it would have */
	peer_say(&peer, &reply, 1);
	assert_int_equal(aside_stream_finish(stream, NULL, &status), ASIDE_OK);
	aside_stream_close(stream);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_stream_moves_only_before_its_first_item(void **state)
{
	Echo__V1__EchoRequest item = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_channel *channel;
	struct aside_stream *stream;
	struct aside_status status;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "stay");
	channel = open_channel(peer.url, NULL);
	stream = open_stream(channel, &collect);
	answer(&peer, ASIDE_UNAVAILABLE, true, 100); /* nothing was sent: made again, unseen */
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	assert_int_equal(aside_stream_send(stream, &item.base, &status), ASIDE_OK);
	(void)peer_hear(&peer, FRAME_ITEM);
	struct frame reply = peer_reply(id, ASIDE_UNAVAILABLE, true, 100);
	peer_say(&peer, &reply, 1); /* its item would be missing elsewhere */
	assert_int_equal(aside_stream_finish(stream, NULL, &status), ASIDE_UNAVAILABLE);
	assert_string_equal(status.reason, "SCRIPTED");
	aside_stream_close(stream);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void closing_a_stream_cancels_it(void **state)
{
	struct aside_channel *channel;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "close");
	channel = open_channel(peer.url, NULL);
	struct aside_stream *stream = open_stream(channel, &watch);
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	aside_stream_close(stream);
	assert_true(peer_hear(&peer, FRAME_CANCEL)->call_id == id);
	aside_channel_close(channel);
	peer_close(&peer);
}

/* Closes its stream with its first item. */
struct closer {
	struct aside_stream *stream;
	unsigned n_items;
	enum aside_code code;
	sem_t ended;
};

static void close_at_once(void *user, ProtobufCMessage *item)
{
	struct closer *closer = user;

	aside_free(item);
	closer->n_items++;
	aside_stream_close(closer->stream);
}

static void note_end(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct closer *closer = user;

	aside_free(response);
	closer->code = status->code;
	(void)sem_post(&closer->ended);
}

static void a_callback_may_close_its_stream(void **state)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct closer closer = { 0 };
	const struct aside_stream_events events = { .item = close_at_once, .end = note_end, .user = &closer };
	struct aside_channel *channel;
	struct aside_status status;
	static struct peer peer;

	(void)state;
	assert_int_equal(sem_init(&closer.ended, 0, 0), 0);
	peer_open(&peer, "closer");
	channel = open_channel(peer.url, NULL);
	assert_int_equal(aside_stream_open(channel, &watch, &request.base, NULL, &events, &closer.stream, &status), ASIDE_OK);
	struct frame item = { .kind = FRAME_ITEM, .call_id = peer_hear(&peer, FRAME_CALL)->call_id };
	peer_say(&peer, &item, 1);
	assert_int_equal(sem_wait(&closer.ended), 0);
	assert_int_equal(closer.code, ASIDE_CANCELLED);
	assert_int_equal(closer.n_items, 1);
	assert_true(peer_hear(&peer, FRAME_CANCEL)->call_id == item.call_id);
	aside_channel_close(channel);
	peer_close(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_without_credit_end_the_connection),
		cmocka_unit_test(a_sender_stops_where_its_credit_ends),
		cmocka_unit_test(nothing_is_sent_where_only_the_server_streams),
		cmocka_unit_test(a_stream_moves_only_before_its_first_item),
		cmocka_unit_test(closing_a_stream_cancels_it),
		cmocka_unit_test(a_callback_may_close_its_stream),
	};

	watch = collect = echo_v1_echo_service.methods[echo_v1_echo_service_echo_index];
	watch.server_streaming = true;
	collect.client_streaming = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
