/* See token.h.  ES256 or RS256, by the kind of the private key. */
#include "token.h"

#include <getopt.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_BYTES 16384
#define TTL_SECONDS 3600

struct claims {
	const char *key_file, *kid, *user, *service, *scope;
	long ttl;
};

static int refuse(const char *why)
{
	fprintf(stderr, "aside token: %s\n", why);
	return 2;
}

static jwt_t *make(const struct claims *claims, const char *pem)
{
	char subject[128];
	jwt_t *jwt = NULL;
	jwt_alg_t alg = JWT_ALG_ES256;

	if (jwt_new(&jwt) != 0)
		return NULL;
	(void)snprintf(subject, sizeof subject, "%s%s", claims->user != NULL ? "" : "service:",
			claims->user != NULL ? claims->user : claims->service);
	(void)jwt_add_header(jwt, "kid", claims->kid);
	(void)jwt_add_grant(jwt, "sub", subject);
	if (claims->scope != NULL)
		(void)jwt_add_grant(jwt, "scope", claims->scope);
	(void)jwt_add_grant_int(jwt, "exp", (long)time(NULL) + claims->ttl);
	if (strstr(pem, "RSA PRIVATE") != NULL || strlen(pem) > 1000)
		alg = JWT_ALG_RS256;
	if (jwt_set_alg(jwt, alg, (const unsigned char *)pem, (int)strlen(pem)) != 0) {
		jwt_free(jwt);
		return NULL;
	}
	return jwt;
}

static int mint(const struct claims *claims)
{
	char pem[KEY_BYTES] = "";
	FILE *file = fopen(claims->key_file, "re");
	char *text = NULL;
	jwt_t *jwt;

	if (file == NULL || fread(pem, 1, sizeof pem - 1, file) == 0) {
		perror(claims->key_file);
		return 2;
	}
	fclose(file);
	jwt = make(claims, pem);
	if (jwt != NULL)
		text = jwt_encode_str(jwt);
	jwt_free(jwt);
	if (text == NULL)
		return refuse("the key is no private key for ES256 or RS256");
	printf("%s\n", text);
	free(text);
	return 0;
}

int token_command(int argc, char **argv)
{
	static const struct option flags[] = { { "key", required_argument, NULL, 'k' }, { "kid", required_argument, NULL, 'i' },
		{ "user", required_argument, NULL, 'u' }, { "service", required_argument, NULL, 's' },
		{ "scope", required_argument, NULL, 'c' }, { "ttl", required_argument, NULL, 't' }, { NULL, 0, NULL, 0 } };
	struct claims claims = { .ttl = TTL_SECONDS };
	int flag;

	optind = 1;
	while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
		switch (flag) {
		case 'k': claims.key_file = optarg; break;
		case 'i': claims.kid = optarg; break;
		case 'u': claims.user = optarg; break;
		case 's': claims.service = optarg; break;
		case 'c': claims.scope = optarg; break;
		case 't': claims.ttl = strtol(optarg, NULL, 10); break;
		default: return 2;
		}
	if (claims.key_file == NULL || claims.kid == NULL || (claims.user == NULL) == (claims.service == NULL))
		return refuse("needs --key, --kid and one of --user and --service");
	return mint(&claims);
}
