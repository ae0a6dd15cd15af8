/* Peers that misbehave below the protocol: service goes on for everybody else (design §4). */
#include "world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../unit/files.h"
#include "aside/rpc/v1/health.stub.h"
#include "keys.h"
#include "wire/envelope.h"

#define ATTACKS 1000

enum { TCP, WS }; /* the listeners, in order */

static int connect_ipc(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s",
			aside_harness_address(harness, 0) + strlen("ipc://"));
	(void)!connect(fd, (struct sockaddr *)&address, sizeof address);
	return fd;
}

static int connect_tcp(unsigned listener)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	address.sin_port = htons((uint16_t)atoi(strrchr(aside_harness_listener(harness, 0, listener), ':') + 1));
	(void)!connect(fd, (struct sockaddr *)&address, sizeof address);
	return fd;
}

/* A newcomer at `address` is served, once those before it are through. */
static void assert_served(const char *address)
{
	struct aside_options options = { .timeout_ms = 10000, .connect_timeout_ms = 10000 };
	Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;
	struct aside_channel *fresh = NULL;

	assert_int_equal(aside_channel_open(address, &options, &fresh, &status), ASIDE_OK);
	via = fresh;
	Aside__Rpc__V1__CheckResponse *response =
			ASK(Aside__Rpc__V1__CheckResponse, aside_rpc_v1_health_service_check, &request, SERVICE);
	assert_done(response);
	assert_int_equal(response->status, ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	aside_free(response);
	aside_channel_close(fresh);
	via = NULL;
}

static void ipc_connections_that_close_at_once_do_no_harm(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ATTACKS; i++)
		close(connect_ipc());
	assert_served(aside_harness_address(harness, 0));
}

/* FIN, then RST: what a port scan or a health probe may look like to the listener. */
static void tcp_connections_that_reset_do_no_harm(void **state)
{
	struct linger reset = { 1, 0 };
	(void)state;

	for (unsigned i = 0; i < ATTACKS; i++) {
		int fd = connect_tcp(TCP);
		(void)shutdown(fd, SHUT_WR);
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(fd);
	}
	assert_served(aside_harness_listener(harness, 0, TCP));
}

static bool prepare(const char *folder)
{
	static struct key_pair key;
	char keys[256];

	(void)snprintf(keys, sizeof keys, "%s/keys", folder);
	return key_make(&key, false) && key_publish(&key, keys, "key");
}

/* ── WebSocket ───────────────────────────────────────────────────────────────────────────────────── */

/* What the server makes of `text` is its own affair: it may answer or close. */
static void say(int fd, const void *text, size_t size)
{
	(void)!send(fd, text, size, MSG_NOSIGNAL);
}

#define UPGRADE "GET /aside HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"       \
		"Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n"

/* "HOST:PORT" of the WebSocket's address; *ret_length of it. */
static const char *ws_host(int *ret_length)
{
	const char *host = aside_harness_listener(harness, 0, WS) + strlen("ws://");

	*ret_length = (int)strcspn(host, "/");
	return host;
}

/* The beginning of a WebSocket, to its empty line and what comes then. */
static const char *upgrade(const char *more)
{
	static char text[512];
	int length;
	const char *host = ws_host(&length);

	(void)snprintf(text, sizeof text, UPGRADE "%s", length, host, more);
	return text;
}

