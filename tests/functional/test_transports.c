/* Every kind of address a server listens at, through the client library: ipc, tcp, tls+tcp, ws, wss. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "keys.h"

enum { TCP, TLS, WS, WSS };

static struct key_pair key;
static char trusted[256], untrusted[256]; /* certificates */

/* Opens a channel to a listener, with a token, and takes the thread's calls there. */
static void go_by(const char *address, const char *ca_file, const char *server_name, uint32_t timeout_ms)
{
	char *token = token_make(JWT_ALG_ES256, key.private_pem, "key", "service:feed", "page.write page.read user.act", 60);
	struct aside_options options = { .token = token, .ca_file = ca_file, .server_name = server_name,
		.connect_timeout_ms = timeout_ms };

	assert_non_null(address);
	assert_int_equal(aside_channel_open(address, &options, &via, &status), ASIDE_OK);
	free(token);
}

static void come_back(void)
{
	aside_channel_close(via);
	via = NULL;
}

/* Small things and large ones, many at once. */
static void use(void)
{
	int64_t page = new_page();
	char *text = malloc(10001);

	assert_non_null(text);
	memset(text, 'x', 10000);
	text[10000] = '\0';
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	settings.max_text_chars = 10000;
	assert_done(change_settings(ADMIN, page, &settings, "max_text_chars", 0));
	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(send_text(JOHNNY, page, i, i % 2 == 0 ? text : "Hello"), i);
	Aside__V1__ListMessagesResponse *list = list_messages(JOHNNY, page, JOHNNY, 0, 0, 200);
	assert_done(list);
	assert_int_equal(list->n_messages, 100);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(strlen(list->messages[i]->content->text), i % 2 == 0 ? 10000 : 5);
	aside_free(list);
	free(text);
}

static void tcp_serves(void **state)
{
	(void)state;
	go_by(aside_harness_listener(harness, 0, TCP), NULL, NULL, 20000);
	use();
	come_back();
}

static void ws_serves(void **state)
{
	(void)state;
	go_by(aside_harness_listener(harness, 0, WS), NULL, NULL, 20000);
	use();
	come_back();
}

static void tls_serves_who_trusts_the_certificate(void **state)
{
	(void)state;
	go_by(aside_harness_listener(harness, 0, TLS), trusted, "localhost", 20000);
	use();
	come_back();
}

static void wss_serves_who_trusts_the_certificate(void **state)
{
	(void)state;
	go_by(aside_harness_listener(harness, 0, WSS), trusted, "localhost", 20000);
	use();
	come_back();
}

/* A client that does not know whom it speaks to says nothing. */
static void assert_not_connected(const char *address, const char *ca_file, const char *server_name)
{
	Aside__V1__GetPageRequest request = ASIDE__V1__GET_PAGE_REQUEST__INIT;

	request.page_id = 1;
	go_by(address, ca_file, server_name, 500);
	assert_refused(ASK(Aside__V1__GetPageResponse, aside_v1_page_service_get_page, &request, SERVICE), "NOT_CONNECTED");
	assert_int_equal(status.code, ASIDE_UNAVAILABLE);
	assert_true(status.not_executed);
	come_back();
}

static void another_certificate_is_not_trusted(void **state)
{
	(void)state;
	assert_not_connected(aside_harness_listener(harness, 0, TLS), untrusted, "localhost");
	assert_not_connected(aside_harness_listener(harness, 0, WSS), untrusted, "localhost");
}

static void another_name_is_not_trusted(void **state)
{
	(void)state;
	assert_not_connected(aside_harness_listener(harness, 0, TLS), trusted, "example.com");
	assert_not_connected(aside_harness_listener(harness, 0, TLS), trusted, NULL); /* the certificate is no IP address's */
}

static void without_authorities_nobody_is_trusted(void **state)
{
	(void)state;
	assert_not_connected(aside_harness_listener(harness, 0, TLS), NULL, "localhost");
}

static bool prepare(const char *folder)
{
	char keys[256], both[256];

	(void)snprintf(keys, sizeof keys, "%s/keys", folder);
	(void)snprintf(both, sizeof both, "%s/server.pem", folder);
	(void)snprintf(trusted, sizeof trusted, "%s/trusted.pem", folder);
	(void)snprintf(untrusted, sizeof untrusted, "%s/untrusted.pem", folder);
	return key_make(&key, false) && key_publish(&key, keys, "key") &&
			certificate_make("localhost", both, untrusted) && certificate_make("localhost", both, trusted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_serves),
		cmocka_unit_test(ws_serves),
		cmocka_unit_test(tls_serves_who_trusts_the_certificate),
		cmocka_unit_test(wss_serves_who_trusts_the_certificate),
		cmocka_unit_test(another_certificate_is_not_trusted),
		cmocka_unit_test(another_name_is_not_trusted),
		cmocka_unit_test(without_authorities_nobody_is_trusted),
	};
	const struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--listen", "tcp://127.0.0.1:0", "--listen", "tls+tcp://127.0.0.1:0", "--listen",
				"ws://127.0.0.1:0/aside", "--listen", "wss://127.0.0.1:0/aside", "--keys", "keys", "--tls",
				"server.pem", NULL } };

	return WORLD_RUN("transports", tests, &options);
}
