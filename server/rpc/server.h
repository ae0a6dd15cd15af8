/* The RPC server: messages in, calls through the handlers, replies out.  Knows no messaging.
 *
 *     transport ──message──▶ session's mail ──▶ visit: frames ──▶ task: chain ──▶ begin ──▶ store
 *                                  ▲                                                         │
 *                                  └────────────────── operation done ◀──────────────────────┘
 *
 * Reading order: session.h (what a peer is), visit.c (a visit), task.c (a call), stream.c (its items), chain.c (what
 * stands around every call), dispatch.c (methods and bytes). */
#pragma once

#include <stdio.h>

#include "admission.h"
#include "auth.h"
#include "call.h"
#include "clock.h"
#include "transport.h"

struct dispatcher;
struct metrics;
struct op;
struct server;
struct session;

/* How the server hands an operation on: store_submit() in the program. */
typedef enum aside_code server_submit(void *store, struct op *op, struct aside_status *err);

/* What waits behind the handlers, as introspection shows it. */
struct queue_stats {
	char name[16]; /* "write 1" */
	uint64_t waiting, under_way; /* operations */
	uint64_t batches, operations; /* since the start */
};

struct server_options {
	const struct handlers *const *handlers; /* NULL-terminated */
	struct auth *auth;
	server_submit *submit;
	bool (*ready)(void *store);
	bool (*queue)(void *store, unsigned index, struct queue_stats *ret); /* false: there are no more; NULL: none */
	void *store;
	unsigned workers; /* 0: one per processor, at least 2 */
	const char *const *origins; /* of web pages that may call by ws, NULL-terminated; NULL: only the server's own */
	struct admission_options admission;
	uint64_t kept_bytes_max; /* what all peers together may have the server keep; 0: 1 GiB */
};

/* Checks that every method has a handler and every handler a method; starts the workers. */
enum aside_code server_open(const struct server_options *options, struct server **ret,
		struct aside_status *err) MUST_CHECK;

/* Listens; *ret_url gets the address with its real port. */
enum aside_code server_listen(struct server *server, const char *url, const struct listen_options *options,
		char *ret_url, size_t size, struct aside_status *err) MUST_CHECK;

/* Begins to take calls. */
enum aside_code server_start(struct server *server, struct aside_status *err) MUST_CHECK;

/* Takes no further calls, tells the sessions so, and waits for those under way, at most until `deadline_us`
 * (monotonic).  Returns how many were left. */
unsigned server_drain(struct server *server, int64_t deadline_us);

/* Whether calls are served: not draining, and the store is there. */
bool server_serving(struct server *server);
bool server_draining(struct server *server);

struct server_stats {
	int64_t started_at_us; /* since 1970 */
	unsigned sessions;
	uint64_t kept_bytes;
	struct admission_stats admission;
};
void server_stats(struct server *server, struct server_stats *ret);

/* All of it in Prometheus' text format. */
void server_write_metrics(struct server *server, FILE *out);

void server_close(struct server *server);

/* ── for the runtime's own files ─────────────────────────────────────────────────────────────────── */

const struct server_options *server_options(const struct server *server);
const struct dispatcher *server_dispatcher(const struct server *server);
struct admission *server_admission(const struct server *server);
const struct shed *server_shed(const struct server *server);
struct metrics *server_metrics(const struct server *server);

/* Has a worker visit a session whose mail said so (session.h). */
void server_visit_later(struct session *session);

/* Puts a plain session, whose calls wait, into the table: it hears of their deadlines, and of its connection's end.  By
 * its visitor, as often as it likes. */
void server_await(struct session *session);

/* Takes a session out of the table, if it is there.  By its visitor. */
void server_forget(struct session *session);

/* Shows every session with a number to `look`, which holds its mutex: its calls and its principal stay as they are.
 * Any thread; `look` must be quick. */
void server_each_session(struct server *server, void (*look)(const struct session *session, void *user), void *user);

/* The peer of `connection` has the server keep so many bytes more, or fewer (ledger.h): may cut off whoever keeps
 * most.  Any thread, with no mutex of the server or of a session held. */
void server_keep(struct server *server, uint32_t connection, int64_t bytes);

/* While draining: one session more that is to be told to go away, or (-1) that has been. */
void server_count_untold(struct server *server, int n);

/* Once a second: heartbeats, deadlines, sessions that keep silent. */
void server_tick(struct server *server);
