/* What looks after the server asks here, by HTTP: /healthz (the process lives), /readyz (it takes calls) and /metrics
 * (Prometheus' text format).  GET and HEAD, no credentials: on a loopback address unless told otherwise.
 * A request has 16 KiB and a connection 10 idle seconds; of 32 connections the oldest makes room for the next.
 * libmicrohttpd (nng's own HTTP has neither timeouts nor a safe parser of paths), on one thread of its own that shares
 * nothing with calls but their counters. */
#pragma once

#include "wire/scope.h"

struct http;
struct server;
struct store;

struct http_options {
	const char *address; /* "HOST:PORT", "[::1]:PORT"; port 0: any */
	bool anywhere;       /* other addresses than loopback, too */
	struct server *server;
	struct store *store;
};

/* Whether the address can be served; INVALID_ARGUMENT says why not.  Opens nothing. */
enum aside_code http_check(const char *address, bool anywhere, struct aside_status *err) MUST_CHECK;

/* Serves until http_close().  The server and the store are borrowed as long.  FAILED_PRECONDITION when the port is
 * taken. */
enum aside_code http_open(const struct http_options *options, struct http **ret, struct aside_status *err) MUST_CHECK;

/* "http://127.0.0.1:7480", with the real port.  Borrowed. */
const char *http_url(const struct http *http);

/* NULL is fine. */
void http_close(struct http *http);
