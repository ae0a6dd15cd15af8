/* The life of a server, and the table of its sessions.  See server.h. */
#include "server.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "builtin.h"
#include "dispatch.h"
#include "ledger.h"
#include "metrics.h"
#include "session.h"
#include "shed.h"
#include "visit.h"
#include "workers.h"

#define CHAINS 4096 /* of the table; a power of two */
#define PLAIN CHAINS /* one more, of the plain sessions */
#define TICK_SECONDS 1
#define LINGER_NS 500000000
#define LINGERS_MAX 4
#define KEPT_BYTES_MAX_DEFAULT (1ull << 30)
#define OVERDUE_MAX 8 /* connections cut off again in one tick */
/* Larger messages, and what they take, are not for nng's threads; nor are tokens, of each of which a third of a
 * millisecond is spent on the signature, but for what a small message has room for. */
#define VISIT_BYTES_MAX 65536
#define VISIT_TOKEN_BYTES_MAX 4096

struct server {
	struct server_options options;
	struct transport *transport;
	struct dispatcher *dispatcher;
	struct workers *workers;
	struct admission *admission;
	struct shed *shed;
	struct ledger *ledger;
	struct metrics *metrics;
	int64_t started_at_us;
	pthread_mutex_t mutex; /* of the table */
	pthread_cond_t stop;
	struct session *table[CHAINS + 1];
	unsigned n_sessions;
	bool draining, stopping;
	atomic_int untold; /* sessions whose GOAWAY waits for a turn */
	pthread_t ticker;
	bool ticking;
};

const struct server_options *server_options(const struct server *server)
{
	return &server->options;
}

const struct dispatcher *server_dispatcher(const struct server *server)
{
	return server->dispatcher;
}

struct admission *server_admission(const struct server *server)
{
	return server->admission;
}

const struct shed *server_shed(const struct server *server)
{
	return server->shed;
}

struct metrics *server_metrics(const struct server *server)
{
	return server->metrics;
}

/* ── the table ───────────────────────────────────────────────────────────────────────────────────── */

static struct session **chain_of(struct server *server, uint64_t number, uint32_t connection)
{
	uint64_t hash = (number ^ connection) * 0x9E3779B97F4A7C15ull;

	return &server->table[(hash >> 32) % CHAINS];
}

static bool begins_session(struct bytes body)
{
	struct envelope_reader reader;
	struct frame frame;
	bool more;

	(void)envelope_read(&reader, body);
	return envelope_next(&reader, &frame, &more, NULL) == ASIDE_OK && more && frame.kind == FRAME_HELLO;
}

/* With the mutex held: the table's reference is the caller's. */
static void enter(struct session **chain, struct session *session)
{
	session->in_table = true;
	session->next = *chain;
	session->place = chain;
	if (session->next != NULL)
		session->next->place = &session->next;
	*chain = session;
}

/* A new one, in the table, with the mutex held.  NULL without memory. */
static struct session *begin_session(struct server *server, struct session **chain, uint64_t number,
		const struct message *message)
{
	struct session *session = session_new(server, SESSION_OPEN, number, message->connection, clock_monotonic_us());

	if (session == NULL)
		return NULL;
	session->counted_bytes = SESSION_BYTES;
	auth_peer(server->options.auth, message_peer_uid(message), &session->principal);
	session->signals = server->draining ? SIGNAL_DRAIN : 0;
	enter(chain, session);
	server->n_sessions++;
	return session;
}

/* The session of a message, retained; a new one where it begins one; NULL: there is none such. */
static struct session *find_session(struct server *server, uint64_t number, const struct message *message)
{
	struct session **chain = chain_of(server, number, message->connection), *found;
	bool begun = false;

	pthread_mutex_lock(&server->mutex);
	for (found = *chain; found != NULL; found = found->next)
		if (found->number == number && found->connection == message->connection)
			break;
	if (found == NULL && begins_session(message->body)) {
		found = begin_session(server, chain, number, message);
		begun = found != NULL;
	}
	if (found != NULL)
		session_retain(found);
	pthread_mutex_unlock(&server->mutex);
	if (begun)
		server_keep(server, message->connection, SESSION_BYTES);
	return found;
}

void server_await(struct session *session)
{
	struct server *server = session->server;

	if (session->in_table)
		return;
	session_retain(session);
	pthread_mutex_lock(&server->mutex);
	enter(&server->table[PLAIN], session);
	pthread_mutex_unlock(&server->mutex);
}

void server_forget(struct session *session)
{
	struct server *server = session->server;

	if (!session->in_table)
		return;
	session->in_table = false;
	pthread_mutex_lock(&server->mutex);
	*session->place = session->next;
	if (session->next != NULL)
		session->next->place = session->place;
	server->n_sessions -= session->number != 0;
	pthread_mutex_unlock(&server->mutex);
	session_release(session);
}

/* Whom a signal is for. */
struct addressees {
	uint32_t connection; /* 0: of any */
	int64_t due_us;      /* that want SIGNAL_TICK by then */
};

