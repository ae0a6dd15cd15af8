/* Tokens over tcp: who is let in, and who is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "aside/v1/pages.stub.h"
#include "harness.h"

static struct harness *harness;
static char keys_dir[] = "/tmp/aside-keys-XXXXXX";
static char private_pem[2048], public_pem[2048], other_pem[2048];

/* A new EC key pair as PEM texts; the public one may be NULL. */
static void make_key(char *private_out, char *public_out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());

	assert_non_null(key);
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	private_out[BIO_read(bio, private_out, 2047)] = 0;
	if (public_out != NULL) {
		PEM_write_bio_PUBKEY(bio, key);
		public_out[BIO_read(bio, public_out, 2047)] = 0;
	}
	BIO_free(bio);
	EVP_PKEY_free(key);
}

static char *token(jwt_alg_t alg, const char *pem, const char *kid, const char *subject, const char *scope, long ttl)
{
	jwt_t *jwt = NULL;

	assert_int_equal(jwt_new(&jwt), 0);
	jwt_add_header(jwt, "kid", kid);
	jwt_add_grant(jwt, "sub", subject);
	if (scope != NULL)
		jwt_add_grant(jwt, "scope", scope);
	jwt_add_grant_int(jwt, "exp", (long)time(NULL) + ttl);
	assert_int_equal(jwt_set_alg(jwt, alg, (const unsigned char *)pem, pem != NULL ? (int)strlen(pem) : 0), 0);
	char *text = jwt_encode_str(jwt);
	jwt_free(jwt);
	return text;
}

/* Creates a page over tcp with `bearer`, which is freed; the reason of the refusal, or "". */
static const char *create_page_with(char *bearer, int64_t page)
{
	static struct aside_status status;
	struct aside_options options = { .token = bearer };
	struct aside_channel *channel = NULL;
	Aside__V1__CreatePageRequest request = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
	Aside__V1__CreatePageResponse *response = NULL;

	assert_int_equal(aside_channel_open(harness_extra_address(harness, 1), &options, &channel, &status), ASIDE_OK);
	request.page_id = page;
	request.name = (char *)"Coke";
	request.admin_user_id = 7;
	if (aside_v1_page_service_create_page(channel, &request, NULL, &response, &status) == ASIDE_OK)
		status.reason[0] = 0;
	aside_free(response);
	aside_channel_close(channel);
	free(bearer);
	return status.reason;
}

static void a_service_with_the_scope_is_let_in(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, private_pem, "k1", "service:feed", "wall.write page.write", 60), 1), "");
}

static void others_are_told_why_not(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(NULL, 2), "CREDENTIALS_MISSING");
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, private_pem, "k1", "42", NULL, 60), 2), "CALLER_NOT_ALLOWED");
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, private_pem, "k1", "service:feed", "page.writer", 60), 2), "SCOPE_REQUIRED");
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, private_pem, "k1", "service:feed", "page.write", -60), 2), "TOKEN_EXPIRED");
}

static void forged_tokens_are_refused(void **state)
{
	(void)state;
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, other_pem, "k1", "service:feed", "page.write", 60), 2), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, private_pem, "k2", "service:feed", "page.write", 60), 2), "TOKEN_INVALID");
	/* Signed with the public key as if it were a secret (RFC 8725, 2.1), and not signed at all. */
	assert_string_equal(create_page_with(token(JWT_ALG_HS256, public_pem, "k1", "service:feed", "page.write", 60), 2), "TOKEN_INVALID");
	assert_string_equal(create_page_with(token(JWT_ALG_NONE, NULL, "k1", "service:feed", "page.write", 60), 2), "TOKEN_INVALID");
	assert_string_equal(create_page_with(strdup("not.a.token"), 2), "TOKEN_INVALID");
}

/* FIN, then RST: what a port scan or a health probe may look like to the listener. */
static void connections_that_reset_do_no_harm(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger reset = { 1, 0 };
	(void)state;

	address.sin_port = htons((uint16_t)atoi(strrchr(harness_extra_address(harness, 1), ':') + 1));
	for (unsigned i = 0; i < 1000; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd >= 0);
		(void)connect(fd, (struct sockaddr *)&address, sizeof address);
		(void)shutdown(fd, SHUT_WR);
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(fd);
	}
	assert_string_equal(create_page_with(token(JWT_ALG_ES256, private_pem, "k1", "service:feed", "page.write", 60), 3), "");
}

static int start(void **state)
{
	static const char *flags[] = { "--listen", "tcp://127.0.0.1:0", "--keys", keys_dir, NULL };
	char path[64];

	(void)state;
	make_key(private_pem, public_pem);
	make_key(other_pem, NULL);
	assert_non_null(mkdtemp(keys_dir));
	snprintf(path, sizeof path, "%s/k1.pem", keys_dir);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(public_pem, file);
	fclose(file);
	harness = harness_start(getenv("ASIDE_SERVER"), flags);
	return 0;
}

static int stop(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof path, "%s/k1.pem", keys_dir);
	remove(path);
	remove(keys_dir);
	return harness_stop(harness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_with_the_scope_is_let_in),
		cmocka_unit_test(others_are_told_why_not),
		cmocka_unit_test(forged_tokens_are_refused),
		cmocka_unit_test(connections_that_reset_do_no_harm),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
