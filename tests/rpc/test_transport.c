/* The server's transport on real sockets: that it cuts off the connection it is to, and no other. */
#include "../unit/test.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/transport.h"

#define WAIT_SECONDS 20
#define ID_BYTES 4 /* of a request, before its body */

static struct transport *transport;
static char folder[] = "/tmp/aside-transport-XXXXXX";

/* ── the server ──────────────────────────────────────────────────────────────────────────────────── */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint32_t said[256], gone; /* by the body's one byte: which connection has said it; which has left last */
static int64_t kept, most_kept;  /* of all connections, in bytes */

static void on_received(void *user, struct message *message)
{
	uint8_t *body;
	void *reply = transport_reply_new(message->body.size, &body);

	(void)user;
	assert_non_null(reply);
	memcpy(body, message->body.data, message->body.size);
	pthread_mutex_lock(&mutex);
	said[body[0]] = message->connection;
	pthread_mutex_unlock(&mutex);
	struct turn *turn = message->turn;
	message_free(message);
	transport_send(turn, reply);
}

static void on_left(void *user, uint32_t connection)
{
	(void)user;
	pthread_mutex_lock(&mutex);
	gone = connection;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static void on_kept(void *user, uint32_t connection, int64_t bytes)
{
	(void)user;
	(void)connection;
	pthread_mutex_lock(&mutex);
	kept += bytes;
	most_kept = kept > most_kept ? kept : most_kept;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static uint32_t connection_of(uint8_t word)
{
	pthread_mutex_lock(&mutex);
	uint32_t connection = said[word];
	pthread_mutex_unlock(&mutex);
	assert_int_not_equal(connection, 0);
	return connection;
}

static bool is_gone(uint32_t connection)
{
	return gone == connection;
}

static bool keeps(uint32_t bytes)
{
	return kept == bytes;
}

static void wait_until(bool (*is)(uint32_t number), uint32_t number)
{
	struct timespec until;
	int rv = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&mutex);
	while (!is(number) && rv == 0)
		rv = pthread_cond_timedwait(&changed, &mutex, &until);
	pthread_mutex_unlock(&mutex);
	assert_int_equal(rv, 0);
}

/* ── peers: SP by hand ───────────────────────────────────────────────────────────────────────────── */

static int connect_to(const char *url)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} there = { 0 };
	in_port_t port = htons((uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10));
	struct timeval patience = { WAIT_SECONDS, 0 };
	uint8_t greeting[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	socklen_t size;

	if (strncmp(url, "ipc://", 6) == 0) {
		there.un.sun_family = AF_UNIX;
		(void)snprintf(there.un.sun_path, sizeof there.un.sun_path, "%s", url + 6);
		size = sizeof there.un;
	} else if (strchr(url, '[') != NULL) {
		there.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_loopback };
		size = sizeof there.in6;
	} else {
		there.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		size = sizeof there.in;
	}
	int fd = socket(there.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &there.any, size) != 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
			send(fd, greeting, sizeof greeting, 0) != sizeof greeting ||
			recv(fd, greeting, sizeof greeting, MSG_WAITALL) != sizeof greeting)
		return -1;
	return fd;
}

/* Says the word, and hears it. */
static bool talk(int fd, bool ipc, uint8_t word)
{
	uint8_t message[1 + 8 + ID_BYTES + 1] = { 1 }, heard[sizeof message];
	uint64_t size = htobe64(ID_BYTES + 1);
	size_t skipped = !ipc, length = sizeof message - skipped; /* over ipc a message has a type */

	memcpy(message + 1, &size, sizeof size);
	message[9] = 0x80;
	message[sizeof message - 1] = word;
	return send(fd, message + skipped, length, MSG_NOSIGNAL) == (ssize_t)length &&
			recv(fd, heard, length, MSG_WAITALL) == (ssize_t)length && heard[length - 1] == word;
}

static void assert_ended(int fd)
{
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
	close(fd);
}