static void signal_sessions(struct server *server, const struct addressees *to, unsigned signals)
{
	pthread_mutex_lock(&server->mutex);
	for (size_t i = 0; i <= PLAIN; i++)
		for (struct session *session = server->table[i]; session != NULL; session = session->next)
			if ((to->connection == 0 || session->connection == to->connection) && session->due_us <= to->due_us &&
					session_mail_signal(session, signals))
				server_visit_later(session);
	pthread_mutex_unlock(&server->mutex);
}

void server_each_session(struct server *server, void (*look)(const struct session *session, void *user), void *user)
{
	pthread_mutex_lock(&server->mutex);
	for (size_t i = 0; i < CHAINS; i++)
		for (struct session *session = server->table[i]; session != NULL; session = session->next) {
			pthread_mutex_lock(&session->mutex);
			look(session, user);
			pthread_mutex_unlock(&session->mutex);
		}
	pthread_mutex_unlock(&server->mutex);
}

void server_visit_later(struct session *session)
{
	workers_queue(session->server->workers, session);
}

/* ── messages (nng's threads) ────────────────────────────────────────────────────────────────────── */

static bool is_soon_done(struct bytes message)
{
	static const char token[] = "authorization"; /* among the metadata; or anywhere, which does no harm */

	return message.size <= VISIT_TOKEN_BYTES_MAX ||
			(message.size <= VISIT_BYTES_MAX && memmem(message.data, message.size, token, sizeof token - 1) == NULL);
}

static void visit_soon(struct session *session, bool at_once)
{
	struct workers *workers = session->server->workers;

	if (!at_once || !workers_enter(workers)) {
		server_visit_later(session);
		return;
	}
	visit(session);
	workers_leave(workers);
}

static void on_received(void *user, struct message *message)
{
	struct server *server = user;
	struct envelope_reader reader;
	struct envelope_head head = envelope_read(&reader, message->body);
	bool at_once = is_soon_done(message->body);
	struct session *session;

	message->sequence = head.sequence;
	message->received_us = clock_monotonic_us();
	if (head.session != 0)
		session = find_session(server, head.session, message);
	else
		session = session_new(server, SESSION_PLAIN, 0, message->connection, 0);
	if (session == NULL) {
		session_refuse(message->turn, head.session, 0, "no such session");
		message_free(message);
		return;
	}
	if (head.session == 0)
		auth_peer(server->options.auth, message_peer_uid(message), &session->principal);
	if (session_mail_message(session, message))
		visit_soon(session, at_once);
	session_release(session);
}

static void on_left(void *user, uint32_t connection)
{
	signal_sessions(user, &(struct addressees){ connection, INT64_MAX }, SIGNAL_GONE);
}

/* ── what peers keep here ────────────────────────────────────────────────────────────────────────── */

/* Its sessions end at once, whether the connection is found or not. */
static void cut_off(struct server *server, uint32_t connection)
{
	signal_sessions(server, &(struct addressees){ connection, INT64_MAX }, SIGNAL_GONE);
	transport_cut(server->transport, connection);
}

static void cut_overdue(struct server *server)
{
	uint32_t overdue[OVERDUE_MAX];
	size_t n = ledger_overdue(server->ledger, overdue, OVERDUE_MAX);

	for (size_t i = 0; i < n; i++)
		cut_off(server, overdue[i]);
}

void server_keep(struct server *server, uint32_t connection, int64_t bytes)
{
	uint32_t greediest = ledger_count(server->ledger, connection, bytes);

	if (greediest == 0)
		return;
	log_warning("event=connection_cut message=\"it had the server keep more than any other, beyond what fits\"");
	cut_off(server, greediest);
}

