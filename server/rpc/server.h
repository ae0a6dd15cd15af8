/* The RPC server: messages in, calls through the handlers, replies out.  Knows no messaging.
 *
 *     transport ──▶ queue ──▶ workers: frames ──▶ policy ──▶ begin ──▶ store ──▶ queue ──▶ workers: end ──▶ reply
 *
 * A worker takes what has gathered, handles all of it, then flushes each session it touched: what finishes
 * together leaves together. */
#pragma once

#include "auth.h"
#include "call.h"
#include "transport.h"

struct server;

/* How the server hands an operation on: store_submit() in the program. */
typedef enum aside_code server_submit(void *store, struct op *op, struct aside_status *err);

struct server_options {
	const struct handlers *const *handlers; /* NULL-terminated */
	struct auth *auth;
	server_submit *submit;
	bool (*ready)(void *store);
	void *store;
	unsigned workers; /* 0: one per processor, at least 2 */
	unsigned calls_max; /* under way at once; 0: 10,000 */
};

/* Checks that every method has a handler and every handler a method; starts the workers. */
enum aside_code server_open(const struct server_options *options, struct server **ret,
		struct aside_status *err) MUST_CHECK;

/* Listens; *ret_url gets the address with its real port. */
enum aside_code server_listen(struct server *server, const char *url, const struct listen_options *options,
		char *ret_url, size_t size, struct aside_status *err) MUST_CHECK;

/* Begins to take calls. */
void server_start(struct server *server);

/* Takes no further calls, tells the sessions so, and waits for those under way, at most until `deadline_us`
 * (monotonic).  Returns how many were left. */
unsigned server_drain(struct server *server, int64_t deadline_us);

/* Whether calls are served: not draining, and the store is there. */
bool server_serving(struct server *server);

/* Every method's calls by code, for metrics: see http/metrics. */
struct server_stats {
	uint64_t calls_ended, calls_failed;
	unsigned calls_under_way, sessions;
};
void server_stats(struct server *server, struct server_stats *ret);

void server_close(struct server *server);

/* Time on the monotonic clock, and since 1970. */
int64_t clock_monotonic_us(void);
int64_t clock_realtime_us(void);
