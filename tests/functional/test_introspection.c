/* What a server says of itself, and to whom. */
#include "world.h"

#include <pthread.h>
#include <stdio.h>

#include "aside/rpc/v1/introspection.stub.h"
#include "keys.h"
#include "watching.h"

#define SEND "/aside.v1.MessageService/SendMessage"
#define WATCH "/aside.v1.WatchService/WatchThread"

static struct key_pair key;

static Aside__Rpc__V1__GetServerResponse *get_server(int64_t caller, uint32_t max_sessions)
{
	Aside__Rpc__V1__GetServerRequest request = ASIDE__RPC__V1__GET_SERVER_REQUEST__INIT;

	request.max_sessions = max_sessions;
	return ASK(Aside__Rpc__V1__GetServerResponse, aside_rpc_v1_introspection_service_get_server, &request, caller);
}

static const Aside__Rpc__V1__MethodState *method_of(const Aside__Rpc__V1__GetServerResponse *server, const char *method)
{
	for (size_t i = 0; i < server->n_methods; i++)
		if (strcmp(server->methods[i]->method, method) == 0)
			return server->methods[i];
	return NULL;
}

static uint64_t calls_with(const Aside__Rpc__V1__MethodState *method, uint32_t code)
{
	for (size_t i = 0; method != NULL && i < method->n_outcomes; i++)
		if (method->outcomes[i]->code == code)
			return method->outcomes[i]->calls;
	return 0;
}

/* ── what is under way ───────────────────────────────────────────────────────────────────────────── */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static int ended_with = -1;

static void send_done(void *user, ProtobufCMessage *response, const struct aside_status *outcome)
{
	(void)user;
	aside_free(response);
	pthread_mutex_lock(&mutex);
	ended_with = (int)outcome->code;
	pthread_cond_signal(&ended);
	pthread_mutex_unlock(&mutex);
}

static int wait_for_the_end(void)
{
	pthread_mutex_lock(&mutex);
	while (ended_with < 0)
		pthread_cond_wait(&ended, &mutex);
	pthread_mutex_unlock(&mutex);
	return ended_with;
}

static void begin_send(int64_t page)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;

	request.page_id = page;
	request.client_key = uuid_of(7);
	request.content = text_content("Kept waiting");
	assert_int_equal(aside_v1_message_service_send_message_start(world_via(), &request, aside_harness_as(JOHNNY), send_done, NULL,
			NULL, &status), ASIDE_OK);
}

static uint64_t write_under_way(const Aside__Rpc__V1__GetServerResponse *server)
{
	uint64_t n = 0;

	for (size_t i = 0; i < server->n_queues; i++)
		if (strncmp(server->queues[i]->name, "write ", 6) == 0)
			n += server->queues[i]->under_way;
	return n;
}

static void a_call_that_waits_is_seen_until_it_ends(void **state)
{
	int64_t page = new_page();
	struct world_lock *lock = lock_page(page);
	(void)state;

	begin_send(page);
	wait_for_a_blocked_write();
	Aside__Rpc__V1__GetServerResponse *first = get_server(SERVICE, 0), *second = get_server(SERVICE, 0);
	assert_non_null(first);
	assert_non_null(second);
	const Aside__Rpc__V1__MethodState *send = method_of(first, SEND), *later = method_of(second, SEND);
	assert_non_null(send);
	assert_non_null(later);
	assert_int_equal(send->under_way, 1);
	assert_true(send->oldest_us > 0);
	assert_true(later->oldest_us > send->oldest_us);
	assert_true(later->oldest_us - send->oldest_us <= second->now_us - first->started_at_us);
	assert_int_equal(first->load->calls, 2); /* with the one that asks */
	assert_int_equal(first->session_count, 1);
	assert_int_equal(first->sessions[0]->calls, 2);
	assert_int_equal(write_under_way(first), 1);
	uint64_t before = calls_with(send, ASIDE_OK);
	unlock_page(lock);
	assert_int_equal(wait_for_the_end(), ASIDE_OK);
	Aside__Rpc__V1__GetServerResponse *after = get_server(SERVICE, 0);
	send = method_of(after, SEND);
	assert_int_equal(send->under_way, 0);
	assert_int_equal(send->oldest_us, 0);
	assert_int_equal(calls_with(send, ASIDE_OK), before + 1);
	aside_free(first);
	aside_free(second);
	aside_free(after);
}

