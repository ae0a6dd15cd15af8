/* See keys.h. */
#include "keys.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
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

static X509 *sign_certificate(EVP_PKEY *pair, const char *name)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, pair);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, subject);
	X509_sign(certificate, pair, EVP_sha256());
	return certificate;
}

bool certificate_make(const char *name, const char *both_path, const char *certificate_path)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *certificate = sign_certificate(pair, name);
	FILE *both = fopen(both_path, "we"), *alone = fopen(certificate_path, "we");
	bool ok = both != NULL && alone != NULL && PEM_write_X509(both, certificate) == 1 &&
			PEM_write_PrivateKey(both, pair, NULL, NULL, 0, NULL, NULL) == 1 &&
			PEM_write_X509(alone, certificate) == 1;

	if (both != NULL)
		ok = fclose(both) == 0 && ok;
	if (alone != NULL)
		ok = fclose(alone) == 0 && ok;
	X509_free(certificate);
	EVP_PKEY_free(pair);
	return ok;
}

/* NULL: it cannot be. */
static char *sign(jwt_t *jwt, jwt_alg_t alg, const char *pem)
{
	char *text = NULL;

	if (jwt_set_alg(jwt, alg, (const unsigned char *)pem, pem != NULL ? (int)strlen(pem) : 0) == 0)
		text = jwt_encode_str(jwt);
	jwt_free(jwt);
	return text;
}

static jwt_t *begin(const char *kid, const char *subject, long ttl_s)
{
	jwt_t *jwt = NULL;

	if (jwt_new(&jwt) != 0)
		return NULL;
	jwt_add_header(jwt, "kid", kid);
	jwt_add_grant(jwt, "sub", subject);
	jwt_add_grant_int(jwt, "exp", (long)time(NULL) + ttl_s);
	return jwt;
}

char *token_make(jwt_alg_t alg, const char *pem, const char *kid, const char *subject, const char *scope, long ttl_s)
{
	jwt_t *jwt = begin(kid, subject, ttl_s);

	if (jwt == NULL)
		return NULL;
	if (scope != NULL)
		jwt_add_grant(jwt, "scope", scope);
	return sign(jwt, alg, pem);
}

char *token_make_with(const struct key_pair *key, const char *kid, const char *subject, const char *claims)
{
	jwt_t *jwt = begin(kid, subject, 60);

	if (jwt != NULL && jwt_add_grants_json(jwt, claims) == 0)
		return sign(jwt, JWT_ALG_ES256, key->private_pem);
	jwt_free(jwt);
	return NULL;
}
