/* See auth.h.  Only algorithms of public keys count, whatever a token's header says (RFC 8725, 3.1),
 * and the header must name the very key that verifies it. */
#include "auth.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jwt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"

#define KEYS_MAX 32
#define KEY_BYTES_MAX 8192
#define TOKEN_BYTES_MAX 6144
#define IPC_USERS_MAX 64
#define AUDIENCE_BYTES_MAX 48 /* with what is said of it, in a session's refused_why */

struct key {
	char kid[64];
	char pem[KEY_BYTES_MAX];
	int size;
};

struct keys {
	struct key keys[KEYS_MAX];
	size_t n;
};

struct auth {
	pthread_rwlock_t lock;
	char *keys_dir, *audience; /* NULL: none */
	struct keys *keys;
	struct {
		int64_t uid;
		struct credentials credentials;
	} ipc[IPC_USERS_MAX];
	size_t n_ipc;
	bool quiet;
};

bool principal_has_scope(const struct principal *principal, const char *scope)
{
	size_t length = strlen(scope);

	for (const char *p = principal->scopes; p != NULL && length > 0 && (p = strstr(p, scope)) != NULL; p += length)
		if ((p == principal->scopes || p[-1] == ' ') && (p[length] == ' ' || p[length] == '\0'))
			return true;
	return false;
}

static bool parse_id(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && *ret > 0;
}

/* "42" → person; "service:NAME" → service. */
static bool parse_subject(const char *subject, struct credentials *ret)
{
	if (strncmp(subject, "service:", 8) == 0) {
		ret->principal.kind = PRINCIPAL_SERVICE;
		int length = snprintf(ret->service, sizeof ret->service, "%s", subject + 8);
		ret->principal.service = ret->service;
		return length > 0 && (size_t)length < sizeof ret->service;
	}
	ret->principal.kind = PRINCIPAL_PERSON;
	return parse_id(subject, &ret->principal.user_id);
}

/* ── keys ────────────────────────────────────────────────────────────────────────────────────────── */

/* Of a regular file: nobody may ever write into a FIFO. */
static FILE *open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat what;
	FILE *file = fd >= 0 && fstat(fd, &what) == 0 && S_ISREG(what.st_mode) ? fdopen(fd, "r") : NULL;

	if (file == NULL && fd >= 0)
		close(fd);
	return file;
}

/* NULL, or why the text is no public key. */
static const char *check_pem(const char *pem, int size)
{
	BIO *text = BIO_new_mem_buf(pem, size);
	EVP_PKEY *key = text != NULL ? PEM_read_bio_PUBKEY(text, NULL, NULL, NULL) : NULL;
	const char *why = key != NULL ? NULL : strstr(pem, "PRIVATE KEY") != NULL ? "holds a private key, which belongs to who signs" :
									     "holds no public key, PEM";

	EVP_PKEY_free(key);
	BIO_free(text);
	ERR_clear_error();
	return why;
}

static bool is_key_name(const char *name)
{
	size_t length = strlen(name);

	return length >= 5 && strcmp(name + length - 4, ".pem") == 0;
}

/* NULL, or why the file is no key. */
static const char *read_key(const char *dir, const char *name, struct key *ret)
{
	char path[512];
	size_t length = strlen(name) - 4;
	FILE *file;

	if (length >= sizeof ret->kid)
		return "has a name that is too long";
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	file = open_regular(path);
	if (file == NULL)
		return "cannot be read, or is no regular file";
	ret->size = (int)fread(ret->pem, 1, sizeof ret->pem - 1, file);
	ret->pem[ret->size] = '\0';
	fclose(file);
	memcpy(ret->kid, name, length);
	ret->kid[length] = '\0';
	return check_pem(ret->pem, ret->size);
}

