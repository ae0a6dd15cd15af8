/* Watching a server's health: the state at once, then each change. */
#include "world.h"

#include <signal.h>
#include <stdio.h>

#include "aside/rpc/v1/health.stub.h"
#include "aside/stream.h"
#include "keys.h"

#define PATIENCE_MS 60000 /* of a test that waits in vain */
#define SERVING ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING
#define NOT_SERVING ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_NOT_SERVING

static struct aside_stream *open_watch(struct aside_channel *channel, const char *service)
{
	Aside__Rpc__V1__WatchRequest request = ASIDE__RPC__V1__WATCH_REQUEST__INIT;
	struct aside_call_options options = { .timeout_ms = PATIENCE_MS };
	struct aside_stream *stream = NULL;

	request.service = (char *)(uintptr_t)service;
	assert_done(aside_rpc_v1_health_service_watch_open(channel, &request, &options, &stream, &status) == ASIDE_OK);
	return stream;
}

/* The next state; 0 when the stream has ended, with `status`. */
static int next_state(struct aside_stream *stream)
{
	Aside__Rpc__V1__WatchResponse *item = NULL;
	int state = 0;

	if (aside_rpc_v1_health_service_watch_receive(stream, &item, &status) == ASIDE_OK && item != NULL)
		state = (int)item->status;
	aside_free(item);
	return state;
}

static void a_lost_database_is_told_and_its_return(void **state)
{
	struct aside_stream *all = open_watch(world_via(), ""), *one = open_watch(world_via(), "aside.v1.PageService");
	(void)state;

	assert_int_equal(next_state(all), SERVING);
	assert_int_equal(next_state(one), SERVING);
	world_sql("ALTER ROLE aside_server NOLOGIN");
	world_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'aside_server'");
	assert_int_equal(next_state(all), NOT_SERVING);
	assert_int_equal(next_state(one), NOT_SERVING);
	world_sql("ALTER ROLE aside_server LOGIN");
	assert_int_equal(next_state(all), SERVING);
	assert_int_equal(next_state(one), SERVING);
	aside_stream_close(one);
	aside_stream_close(all);
	assert_done(send_text(JOHNNY, new_page(), 1, "Hello"));
}

static void an_unknown_service_is_not_found(void **state)
{
	struct aside_stream *stream = open_watch(world_via(), "aside.v1.DanceService");
	(void)state;

	assert_int_equal(next_state(stream), 0);
	assert_int_equal(status.code, ASIDE_NOT_FOUND);
	assert_string_equal(status.reason, "SERVICE_UNKNOWN");
	aside_stream_close(stream);
}

/* Also whoever has no credentials is told, and the stream does not hold the end up. */
static void a_drain_is_told(void **state)
{
	struct aside_channel *channel = NULL;
	(void)state;

	assert_int_equal(aside_channel_open(aside_harness_listener(harness, 0, 0), NULL, &channel, &status), ASIDE_OK);
	struct aside_stream *stream = open_watch(channel, "");
	assert_int_equal(next_state(stream), SERVING);
	kill(aside_harness_pid(harness, 0), SIGTERM);
	assert_int_equal(next_state(stream), NOT_SERVING);
	assert_int_equal(next_state(stream), 0);
	assert_int_equal(status.code, ASIDE_UNAVAILABLE);
	aside_stream_close(stream);
	aside_channel_close(channel);
	assert_int_equal(aside_harness_terminate(harness, 0), 0);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
}

static bool prepare(const char *folder)
{
	struct key_pair key;
	char keys[256];

	(void)snprintf(keys, sizeof keys, "%s/keys", folder);
	return key_make(&key, false) && key_publish(&key, keys, "key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_database_is_told_and_its_return),
		cmocka_unit_test(an_unknown_service_is_not_found),
		cmocka_unit_test(a_drain_is_told),
	};
	const struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--keys", "keys", "--listen", "tcp://127.0.0.1:0", NULL } };

	return WORLD_RUN("health", tests, &options);
}
