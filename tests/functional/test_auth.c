/* Who is let in, and who is told what: tokens over tcp, uids over ipc (design §8). */
#include "world.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "aside/rpc/v1/health.stub.h"
#include "keys.h"

#define DIGITS_64 "0123456789012345678901234567890123456789012345678901234567890123"

static struct key_pair ec, rsa, other;

static bool publish_keys(const char *folder)
{
	char keys[256];

	(void)snprintf(keys, sizeof keys, "%s/keys", folder);
	return key_publish(&ec, keys, "ec") && key_publish(&rsa, keys, "rsa");
}

/* Creates a page with `bearer`, which is freed, over a channel of its own: the refusal's reason, or "". */
static const char *create_page_with(char *bearer)
{
	static int64_t page = 1;
	struct aside_options options = { .token = bearer };
	struct aside_channel *channel = NULL;
	Aside__V1__CreatePageRequest request = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;

	assert_int_equal(aside_channel_open(aside_harness_listener(harness, 0, 0), &options, &channel, &status), ASIDE_OK);
	request.page_id = page++;
	request.name = (char *)"Coke";
	request.admin_user_id = ADMIN;
	status.reason[0] = '\0';
	via = channel;
	aside_free(ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &request, SERVICE));
	via = NULL;
	aside_channel_close(channel);
	free(bearer);
	return status.reason;
}

static char *page_writer(const char *kid, long ttl_s)
{
	return strcmp(kid, "rsa") == 0 ? token_make(JWT_ALG_RS256, rsa.private_pem, kid, "service:feed", "page.write", ttl_s) :
					 token_make(JWT_ALG_ES256, ec.private_pem, kid, "service:feed", "page.write", ttl_s);
}

static char *writer_with(const char *claims)
{
	char all[256];

	(void)snprintf(all, sizeof all, "{\"scope\": \"page.write\", %s", claims + 1);
	return token_make_with(&ec, "ec", "service:feed", all);
}

static void services_with_the_scope_are_let_in(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(page_writer("ec", 60)), "");
	assert_string_equal(create_page_with(page_writer("rsa", 60)), "");
	assert_string_equal(create_page_with(page_writer("ec", LONG_MAX - time(NULL) - 60)), ""); /* until the end of time */
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "service:feed", "wall.write page.write page.read", 60)), "");
}

static void others_are_told_why_not(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(NULL), "CREDENTIALS_MISSING");
	assert_int_equal(status.code, ASIDE_UNAUTHENTICATED);
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "42", NULL, 60)), "CALLER_NOT_ALLOWED");
	assert_int_equal(status.code, ASIDE_PERMISSION_DENIED);
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "service:feed", "page.writer", 60)), "SCOPE_REQUIRED");
	assert_string_equal(aside_status_fact(&status, "scope"), "page.write");
	assert_string_equal(create_page_with(page_writer("ec", -60)), "TOKEN_EXPIRED");
	assert_string_equal(create_page_with(writer_with("{\"nbf\": 32503680000}")), "TOKEN_NOT_YET_VALID"); /* the year 3000 */
	assert_string_equal(create_page_with(writer_with("{\"nbf\": 1}")), "");
	assert_string_equal(create_page_with(writer_with("{\"aud\": \"elsewhere\"}")), ""); /* whatever: this server has no name */
}

static void forged_tokens_are_refused(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, other.private_pem, "ec", "service:feed", "page.write", 60)), "TOKEN_SIGNATURE_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "rsa", "service:feed", "page.write", 60)), "TOKEN_SIGNATURE_INVALID");
	/* Signed with the public key as if it were a secret (RFC 8725, 2.1), and not signed at all. */
	assert_string_equal(create_page_with(token_make(JWT_ALG_HS256, ec.public_pem, "ec", "service:feed", "page.write", 60)), "TOKEN_SIGNATURE_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_NONE, NULL, "ec", "service:feed", "page.write", 60)), "TOKEN_SIGNATURE_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "-42", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "service:", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(strdup("not.a.token")), "TOKEN_INVALID");
	/* A name that is too long is not taken for its beginning. */
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "service:" DIGITS_64, "page.write", 60)), "TOKEN_INVALID");
	assert_int_equal(status.code, ASIDE_UNAUTHENTICATED);
}

/* ── keys that come and go ───────────────────────────────────────────────────────────────────────── */

