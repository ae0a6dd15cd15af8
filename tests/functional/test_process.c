/* The server as a program: how it ends, and what it refuses to start with. */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "aside/rpc/v1/health.stub.h"
#include "keys.h"
#include "program.h"
#include "raw.h"

#define CHECK "/aside.rpc.v1.HealthService/Check"
#define SEND "/aside.v1.MessageService/SendMessage"

/* ── draining ────────────────────────────────────────────────────────────────────────────────────── */

/* Sends a plain call and does not wait. */
static void begin_send(struct raw *raw, int64_t page)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .method = { (const uint8_t *)SEND, strlen(SEND) } };
	uint8_t payload[256];
	nng_msg *msg = NULL;

	request.page_id = page;
	request.client_key = uuid_of(1);
	request.content = text_content("Hello");
	call.payload = (struct bytes){ payload, aside__v1__send_message_request__pack(&request, payload) };
	call.metadata[0] = (struct metadata){ { (const uint8_t *)"act-as-user", 11 }, { (const uint8_t *)"42", 2 } };
	call.n_metadata = 1;
	assert_int_equal(nng_msg_alloc(&msg, envelope_frame_size(&call)), 0);
	(void)envelope_frame_write(&call, nng_msg_body(msg));
	assert_int_equal(nng_sendmsg(raw->socket, msg, 0), 0);
}

static uint32_t end_send(struct raw *raw)
{
	struct frame reply;

	assert_int_equal(nng_recvmsg(raw->socket, &raw->reply, 0), 0);
	assert_true(raw_first_frame((struct bytes){ nng_msg_body(raw->reply), nng_msg_len(raw->reply) }, &reply));
	return reply.code;
}

static Aside__Rpc__V1__CheckResponse__ServingStatus ask_health(struct raw *raw)
{
	struct frame reply;

	assert_true(raw_call(raw, CHECK, (struct bytes){ NULL, 0 }, 0, &reply));
	assert_int_equal(reply.code, ASIDE_OK);
	Aside__Rpc__V1__CheckResponse *response = aside__rpc__v1__check_response__unpack(NULL, reply.payload.size, reply.payload.data);
	assert_non_null(response);
	Aside__Rpc__V1__CheckResponse__ServingStatus serving = response->status;
	aside__rpc__v1__check_response__free_unpacked(response, NULL);
	return serving;
}

static void what_is_under_way_is_answered_before_the_end(void **state)
{
	int64_t page = new_page();
	struct world_lock *lock = lock_page(page);
	struct raw sender, observer;
	struct frame reply;
	int ended;
	(void)state;

	assert_true(raw_open(&sender, aside_harness_address(harness, 0)));
	assert_true(raw_open(&observer, aside_harness_address(harness, 0)));
	begin_send(&sender, page);
	wait_for_a_blocked_write();
	kill(aside_harness_pid(harness, 0), SIGTERM);
	while (ask_health(&observer) == ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING)
		;
	/* Nothing new is begun. */
	assert_true(raw_call(&observer, "/aside.v1.ThreadService/ListMyThreads", (struct bytes){ NULL, 0 }, JOHNNY, &reply));
	assert_int_equal(reply.code, ASIDE_UNAVAILABLE);
	unlock_page(lock);
	assert_int_equal(end_send(&sender), ASIDE_OK);
	ended = aside_harness_terminate(harness, 0);
	assert_int_equal(ended, 0);
	raw_close(&sender);
	raw_close(&observer);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
	assert_int_equal(send_text(JOHNNY, page, 2, "And again"), 2);
}

static void many_calls_are_answered_before_the_end(void **state)
{
	enum { CALLS = 64 };
	int64_t page = new_page();
	struct world_lock *lock = lock_page(page);
	static struct raw raws[CALLS];
	(void)state;

	for (size_t i = 0; i < CALLS; i++) {
		assert_true(raw_open(&raws[i], aside_harness_address(harness, 0)));
		begin_send(&raws[i], page);
	}
	wait_for_a_blocked_write();
	kill(aside_harness_pid(harness, 0), SIGTERM);
	unlock_page(lock);
	for (size_t i = 0; i < CALLS; i++) {
		uint32_t code = end_send(&raws[i]);
		if (code != ASIDE_OK)
			assert_int_equal(code, ASIDE_UNAVAILABLE); /* it came too late, and was told */
	}
	assert_int_equal(aside_harness_terminate(harness, 0), 0);
	for (size_t i = 0; i < CALLS; i++)
		raw_close(&raws[i]);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
}