static void garbage_at_the_websocket_does_no_harm(void **state)
{
	static const char *const requests[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /%41%41%41%25 HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /aside HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", "GET", "\r\n\r\n\r\n" };
	static const char *const frames[] = { "\r\n\x81\x85text!", "\r\n\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF" };
	uint8_t noise[512];
	(void)state;

	srand(1966);
	for (unsigned i = 0; i < ATTACKS; i++) {
		int fd = connect_tcp(WS);
		const char *request = i % 2 == 0 ? requests[i / 2 % N_OF(requests)] : upgrade(frames[i / 2 % N_OF(frames)]);
		say(fd, request, strlen(request));
		for (size_t k = 0; k < sizeof noise; k++)
			noise[k] = (uint8_t)rand();
		say(fd, noise, (size_t)rand() % sizeof noise);
		close(fd);
	}
	assert_served(aside_harness_listener(harness, 0, WS));
}

/* What answers Check, asked by ws by a page from `origin` (NULL: no browser): 0x82, the first byte of a message with
 * the reply, or 0: the connection ends. */
static uint8_t ask_from(const char *origin)
{
	static const uint8_t frame[] = { 0x82, 0x80 | 45, 0, 0, 0, 0, /* masked, by nothing */
		0x80, 0, 0, 1, 0x1A, 39, 0x08, 1, 0x1A, 35, 0x0A, 33 };
	char header[128] = "\r\n";
	uint8_t byte = 0, last[4] = { 0 };
	int fd = connect_tcp(WS);

	if (origin != NULL)
		(void)snprintf(header, sizeof header, "Origin: %s\r\n\r\n", origin);
	say(fd, upgrade(header), strlen(upgrade(header)));
	while (memcmp(last, "\r\n\r\n", 4) != 0 && recv(fd, &byte, 1, 0) == 1) {
		memmove(last, last + 1, 3);
		last[3] = byte;
	}
	say(fd, frame, sizeof frame);
	say(fd, "/aside.rpc.v1.HealthService/Check", 33);
	if (recv(fd, &byte, 1, 0) != 1 || byte == 0x88) /* a close frame */
		byte = 0;
	close(fd);
	return byte;
}

static void only_known_pages_may_call(void **state)
{
	char own[64];
	int length;
	const char *host = ws_host(&length);
	(void)state;

	(void)snprintf(own, sizeof own, "http://%.*s", length, host);
	assert_int_equal(ask_from(NULL), 0x82);
	assert_int_equal(ask_from(own), 0x82);
	assert_int_equal(ask_from("https://pages.example"), 0x82);
	assert_int_equal(ask_from("http://pages.example"), 0);
	assert_int_equal(ask_from("https://pages.example.evil.example"), 0);
	assert_int_equal(ask_from("null"), 0);
	assert_served(aside_harness_listener(harness, 0, WS));
}

/* ── half a reply ────────────────────────────────────────────────────────────────────────────────── */

/* As SP has it over ipc: a greeting, then type, size and id before each body. */
static const uint8_t greeting[] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };

/* A message of many calls, each of which is answered. */
static size_t much(uint8_t **ret)
{
	enum { CALLS = 4000 };
	static const uint8_t id[] = { 0x80, 0, 0, 1 };
	static const char unknown[] = "/aside.v1.NoSuchService/NoSuchMethodAtAll";
	static uint8_t message[9 + sizeof id + CALLS * (sizeof unknown + 32)] = { 1 };
	uint8_t *end = message + 9 + sizeof id;

	for (unsigned i = 1; i <= CALLS; i++) {
		struct frame call = { .call_id = i, .kind = FRAME_CALL,
			.method = { (const uint8_t *)unknown, sizeof unknown - 1 } };
		end = envelope_frame_write(&call, end);
	}
	size_t size = (size_t)(end - message);
	for (unsigned i = 0; i < 8; i++)
		message[8 - i] = (uint8_t)((size - 9) >> 8 * i);
	memcpy(message + 9, id, sizeof id);
	*ret = message;
	return size;
}

static void request_much(int fd)
{
	uint8_t *message;
	size_t size = much(&message);

	say(fd, greeting, sizeof greeting);
	say(fd, message, size);
}

/* Waits until nothing is left of those who have gone; everybody else is served meanwhile. */
static void assert_files(unsigned most)
{
	pid_t pid = aside_harness_pid(harness, 0);
	int64_t until_us = world_now_us() + 10000000;

	do
		assert_served(aside_harness_address(harness, 0));
	while (count_files(pid) > most && world_now_us() < until_us);
	assert_in_range(count_files(pid), 0, most);
}

/* The server is in the middle of a long reply when its peer goes: the connection ends there, too. */
static void replies_cut_short_leave_nothing_behind(void **state)
{
	unsigned before = count_files(aside_harness_pid(harness, 0));
	uint8_t some[4096];
	(void)state;

	for (unsigned i = 0; i < ATTACKS / 10; i++) {
		int fd = connect_ipc();
		request_much(fd);
		(void)!recv(fd, some, 8, MSG_WAITALL); /* its greeting */
		(void)!recv(fd, some, 1 + (size_t)rand() % sizeof some, 0);
		close(fd);
	}
	assert_files(before + 2);
}