static void on_kept(void *user, uint32_t connection, int64_t bytes)
{
	server_keep(user, connection, bytes);
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────── */

void server_tick(struct server *server)
{
	int64_t now_us = clock_monotonic_us();

	admission_tick(server->admission, now_us);
	health_tick(server);
	cut_overdue(server);
	signal_sessions(server, &(struct addressees){ 0, now_us }, SIGNAL_TICK);
}

static void *tick(void *arg)
{
	struct server *server = arg;

	pthread_mutex_lock(&server->mutex);
	while (!server->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += TICK_SECONDS;
		(void)pthread_cond_timedwait(&server->stop, &server->mutex, &until);
		pthread_mutex_unlock(&server->mutex);
		server_tick(server);
		pthread_mutex_lock(&server->mutex);
	}
	pthread_mutex_unlock(&server->mutex);
	return NULL;
}

enum aside_code server_open(const struct server_options *options, struct server **ret, struct aside_status *err)
{
	struct server *server = calloc(1, sizeof *server);
	enum aside_code code = ASIDE_OK;

	if (server == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	server->options = *options;
	server->started_at_us = clock_realtime_us();
	pthread_mutex_init(&server->mutex, NULL);
	pthread_cond_init(&server->stop, NULL);
	server->admission = admission_new(&options->admission);
	server->shed = shed_new();
	server->ledger = ledger_new(options->kept_bytes_max > 0 ? options->kept_bytes_max : KEPT_BYTES_MAX_DEFAULT);
	server->metrics = metrics_new();
	if (server->admission == NULL || server->shed == NULL || server->ledger == NULL || server->metrics == NULL)
		code = fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	if (code == ASIDE_OK)
		code = dispatcher_open(options->handlers, &server->dispatcher, err);
	if (code == ASIDE_OK)
		code = workers_start(options->workers, visit, &server->workers, err);
	struct transport_events events = { on_received, on_left, on_kept, server };
	if (code == ASIDE_OK)
		code = transport_open(&events, options->origins, &server->transport, err);
	if (code != ASIDE_OK) {
		server_close(server);
		return code;
	}
	*ret = server;
	return ASIDE_OK;
}

enum aside_code server_listen(struct server *server, const char *url, const struct listen_options *options,
		char *ret_url, size_t size, struct aside_status *err)
{
	return transport_listen(server->transport, url, options, ret_url, size, err);
}

enum aside_code server_start(struct server *server, struct aside_status *err)
{
	if (pthread_create(&server->ticker, NULL, tick, server) != 0)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	server->ticking = true;
	return transport_start(server->transport, err);
}

static unsigned count_sessions(struct server *server)
{
	pthread_mutex_lock(&server->mutex);
	unsigned n = server->n_sessions;
	pthread_mutex_unlock(&server->mutex);
	return n;
}

unsigned server_drain(struct server *server, int64_t deadline_us)
{
	pthread_mutex_lock(&server->mutex);
	server->draining = true;
	pthread_mutex_unlock(&server->mutex);
	admission_close(server->admission);
	signal_sessions(server, &(struct addressees){ 0, INT64_MAX }, SIGNAL_DRAIN);
	unsigned left = admission_wait(server->admission, deadline_us);
	/* Peers have time to read what they were told, before their connections end. */
	for (unsigned i = 0; i < LINGERS_MAX && count_sessions(server) > 0 && (i == 0 || server->untold > 0); i++)
		nanosleep(&(struct timespec){ 0, LINGER_NS }, NULL);
	return left;
}

void server_count_untold(struct server *server, int n)
{
	atomic_fetch_add(&server->untold, n);
}

bool server_draining(struct server *server)
{
	pthread_mutex_lock(&server->mutex);
	bool draining = server->draining;
	pthread_mutex_unlock(&server->mutex);
	return draining;
}

bool server_serving(struct server *server)
{
	return !server_draining(server) && (server->options.ready == NULL || server->options.ready(server->options.store));
}

void server_stats(struct server *server, struct server_stats *ret)
{
	ret->started_at_us = server->started_at_us;
	ret->sessions = count_sessions(server);
	ret->kept_bytes = ledger_bytes(server->ledger);
	admission_stats(server->admission, &ret->admission);
}

void server_write_metrics(struct server *server, FILE *out)
{
	struct server_stats stats;
	size_t n;
	const struct route *routes = dispatcher_routes(server->dispatcher, &n);

	server_stats(server, &stats);
	fprintf(out, "# HELP aside_sessions Clients that are connected.\n"
		     "# TYPE aside_sessions gauge\naside_sessions %u\n"
		     "# HELP aside_kept_bytes What peers have the server keep: replies not fetched, calls, sessions.\n"
		     "# TYPE aside_kept_bytes gauge\naside_kept_bytes %llu\n"
		     "# HELP aside_calls_under_way Calls that have begun and not ended.\n"
		     "# TYPE aside_calls_under_way gauge\naside_calls_under_way %u\n"
		     "# HELP aside_streams_open Streams that are open.\n"
		     "# TYPE aside_streams_open gauge\naside_streams_open %u\n"
		     "# HELP aside_calls_limit Calls that may be under way at the rate at which they end.\n"
		     "# TYPE aside_calls_limit gauge\naside_calls_limit %u\n"
		     "# HELP aside_calls_refused_total Calls refused before they began: the server was full.\n"
		     "# TYPE aside_calls_refused_total counter\naside_calls_refused_total %llu\n",
			stats.sessions, (unsigned long long)stats.kept_bytes, stats.admission.calls, stats.admission.streams, stats.admission.limit,
			(unsigned long long)stats.admission.refused);
	metrics_write(server->metrics, routes, n, out);
}

/* Nothing comes in any more; then the sessions end, and with them their streams; then whoever has visited them. */
void server_close(struct server *server)
{
	if (server == NULL)
		return;
	pthread_mutex_lock(&server->mutex);
	server->stopping = true;
	pthread_cond_broadcast(&server->stop);
	pthread_mutex_unlock(&server->mutex);
	if (server->ticking)
		pthread_join(server->ticker, NULL);
	if (server->transport != NULL)
		transport_stop(server->transport);
	signal_sessions(server, &(struct addressees){ 0, INT64_MAX }, SIGNAL_GONE);
	workers_stop(server->workers);
	for (size_t i = 0; i <= PLAIN; i++)
		while (server->table[i] != NULL) {
			struct session *session = server->table[i];
			server->table[i] = session->next;
			session_release(session);
		}
	transport_close(server->transport);
	dispatcher_close(server->dispatcher);
	admission_free(server->admission);
	shed_free(server->shed);
	ledger_free(server->ledger);
	metrics_free(server->metrics);
	free(server);
}
