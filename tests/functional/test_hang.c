/* A database that is there and does not answer: its callers wait no longer than they wanted to. */
#include "world.h"

#include <signal.h>
#include <stdio.h>

#include "aside/rpc/v1/health.stub.h"
#include "aside/rpc/v1/introspection.stub.h"
#include "aside/stream.h"
#include "raw.h"
#include "watching.h"

#define SEND "/aside.v1.MessageService/SendMessage"

static pid_t stopped[32];
static unsigned n_stopped;

/* Stops every PostgreSQL process that serves a server. */
static void stop_backends(void)
{
	int64_t pid;

	while (n_stopped < N_OF(stopped) && (pid = world_sql("SELECT pid FROM pg_stat_activity WHERE application_name = "
							     "'aside-server' ORDER BY pid OFFSET %u LIMIT 1", n_stopped)) != 0) {
		assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
		stopped[n_stopped++] = (pid_t)pid;
	}
	assert_true(n_stopped > 1);
}

static int continue_backends(void **state)
{
	(void)state;
	while (n_stopped > 0)
		kill(stopped[--n_stopped], SIGCONT);
	return 0;
}

/* What the server says of SendMessage, which takes no database: calls under way, and those that ended late. */
struct sends {
	uint64_t under_way, late;
};

static struct sends look_at_sends(void)
{
	Aside__Rpc__V1__GetServerRequest request = ASIDE__RPC__V1__GET_SERVER_REQUEST__INIT;
	struct sends sends = { 0 };

	Aside__Rpc__V1__GetServerResponse *server = ASK(Aside__Rpc__V1__GetServerResponse,
			aside_rpc_v1_introspection_service_get_server, &request, SERVICE);
	assert_done(server);
	for (size_t i = 0; i < server->n_methods; i++) {
		const Aside__Rpc__V1__MethodState *method = server->methods[i];
		if (strcmp(method->method, SEND) != 0)
			continue;
		sends.under_way = method->under_way;
		for (size_t k = 0; k < method->n_outcomes; k++)
			sends.late += method->outcomes[k]->code == ASIDE_DEADLINE_EXCEEDED ? method->outcomes[k]->calls : 0;
	}
	aside_free(server);
	return sends;
}

/* By a peer without a clock of its own: it waits for the reply, whenever that comes. */
static void send_in_time(int64_t page, uint64_t key, const char *text)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	uint8_t packed[256];
	struct frame reply;
	struct raw raw;

	request.page_id = page;
	request.client_key = uuid_of(key);
	request.content = text_content(text);
	struct bytes payload = { packed, protobuf_c_message_pack(&request.base, packed) };
	assert_true(raw_open(&raw, aside_harness_address(harness, 0)));
	raw.timeout_us = 1000000;
	assert_true(raw_call(&raw, SEND, payload, JOHNNY, &reply));
	assert_int_equal(reply.code, ASIDE_DEADLINE_EXCEEDED);
	raw_close(&raw);
}

static void calls_end_at_their_deadline(void **state)
{
	int64_t page = new_page();
	(void)state;

	stop_backends();
	send_in_time(page, 1, "Sent, and not answered");
	send_in_time(page, 2, "Not even sent");
	struct sends sends = look_at_sends();
	assert_int_equal(sends.late, 2);
	assert_int_equal(sends.under_way, 0);
	continue_backends(NULL);
	/* What was with the database was done, as its key tells; what was not never was. */
	assert_int_equal(send_text(JOHNNY, page, 1, "Sent, and not answered"), 1);
	assert_int_equal(send_text(JOHNNY, page, 3, "At last"), 2);
	assert_counters_right(page);
}

/* It cannot tell where the watch begins. */
static void so_do_watches_that_begin(void **state)
{
	int64_t page = new_page();
	struct watcher watcher = WATCH_PAGE_AS(MODERATOR, page);
	(void)state;

	stop_backends();
	assert_false(watcher_try_open(&watcher));
	assert_int_equal(status.code, ASIDE_DEADLINE_EXCEEDED);
	continue_backends(NULL);
	watcher_open(&watcher);
	assert_done(send_text(JOHNNY, page, 1, "Again"));
	assert_int_equal(watcher_expect(&watcher, "Again"), 1);
	watcher_close(&watcher);
}

/* The next state of a watched health. */
static int next_state(struct aside_stream *stream)
{
	Aside__Rpc__V1__WatchResponse *item = NULL;

	assert_done(aside_rpc_v1_health_service_watch_receive(stream, &item, &status) == ASIDE_OK);
	assert_non_null(item);
	int state = (int)item->status;
	aside_free(item);
	return state;
}

static void a_silent_database_is_told_and_its_answer(void **state)
{
	Aside__Rpc__V1__WatchRequest request = ASIDE__RPC__V1__WATCH_REQUEST__INIT;
	struct aside_call_options options = { .timeout_ms = 60000 };
	struct aside_stream *health = NULL;
	int64_t page = new_page();
	(void)state;

	assert_done(aside_rpc_v1_health_service_watch_open(world_via(), &request, &options, &health, &status) == ASIDE_OK);
	assert_int_equal(next_state(health), ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	stop_backends();
	send_in_time(page, 1, "Sent, and not answered");
	assert_int_equal(next_state(health), ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_NOT_SERVING);
	assert_true(aside_harness_logged(harness, 0, "event=database_silent"));
	continue_backends(NULL);
	assert_int_equal(next_state(health), ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	assert_true(aside_harness_logged(harness, 0, "event=database_answers"));
	aside_stream_close(health);
	assert_done(send_text(JOHNNY, page, 2, "Again"));
}

/* Of PostgreSQL nothing moves any more, its postmaster neither: the server ends nevertheless, and so do they. */
static void a_frozen_postgres_does_not_hold_the_end_up(void **state)
{
	char command[512];
	int64_t page = new_page();
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Kept"));
	(void)snprintf(command, sizeof command, "p=$(head -1 %s/data-0/postgres/postmaster.pid) && kill -STOP $p $(pgrep -P $p)",
			aside_harness_folder(harness));
	assert_int_equal(system(command), 0);
	assert_int_equal(aside_harness_terminate(harness, 0), 0);
	assert_true(aside_harness_logged(harness, 0, "event=postgres_killed"));
	assert_done(aside_harness_restart(harness, 0, &status) == ASIDE_OK);
	assert_int_equal(send_text(JOHNNY, page, 2, "And again"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(calls_end_at_their_deadline, continue_backends),
		cmocka_unit_test_teardown(so_do_watches_that_begin, continue_backends),
		cmocka_unit_test_teardown(a_silent_database_is_told_and_its_answer, continue_backends),
		cmocka_unit_test(a_frozen_postgres_does_not_hold_the_end_up),
	};
	const struct aside_harness_options options = { .flags = (const char *[]){ "--drain-timeout", "2", NULL } };

	return WORLD_RUN("hang", tests, &options);
}