static void streams_and_refusals_are_counted(void **state)
{
	int64_t page = new_page();
	struct watcher watcher = WATCH_THREAD_AS(JOHNNY, page, JOHNNY);
	Aside__Rpc__V1__GetServerResponse *server;
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	watcher_open(&watcher);
	assert_refused(send_text(JOHNNY, page + 1000, 1, "Nobody there"), "PAGE_NOT_FOUND");
	server = get_server(SERVICE, 0);
	assert_int_equal(server->load->streams, 1);
	assert_int_equal(server->sessions[0]->streams, 1);
	assert_int_equal(method_of(server, WATCH)->under_way, 1);
	assert_true(calls_with(method_of(server, SEND), ASIDE_NOT_FOUND) >= 1);
	assert_int_equal(server->status, ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	aside_free(server);
	watcher_close(&watcher);
}

/* The busiest come first, and no more than were asked for. */
static void sessions_are_bounded(void **state)
{
	enum { CHANNELS = 5 };
	struct aside_channel *channels[CHANNELS];
	int64_t page = new_page();
	struct watcher watcher = WATCH_THREAD_AS(JOHNNY, page, JOHNNY);
	Aside__Rpc__V1__GetServerResponse *server;
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	for (size_t i = 0; i < CHANNELS; i++) {
		assert_int_equal(aside_channel_open(aside_harness_address(harness, 0), NULL, &channels[i], &status), ASIDE_OK);
		via = channels[i];
		aside_free(get_server(SERVICE, 1)); /* so that it has a session */
	}
	watcher_open(&watcher); /* by the last of them */
	via = NULL;
	server = get_server(SERVICE, 3);
	assert_int_equal(server->session_count, CHANNELS + 1);
	assert_int_equal(server->n_sessions, 3);
	assert_int_equal(server->sessions[0]->calls + server->sessions[0]->streams, 1);
	assert_int_equal(server->sessions[1]->calls + server->sessions[1]->streams, 1);
	assert_int_equal(server->sessions[2]->calls + server->sessions[2]->streams, 0);
	assert_int_equal(server->sessions[0]->caller, ASIDE__RPC__V1__CALLER__CALLER_SERVICE);
	assert_true(server->sessions[0]->service[0] != '\0');
	aside_free(server);
	watcher_close(&watcher);
	for (size_t i = 0; i < CHANNELS; i++)
		aside_channel_close(channels[i]);
}

/* ── who is told ─────────────────────────────────────────────────────────────────────────────────── */

/* Asks over tcp with a token, which is freed: the refusal's reason, or "". */
static const char *ask_with(char *bearer)
{
	struct aside_options options = { .token = bearer };
	struct aside_channel *channel = NULL;

	assert_int_equal(aside_channel_open(aside_harness_listener(harness, 0, 0), &options, &channel, &status), ASIDE_OK);
	status.reason[0] = '\0';
	via = channel;
	aside_free(get_server(SERVICE, 0));
	via = NULL;
	aside_channel_close(channel);
	free(bearer);
	return status.reason;
}

static char *token_for(const char *subject, const char *scope)
{
	return token_make(JWT_ALG_ES256, key.private_pem, "key", subject, scope, 60);
}

static void only_services_with_the_scope_are_told(void **state)
{
	(void)state;
	assert_string_equal(ask_with(token_for("service:ops", "server.inspect")), "");
	assert_string_equal(ask_with(token_for("service:feed", "page.write user.act")), "SCOPE_REQUIRED");
	assert_string_equal(aside_status_fact(&status, "scope"), "server.inspect");
	assert_string_equal(ask_with(token_for("42", NULL)), "CALLER_NOT_ALLOWED");
	assert_string_equal(ask_with(NULL), "CREDENTIALS_MISSING");
	assert_refused(get_server(JOHNNY, 0), "CALLER_NOT_ALLOWED"); /* a service with every scope, but in his name */
}

static bool prepare(const char *folder)
{
	char keys[256];

	(void)snprintf(keys, sizeof keys, "%s/keys", folder);
	return key_make(&key, false) && key_publish(&key, keys, "key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_waits_is_seen_until_it_ends),
		cmocka_unit_test(streams_and_refusals_are_counted),
		cmocka_unit_test(sessions_are_bounded),
		cmocka_unit_test(only_services_with_the_scope_are_told),
	};
	const struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--keys", "keys", "--listen", "tcp://127.0.0.1:0", NULL } };

	return WORLD_RUN("introspection", tests, &options);
}