/* All of a folder; *err is of the last file that is no key. */
static void read_keys(const struct auth *auth, DIR *dir, struct keys *keys, struct aside_status *err)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)) != NULL && keys->n < KEYS_MAX) {
		const char *why = is_key_name(entry->d_name) ? read_key(auth->keys_dir, entry->d_name, &keys->keys[keys->n]) : NULL;
		keys->n += is_key_name(entry->d_name) && why == NULL;
		if (why == NULL)
			continue;
		(void)fail(err, ASIDE_FAILED_PRECONDITION, "NO_KEYS", "%s: no public key KID.pem: %s %s", auth->keys_dir, entry->d_name, why);
		if (!auth->quiet)
			log_warning("event=key_unread file=%s message=\"%s\"", entry->d_name, why);
	}
}

enum aside_code auth_reload(struct auth *auth, struct aside_status *err)
{
	struct keys *keys, *old;
	struct aside_status why;
	DIR *dir;

	if (auth->keys_dir == NULL)
		return ASIDE_OK;
	dir = opendir(auth->keys_dir);
	keys = calloc(1, sizeof *keys);
	if (dir == NULL || keys == NULL) {
		free(keys);
		if (dir != NULL)
			closedir(dir);
		return fail(err, ASIDE_FAILED_PRECONDITION, "KEYS_UNREADABLE", "%s: %s", auth->keys_dir,
				strerror(errno));
	}
	(void)fail(&why, ASIDE_FAILED_PRECONDITION, "NO_KEYS", "%s: no public key KID.pem", auth->keys_dir);
	read_keys(auth, dir, keys, &why);
	closedir(dir);
	if (keys->n == 0) {
		free(keys);
		return fail(err, why.code, why.reason, "%s", why.message);
	}
	pthread_rwlock_wrlock(&auth->lock);
	old = auth->keys;
	auth->keys = keys;
	pthread_rwlock_unlock(&auth->lock);
	free(old);
	return ASIDE_OK;
}

size_t auth_count_keys(struct auth *auth)
{
	pthread_rwlock_rdlock(&auth->lock);
	size_t n = auth->keys != NULL ? auth->keys->n : 0;
	pthread_rwlock_unlock(&auth->lock);
	return n;
}

/* ── tokens ──────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code refused(struct aside_status *err, const char *reason, const char *why)
{
	return fail(err, ASIDE_UNAUTHENTICATED, reason, "%s", why);
}

/* The header's `kid`, unverified; false: this is no token, or names no key. */
static bool read_kid(const char *token, char *ret, size_t size)
{
	jwt_t *jwt = NULL;
	const char *kid = jwt_decode(&jwt, token, NULL, 0) == 0 ? jwt_get_header(jwt, "kid") : NULL;
	bool found = kid != NULL && strlen(kid) < size;

	if (found)
		(void)snprintf(ret, size, "%s", kid);
	jwt_free(jwt);
	return found;
}

/* The token, if `key` has signed it, with an algorithm of public keys. */
static jwt_t *verify_with(const struct key *key, const char *token)
{
	jwt_t *jwt = NULL;
	jwt_alg_t alg;

	if (jwt_decode(&jwt, token, (const unsigned char *)key->pem, key->size) != 0)
		return NULL;
	alg = jwt_get_alg(jwt);
	/* HS256 with the public key as its secret would have passed jwt_decode(). */
	if (alg == JWT_ALG_ES256 || alg == JWT_ALG_RS256)
		return jwt;
	jwt_free(jwt);
	return NULL;
}

/* With the lock held. */
static const struct key *find_key(const struct auth *auth, const char *kid)
{
	for (size_t i = 0; auth->keys != NULL && i < auth->keys->n; i++)
		if (strcmp(auth->keys->keys[i].kid, kid) == 0)
			return &auth->keys->keys[i];
	return NULL;
}