/* Tells the server to read its keys again, and waits until a call with `kid` ends in `reason`. */
static void reload_until(const char *kid, const char *pem, const char *reason)
{
	const char *got;

	kill(aside_harness_pid(harness, 0), SIGHUP);
	do
		got = create_page_with(token_make(JWT_ALG_ES256, pem, kid, "service:feed", "page.write", 60));
	while (strcmp(got, reason) != 0 && strcmp(got, reason[0] == '\0' ? "TOKEN_KEY_UNKNOWN" : "") == 0);
	assert_string_equal(got, reason);
}

static void keys_are_read_again(void **state)
{
	char keys[256];
	(void)state;

	(void)snprintf(keys, sizeof keys, "%s/keys", aside_harness_folder(harness));
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, other.private_pem, "next", "service:feed", "page.write", 60)), "TOKEN_KEY_UNKNOWN");
	assert_true(key_publish(&other, keys, "next"));
	reload_until("next", other.private_pem, "");
	assert_string_equal(create_page_with(page_writer("ec", 60)), ""); /* both count while tokens move over */
	assert_true(key_withdraw(keys, "next"));
	reload_until("next", other.private_pem, "TOKEN_KEY_UNKNOWN");
	assert_string_equal(create_page_with(page_writer("ec", 60)), "");
	assert_true(aside_harness_logged(harness, 0, "event=keys_reloaded"));
}

