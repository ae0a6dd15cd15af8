/* Who is calling: bearer tokens (JWT, RFC 7519) and the uids of ipc peers. */
#pragma once

#include "call.h"

struct auth;

/* A principal and the texts it borrows: not to be copied or moved. */
struct credentials {
	struct principal principal;
	char service[PRINCIPAL_NAME_MAX];
	char scopes[PRINCIPAL_SCOPES_MAX];
};

struct auth_options {
	const char *keys_dir;         /* KID.pem: a public key each; NULL: no tokens */
	const char *const *ipc_users; /* "UID=person:ID" or "UID=service:NAME:scope,scope"; NULL-terminated */
	const char *audience;         /* which tokens must carry as their `aud`, or among them; NULL: `aud` is not looked at */
	bool quiet;                   /* does not warn of files among the keys that are none, now */
};

enum aside_code auth_open(const struct auth_options *options, struct auth **ret, struct aside_status *err) MUST_CHECK;
void auth_close(struct auth *auth);

/* Reads the keys again, and warns of each KID.pem that holds none; on failure (there is no key at all: the message has
 * the last of those) the old ones stay.  Any thread. */
enum aside_code auth_reload(struct auth *auth, struct aside_status *err) MUST_CHECK;

/* How many keys there are.  Any thread. */
size_t auth_count_keys(struct auth *auth);

/* Warns of scopes of ipc peers for which `is_known` is false: another release may ask for them. */
void auth_warn_of_scopes(const struct auth *auth, bool (*is_known)(const char *scope, size_t length));

/* "Bearer …" → *ret.  UNAUTHENTICATED otherwise, reason TOKEN_KEY_UNKNOWN, TOKEN_SIGNATURE_INVALID, TOKEN_EXPIRED,
 * TOKEN_NOT_YET_VALID, TOKEN_AUDIENCE_WRONG, or TOKEN_INVALID for all else.  ES256 and RS256 only: never `none`, never a
 * symmetric algorithm.  Any thread. */
enum aside_code auth_token(struct auth *auth, struct bytes authorization, int64_t now_us, struct credentials *ret,
		struct aside_status *err) MUST_CHECK;

/* The principal an ipc peer's uid maps to, or ANONYMOUS. */
void auth_peer(const struct auth *auth, int64_t uid, struct principal *ret);

bool principal_has_scope(const struct principal *principal, const char *scope);