static enum aside_code verify(struct auth *auth, const char *token, jwt_t **ret, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;
	char kid[sizeof((struct key *)NULL)->kid];

	if (!read_kid(token, kid, sizeof kid))
		return refused(err, "TOKEN_INVALID", "this is no JWT whose header names its key as kid");
	pthread_rwlock_rdlock(&auth->lock);
	const struct key *key = find_key(auth, kid);
	jwt_t *jwt = key != NULL ? verify_with(key, token) : NULL;
	pthread_rwlock_unlock(&auth->lock);
	if (key == NULL)
		code = refused(err, "TOKEN_KEY_UNKNOWN", "this server has no key of the name that is the token's kid");
	else if (jwt == NULL)
		code = refused(err, "TOKEN_SIGNATURE_INVALID", "the key that the token names has not signed it (ES256, RS256)");
	else
		*ret = jwt;
	return code;
}

/* A claim's moment, which may be any number; the end of time for those beyond it. */
static int64_t to_us(long seconds)
{
	return seconds >= INT64_MAX / 1000000 ? INT64_MAX : seconds <= 0 ? 0 : (int64_t)seconds * 1000000;
}

/* Whether `list`, a claim as JSON, is an array of texts and has this one, which needs no escapes. */
static bool list_has(const char *list, const char *text)
{
	size_t length = strlen(text);

	for (const char *p = list; *p == (p == list ? '[' : ',') && p[1] == '"';) {
		const char *begin = p + 2;
		for (p = begin; *p != '"' && *p != '\0'; p += p[0] == '\\' && p[1] != '\0' ? 2 : 1)
			;
		if ((size_t)(p - begin) == length && memcmp(begin, text, length) == 0)
			return true;
		p += *p == '"';
	}
	return false;
}

/* RFC 7519, 4.1.3: one text, or an array of them. */
static bool is_for(jwt_t *jwt, const char *audience)
{
	const char *one = jwt_get_grant(jwt, "aud");
	char *list = one == NULL ? jwt_get_grants_json(jwt, "aud") : NULL;
	bool is = one != NULL ? strcmp(one, audience) == 0 : list != NULL && list_has(list, audience);

	free(list);
	return is;
}

static enum aside_code read_claims(jwt_t *jwt, const char *audience, int64_t now_us, struct credentials *ret,
		struct aside_status *err)
{
	const char *subject = jwt_get_grant(jwt, "sub"), *scope = jwt_get_grant(jwt, "scope");
	long expires = jwt_get_grant_int(jwt, "exp"), not_before = jwt_get_grant_int(jwt, "nbf");

	*ret = (struct credentials){ .principal = { .expires_at_us = to_us(expires) } };
	if (expires <= 0)
		return refused(err, "TOKEN_INVALID", "the token has no exp");
	if (ret->principal.expires_at_us <= now_us)
		return refused(err, "TOKEN_EXPIRED", "the token has expired");
	if (to_us(not_before) > now_us)
		return refused(err, "TOKEN_NOT_YET_VALID", "the token is not valid yet: its nbf is still to come");
	if (audience != NULL && !is_for(jwt, audience))
		return fail(err, ASIDE_UNAUTHENTICATED, "TOKEN_AUDIENCE_WRONG", "the token's aud is not %s", audience);
	if (subject == NULL || !parse_subject(subject, ret))
		return refused(err, "TOKEN_INVALID", "sub is neither a user id nor service:NAME");
	if (scope != NULL && strlen(scope) >= sizeof ret->scopes)
		return refused(err, "TOKEN_INVALID", "the scope is too long");
	(void)snprintf(ret->scopes, sizeof ret->scopes, "%s", scope != NULL ? scope : "");
	ret->principal.scopes = ret->scopes;
	return ASIDE_OK;
}

enum aside_code auth_token(struct auth *auth, struct bytes authorization, int64_t now_us, struct credentials *ret,
		struct aside_status *err)
{
	char token[TOKEN_BYTES_MAX];
	enum aside_code code;
	jwt_t *jwt = NULL;

	if (authorization.size < 8 || authorization.size - 7 >= sizeof token ||
			strncasecmp((const char *)authorization.data, "Bearer ", 7) != 0)
		return refused(err, "TOKEN_INVALID", "authorization is not \"Bearer TOKEN\"");
	memcpy(token, authorization.data + 7, authorization.size - 7);
	token[authorization.size - 7] = '\0';
	code = verify(auth, token, &jwt, err);
	if (code == ASIDE_OK)
		code = read_claims(jwt, auth->audience, now_us, ret, err);
	jwt_free(jwt);
	return code;
}

