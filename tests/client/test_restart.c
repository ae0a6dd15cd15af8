/* Two servers, restarted in turn under load: no call fails, whether it may be repeated or not. */
#include "../unit/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "echo.stub.h"
#include "servers.h"

#define CALLS 128     /* under way at once */
#define SETTLED 5000  /* calls that end between two restarts */
#define RESTARTS 6

static struct aside_method methods[2]; /* one that may be repeated, one that may not */
static struct aside_channel *channel;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static uint64_t n_ended, n_failed;
static unsigned under_way;
static bool stopping;
static struct aside_status first_failure;

static void start(const struct aside_method *method);

static void on_done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	const struct aside_method *method = user;

	aside_free(response);
	pthread_mutex_lock(&mutex);
	if (status->code != ASIDE_OK && n_failed++ == 0)
		first_failure = *status;
	n_ended++;
	bool more = !stopping;
	under_way -= !more;
	pthread_cond_signal(&ended);
	pthread_mutex_unlock(&mutex);
	if (more)
		start(method);
}

static void start(const struct aside_method *method)
{
	static uint8_t bytes[128];
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_status status;

	request.payload = (ProtobufCBinaryData){ sizeof bytes, bytes };
	if (aside_call_start(channel, method, &request.base, NULL, on_done, (void *)(uintptr_t)method, NULL, &status) == ASIDE_OK)
		return;
	pthread_mutex_lock(&mutex);
	n_failed++;
	under_way--;
	pthread_cond_signal(&ended);
	pthread_mutex_unlock(&mutex);
}

static void begin(const char *urls)
{
	struct aside_status status;

	n_ended = n_failed = 0;
	stopping = false;
	under_way = CALLS;
	assert_int_equal(aside_channel_open(urls, NULL, &channel, &status), ASIDE_OK);
	for (unsigned i = 0; i < CALLS; i++)
		start(&methods[i % N_OF(methods)]);
}

/* One that fails is the end of it: without a server they would go on failing for long. */
static void let_calls_end(uint64_t n)
{
	pthread_mutex_lock(&mutex);
	for (uint64_t until = n_ended + n; n_ended < until && under_way > 0 && n_failed == 0;)
		pthread_cond_wait(&ended, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void finish(void)
{
	pthread_mutex_lock(&mutex);
	stopping = true;
	while (under_way > 0)
		pthread_cond_wait(&ended, &mutex);
	pthread_mutex_unlock(&mutex);
	aside_channel_close(channel);
}

static void expect_none_failed(void)
{
	if (n_failed > 0)
		print_message("%s %s: %s\n", aside_code_name(first_failure.code), first_failure.reason, first_failure.message);
	assert_int_equal(n_failed, 0);
}

static void no_call_fails_while_two_servers_restart_in_turn(void **state)
{
	struct echo_process servers[2] = { 0 };
	char urls[300];

	(void)state;
	echo_start(&servers[0], "first");
	echo_start(&servers[1], "second");
	(void)snprintf(urls, sizeof urls, "%s,%s", servers[0].url, servers[1].url);
	begin(urls);
	let_calls_end(SETTLED);
	for (unsigned i = 0; i < RESTARTS; i++) {
		assert_int_equal(echo_end(&servers[i % 2], SIGTERM), 0);
		echo_restart(&servers[i % 2]);
		let_calls_end(SETTLED);
	}
	finish();
	expect_none_failed();
	echo_remove(&servers[0]);
	echo_remove(&servers[1]);
}

static void no_call_fails_while_the_only_server_restarts(void **state)
{
	struct echo_process server = { 0 };

	(void)state;
	echo_start(&server, "only");
	begin(server.url);
	let_calls_end(SETTLED);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(echo_end(&server, SIGTERM), 0);
		echo_restart(&server);
		let_calls_end(SETTLED);
	}
	finish();
	expect_none_failed();
	echo_remove(&server);
}

static void repeatable_calls_outlive_a_crash(void **state)
{
	struct echo_process servers[2] = { 0 };
	char urls[300];

	(void)state;
	methods[1].idempotency = ASIDE_IDEMPOTENT;
	echo_start(&servers[0], "third");
	echo_start(&servers[1], "fourth");
	(void)snprintf(urls, sizeof urls, "%s,%s", servers[0].url, servers[1].url);
	begin(urls);
	let_calls_end(SETTLED);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(echo_end(&servers[i % 2], SIGKILL), 128 + SIGKILL);
		let_calls_end(100);
		echo_restart(&servers[i % 2]);
		let_calls_end(SETTLED);
	}
	finish();
	expect_none_failed();
	echo_remove(&servers[0]);
	echo_remove(&servers[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_call_fails_while_two_servers_restart_in_turn),
		cmocka_unit_test(no_call_fails_while_the_only_server_restarts),
		cmocka_unit_test(repeatable_calls_outlive_a_crash),
	};

	methods[0] = methods[1] = echo_v1_echo_service.methods[echo_v1_echo_service_echo_index];
	methods[1].idempotency = ASIDE_NOT_IDEMPOTENT;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
