/* A libpq connection string, taken apart for who tries its hosts one by one, each for its own time: libpq does the latter
 * only where it blocks. */
#pragma once

#include <libpq-fe.h>

#include "wire/scope.h"
#include "wire/status.h"

#define DSN_CONNECT_TIMEOUT_S "5" /* by default */
#define DSN_PARAMS_MAX 64
#define DSN_VALUE_MAX 256 /* of a host, its address or port, with the NUL */

struct dsn {
	PQconninfoOption *options;
	unsigned n_hosts;          /* 1 where it names none: libpq's default */
	int64_t connect_timeout_us; /* for one host */
};

/* What PQconnectStartParams() takes, ended by NULL; borrows from the dsn and the defaults. */
struct dsn_params {
	const char *keys[DSN_PARAMS_MAX + 1], *values[DSN_PARAMS_MAX + 1];
	size_t n;
	char own[3][DSN_VALUE_MAX];
};

/* INVALID_ARGUMENT where libpq does not understand it.  Hosts of a service file or of PGHOST count as one.  To be freed in
 * any case. */
enum aside_code dsn_parse(const char *text, struct dsn *ret, struct aside_status *err) MUST_CHECK;
void dsn_fini(struct dsn *dsn);

/* Adds what the dsn says, with only one of its hosts; it overrules what was
 * added before it, and what comes later overrules it. */
void dsn_add(const struct dsn *dsn, unsigned host, struct dsn_params *params);
void dsn_add_param(struct dsn_params *params, const char *key, const char *value);
