/* What stands around calls, at a real server: in which order, what it may change, and that it hears of every end. */
#include "../unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside/interceptor.h"
#include "aside/stream.h"
#include "echo.stub.h"
#include "servers.h"

#define TAG "echo-tag" /* the server gives it back */

static struct echo_process server;

/* What interceptors saw, in letters: a capital for `before`, a small one for `after`. */
static char seen[64];
static enum aside_code last_code;
static char last_tag[16], last_id[40];
static size_t last_metadata;
static int64_t last_us;

static void see(char letter)
{
	size_t n = strlen(seen);

	assert_true(n + 1 < sizeof seen);
	seen[n] = letter;
}

/* `user` is a letter. */
static enum aside_code see_before(void *user, struct aside_intercepted *call, struct aside_status *ret_status)
{
	(void)ret_status;
	see(*(const char *)user);
	call->state = user;
	return ASIDE_OK;
}

static void see_after(void *user, void *state, const struct aside_method *method, const struct aside_outcome *outcome)
{
	(void)method;
	assert_ptr_equal(state, user);
	see((char)(*(const char *)user + 'a' - 'A'));
	last_code = outcome->status->code;
	last_us = outcome->took_us;
	last_metadata = outcome->n_metadata;
	for (size_t i = 0; i < outcome->n_metadata; i++)
		if (strcmp(outcome->metadata[i].key, TAG) == 0)
			(void)snprintf(last_tag, sizeof last_tag, "%s", (const char *)outcome->metadata[i].value);
		else if (strcmp(outcome->metadata[i].key, "aside-request-id") == 0)
			(void)snprintf(last_id, sizeof last_id, "%s", (const char *)outcome->metadata[i].value);
}

static enum aside_code add_tag(void *user, struct aside_intercepted *call, struct aside_status *ret_status)
{
	(void)ret_status;
	return aside_intercepted_add(call, TAG, user, strlen(user)) ? ASIDE_OK : ASIDE_RESOURCE_EXHAUSTED;
}

static enum aside_code refuse(void *user, struct aside_intercepted *call, struct aside_status *ret_status)
{
	(void)user;
	(void)call;
	see('!');
	(void)snprintf(ret_status->reason, sizeof ret_status->reason, "NOT_TODAY");
	return ASIDE_PERMISSION_DENIED;
}

static char a = 'A', b = 'B', c = 'C';

static struct aside_channel *open_channel(const struct aside_interceptor *interceptors, size_t n)
{
	struct aside_options options = { .interceptors = interceptors, .n_interceptors = n };
	struct aside_channel *channel = NULL;
	struct aside_status status;

	memset(seen, 0, sizeof seen);
	assert_int_equal(aside_channel_open(server.url, &options, &channel, &status), ASIDE_OK);
	return channel;
}

static enum aside_code call(struct aside_channel *channel, const struct aside_call_options *options, struct aside_status *ret_status)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	enum aside_code code = echo_v1_echo_service_echo(channel, &request, options, &response, ret_status);

	aside_free(response);
	return code;
}

static void a_chain_runs_forth_and_back(void **state)
{
	const struct aside_interceptor two[] = { { see_before, see_after, &a }, { see_before, see_after, &b } };
	const struct aside_interceptor own = { see_before, see_after, &c };
	struct aside_channel *channel = open_channel(two, 2);

	(void)state;
	assert_int_equal(call(channel, NULL, NULL), ASIDE_OK);
	assert_string_equal(seen, "ABba");
	assert_int_equal(last_code, ASIDE_OK);
	assert_true(last_us > 0);
	assert_int_equal(last_metadata, 0);
	assert_int_equal(call(channel, &(struct aside_call_options){ .interceptor = &own }, NULL), ASIDE_OK);
	assert_string_equal(seen, "ABbaABCcba");
	aside_channel_close(channel);
}

static void metadata_goes_both_ways(void **state)
{
	static char tag[] = "hello";
	const struct aside_interceptor two[] = { { add_tag, NULL, tag }, { see_before, see_after, &a } };
	const struct aside_metadata mine = { "traceparent", "00-1-2-3", 8 }; /* to which the server answers, too */
	const struct aside_call_options options = { .metadata = &mine, .n_metadata = 1 };
	struct aside_channel *channel = open_channel(two, 2);

	(void)state;
	assert_int_equal(call(channel, &options, NULL), ASIDE_OK);
	assert_string_equal(last_tag, "hello");
	assert_int_equal(last_metadata, 2);
	aside_channel_close(channel);
}

static void there_is_room_for_so_much_metadata(void **state)
{
	static char tag[] = "hello";
	const struct aside_interceptor one = { add_tag, NULL, tag };
	struct aside_metadata mine[ASIDE_METADATA_MAX];
	struct aside_call_options options = { .metadata = mine, .n_metadata = ASIDE_METADATA_MAX };
	struct aside_channel *channel = open_channel(&one, 1);

	(void)state;
	for (size_t i = 0; i < ASIDE_METADATA_MAX; i++)
		mine[i] = (struct aside_metadata){ "mine", "1", 1 };
	assert_int_equal(call(channel, &options, NULL), ASIDE_RESOURCE_EXHAUSTED);
	options.n_metadata--;
	assert_int_equal(call(channel, &options, NULL), ASIDE_OK);
	aside_channel_close(channel);
}

