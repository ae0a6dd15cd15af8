/* Channels: where their servers are, how they stand, and who may use them. */
#include "../unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/files.h"
#include "aside/stream.h"
#include "calls.h"
#include "servers.h"

static enum aside_code call_with(struct aside_channel *channel, const struct aside_call_options *options,
		struct aside_status *ret_status)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	enum aside_code code = echo_v1_echo_service_echo(channel, &request, options, &response, ret_status);

	aside_free(response);
	return code;
}

/* ── where the servers are ───────────────────────────────────────────────────────────────────────── */

static void write_file(const char *path, const char *text)
{
	char other[160];

	(void)snprintf(other, sizeof other, "%s.new", path);
	FILE *file = fopen(other, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(other, path), 0);
}

/* Makes a call, which one of `peers` answers: which. */
static struct peer *call_any(struct aside_channel *channel, struct peer *peers, size_t n)
{
	struct ending ending;
	struct peer *peer;

	start(channel, NULL, NULL, &ending);
	peer = peers_any(peers, n);
	struct frame reply = peer_reply(peer_hear(peer, FRAME_CALL)->call_id, ASIDE_OK, false, 0);
	peer_say(peer, &reply, 1);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	return peer;
}

static void a_file_says_where_the_servers_are(void **state)
{
	struct aside_options options = { .resolve_interval_ms = 10 };
	struct aside_channel *channel = NULL;
	static struct peer peers[2];
	struct aside_status status;
	char path[96], url[128], text[512];

	(void)state;
	peer_open(&peers[0], "listed");
	peer_open(&peers[1], "later");
	(void)snprintf(path, sizeof path, "/tmp/aside-servers-%d", (int)getpid());
	(void)snprintf(url, sizeof url, "file:%s", path);
	assert_int_equal(aside_channel_open(url, &options, &channel, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "BAD_ADDRESS");
	(void)snprintf(text, sizeof text, "#%300sx://127.0.0.1:1\n  %s  # the first\n\n", "", peers[0].url);
	write_file(path, text);
	channel = open_channel(url, &options);
	assert_ptr_equal(call_any(channel, peers, 2), &peers[0]);
	write_file(path, peers[1].url);
	while (call_any(channel, peers, 2) != &peers[1])
		; /* until the file is read again */
	write_file(path, "");
	for (unsigned i = 0; i < 100; i++)
		assert_ptr_equal(call_any(channel, peers, 2), &peers[1]);
	aside_channel_close(channel);
	peer_close(&peers[0]);
	peer_close(&peers[1]);
	(void)unlink(path);
}

static void a_server_that_is_struck_off_ends_its_calls(void **state)
{
	struct aside_options options = { .resolve_interval_ms = 10 };
	struct aside_channel *channel;
	static struct peer peers[2];
	struct ending ending;
	char path[96], url[128];

	(void)state;
	peer_open(&peers[0], "struck");
	peer_open(&peers[1], "added");
	(void)snprintf(path, sizeof path, "/tmp/aside-servers-%d", (int)getpid());
	(void)snprintf(url, sizeof url, "file:%s", path);
	write_file(path, peers[0].url);
	channel = open_channel(url, &options);
	start(channel, NULL, NULL, &ending);
	uint64_t id = peer_hear(&peers[0], FRAME_CALL)->call_id;
	write_file(path, peers[1].url);
	while (call_any(channel, peers, 2) != &peers[1])
		;
	struct frame reply = peer_reply(id, ASIDE_OK, false, 0);
	peer_say(&peers[0], &reply, 1);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peers[0]);
	peer_close(&peers[1]);
	(void)unlink(path);
}

/* Its calls are still under way there; others it does not take. */
static void a_channel_is_not_ready_with_a_server_struck_off(void **state)
{
	struct aside_options options = { .resolve_interval_ms = 10 };
	struct aside_channel *channel;
	static struct peer peer;
	struct ending ending;
	char path[96], url[128];

	(void)state;
	peer_open(&peer, "last");
	(void)snprintf(path, sizeof path, "/tmp/aside-servers-%d", (int)getpid());
	(void)snprintf(url, sizeof url, "file:%s", path);
	write_file(path, peer.url);
	channel = open_channel(url, &options);
	start(channel, NULL, NULL, &ending);
	uint64_t id = peer_hear(&peer, FRAME_CALL)->call_id;
	assert_int_equal(aside_channel_state(channel), ASIDE_STATE_READY);
	write_file(path, "ipc:///tmp/aside-peer-nobody.sock");
	assert_int_equal(aside_channel_wait(channel, ASIDE_STATE_READY, 20000), ASIDE_STATE_CONNECTING);
	struct frame reply = peer_reply(id, ASIDE_OK, false, 0);
	peer_say(&peer, &reply, 1);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
	(void)unlink(path);
}

