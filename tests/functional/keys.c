/* See keys.h. */
#include "keys.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 256

static bool take_text(BIO *bio, char *out)
{
	int n = BIO_read(bio, out, KEY_BYTES - 1);

	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool key_make(struct key_pair *key, bool rsa)
{
	EVP_PKEY *pair = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = PEM_write_bio_PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL) == 1 &&
			take_text(bio, key->private_pem) && PEM_write_bio_PUBKEY(bio, pair) == 1 &&
			take_text(bio, key->public_pem);

	BIO_free(bio);
	EVP_PKEY_free(pair);
	return ok;
}

bool key_publish(const struct key_pair *key, const char *folder, const char *kid)
{
	char path[PATH_BYTES];

	if (mkdir(folder, 0755) != 0 && errno != EEXIST)
		return false;
	(void)snprintf(path, sizeof path, "%s/%s.pem", folder, kid);
	FILE *file = fopen(path, "we");
	if (file == NULL)
		return false;
	bool ok = fputs(key->public_pem, file) >= 0;
	return fclose(file) == 0 && ok;
}

bool key_withdraw(const char *folder, const char *kid)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof path, "%s/%s.pem", folder, kid);
	return unlink(path) == 0;
}

char *token_make(jwt_alg_t alg, const char *pem, const char *kid, const char *subject, const char *scope, long ttl_s)
{
	char *text = NULL;
	jwt_t *jwt = NULL;

	if (jwt_new(&jwt) != 0)
		return NULL;
	jwt_add_header(jwt, "kid", kid);
	jwt_add_grant(jwt, "sub", subject);
	if (scope != NULL)
		jwt_add_grant(jwt, "scope", scope);
	jwt_add_grant_int(jwt, "exp", (long)time(NULL) + ttl_s);
	if (jwt_set_alg(jwt, alg, (const unsigned char *)pem, pem != NULL ? (int)strlen(pem) : 0) == 0)
		text = jwt_encode_str(jwt);
	jwt_free(jwt);
	return text;
}
