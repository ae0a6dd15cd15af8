/* Keys and the tokens they sign, for servers that listen on the network. */
#pragma once

#include <jwt.h>
#include <stdbool.h>
#include <stdint.h>

#define KEY_BYTES 4096

/* A key pair as PEM texts. */
struct key_pair {
	char private_pem[KEY_BYTES], public_pem[KEY_BYTES];
};

/* A new one: on P-256, or RSA of 2048 bits.  False: OpenSSL has failed. */
bool key_make(struct key_pair *key, bool rsa);

/* Writes the public half to FOLDER/KID.pem, where a server looks for it; FOLDER is made if it is not there. */
bool key_publish(const struct key_pair *key, const char *folder, const char *kid);
bool key_withdraw(const char *folder, const char *kid);

/* A certificate for `name` that signs itself, of a new key: certificate and key in one file, and the certificate
 * alone, for who shall trust it, in another. */
bool certificate_make(const char *name, const char *both_path, const char *certificate_path);

/* A token that `pem` signs, malloc()ed.  `scope` may be NULL; `ttl_s` counts from now. */
char *token_make(jwt_alg_t alg, const char *pem, const char *kid, const char *subject, const char *scope, long ttl_s);

/* One of ES256 for a minute, with more claims: an object as JSON. */
char *token_make_with(const struct key_pair *key, const char *kid, const char *subject, const char *claims);