static void a_name_stands_for_its_addresses(void **state)
{
	struct aside_call_options patient = { .wait_for_ready = true };
	struct echo_process server = { 0 };
	struct aside_channel *channel = NULL;
	struct aside_status status;
	char url[128];

	(void)state;
	echo_start(&server, "named");
	(void)snprintf(url, sizeof url, "dns:localhost%s", strrchr(server.tcp, ':'));
	channel = open_channel(url, NULL);
	assert_int_equal(call_with(channel, &patient, &status), ASIDE_OK);
	aside_channel_close(channel);
	channel = NULL;
	assert_int_equal(aside_channel_open("dns:localhost", NULL, &channel, &status), ASIDE_INVALID_ARGUMENT);
	echo_remove(&server);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const wrong[] = { "", "tcp", "gopher://localhost:70", "tcp://127.0.0.1:1,", ",tcp://127.0.0.1:1",
		"tcp://127.0.0.1:1,nonsense", "dns:localhost", "dns:tls+tcp://localhost", "dns:ws://localhost:80" };
	struct aside_channel *channel = NULL;
	struct aside_status status;

	(void)state;
	for (size_t i = 0; i < N_OF(wrong); i++) {
		assert_int_equal(aside_channel_open(wrong[i], NULL, &channel, &status), ASIDE_INVALID_ARGUMENT);
		assert_string_equal(status.reason, "BAD_ADDRESS");
		assert_null(channel);
	}
}

static void a_bad_ca_file_is_named(void **state)
{
	static const char *const wrong[] = { "/nowhere", "/dev/null", "/tmp" };
	struct aside_channel *channel = NULL;
	struct aside_status status;

	(void)state;
	for (size_t i = 0; i < N_OF(wrong); i++) {
		struct aside_options options = { .ca_file = wrong[i] };
		assert_int_equal(aside_channel_open("tls+tcp://127.0.0.1:1", &options, &channel, &status), ASIDE_INVALID_ARGUMENT);
		assert_string_equal(status.reason, "BAD_CA_FILE");
		assert_non_null(strstr(status.message, wrong[i]));
		assert_null(channel);
	}
}

static void metadata_has_names(void **state)
{
	static const char *const names[] = { "", "Upper", "a b", "a:b", "caf\xc3\xa9", "line\n" };
	struct aside_channel *channel = open_channel("tcp://127.0.0.1:1", NULL);
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	struct aside_status status;

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		struct aside_metadata metadata[] = { { "a-good_name.1", "x", 1 }, { names[i], "x", 1 } };
		struct aside_call_options options = { .metadata = metadata, .n_metadata = 2 };
		assert_int_equal(echo_v1_echo_service_echo(channel, &request, &options, &response, &status), ASIDE_INVALID_ARGUMENT);
		assert_string_equal(status.reason, "METADATA_KEY_INVALID");
	}
	aside_channel_close(channel);
}

/* ── deadlines ───────────────────────────────────────────────────────────────────────────────────── */

static struct aside_status call_nobody(uint32_t connect_timeout_ms, const struct aside_call_options *options)
{
	const struct aside_options patience = { .connect_timeout_ms = connect_timeout_ms };
	struct aside_channel *channel = open_channel("tcp://127.0.0.1:1", &patience);
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	struct aside_status status;

	assert_int_not_equal(echo_v1_echo_service_echo(channel, &request, options, &response, &status), ASIDE_OK);
	aside_channel_close(channel);
	return status;
}

static void what_never_left_was_not_executed(void **state)
{
	struct aside_call_options options = { .timeout_ms = 50 };
	struct aside_status status = call_nobody(60000, &options);

	(void)state;
	assert_int_equal(status.code, ASIDE_DEADLINE_EXCEEDED);
	assert_true(status.not_executed);
	options.wait_for_ready = true; /* until the deadline, that is */
	status = call_nobody(10, &options);
	assert_int_equal(status.code, ASIDE_DEADLINE_EXCEEDED);
	assert_true(status.not_executed);
}

static void no_connection_is_told_rather_than_the_deadline(void **state)
{
	struct aside_call_options options = { .timeout_ms = 50 };
	struct aside_status status = call_nobody(50, &options);

	(void)state;
	assert_int_equal(status.code, ASIDE_UNAVAILABLE);
	assert_string_equal(status.reason, "NOT_CONNECTED");
	assert_true(status.not_executed);
}

/* ── how a channel stands ────────────────────────────────────────────────────────────────────────── */

static void a_connection_that_is_old_is_made_anew(void **state)
{
	struct aside_options options = { .connection_age_ms = 20 };
	struct aside_channel *channel;
	static struct peer peer;

	(void)state;
	peer_open(&peer, "old");
	channel = open_channel(peer.url, &options);
	(void)call_any(channel, &peer, 1);
	uint64_t first = peer.session;
	while (peer.session == first)
		(void)call_any(channel, &peer, 1); /* none fails */
	aside_channel_close(channel);
	peer_close(&peer);
}

