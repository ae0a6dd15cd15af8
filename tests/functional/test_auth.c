/* Who is let in, and who is told what: tokens over tcp, uids over ipc (design §8). */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keys.h"

static struct key_pair ec, rsa, other;

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

static void services_with_the_scope_are_let_in(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(page_writer("ec", 60)), "");
	assert_string_equal(create_page_with(page_writer("rsa", 60)), "");
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
}

static void forged_tokens_are_refused(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, other.private_pem, "ec", "service:feed", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "rsa", "service:feed", "page.write", 60)), "TOKEN_INVALID");
	/* Signed with the public key as if it were a secret (RFC 8725, 2.1), and not signed at all. */
	assert_string_equal(create_page_with(token_make(JWT_ALG_HS256, ec.public_pem, "ec", "service:feed", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_NONE, NULL, "ec", "service:feed", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "-42", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token_make(JWT_ALG_ES256, ec.private_pem, "ec", "service:", "page.write", 60)), "TOKEN_INVALID");
	assert_string_equal(create_page_with(strdup("not.a.token")), "TOKEN_INVALID");
	assert_int_equal(status.code, ASIDE_UNAUTHENTICATED);
}

static bool prepare(const char *folder)
{
	char keys[256];

	(void)snprintf(keys, sizeof keys, "%s/keys", folder);
	return key_make(&ec, false) && key_make(&rsa, true) && key_make(&other, false) && key_publish(&ec, keys, "ec") &&
			key_publish(&rsa, keys, "rsa");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_with_the_scope_are_let_in),
		cmocka_unit_test(others_are_told_why_not),
		cmocka_unit_test(forged_tokens_are_refused),
	};
	const struct aside_harness_options options = { .prepare = prepare,
		.flags = (const char *[]){ "--listen", "tcp://127.0.0.1:0", "--keys", "keys", NULL } };

	return WORLD_RUN("auth", tests, &options);
}
