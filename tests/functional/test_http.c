/* What looks after a server asks it by HTTP: --http.  Server 1 is asked; server 0 keeps the database. */
#include "world.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS 20000
#define IDLE_US 10000000 /* a silent connection ends by itself */

/* ── HTTP, byte by byte ──────────────────────────────────────────────────────────────────────────── */

static int dial(void)
{
	const char *url = aside_harness_listener(harness, 1, 0);
	struct sockaddr_in address = { .sin_family = AF_INET };
	unsigned port;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(sscanf(url, "http://127.0.0.1:%u", &port), 1);
	address.sin_port = htons((uint16_t)port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL); /* the other end may have heard enough */
}

/* Everything up to the end of the connection; an answer that does not come fails. */
static size_t hear(int fd, char *ret, size_t size)
{
	size_t used = 0;
	ssize_t n = 1;

	while (n > 0 && used < size - 1) {
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, ANSWER_MS) != 1)
			fail_msg("no answer in %d ms", ANSWER_MS);
		n = recv(fd, ret + used, size - 1 - used, 0);
		used += n > 0 ? (size_t)n : 0;
	}
	ret[used] = '\0';
	return used;
}

/* The status of "METHOD PATH", and all of the answer. */
static int ask(const char *what, char *ret, size_t size)
{
	char request[256];
	int fd = dial(), code = 0;

	(void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", what);
	say(fd, request);
	hear(fd, ret, size);
	close(fd);
	return sscanf(ret, "HTTP/1.1 %d", &code) == 1 ? code : 0;
}

static int code_of(const char *what)
{
	static char answer[1 << 20];

	return ask(what, answer, sizeof answer);
}

static void assert_has(const char *answer, const char *words)
{
	if (strstr(answer, words) == NULL)
		fail_msg("expected \"%s\" in: %s", words, answer);
}

/* ── pages ───────────────────────────────────────────────────────────────────────────────────────── */

static void a_server_says_how_it_is(void **state)
{
	char answer[1024];
	(void)state;

	assert_int_equal(ask("GET /healthz", answer, sizeof answer), 200);
	assert_has(answer, "\r\n\r\nok\n");
	assert_has(answer, "Cache-Control: no-store\r\n");
	assert_int_equal(ask("GET /readyz", answer, sizeof answer), 200);
	assert_has(answer, "\r\n\r\nready\n");
	assert_int_equal(ask("HEAD /readyz", answer, sizeof answer), 200);
	assert_null(strstr(answer, "ready\n"));
}

/* The value of a sample; a metric that is not there fails. */
static double metric(const char *name)
{
	static char answer[1 << 20];
	char line[256];

	assert_int_equal(ask("GET /metrics", answer, sizeof answer), 200);
	assert_has(answer, "Content-Type: text/plain; version=0.0.4");
	(void)snprintf(line, sizeof line, "\n%s ", name);
	assert_has(answer, line);
	return strtod(strstr(answer, line) + strlen(line), NULL);
}

static void a_call_is_counted(void **state)
{
	const char *sent = "aside_calls_total{method=\"/aside.v1.MessageService/SendMessage\",code=\"OK\"}";
	int64_t page = new_page();
	(void)state;

	via = aside_harness_channel(harness, 1);
	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	double before = metric(sent);
	assert_done(send_text(JOHNNY, page, 2, "Is anybody there?"));
	assert_true(metric(sent) == before + 1);
	assert_true(metric("aside_ready") == 1);
	assert_true(metric("aside_store_batches_total") >= 2);
	if (access("/proc/self/fd", F_OK) == 0) { /* not in a bare chroot: nor are these there */
		assert_true(metric("process_resident_memory_bytes") > 1e6);
		assert_true(metric("process_open_fds") > 3);
		assert_in_range((int64_t)metric("process_start_time_seconds"), world_now_us() / 1000000 - 600,
				world_now_us() / 1000000 + 1);
	}
	via = NULL;
}

/* Each family is announced once, and each of its samples follows: what Prometheus' parser insists on. */
static void metrics_are_well_formed(void **state)
{
	static char answer[1 << 20];
	char family[128] = "", *line, *rest = NULL;
	(void)state;

	assert_int_equal(ask("GET /metrics", answer, sizeof answer), 200);
	line = strstr(answer, "\r\n\r\n") + 4;
	for (line = strtok_r(line, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char *end;
		if (sscanf(line, "# TYPE %127s", family) == 1 || strncmp(line, "# HELP ", 7) == 0)
			continue;
		if (strncmp(line, family, strlen(family)) != 0)
			fail_msg("of another family than %s: %s", family, line);
		(void)strtod(strrchr(line, ' ') + 1, &end);
		assert_int_equal(*end, '\0');
	}
}

/* ── what is refused ─────────────────────────────────────────────────────────────────────────────── */

static void nothing_else_is_served(void **state)
{
	static const char *const paths[] = { "/", "/healthz/", "/Healthz", "/metrics/../healthz", "//metrics", "/%2e%2e/etc/passwd",
		"/%", "/metrics%00" };
	static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW" };
	char what[64], answer[1024];
	(void)state;

	for (size_t i = 0; i < N_OF(paths); i++) {
		(void)snprintf(what, sizeof what, "GET %s", paths[i]);
		assert_int_equal(code_of(what), 404);
	}
	for (size_t i = 0; i < N_OF(methods); i++) {
		(void)snprintf(what, sizeof what, "%s /metrics", methods[i]);
		assert_int_equal(ask(what, answer, sizeof answer), 405);
		assert_has(answer, "\r\nAllow: GET, HEAD\r\n");
	}
}

/* Says 64 KiB of `piece` between `start` and `end`: the status of the answer, 0 for a connection that ended without one
 * (who still speaks when the server closes may not get to hear it). */
static int flood(const char *start, const char *piece, const char *end)
{
	char answer[2048];
	int fd = dial(), code = 0;

	say(fd, start);
	for (size_t said = 0; said < 65536; said += strlen(piece))
		say(fd, piece);
	say(fd, end);
	hear(fd, answer, sizeof answer);
	close(fd);
	return sscanf(answer, "HTTP/1.1 %d", &code) == 1 ? code : 0;
}

static void a_request_has_a_size(void **state)
{
	int code;
	(void)state;

	code = flood("GET /", "aaaaaaaaaaaaaaaa", " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
	assert_true(code == 414 || code == 0);
	code = flood("GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n", "X-More: aaaaaa\r\n", "\r\n");
	assert_true(code == 431 || code == 0);
	code = flood("GET /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: 65536\r\n\r\n", "aaaaaaaaaaaaaaaa", "");
	assert_int_equal(code, 0);
	assert_int_equal(code_of("GET /healthz"), 200);
}

static void who_waits_makes_room(void **state)
{
	enum { SLOW = 100 };
	int64_t begun_us = world_now_us();
	int slow[SLOW];
	char answer[64];
	(void)state;

	for (size_t i = 0; i < SLOW; i++) {
		slow[i] = dial();
		say(slow[i], "GET /hea");
	}
	assert_int_equal(code_of("GET /healthz"), 200);
	assert_int_equal(hear(slow[0], answer, sizeof answer), 0); /* the oldest went */
	assert_true(world_now_us() - begun_us < IDLE_US);          /* and not for its silence */
	say(slow[SLOW - 1], "lthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
	assert_true(hear(slow[SLOW - 1], answer, sizeof answer) > 0); /* the youngest is served */
	assert_has(answer, "HTTP/1.1 200 ");
	for (size_t i = 0; i < SLOW; i++)
		close(slow[i]);
}

/* ── readiness ───────────────────────────────────────────────────────────────────────────────────── */

static void wait_for(int code)
{
	while (code_of("GET /readyz") != code)
		;
}

static void without_a_database_nobody_is_ready(void **state)
{
	(void)state;

	assert_int_equal(aside_harness_terminate(harness, 0), 0);
	wait_for(503);
	assert_int_equal(code_of("GET /healthz"), 200);
	assert_true(metric("aside_ready") == 0);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
	wait_for(200);
}

static void *send_to_server_1(void *page)
{
	via = aside_harness_channel(harness, 1);
	return send_text(JOHNNY, *(int64_t *)page, 1, "Hello") == 1 ? page : NULL;
}

/* A write that a lock holds up keeps the server from its end. */
static void who_drains_is_not_ready(void **state)
{
	int64_t page = new_page();
	PGconn *pg = PQconnectdb(aside_harness_database(harness));
	char sql[128];
	pthread_t sender;
	void *sent;
	(void)state;

	(void)snprintf(sql, sizeof sql, "BEGIN; SELECT FROM page WHERE page_id = %lld FOR UPDATE", (long long)page);
	PQclear(PQexec(pg, sql));
	assert_int_equal(pthread_create(&sender, NULL, send_to_server_1, &page), 0);
	while (world_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aside-server' AND wait_event_type = 'Lock'") == 0)
		;
	kill(aside_harness_pid(harness, 1), SIGTERM);
	wait_for(503);
	assert_int_equal(code_of("GET /healthz"), 200);
	PQfinish(pg);
	pthread_join(sender, &sent);
	assert_non_null(sent);
	assert_int_equal(aside_harness_terminate(harness, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_says_how_it_is),
		cmocka_unit_test(a_call_is_counted),
		cmocka_unit_test(metrics_are_well_formed),
		cmocka_unit_test(nothing_else_is_served),
		cmocka_unit_test(a_request_has_a_size),
		cmocka_unit_test(who_waits_makes_room),
		cmocka_unit_test(without_a_database_nobody_is_ready),
		cmocka_unit_test(who_drains_is_not_ready),
	};
	const struct aside_harness_options options = { .servers = 2,
		.flags = (const char *[]){ "--http", "127.0.0.1:0", NULL } };

	return WORLD_RUN("http", tests, &options);
}