/* And comes back with the next one, as often as that happens. */
static void a_connection_without_calls_is_closed(void **state)
{
	struct aside_options options = { .idle_ms = 20 };
	struct aside_channel *channel;
	struct echo_process server;
	enum aside_state now;

	(void)state;
	echo_start(&server, "idle");
	channel = open_channel(server.url, &options);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(call_with(channel, NULL, NULL), ASIDE_OK);
		for (now = ASIDE_STATE_READY; now != ASIDE_STATE_IDLE;) {
			enum aside_state next = aside_channel_wait(channel, now, 20000);
			assert_int_not_equal(next, now);
			now = next;
		}
	}
	assert_int_equal(echo_end(&server, SIGTERM), 0); /* whom nobody keeps waiting */
	echo_restart(&server);
	assert_int_equal(call_with(channel, NULL, NULL), ASIDE_OK);
	aside_channel_close(channel);
	echo_remove(&server);
}

static void a_channel_closed_while_it_connects_leaves_no_file(void **state)
{
	enum { CHANNELS = 400, LATE = 8 }; /* nng closes the files of the last one or two a moment later */
	struct echo_process server;
	(void)state;

	echo_start(&server, "closed");
	const char *urls[] = { server.url, server.tcp };
	aside_channel_close(open_channel(server.url, NULL)); /* nng has files of its own */
	unsigned before = count_files(getpid());
	for (unsigned i = 0; i < CHANNELS; i++)
		aside_channel_close(open_channel(urls[i % 2], NULL));
	assert_in_range(count_files(getpid()), 0, before + LATE);
	echo_remove(&server);
}

static void the_state_can_be_watched(void **state)
{
	struct aside_channel *channel;
	static struct peer peer;
	char url[128];

	(void)state;
	(void)snprintf(url, sizeof url, "ipc:///tmp/aside-peer-%d-watched.sock", (int)getpid());
	channel = open_channel(url, NULL);
	assert_int_equal(aside_channel_state(channel), ASIDE_STATE_CONNECTING);
	assert_int_equal(aside_channel_wait(channel, ASIDE_STATE_CONNECTING, 1), ASIDE_STATE_CONNECTING);
	peer_open(&peer, "watched");
	assert_int_equal(aside_channel_wait(channel, ASIDE_STATE_CONNECTING, 20000), ASIDE_STATE_READY);
	peer_vanish(&peer);
	assert_int_equal(aside_channel_wait(channel, ASIDE_STATE_READY, 20000), ASIDE_STATE_CONNECTING);
	aside_channel_close(channel);
}

static void a_call_waits_for_a_server_as_long_as_it_says(void **state)
{
	struct aside_options options = { .connect_timeout_ms = 10 };
	struct aside_call_options patient = { .wait_for_ready = true };
	struct aside_channel *channel;
	struct aside_status status;
	static struct peer peer;
	struct ending ending;
	char url[128];

	(void)state;
	(void)snprintf(url, sizeof url, "ipc:///tmp/aside-peer-%d-awaited.sock", (int)getpid());
	channel = open_channel(url, &options);
	start(channel, NULL, &patient, &ending);
	assert_int_equal(call_with(channel, NULL, &status), ASIDE_UNAVAILABLE);
	assert_string_equal(status.reason, "NOT_CONNECTED");
	assert_true(status.not_executed);
	peer_open(&peer, "awaited");
	struct frame reply = peer_reply(peer_hear(&peer, FRAME_CALL)->call_id, ASIDE_OK, false, 0);
	peer_say(&peer, &reply, 1);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

static void a_nested_call_takes_over_the_deadline(void **state)
{
	struct aside_channel *channel;
	static struct peer peer;
	struct ending ending;
	struct timespec now;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &now);
	struct aside_call_options nested = { .deadline_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + 2000000 };
	peer_open(&peer, "nested");
	channel = open_channel(peer.url, NULL);
	start(channel, NULL, &nested, &ending);
	const struct frame *call = peer_hear(&peer, FRAME_CALL);
	assert_true(call->timeout_us <= 2000000); /* the method's own is 10 s */
	struct frame reply = peer_reply(call->call_id, ASIDE_OK, false, 0);
	peer_say(&peer, &reply, 1);
	assert_int_equal(wait_for(&ending), ASIDE_OK);
	aside_channel_close(channel);
	peer_close(&peer);
}

/* ── who may use it ──────────────────────────────────────────────────────────────────────────────── */

struct nested {
	struct aside_channel *channel;
	struct aside_status status;
	sem_t ended;
};

static void call_in_callback(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct nested *nested = user;

	(void)status;
	aside_free(response);
	(void)call_with(nested->channel, NULL, &nested->status);
	sem_post(&nested->ended);
}

