/* What a link tells, and when it no longer does: over nng's own sockets, with a server that only takes connections. */
#include "../unit/test.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "transport.h"

#define TIMEOUT_S 20

/* The linker's (-Wl,--wrap=socket_close): nng keeps the socket, as it does when it has lost a receive (wire/socket.h). */
bool __wrap_socket_close(nng_socket socket); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static nng_socket kept;

bool __wrap_socket_close(nng_socket socket) /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
{
	kept = socket;
	return false;
}

/* ── the two sides ───────────────────────────────────────────────────────────────────────────────────── */

static struct {
	nng_socket socket;
	char url[128];
	nng_pipe pipe; /* the last */
	sem_t connected;
} server;

static struct {
	sem_t up;
	atomic_uint events;
} told;

static void wait_for(sem_t *event)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TIMEOUT_S;
	assert_int_equal(sem_timedwait(event, &until), 0);
}

static void on_connected(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	(void)event;
	(void)arg;
	server.pipe = pipe;
	sem_post(&server.connected);
}

static void on_up(void *user)
{
	(void)user;
	told.events++;
	sem_post(&told.up);
}

static void on_down(void *user)
{
	(void)user;
	told.events++;
}

static void on_sent(void *user, uint64_t session)
{
	(void)user;
	(void)session;
}

static void on_replied(void *user, uint64_t session, void *handle, struct bytes body)
{
	(void)user;
	(void)session;
	(void)body;
	link_release(handle);
	told.events++;
}

static struct link *connect_link(void)
{
	static const struct link_events events = { on_up, on_down, on_sent, on_replied, NULL };
	static const struct aside_options options;
	struct aside_status status;
	struct link *link = NULL;

	sem_init(&server.connected, 0, 0);
	sem_init(&told.up, 0, 0);
	(void)snprintf(server.url, sizeof server.url, "ipc:///tmp/aside-link-%d.sock", (int)getpid());
	assert_int_equal(nng_rep0_open(&server.socket), 0);
	assert_int_equal(nng_pipe_notify(server.socket, NNG_PIPE_EV_ADD_POST, on_connected, NULL), 0);
	assert_int_equal(nng_socket_set_ms(server.socket, NNG_OPT_RECVTIMEO, TIMEOUT_S * 1000), 0);
	assert_int_equal(nng_listen(server.socket, server.url, NULL, 0), 0);
	assert_int_equal(link_open(server.url, &options, &events, &link, &status), ASIDE_OK);
	wait_for(&told.up);
	wait_for(&server.connected);
	return link;
}

/* ── tests ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Its socket lives on, loses its connection and makes others: all of it unheard. */
static void a_link_that_nng_keeps_says_nothing_more(void **state)
{
	struct link *link = connect_link();
	nng_msg *arrived = NULL;
	uint8_t *body;

	(void)state;
	void *message = link_message_new(1, &body);
	assert_non_null(message);
	body[0] = 0;
	link_send(link, 1, message);
	assert_int_equal(nng_recvmsg(server.socket, &arrived, 0), 0); /* nothing is under way: nng 1.5.2 would lose the pipe */
	nng_msg_free(arrived);
	link_stop(link);
	link_close(link);
	assert_int_not_equal(nng_socket_id(kept), -1);
	for (unsigned i = 0; i < 2; i++) { /* nng tells of an end before it connects again */
		assert_int_equal(nng_pipe_close(server.pipe), 0);
		wait_for(&server.connected);
	}
	assert_int_equal(told.events, 1); /* that it was up */
	assert_int_equal(nng_close(server.socket), 0);
	(void)unlink(server.url + strlen("ipc://"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_that_nng_keeps_says_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