/* Whoever put it there hears of it. */
static void what_is_no_key_is_named(void **state)
{
	struct key_pair secret = ec, broken = { .public_pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n" };
	char keys[256];
	(void)state;

	(void)snprintf(keys, sizeof keys, "%s/keys", aside_harness_folder(harness));
	(void)snprintf(secret.public_pem, sizeof secret.public_pem, "%s", ec.private_pem);
	assert_true(key_publish(&secret, keys, "secret") && key_publish(&broken, keys, "broken"));
	assert_true(key_publish(&other, keys, "good"));
	reload_until("good", other.private_pem, "");
	assert_true(aside_harness_logged(harness, 0, "event=key_unread file=secret.pem message=\"holds a private key"));
	assert_true(aside_harness_logged(harness, 0, "event=key_unread file=broken.pem message=\"holds no public key"));
	assert_true(key_withdraw(keys, "secret") && key_withdraw(keys, "broken") && key_withdraw(keys, "good"));
	reload_until("good", other.private_pem, "TOKEN_KEY_UNKNOWN");
	assert_false(aside_harness_logged(harness, 0, "file=ec.pem"));
	assert_true(aside_harness_logged(harness, 0, "event=keys_reloaded n="));
}

/* What lies among the keys and is none is passed over, though nobody ever writes into it. */
static void a_fifo_among_the_keys_holds_nothing_up(void **state)
{
	char keys[256], fifo[280];
	(void)state;

	(void)snprintf(keys, sizeof keys, "%s/keys", aside_harness_folder(harness));
	(void)snprintf(fifo, sizeof fifo, "%s/fifo.pem", keys);
	assert_int_equal(mkfifo(fifo, 0644), 0);
	assert_true(key_publish(&other, keys, "late"));
	reload_until("late", other.private_pem, "");
	assert_true(key_withdraw(keys, "late") && key_withdraw(keys, "fifo"));
}

/* A session outlives its token, but is not served any longer. */
static void a_token_expires_within_a_session(void **state)
{
	char *token = token_make(JWT_ALG_ES256, ec.private_pem, "ec", "42", NULL, 2);
	struct aside_options options = { .token = token };
	int64_t page = new_page();
	(void)state;

	assert_int_equal(aside_channel_open(aside_harness_listener(harness, 0, 0), &options, &via, &status), ASIDE_OK);
	free(token);
	assert_int_equal(send_text(SERVICE, page, 1, "Hello"), 1); /* the token's own person */
	while (send_text(SERVICE, page, 1, "Hello") != 0)
		;
	assert_string_equal(status.reason, "TOKEN_EXPIRED");
	assert_int_equal(status.code, ASIDE_UNAUTHENTICATED);
	aside_channel_close(via);
	via = NULL;
}

/* ── a server with a name ────────────────────────────────────────────────────────────────────────── */

static void tokens_for_others_are_refused(void **state)
{
	static const char *const for_others[] = { "{\"aud\": \"http://coke.example\"}", "{\"aud\": \"\"}", "{\"aud\": []}", "{\"aud\": 1}",
		"{\"iss\": \"https://coke.example\"}", "{\"aud\": [\"https://coke.example/\", \"\\\"https://coke.example\"]}",
		"{\"aud\": [[\"https://coke.example\"]]}", "{\"aud\": {\"a\": \"https://coke.example\"}}",
		"{\"aud\": [\"https://pepsi.example\", 1, \"https://coke.example\"]}" };
	static const char *const for_us[] = { "{\"aud\": \"https://coke.example\"}", "{\"aud\": [\"https://coke.example\"]}",
		"{\"aud\": [\"\", \"a\\\\\", \"\\\"\", \"https://pepsi.example\", \"https://coke.example\"]}" };
	struct aside_harness_options options = { .prepare = publish_keys, .flags = (const char *[]){ "--listen", "tcp://127.0.0.1:0",
		"--keys", "keys", "--audience", "https://coke.example", NULL } };
	struct aside_harness *nameless = harness;
	(void)state;

	assert_int_equal(aside_harness_start(&options, &harness, &status), ASIDE_OK);
	for (size_t i = 0; i < N_OF(for_others); i++)
		if (strcmp(create_page_with(writer_with(for_others[i])), "TOKEN_AUDIENCE_WRONG") != 0)
			fail_msg("%s: %s", for_others[i], status.reason);
	assert_string_equal(status.message, "the token's aud is not https://coke.example");
	for (size_t i = 0; i < N_OF(for_us); i++)
		if (create_page_with(writer_with(for_us[i]))[0] != '\0')
			fail_msg("%s: %s", for_us[i], status.reason);
	assert_int_equal(aside_harness_stop(harness), 0);
	harness = nameless;
}

/* ── ipc ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Runs `test` on a server for which the test's uid is `principal`. */
static void as_principal(const char *principal, void (*test)(void))
{
	struct aside_harness_options options = { .principal = principal };
	struct aside_harness *here = NULL;

	assert_int_equal(aside_harness_start(&options, &here, &status), ASIDE_OK);
	via = aside_harness_channel(here, 0);
	test();
	via = NULL;
	assert_int_equal(aside_harness_stop(here), 0);
}

static void assert_nobody(void)
{
	Aside__V1__GetPageRequest request = ASIDE__V1__GET_PAGE_REQUEST__INIT;
	Aside__Rpc__V1__CheckRequest check = ASIDE__RPC__V1__CHECK_REQUEST__INIT;

	request.page_id = 1;
	assert_refused(ASK(Aside__V1__GetPageResponse, aside_v1_page_service_get_page, &request, SERVICE), "CREDENTIALS_MISSING");
	assert_int_equal(status.code, ASIDE_UNAUTHENTICATED);
	assert_refused(send_text(JOHNNY, 1, 1, "Hello"), "CREDENTIALS_MISSING"); /* nor does saying so make one a person */
	Aside__Rpc__V1__CheckResponse *health = ASK(Aside__Rpc__V1__CheckResponse, aside_rpc_v1_health_service_check, &check, SERVICE);
	assert_done(health); /* anyone may ask */
	aside_free(health);
}

static void assert_a_person(void)
{
	Aside__V1__ListMyThreadsRequest request = ASIDE__V1__LIST_MY_THREADS_REQUEST__INIT;
	Aside__V1__CreatePageRequest page = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;

	Aside__V1__ListMyThreadsResponse *mine = ASK(Aside__V1__ListMyThreadsResponse,
			aside_v1_thread_service_list_my_threads, &request, SERVICE);
	assert_done(mine);
	aside_free(mine);
	page.page_id = page.admin_user_id = 1;
	page.name = (char *)"Mine";
	assert_refused(ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &page, SERVICE), "CALLER_NOT_ALLOWED");
	assert_refused(send_text(FAN, 1, 1, "Hello"), "SCOPE_REQUIRED"); /* in nobody else's name */
}

static void a_uid_that_is_not_mapped_is_nobody(void **state)
{
	(void)state;
	as_principal("", assert_nobody);
}

static void a_uid_may_be_a_person(void **state)
{
	(void)state;
	as_principal("person:42", assert_a_person);
}

static bool prepare(const char *folder)
{
	return key_make(&ec, false) && key_make(&rsa, true) && key_make(&other, false) && publish_keys(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_with_the_scope_are_let_in),
		cmocka_unit_test(others_are_told_why_not),
		cmocka_unit_test(forged_tokens_are_refused),
		cmocka_unit_test(keys_are_read_again),
		cmocka_unit_test(what_is_no_key_is_named),
		cmocka_unit_test(a_fifo_among_the_keys_holds_nothing_up),
		cmocka_unit_test(a_token_expires_within_a_session),
		cmocka_unit_test(tokens_for_others_are_refused),
		cmocka_unit_test(a_uid_that_is_not_mapped_is_nobody),
		cmocka_unit_test(a_uid_may_be_a_person),
	};
	const struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--listen", "tcp://127.0.0.1:0", "--keys", "keys", NULL } };

	return WORLD_RUN("auth", tests, &options);
}