static void a_callback_may_not_wait(void **state)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct echo_process server = { 0 };
	struct aside_status status;
	struct nested nested;

	(void)state;
	echo_start(&server, "callback");
	nested.channel = open_channel(server.url, NULL);
	sem_init(&nested.ended, 0, 0);
	assert_int_equal(echo_v1_echo_service_echo_start(nested.channel, &request, NULL, call_in_callback, &nested, NULL, &status),
			ASIDE_OK);
	while (sem_wait(&nested.ended) != 0)
		;
	assert_int_equal(nested.status.code, ASIDE_FAILED_PRECONDITION);
	assert_string_equal(nested.status.reason, "IN_CALLBACK");
	aside_channel_close(nested.channel);
	sem_destroy(&nested.ended);
	echo_remove(&server);
}

/* In the child: 0 when everything is refused as it should be. */
static int try_in_child(struct aside_channel *channel, struct aside_stream *stream)
{
	struct aside_channel *other = NULL;
	struct aside_status status = { 0 };
	ProtobufCMessage *item = NULL;

	if (call_with(channel, NULL, &status) != ASIDE_FAILED_PRECONDITION || strcmp(status.reason, "FORKED") != 0)
		return 1;
	if (aside_channel_open("tcp://127.0.0.1:1", NULL, &other, &status) != ASIDE_FAILED_PRECONDITION ||
			strcmp(status.reason, "FORKED") != 0)
		return 2;
	if (aside_stream_receive(stream, &item, &status) != ASIDE_FAILED_PRECONDITION)
		return 3;
	aside_call_cancel(channel, 1);
	aside_stream_close(stream);
	aside_channel_close(channel); /* the parent's: nothing happens */
	return 0;
}

static void a_child_is_refused(void **state)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	struct echo_process server = { 0 };
	struct aside_stream *stream = NULL;
	struct aside_channel *channel;
	struct aside_status status;
	int child = -1;

	(void)state;
	echo_start(&server, "fork");
	channel = open_channel(server.url, NULL);
	assert_int_equal(call_with(channel, NULL, &status), ASIDE_OK);
	request.stay_open = true;
	assert_int_equal(echo_v1_echo_service_repeat_open(channel, &request, NULL, &stream, &status), ASIDE_OK);
	pid_t pid = fork();
	if (pid == 0)
		_exit(try_in_child(channel, stream));
	assert_int_equal(waitpid(pid, &child, 0), pid);
	assert_int_equal(child, 0);
	assert_int_equal(call_with(channel, NULL, &status), ASIDE_OK);
	aside_stream_close(stream);
	aside_channel_close(channel);
	echo_remove(&server);
}

static void a_message_of_another_type_is_refused(void **state)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	const struct aside_method *echo = &echo_v1_echo_service.methods[echo_v1_echo_service_echo_index];
	const struct aside_method *repeat = &echo_v1_echo_service.methods[echo_v1_echo_service_repeat_index];
	struct aside_channel *channel = open_channel("tcp://127.0.0.1:1", NULL);
	struct aside_stream *stream = NULL;
	ProtobufCMessage *response = NULL;
	struct aside_status status;

	(void)state;
	assert_int_equal(aside_call(channel, echo, &request.base, NULL, &response, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "WRONG_MESSAGE");
	assert_int_equal(aside_call(channel, repeat, &request.base, NULL, &response, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "STREAMING_METHOD");
	assert_int_equal(aside_stream_open(channel, echo, &request.base, NULL, NULL, &stream, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "UNARY_METHOD");
	assert_int_equal(aside_stream_open(channel, repeat, NULL, NULL, NULL, &stream, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "WRONG_MESSAGE");
	aside_channel_close(channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_says_where_the_servers_are),
		cmocka_unit_test(a_server_that_is_struck_off_ends_its_calls),
		cmocka_unit_test(a_name_stands_for_its_addresses),
		cmocka_unit_test(a_channel_is_not_ready_with_a_server_struck_off),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(a_bad_ca_file_is_named),
		cmocka_unit_test(metadata_has_names),
		cmocka_unit_test(what_never_left_was_not_executed),
		cmocka_unit_test(no_connection_is_told_rather_than_the_deadline),
		cmocka_unit_test(a_connection_that_is_old_is_made_anew),
		cmocka_unit_test(a_connection_without_calls_is_closed),
		cmocka_unit_test(a_channel_closed_while_it_connects_leaves_no_file),
		cmocka_unit_test(the_state_can_be_watched),
		cmocka_unit_test(a_call_waits_for_a_server_as_long_as_it_says),
		cmocka_unit_test(a_nested_call_takes_over_the_deadline),
		cmocka_unit_test(a_callback_may_not_wait),
		cmocka_unit_test(a_child_is_refused),
		cmocka_unit_test(a_message_of_another_type_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