static void a_traced_call_is_answered_with_its_request_id(void **state)
{
	static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	const struct aside_interceptor one = { see_before, see_after, &a };
	const struct aside_metadata trace = { "traceparent", parent, sizeof parent - 1 };
	struct aside_channel *channel = open_channel(&one, 1);

	(void)state;
	assert_int_equal(call(channel, &(struct aside_call_options){ .metadata = &trace, .n_metadata = 1 }, NULL), ASIDE_OK);
	assert_int_equal(last_metadata, 1);
	assert_int_equal(strspn(last_id, "0123456789abcdef"), 32);
	aside_channel_close(channel);
}

static void who_refuses_keeps_the_call_from_the_server(void **state)
{
	const struct aside_interceptor three[] = { { see_before, see_after, &a }, { refuse, see_after, &b }, { see_before, see_after, &c } };
	struct aside_channel *channel = open_channel(three, 3);
	struct aside_status status;

	(void)state;
	assert_int_equal(call(channel, NULL, &status), ASIDE_PERMISSION_DENIED);
	assert_int_equal(status.code, ASIDE_PERMISSION_DENIED);
	assert_string_equal(status.reason, "NOT_TODAY");
	assert_string_equal(seen, "A!a");
	assert_int_equal(last_code, ASIDE_PERMISSION_DENIED);
	aside_channel_close(channel);
}

static void a_call_that_cannot_be_made_is_heard_of(void **state)
{
	static const struct aside_metadata many[ASIDE_METADATA_MAX + 1] = { { "a", "", 0 } };
	const struct aside_interceptor one = { see_before, see_after, &a };
	struct aside_channel *channel = open_channel(&one, 1);
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	uint8_t *large = calloc(1, 2 << 20);
	ProtobufCMessage *response = NULL;
	struct aside_status status;

	(void)state;
	assert_non_null(large);
	request.payload = (ProtobufCBinaryData){ 2 << 20, large };
	assert_int_equal(aside_call(channel, &echo_v1_echo_service.methods[echo_v1_echo_service_echo_index], &request.base, NULL,
			&response, &status), ASIDE_RESOURCE_EXHAUSTED);
	assert_string_equal(seen, "Aa");
	assert_int_equal(last_code, ASIDE_RESOURCE_EXHAUSTED);
	assert_int_equal(call(channel, &(struct aside_call_options){ .metadata = many, .n_metadata = N_OF(many) }, &status),
			ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "METADATA_TOO_LARGE");
	free(large);
	aside_channel_close(channel);
}

static void a_stream_is_heard_of_when_it_is_closed(void **state)
{
	const struct aside_interceptor one = { see_before, see_after, &a };
	struct aside_channel *channel = open_channel(&one, 1);
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	struct aside_stream *stream = NULL;
	ProtobufCMessage *item = NULL;
	struct aside_status status;

	(void)state;
	request.count = 1;
	request.stay_open = true;
	assert_int_equal(aside_stream_open(channel, &echo_v1_echo_service.methods[echo_v1_echo_service_repeat_index], &request.base,
			NULL, NULL, &stream, &status), ASIDE_OK);
	assert_int_equal(aside_stream_receive(stream, &item, &status), ASIDE_OK);
	aside_free(item);
	assert_string_equal(seen, "A");
	aside_stream_close(stream);
	assert_string_equal(seen, "Aa");
	assert_int_equal(last_code, ASIDE_CANCELLED);
	aside_channel_close(channel);
}

static void never_done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	(void)user;
	aside_free(response);
	assert_int_equal(status->code, ASIDE_CANCELLED);
	see('.');
}

static void calls_that_closing_ends_are_heard_of(void **state)
{
	const struct aside_interceptor one = { see_before, see_after, &a };
	struct aside_options options = { .interceptors = &one, .n_interceptors = 1 };
	const struct aside_call_options patient = { .wait_for_ready = true };
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_channel *channel = NULL;
	struct aside_status status;

	(void)state;
	memset(seen, 0, sizeof seen);
	assert_int_equal(aside_channel_open("ipc:///tmp/aside-nobody-listens-here", &options, &channel, &status), ASIDE_OK);
	assert_int_equal(aside_call_start(channel, &echo_v1_echo_service.methods[echo_v1_echo_service_echo_index], &request.base,
			&patient, never_done, NULL, NULL, &status), ASIDE_OK);
	aside_channel_close(channel);
	assert_string_equal(seen, "A.a");
	assert_int_equal(last_code, ASIDE_CANCELLED);
}

static void a_channel_takes_only_so_many(void **state)
{
	static const struct aside_interceptor many[ASIDE_INTERCEPTORS_MAX + 1];
	struct aside_options options = { .interceptors = many, .n_interceptors = N_OF(many) };
	struct aside_channel *channel = NULL;
	struct aside_status status;

	(void)state;
	assert_int_equal(aside_channel_open(server.url, &options, &channel, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "TOO_MANY_INTERCEPTORS");
	assert_null(channel);
}

static int serve(void **state)
{
	(void)state;
	echo_start(&server, "intercepted");
	return 0;
}

static int stop(void **state)
{
	(void)state;
	(void)echo_end(&server, SIGTERM);
	echo_remove(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_runs_forth_and_back),
		cmocka_unit_test(metadata_goes_both_ways),
		cmocka_unit_test(there_is_room_for_so_much_metadata),
		cmocka_unit_test(a_traced_call_is_answered_with_its_request_id),
		cmocka_unit_test(who_refuses_keeps_the_call_from_the_server),
		cmocka_unit_test(a_call_that_cannot_be_made_is_heard_of),
		cmocka_unit_test(a_stream_is_heard_of_when_it_is_closed),
		cmocka_unit_test(calls_that_closing_ends_are_heard_of),
		cmocka_unit_test(a_channel_takes_only_so_many),
	};

	return cmocka_run_group_tests(tests, serve, stop);
}