static void the_harness_knows_its_servers(void **state)
{
	unsigned beyond = 0;

	(void)state;
	while (aside_harness_address(harness, beyond) != NULL)
		beyond++;
	assert_int_equal(beyond, 2);
	assert_null(aside_harness_listener(harness, beyond, 0));
	assert_null(aside_harness_channel(harness, beyond));
	assert_int_equal(aside_harness_terminate(harness, 1), 0);
	assert_int_equal(aside_harness_pid(harness, 1), 0);
	assert_int_equal(aside_harness_terminate(harness, 1), -1); /* it has ended */
	assert_int_equal(aside_harness_restart(harness, 1, &status), ASIDE_OK);
}

/* A call that does not end holds the server up to --drain-timeout, and no longer. */
static void an_endless_call_does_not_hold_the_end_up(void **state)
{
	int64_t page = new_page();
	struct world_lock *lock = lock_page(page);
	struct timespec before, after;
	struct raw sender;
	(void)state;

	assert_true(raw_open(&sender, aside_harness_address(harness, 1)));
	begin_send(&sender, page);
	wait_for_a_blocked_write();
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(aside_harness_terminate(harness, 1), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range(after.tv_sec - before.tv_sec, 1, 20);
	unlock_page(lock);
	raw_close(&sender);
	assert_int_equal(aside_harness_restart(harness, 1, &status), ASIDE_OK);
}

/* ── the program ─────────────────────────────────────────────────────────────────────────────────── */

static void a_data_folder_is_one_servers(void **state)
{
	char said[4096];
	(void)state;

	assert_int_equal(run(said, sizeof said, "--data %s/data-0", aside_harness_folder(harness)), 1);
	assert_said(said, "data-0");
	assert_said(said, "another aside-server");
	assert_done(send_text(JOHNNY, new_page(), 1, "Hello")); /* the first one has not noticed */
}

static void what_never_began_is_not_drained(void **state)
{
	char said[4096];
	(void)state;

	assert_int_equal(run(said, sizeof said, "--database '%s' --data %s/nowhere", aside_harness_database(harness),
				aside_harness_folder(harness)), 1);
	assert_said(said, "nowhere/aside.sock: the folder of the socket is missing");
	assert_null(strstr(said, "event=drained"));
}

/* As root: PostgreSQL runs as somebody else, and must find its way to its files. */
static void a_narrow_umask_does_no_harm(void **state)
{
	struct aside_harness *narrow = NULL;
	mode_t mask = umask(077);
	(void)state;

	enum aside_code code = aside_harness_start(NULL, &narrow, &status);
	(void)umask(mask);
	if (code != ASIDE_OK)
		fail_msg("%s", status.message);
	assert_int_equal(aside_harness_stop(narrow), 0);
}

static void wrong_settings_are_named(void **state)
{
	static const struct {
		const char *arguments, *words;
	} wrong[] = {
		{ "--colour red", "--colour" },
		{ "--listen", "--listen" },
		{ "--workers many", "--workers" },
		{ "--log-level loud", "--log-level" },
		{ "--listen tcp://127.0.0.1:0", "--keys" },
		{ "--database postgresql://aside:secret@db/aside", "--database" },
		{ "--listen tls+tcp://127.0.0.1:0 --keys /keys", "--tls" },
		{ "--listen tcp://127.0.0.1 --keys /keys", "has no port" },
		{ "--listen tcp://127.0.0.1:65536 --keys /keys", "beyond 65535" },
		{ "--listen ipc:///nowhere/aside.sock", "in no folder" },
		{ "--keys /nowhere", "--keys" },
		{ "--audience coke", "take --keys" },
		{ "--keys /nowhere --audience 'a b'", "--audience a b" },
		{ "--http 0.0.0.0:7480", "--http-anywhere" },
		{ "--http '[::]:7480'", "--http-anywhere" },
		{ "--origin shop.example", "--origin shop.example: is not of the form" },
		{ "--origin https://shop.example/", "--origin" },
		{ "--http 127.0.0.1", "HOST:PORT" },
		{ "--http ::1:7480", "HOST:PORT" },
		{ "--http-anywhere=perhaps", "yes or no" },
		{ "--no-hints --no-hints", "twice" },
		{ "--database sslpassword=secret", "--database" },
		{ "--read-database host=db2", "needs --database" },
		{ "--database host=db --read-database 'host=db2 password=secret'", "ASIDE_READ_DATABASE" },
		{ "--database host=db --read-database host", "--read-database" },
		{ "dance", "--help" },
		{ "migrate", "--help" },
		{ "migrate dance", "up, down or status" },
	};
	char said[8192], none[256];
	(void)state;

	(void)snprintf(none, sizeof none, "%s/none", aside_harness_folder(harness));
	for (size_t i = 0; i < N_OF(wrong); i++) {
		assert_int_equal(run(said, sizeof said, "--data %s %s", none, wrong[i].arguments), 2);
		assert_said(said, wrong[i].words);
	}
	assert_int_not_equal(access(none, F_OK), 0); /* nothing was begun */
}

/* Whatever is in the way of a socket is somebody's: it stays. */
static void a_file_where_a_socket_should_be_is_kept(void **state)
{
	char said[8192], folder[256], path[300], kept[16] = "";
	FILE *file;
	(void)state;

	(void)snprintf(folder, sizeof folder, "%s/in-the-way", aside_harness_folder(harness));
	(void)snprintf(path, sizeof path, "%s/aside.sock", folder);
	assert_int_equal(mkdir(folder, 0755), 0);
	assert_non_null(file = fopen(path, "we"));
	fputs("precious", file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(run(said, sizeof said, "--database '%s' --data %s --listen ipc://%s", aside_harness_database(harness), folder, path), 2);
	assert_said(said, "aside.sock: is there already, and no socket");
	assert_int_equal(run(said, sizeof said, "--database '%s' --data %s", aside_harness_database(harness), folder), 2);
	assert_said(said, "--data");
	assert_said(said, "and no socket");
	assert_non_null(file = fopen(path, "re"));
	assert_non_null(fgets(kept, sizeof kept, file));
	assert_int_equal(fclose(file), 0);
	assert_string_equal(kept, "precious");
	assert_int_equal(unlink(path), 0);
}

/* Copies `from`'s PEM blocks that have `words` in their first line to the end of `to`. */
static void append_blocks(const char *from, const char *words, FILE *to)
{
	char line[256];
	bool copies = false;
	FILE *file = fopen(from, "re");

	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL) {
		if (strstr(line, "BEGIN") != NULL)
			copies = strstr(line, words) != NULL;
		if (copies)
			fputs(line, to);
	}
	assert_int_equal(fclose(file), 0);
}

static void a_certificate_and_its_key_belong_together(void **state)
{
	const char *folder = aside_harness_folder(harness);
	char said[8192], ours[300], theirs[300], trusted[300], mixed[300];
	(void)state;

	(void)snprintf(ours, sizeof ours, "%s/ours.pem", folder);
	(void)snprintf(theirs, sizeof theirs, "%s/theirs.pem", folder);
	(void)snprintf(trusted, sizeof trusted, "%s/trusted.pem", folder);
	(void)snprintf(mixed, sizeof mixed, "%s/mixed.pem", folder);
	assert_true(certificate_make("localhost", theirs, trusted));
	assert_true(certificate_make("localhost", ours, trusted));
	FILE *file = fopen(mixed, "we");
	assert_non_null(file);
	append_blocks(ours, "CERTIFICATE", file);
	append_blocks(theirs, "PRIVATE KEY", file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(run(said, sizeof said, "--database host=db --tls %s --check-config", ours), 0);
	assert_int_equal(run(said, sizeof said, "--database host=db --tls %s --check-config", mixed), 2);
	assert_said(said, "mixed.pem: the private key is not that of the first certificate");
	assert_int_equal(run(said, sizeof said, "--database host=db --tls %s --check-config", trusted), 2);
	assert_said(said, "a certificate and its private key");
}

static void settings_can_be_looked_at(void **state)
{
	static struct key_pair key;
	char said[8192], keys[256], words[300];
	(void)state;

	(void)snprintf(keys, sizeof keys, "%s/keys", aside_harness_folder(harness));
	assert_true(key_make(&key, false));
	assert_true(key_publish(&key, keys, "test"));
	assert_int_equal(setenv("ASIDE_DATABASE", "password=secret", true), 0);
	assert_int_equal(setenv("ASIDE_READ_DATABASE", "password=secret", true), 0);
	assert_int_equal(run(said, sizeof said, "--listen tcp://127.0.0.1:0 --keys %s --http '[::1]:0' --check-config", keys), 0);
	assert_int_equal(unsetenv("ASIDE_DATABASE"), 0);
	assert_int_equal(unsetenv("ASIDE_READ_DATABASE"), 0);
	assert_said(said, "listen=tcp://127.0.0.1:0\n");
	(void)snprintf(words, sizeof words, "keys=%s\n", keys);
	assert_said(said, words);
	assert_said(said, "http=[::1]:0\n");
	assert_said(said, "no-hints=no\n");
	assert_said(said, "\ndatabase=(set)\n");
	assert_said(said, "\nread-database=(set)\n");
	assert_null(strstr(said, "secret"));
	assert_int_equal(run(said, sizeof said, "--version"), 0);
	assert_said(said, "aside-server ");
	assert_int_equal(run(said, sizeof said, "--help"), 0);
	assert_said(said, "--drain-timeout");
}

/* ── who is served ───────────────────────────────────────────────────────────────────────────────── */

static void a_folder_without_a_key_is_told_why(void **state)
{
	static struct key_pair key;
	char said[8192], keys[256];
	(void)state;

	(void)snprintf(keys, sizeof keys, "%s/no-keys", aside_harness_folder(harness));
	assert_true(key_make(&key, false));
	(void)memcpy(key.public_pem, key.private_pem, sizeof key.public_pem);
	assert_true(key_publish(&key, keys, "mine"));
	assert_int_equal(run(said, sizeof said, "--database host=db --keys %s --listen tcp://127.0.0.1:0", keys), 2);
	assert_said(said, "no public key KID.pem: mine.pem holds a private key");
}

static void a_server_that_serves_nobody_says_so(void **state)
{
	struct aside_harness_options nobody = { .principal = "" }, misspelt = { .principal = "service:feed:page.write,page.wirte" };
	struct aside_harness *here = NULL;
	(void)state;

	assert_int_equal(aside_harness_start(&nobody, &here, &status), ASIDE_OK);
	assert_true(aside_harness_logged(here, 0, "level=warning event=nobody_served"));
	assert_int_equal(aside_harness_stop(here), 0);
	assert_int_equal(aside_harness_start(&misspelt, &here, &status), ASIDE_OK);
	assert_true(aside_harness_logged(here, 0, "level=warning event=scope_unknown"));
	assert_true(aside_harness_logged(here, 0, "scope=page.wirte"));
	assert_false(aside_harness_logged(here, 0, "scope=page.write"));
	assert_int_equal(aside_harness_stop(here), 0);
}

/* ── files ───────────────────────────────────────────────────────────────────────────────────────── */

/* Connects over ipc, and hears the server's greeting. */
static int greet(const char *address)
{
	static const uint8_t greeting[] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	struct sockaddr_un there = { .sun_family = AF_UNIX };
	uint8_t heard[sizeof greeting];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(there.sun_path, sizeof there.sun_path, "%s", address + strlen("ipc://"));
	assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
	assert_int_equal(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
	assert_int_equal(recv(fd, heard, sizeof heard, MSG_WAITALL), sizeof heard);
	return fd;
}

/* Whoever starts a server need not think of its soft limit. */
static void files_are_as_many_as_the_hard_limit_allows(void **state)
{
	enum { SOFT = 256, CONNECTIONS = 400 };
	struct aside_harness_options options = { .flags = (const char *[]){ "--log-level", "debug", NULL } };
	struct aside_harness *here = NULL;
	struct rlimit before, low, servers;
	int fds[CONNECTIONS];
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ SOFT, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	enum aside_code started = aside_harness_start(&options, &here, &status);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(started, ASIDE_OK);
	assert_int_equal(prlimit(aside_harness_pid(here, 0), RLIMIT_NOFILE, NULL, &servers), 0);
	assert_int_equal(servers.rlim_cur, before.rlim_max);
	assert_true(aside_harness_logged(here, 0, "event=files"));
	for (size_t i = 0; i < CONNECTIONS; i++)
		fds[i] = greet(aside_harness_address(here, 0));
	struct raw one_more;
	assert_true(raw_open(&one_more, aside_harness_address(here, 0)));
	assert_int_equal(ask_health(&one_more), ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	raw_close(&one_more);
	for (size_t i = 0; i < CONNECTIONS; i++)
		close(fds[i]);
	assert_int_equal(aside_harness_stop(here), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_under_way_is_answered_before_the_end),
		cmocka_unit_test(many_calls_are_answered_before_the_end),
		cmocka_unit_test(the_harness_knows_its_servers),
		cmocka_unit_test(an_endless_call_does_not_hold_the_end_up),
		cmocka_unit_test(a_data_folder_is_one_servers),
		cmocka_unit_test(what_never_began_is_not_drained),
		cmocka_unit_test(a_narrow_umask_does_no_harm),
		cmocka_unit_test(wrong_settings_are_named),
		cmocka_unit_test(a_file_where_a_socket_should_be_is_kept),
		cmocka_unit_test(a_certificate_and_its_key_belong_together),
		cmocka_unit_test(settings_can_be_looked_at),
		cmocka_unit_test(a_folder_without_a_key_is_told_why),
		cmocka_unit_test(a_server_that_serves_nobody_says_so),
		cmocka_unit_test(files_are_as_many_as_the_hard_limit_allows),
	};
	const struct aside_harness_options options = { .servers = 2,
		.flags = (const char *[]){ "--drain-timeout", "3", NULL } };

	return WORLD_RUN("process", tests, &options);
}