/* The server sends and receives at once on connections that end with an error: of the replies nobody has read any. */
static void those_who_go_while_they_send_leave_nothing_behind(void **state)
{
	enum { AT_ONCE = 8 };
	unsigned before = count_files(aside_harness_pid(harness, 0));
	uint8_t *message;
	size_t size = much(&message), sent[AT_ONCE] = { 0 };
	int fds[AT_ONCE];
	(void)state;

	for (unsigned k = 0; k < AT_ONCE; k++)
		say(fds[k] = connect_ipc(), greeting, sizeof greeting);
	for (unsigned i = 0; i < 5 * ATTACKS; i++) {
		unsigned k = (unsigned)rand() % AT_ONCE;
		ssize_t n = send(fds[k], message + sent[k], size - sent[k], MSG_NOSIGNAL | MSG_DONTWAIT);
		sent[k] = (sent[k] + (size_t)(n > 0 ? n : 0)) % size;
		if (rand() % 16 > 0)
			continue;
		close(fds[k]);
		sent[k] = 0;
		say(fds[k] = connect_ipc(), greeting, sizeof greeting);
	}
	for (unsigned k = 0; k < AT_ONCE; k++)
		close(fds[k]);
	assert_files(before + 2);
}

/* ── greed ───────────────────────────────────────────────────────────────────────────────────────── */

/* Asks, and reads no reply: the server ends that, and nothing else. */
static void assert_cut_off(int fd, size_t skipped)
{
	struct timeval patience = { 20, 0 };
	uint8_t *message;
	size_t size = much(&message);
	unsigned n = 0;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
	say(fd, greeting, sizeof greeting);
	while (n < ATTACKS && send(fd, message + skipped, size - skipped, MSG_NOSIGNAL) == (ssize_t)(size - skipped))
		n++;
	assert_in_range(n, 1, ATTACKS - 1);
	assert_true(send(fd, message, 1, MSG_NOSIGNAL) < 0 && (errno == EPIPE || errno == ECONNRESET));
	close(fd);
}

static void who_reads_no_replies_is_cut_off(void **state)
{
	(void)state;

	assert_cut_off(connect_tcp(TCP), 1); /* over tcp a message has no type */
	assert_true(aside_harness_logged(harness, 0, "event=connection_cut"));
	assert_served(aside_harness_address(harness, 0));
	assert_served(aside_harness_listener(harness, 0, TCP));
}

/* ── patience ────────────────────────────────────────────────────────────────────────────────────── */

/* Peers that begin and never go on: half a greeting, half a request. */
static void those_who_dawdle_delay_nobody(void **state)
{
	enum { EACH = 200 };
	int fds[3 * EACH];
	size_t n = 0;
	(void)state;

	for (unsigned i = 0; i < EACH; i++) {
		say(fds[n++] = connect_tcp(TCP), greeting, 3);
		say(fds[n++] = connect_tcp(WS), upgrade("\r"), i % 2 == 0 ? strlen(upgrade("\r")) : 5);
		say(fds[n++] = connect_ipc(), greeting, i % 3);
	}
	assert_served(aside_harness_listener(harness, 0, TCP));
	assert_served(aside_harness_listener(harness, 0, WS));
	assert_served(aside_harness_address(harness, 0));
	while (n > 0)
		close(fds[--n]);
}

/* However many come, the server finds files for a database that it has lost. */
static void connections_leave_files_to_the_database(void **state)
{
	enum { FILES = 256 };
	struct aside_harness *usual = harness;
	struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--listen", "tcp://127.0.0.1:0", "--keys", "keys", NULL } };
	struct rlimit before, few;
	int fds[2 * FILES];
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ FILES, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(aside_harness_start(&options, &harness, &status), ASIDE_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	int64_t page = new_page();
	for (unsigned i = 0; i < N_OF(fds); i++)
		say(fds[i] = connect_tcp(TCP), greeting, sizeof greeting);
	assert_true(world_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
			      " WHERE application_name = 'aside-server'") > 0);
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	for (unsigned i = 0; i < N_OF(fds); i++)
		close(fds[i]);
	assert_served(aside_harness_listener(harness, 0, TCP));
	int left = aside_harness_stop(harness);
	harness = usual;
	assert_int_equal(left, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipc_connections_that_close_at_once_do_no_harm),
		cmocka_unit_test(tcp_connections_that_reset_do_no_harm),
		cmocka_unit_test(garbage_at_the_websocket_does_no_harm),
		cmocka_unit_test(only_known_pages_may_call),
		cmocka_unit_test(replies_cut_short_leave_nothing_behind),
		cmocka_unit_test(those_who_go_while_they_send_leave_nothing_behind),
		cmocka_unit_test(who_reads_no_replies_is_cut_off),
		cmocka_unit_test(those_who_dawdle_delay_nobody),
		cmocka_unit_test(connections_leave_files_to_the_database),
	};
	const struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--listen", "tcp://127.0.0.1:0", "--listen",
				"ws://127.0.0.1:0/aside", "--keys", "keys", "--origin", "https://pages.example", "--peer-memory", "128", NULL } };

	return WORLD_RUN("attacks", tests, &options);
}