/* ── ipc peers ───────────────────────────────────────────────────────────────────────────────────── */

static bool parse_ipc_user(const char *text, int64_t *ret_uid, struct credentials *ret)
{
	char subject[128], *scopes;
	const char *equals = strchr(text, '=');

	if (equals == NULL || sscanf(text, "%ld=", ret_uid) != 1)
		return false;
	(void)snprintf(subject, sizeof subject, "%s", equals + 1);
	if (strncmp(subject, "person:", 7) == 0)
		return parse_subject(subject + 7, ret);
	scopes = strncmp(subject, "service:", 8) == 0 ? strchr(subject + 8, ':') : NULL;
	if (scopes != NULL) {
		*scopes++ = '\0';
		(void)snprintf(ret->scopes, sizeof ret->scopes, "%s", scopes);
		ret->principal.scopes = ret->scopes;
		for (char *p = ret->scopes; *p != '\0'; p++)
			if (*p == ',')
				*p = ' ';
	}
	return strncmp(subject, "service:", 8) == 0 && parse_subject(subject, ret);
}

void auth_peer(const struct auth *auth, int64_t uid, struct principal *ret)
{
	*ret = (struct principal){ 0 };
	for (size_t i = 0; uid >= 0 && i < auth->n_ipc; i++)
		if (auth->ipc[i].uid == uid)
			*ret = auth->ipc[i].credentials.principal;
}

void auth_warn_of_scopes(const struct auth *auth, bool (*is_known)(const char *scope, size_t length))
{
	for (size_t i = 0; i < auth->n_ipc; i++) {
		const char *scope = auth->ipc[i].credentials.scopes;
		for (size_t length; *(scope += strspn(scope, " ")) != '\0'; scope += length) {
			length = strcspn(scope, " ");
			if (!is_known(scope, length))
				log_warning("event=scope_unknown uid=%lld scope=%.*s message=\"no method asks for it\"",
						(long long)auth->ipc[i].uid, (int)length, scope);
		}
	}
}

/* Which looks in JSON as it does here. */
static bool is_audience(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
			return false;
	return strlen(text) <= AUDIENCE_BYTES_MAX;
}

enum aside_code auth_open(const struct auth_options *options, struct auth **ret, struct aside_status *err)
{
	struct auth *auth = calloc(1, sizeof *auth);
	enum aside_code code;

	if (auth == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	pthread_rwlock_init(&auth->lock, NULL);
	auth->quiet = options->quiet;
	auth->keys_dir = options->keys_dir != NULL ? strdup(options->keys_dir) : NULL;
	auth->audience = options->audience != NULL ? strdup(options->audience) : NULL;
	if (options->audience != NULL && (auth->audience == NULL || !is_audience(auth->audience))) {
		auth_close(auth);
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_AUDIENCE", "%.120s: at most %d letters, digits and signs but quotes and \\",
				options->audience, AUDIENCE_BYTES_MAX);
	}
	for (const char *const *user = options->ipc_users; user != NULL && *user != NULL; user++) {
		if (auth->n_ipc == IPC_USERS_MAX ||
				!parse_ipc_user(*user, &auth->ipc[auth->n_ipc].uid, &auth->ipc[auth->n_ipc].credentials)) {
			auth_close(auth);
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_IPC_USER",
					"%s: neither UID=person:ID nor UID=service:NAME:scope,scope", *user);
		}
		auth->n_ipc++;
	}
	code = auth_reload(auth, err);
	if (code != ASIDE_OK)
		auth_close(auth);
	else
		*ret = auth;
	return code;
}

void auth_close(struct auth *auth)
{
	if (auth == NULL)
		return;
	pthread_rwlock_destroy(&auth->lock);
	free(auth->keys_dir);
	free(auth->audience);
	free(auth->keys);
	free(auth);
}
