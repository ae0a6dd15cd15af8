/* aside token: mints a token for development and operators' scripts; servers keep nothing but public keys.  ES256 or
 * RS256, by the kind of the private key. */
#include <errno.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "command.h"
#include "services.h"

#define KEY_BYTES_MAX 16384
#define RSA_BITS_MIN 2048
#define TTL_SECONDS 3600
#define SCOPE_BYTES_MAX 511 /* what a server takes */
#define NAME_BYTES_MAX 63

/* ── the key ─────────────────────────────────────────────────────────────────────────────────────── */

/* The file's text, which the caller wipes; NULL after a complaint. */
static char *read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	struct stat info = { 0 };
	char *pem = file != NULL ? calloc(1, KEY_BYTES_MAX) : NULL;

	if (pem == NULL || fstat(fileno(file), &info) != 0) {
		(void)misuse("--key %s: %s", path, strerror(errno));
	} else if (S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
		(void)misuse("--key %s: others may read it, which makes it no secret: chmod 600 it", path);
	} else if (fread(pem, 1, KEY_BYTES_MAX - 1, file) > 0) {
		fclose(file);
		return pem;
	} else {
		(void)misuse("--key %s: nothing is there", path);
	}
	if (file != NULL)
		fclose(file);
	free(pem);
	return NULL;
}

static int no_passphrase(char *buffer, int size, int writing, void *user)
{
	(void)buffer, (void)size, (void)writing, (void)user;
	return -1;
}

/* NULL and *ret, or why the key signs nothing that a server takes. */
static const char *algorithm_of(const char *pem, jwt_alg_t *ret)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	char curve[32] = "";
	const char *why = NULL;

	if (key == NULL)
		why = strstr(pem, "PUBLIC KEY") != NULL ? "is a public key: tokens are signed with the private one" :
		      strstr(pem, "ENCRYPTED") != NULL	? "is encrypted: decrypt it first" :
							  "is no private key in PEM";
	else if (EVP_PKEY_is_a(key, "RSA"))
		*ret = JWT_ALG_RS256, why = EVP_PKEY_get_bits(key) < RSA_BITS_MIN ? "is an RSA key of less than 2048 bits" : NULL;
	else if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) && strcmp(curve, "prime256v1") == 0)
		*ret = JWT_ALG_ES256;
	else
		why = "is of a kind that no server takes: it must be P-256 or RSA";
	EVP_PKEY_free(key);
	BIO_free(bio);
	return why;
}

/* ── the token ───────────────────────────────────────────────────────────────────────────────────── */

static char *sign(const struct invocation *in, const char *pem, jwt_alg_t algorithm)
{
	long now = (long)time(NULL), ttl = in->ttl_seconds > 0 ? in->ttl_seconds : TTL_SECONDS;
	char subject[128], *text = NULL;
	jwt_t *jwt = NULL;

	(void)snprintf(subject, sizeof subject, "%s%s", in->user != NULL ? "" : "service:", in->user != NULL ? in->user : in->service);
	if (jwt_new(&jwt) == 0 && jwt_add_header(jwt, "kid", in->kid) == 0 && jwt_add_grant(jwt, "sub", subject) == 0 &&
			(in->scope == NULL || jwt_add_grant(jwt, "scope", in->scope) == 0) &&
			(in->audience == NULL || jwt_add_grant(jwt, "aud", in->audience) == 0) && jwt_add_grant_int(jwt, "iat", now) == 0 &&
			jwt_add_grant_int(jwt, "exp", now + ttl) == 0 &&
			jwt_set_alg(jwt, algorithm, (const unsigned char *)pem, (int)strlen(pem)) == 0)
		text = jwt_encode_str(jwt);
	jwt_free(jwt);
	return text;
}

/* What a server would take for a name of a key or service. */
static bool is_name(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= NAME_BYTES_MAX && text[0] != '.' &&
			strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

static bool is_scope(const char *text)
{
	return strlen(text) <= SCOPE_BYTES_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._- ") == strlen(text);
}

static bool is_asked_for(const char *scope, size_t length)
{
	if (length == strlen(ASIDE_SCOPE_ACT) && strncmp(scope, ASIDE_SCOPE_ACT, length) == 0)
		return true;
	for (const struct aside_service *const *service = built_in_services; *service != NULL; service++)
		for (size_t i = 0; i < (*service)->n_methods; i++) {
			const char *asked = (*service)->methods[i].scope;
			if (strlen(asked) == length && strncmp(scope, asked, length) == 0)
				return true;
		}
	return false;
}

/* Another release may ask for it: the token is made all the same. */
static void warn_of_unknown(const char *scopes)
{
	for (size_t length; *(scopes += strspn(scopes, " ")) != '\0'; scopes += length) {
		length = strcspn(scopes, " ");
		if (!is_asked_for(scopes, length))
			fprintf(stderr, "aside: warning: no method asks for the scope %.*s; aside describe METHOD says what it asks for\n",
					(int)length, scopes);
	}
}

static int check(const struct invocation *in)
{
	if (in->key == NULL || in->kid == NULL)
		return misuse("token: --key FILE and --kid KID say which key signs");
	if ((in->user == NULL) == (in->service == NULL))
		return misuse("token: either --user ID or --service NAME");
	if (!is_name(in->kid))
		return misuse("--kid %s: servers look for the file KID.pem: letters, digits, '.', '_' and '-'", in->kid);
	if (in->service != NULL && !is_name(in->service))
		return misuse("--service %s: letters, digits, '.', '_' and '-'", in->service);
	if (in->scope != NULL && (in->user != NULL || !is_scope(in->scope)))
		return misuse(in->user != NULL ? "--scope is for services" : "--scope: names such as user.act, separated by blanks");
	return 0;
}

int token_command(struct invocation *in)
{
	jwt_alg_t algorithm = JWT_ALG_NONE;
	char *pem = NULL, *text = NULL;
	const char *why;
	int rc = check(in);

	if (rc != 0 || (pem = read_key(in->key)) == NULL)
		return EXIT_USAGE;
	if (in->scope != NULL)
		warn_of_unknown(in->scope);
	why = algorithm_of(pem, &algorithm);
	if (why != NULL)
		rc = misuse("--key %s %s", in->key, why);
	else if ((text = sign(in, pem, algorithm)) == NULL)
		rc = misuse("--key %s cannot sign", in->key);
	else
		printf("%s\n", text);
	free(text);
	OPENSSL_cleanse(pem, KEY_BYTES_MAX);
	free(pem);
	return rc;
}