static void listen_at(const char *url, char *ret_url, size_t size)
{
	struct listen_options options = { NULL };
	struct aside_status err;

	if (transport_listen(transport, url, &options, ret_url, size, &err) != ASIDE_OK)
		fail_msg("%s: %s", url, err.message);
}

/* ── tests ───────────────────────────────────────────────────────────────────────────────────────── */

static char tcp[128], tcp6[128], ipc[128];

static void assert_one_is_cut(const char *url)
{
	int one = connect_to(url), two = connect_to(url), other = connect_to(tcp), local = connect_to(ipc);

	assert_true(talk(one, false, 1) && talk(two, false, 2) && talk(other, false, 3) && talk(local, true, 4));
	uint32_t connection = connection_of(1);
	transport_cut(transport, connection);
	assert_ended(one);
	wait_until(is_gone, connection);
	assert_true(talk(two, false, 2) && talk(other, false, 3) && talk(local, true, 4));
	transport_cut(transport, connection); /* which is no more */
	assert_true(talk(two, false, 2) && talk(other, false, 3) && talk(local, true, 4));
	close(two);
	close(other);
	close(local);
}

static void over_tcp_one_connection_is_cut(void **state)
{
	(void)state;
	assert_one_is_cut(tcp);
}

static void over_ipv6_one_connection_is_cut(void **state)
{
	(void)state;
	assert_one_is_cut(tcp6);
}

/* Another process: talks, and again once it is told to; 0: it was heard both times. */
static pid_t start_talker(int go, int talked)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	uint8_t byte = 0;
	int fd = connect_to(ipc);
	bool heard = fd >= 0 && talk(fd, true, 5) && write(talked, &byte, 1) == 1 && read(go, &byte, 1) == 1 && talk(fd, true, 6);
	_exit(heard ? 0 : 1);
}

static void over_ipc_a_process_is_cut(void **state)
{
	int go[2] = { -1, -1 }, talked[2] = { -1, -1 }, status = -1, two = connect_to(tcp);
	uint8_t byte = 0;
	(void)state;

	assert_true(pipe(go) == 0 && pipe(talked) == 0);
	pid_t pid = start_talker(go[0], talked[1]);
	assert_int_equal(read(talked[0], &byte, 1), 1);
	int one = connect_to(ipc);
	assert_true(talk(one, true, 1) && talk(two, false, 2));
	transport_cut(transport, connection_of(1));
	assert_ended(one);
	wait_until(is_gone, connection_of(1));
	assert_true(talk(two, false, 2));
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(two);
	for (unsigned i = 0; i < 2; i++) {
		close(go[i]);
		close(talked[i]);
	}
}

/* Turns are given back, whether their peers have heard the reply or were cut off. */
static void nothing_is_kept_for_those_who_have_been_answered(void **state)
{
	int fd = connect_to(tcp);
	(void)state;

	assert_true(talk(fd, false, 1));
	wait_until(keeps, 0);
	assert_true(most_kept >= TURN_BYTES);
	close(fd);
}

static int set_up(void **state)
{
	struct transport_events events = { on_received, on_left, on_kept, NULL };
	struct aside_status err;
	char url[128];

	(void)state;
	if (mkdtemp(folder) == NULL || transport_open(&events, NULL, &transport, &err) != ASIDE_OK)
		return -1;
	(void)snprintf(url, sizeof url, "ipc://%s/socket", folder);
	listen_at("tcp://127.0.0.1:0", tcp, sizeof tcp);
	listen_at("tcp://[::1]:0", tcp6, sizeof tcp6);
	listen_at(url, ipc, sizeof ipc);
	return transport_start(transport, &err) == ASIDE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	transport_stop(transport);
	transport_close(transport);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_tcp_one_connection_is_cut),
		cmocka_unit_test(over_ipv6_one_connection_is_cut),
		cmocka_unit_test(over_ipc_a_process_is_cut),
		cmocka_unit_test(nothing_is_kept_for_those_who_have_been_answered),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
