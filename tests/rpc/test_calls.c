/* One call after the other through the runtime: what goes in, what comes out. */
#include "asking.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "store/op.h"

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

static void a_call_ends_at_its_deadline_whatever_the_store_does(void **state)
{
	(void)state;
	peer_greet(&peer, 1, 1);
	asking_put_within(&peer, 1, 20000000);
	asking_put_within(&peer, 2, 5000000);
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
	asking_put_within(&peer, 3, 5000000);
	peer_send(&peer);
	asking_answer();
	asking_expect(&peer, 3, "");
	assert_int_equal(asking_ended(), 2); /* the handler heard no more of the second */
}

static void so_does_a_plain_call(void **state)
{
	(void)state;
	asking_put_within(&peer, 1, 5000000);
	asking_put_within(&peer, 2, 20000000);
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
	asking_put_within(&peer, 1, 5000000);
	peer_send(&peer);
	assert_false(asking_first()->abandoned);
	peer_leave(&peer);
	peer_wait_parked(&peer, 0);
	asking_answer();
	(void)tear_down(NULL); /* which waits for whoever visits the session */
	assert_int_equal(asking_ended(), 0);
	(void)set_up(NULL);
}

/* ── peers that break the rules ──────────────────────────────────────────────────────────────────── */

/* From now on the log, with all of what a server usually says, goes into a file; what was standard error. */
static int log_to(int file)
{
	int before = dup(STDERR_FILENO);

	assert_true(before >= 0);
	assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
	log_init(LOG_INFO); /* the next server of a test has it as before */
	return before;
}

/* Ends that: whether a line of it has `words`. */
static bool logged(int file, int before, const char *words)
{
	char text[4096];
	ssize_t n = pread(file, text, sizeof text - 1, 0);

	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	assert_true(n >= 0);
	text[n] = '\0';
	close(before);
	close(file);
	return strstr(text, words) != NULL;
}

static void a_frame_that_cannot_be_read_ends_the_session(void **state)
{
	int log = memfd_create("log", MFD_CLOEXEC), before = log_to(log);
	char line[128];
	static const uint8_t cut[] = { 0x1A, 0x02, 0x08, 0xFF };
	(void)state;

	peer_greet(&peer, 1, 1);
	peer_put_call(&peer, 1, "/x", NULL);
	peer_put_bytes(&peer, (struct bytes){ cut, sizeof cut });
	peer_put_call(&peer, 2, "/x", NULL); /* which nobody will answer */
	peer_send(&peer);
	peer_wait_goaway(&peer, "a frame that cannot be read");
	(void)snprintf(line, sizeof line, "level=info event=session_broken connection=%u message=\"a frame that cannot be read\"\n",
			peer.connection);
	(void)tear_down(NULL); /* who has visited the session writes its lines at the end */
	(void)set_up(NULL);
	assert_true(logged(log, before, line));
}

/* So that nothing is on its way when it closes the connection. */
static void a_client_that_leaves_gets_back_all_its_requests(void **state)
{
	int log = memfd_create("log", MFD_CLOEXEC), before = log_to(log);
	(void)state;

	peer_greet(&peer, 1, 1);
	asking_put(&peer, 1, "abc"); /* which the store is asked */
	peer_send(&peer);
	peer_send(&peer);
	peer_put_kind(&peer, 0, FRAME_GOAWAY);
	peer_send(&peer);
	for (unsigned i = 0; i < 3; i++)
		peer_wait_goaway(&peer, "the client has left");
	assert_int_equal(peer_parked(&peer), 0);
	asking_answer();
	peer_expect_nothing(&peer);
	(void)tear_down(NULL);
	(void)set_up(NULL);
	assert_false(logged(log, before, "event=session_broken")); /* it may */
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
		cmocka_unit_test_setup_teardown(a_frame_that_cannot_be_read_ends_the_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_leaves_gets_back_all_its_requests, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
