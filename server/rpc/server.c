/* The queue, the workers and the sessions.  See server.h. */
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "dispatch.h"
#include "hello.h"
#include "session.h"
#include "store/op.h"

#define WORKERS_MAX 64
#define CALLS_MAX_DEFAULT 10000
#define CALL_BYTES_MAX (8u << 20)
#define TOUCHED_MAX 32
#define TICK_US 1000000

struct server {
	struct server_options options;
	struct transport *transport;
	struct dispatcher *dispatcher;
	pthread_mutex_t mutex;
	pthread_cond_t wake, idle;
	struct message *messages, **messages_tail;
	struct task *tasks, **tasks_tail; /* whose operation is done */
	struct session *sessions;         /* open ones */
	unsigned n_calls, n_sessions;
	uint64_t calls_ended, calls_failed;
	bool draining, stopping;
	pthread_t threads[WORKERS_MAX + 1]; /* the last one ticks */
	unsigned n_threads;
};

int64_t clock_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_realtime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The sessions one worker touches while it handles what it took. */
struct visit {
	struct server *server;
	struct session *touched[TOUCHED_MAX];
	size_t n;
	unsigned ended; /* calls whose replies are queued: they are over once these have left */
};

static void flush_touched(struct visit *visit)
{
	struct server *server = visit->server;

	for (size_t i = 0; i < visit->n; i++) {
		session_flush(visit->touched[i]);
		session_release(visit->touched[i]);
	}
	visit->n = 0;
	if (visit->ended == 0)
		return;
	pthread_mutex_lock(&server->mutex);
	server->n_calls -= visit->ended;
	if (server->n_calls == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->mutex);
	visit->ended = 0;
}

static void touch(struct visit *visit, struct session *session)
{
	for (size_t i = 0; i < visit->n; i++)
		if (visit->touched[i] == session)
			return;
	if (visit->n == TOUCHED_MAX)
		flush_touched(visit);
	session_retain(session);
	visit->touched[visit->n++] = session;
}

/* ── calls ───────────────────────────────────────────────────────────────────────────────────────── */

static void log_call(const struct task *task, const struct aside_status *status)
{
	static const char *const kinds[] = { "anonymous", "person", "service" };

	log_info("event=call method=%s code=%s reason=%s us=%lld request_id=%s principal=%s", task->call.method->path,
			aside_code_name(status->code), status->reason[0] != '\0' ? status->reason : "-",
			(long long)(clock_monotonic_us() - task->began_us), task->call.request_id,
			kinds[task->call.principal.kind]);
}

static void end_call(struct server *server, struct visit *visit, struct task *task, struct aside_status *status)
{
	if (status->code == ASIDE_OK && task->call.response == NULL)
		(void)fail(status, ASIDE_INTERNAL, "NO_RESPONSE", "the handler made no response");
	if (status->code == ASIDE_INTERNAL)
		status_add_fact(status, "request_id", "%s", task->call.request_id);
	dispatch_reply(task->session, task->call_id, &task->call, status);
	session_end_call(task->session);
	log_call(task, status);
	touch(visit, task->session);
	pthread_mutex_lock(&server->mutex);
	server->calls_ended++;
	server->calls_failed += status->code != ASIDE_OK;
	pthread_mutex_unlock(&server->mutex);
	visit->ended++;
	session_release(task->session);
	arena_fini(&task->call.arena);
	free(task);
}

/* On a lane's thread: hands over. */
static void operation_done(struct op *op)
{
	struct task *task = op->user;
	struct server *server = task->server;

	task->next = NULL;
	pthread_mutex_lock(&server->mutex);
	bool was_empty = server->tasks == NULL;
	*server->tasks_tail = task;
	server->tasks_tail = &task->next;
	if (was_empty)
		pthread_cond_signal(&server->wake);
	pthread_mutex_unlock(&server->mutex);
}

/* After begin or end: submits the next operation, or ends the call. */
static void proceed(struct server *server, struct visit *visit, struct task *task, enum aside_code code,
		struct aside_status *status)
{
	struct op *op = task->call.op;

	if (code == ASIDE_OK && op != NULL) {
		op->done = operation_done;
		op->user = task;
		op->deadline_us = task->call.deadline_us;
		code = server->options.submit(server->options.store, op, status);
		if (code == ASIDE_OK)
			return;
	}
	if (code == ASIDE_OK)
		*status = (struct aside_status){ 0 };
	end_call(server, visit, task, status);
}

static void continue_call(struct server *server, struct visit *visit, struct task *task)
{
	struct aside_status status = { 0 };

	proceed(server, visit, task, dispatch_end(task, &status), &status);
}

/* One place under the limit, or the refusal.  What anyone may ask (health) is answered while draining, too. */
static enum aside_code admit(struct server *server, const struct aside_method *method, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	pthread_mutex_lock(&server->mutex);
	if (server->draining && (method->callers & ASIDE_CALLER_ANYONE) == 0)
		code = fail(err, ASIDE_UNAVAILABLE, "DRAINING", "the server is shutting down");
	else if (server->n_calls >= server->options.calls_max)
		code = fail(err, ASIDE_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", "the server has too many calls under way");
	else
		server->n_calls++;
	pthread_mutex_unlock(&server->mutex);
	if (code != ASIDE_OK) {
		err->not_executed = true;
		err->retry_after_us = 100000;
	}
	return code;
}

/* Answers a frame that never became a call. */
static void refuse(struct visit *visit, struct session *session, uint64_t call_id, const struct aside_status *status)
{
	dispatch_reply(session, call_id, NULL, status);
	touch(visit, session);
}

static void make_request_id(char out[33])
{
	static _Thread_local uint64_t counter;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	(void)snprintf(out, 33, "%016llx%08x%08x", (unsigned long long)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec,
			(unsigned)((uintptr_t)&counter >> 4), (unsigned)++counter);
}

static void start_call(struct server *server, struct visit *visit, struct session *session, const struct frame *frame)
{
	struct aside_status status = { 0 };
	const struct aside_method *method;
	const struct handler *handler;
	struct task *task;

	if (!dispatcher_find(server->dispatcher, frame->method, &handler, &method)) {
		(void)fail(&status, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN", "no method %.*s",
				(int)frame->method.size, (const char *)frame->method.data);
		refuse(visit, session, frame->call_id, &status);
		return;
	}
	if (admit(server, method, &status) != ASIDE_OK) {
		refuse(visit, session, frame->call_id, &status);
		return;
	}
	task = calloc(1, sizeof *task);
	if (task == NULL) {
		session_kill(session); /* not even a refusal can be made */
		pthread_mutex_lock(&server->mutex);
		server->n_calls--;
		pthread_mutex_unlock(&server->mutex);
		return;
	}
	task->server = server;
	task->session = session;
	task->call_id = frame->call_id;
	task->began_us = clock_monotonic_us();
	task->call.method = method;
	task->call.handler = handler;
	task->call.now_us = clock_realtime_us();
	task->call.deadline_us = task->began_us +
			(frame->timeout_us != 0 && frame->timeout_us < 3600000000ull ? (int64_t)frame->timeout_us :
										       method->timeout_ms * 1000ll);
	arena_init(&task->call.arena, CALL_BYTES_MAX);
	make_request_id(task->call.request_id);
	session_retain(session);
	session_begin_call(session);
	enum aside_code code = hello_principal(server->options.auth, session, frame, task->call.now_us,
			&task->call.principal, &status);
	if (code == ASIDE_OK)
		code = dispatch_begin(task, frame, &status);
	proceed(server, visit, task, code, &status);
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static bool same_key(const struct turn_key *a, const struct turn_key *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The open session of this peer, retained; NULL if there is none. */
static struct session *find_session(struct server *server, const struct turn *turn)
{
	struct turn_key key = turn_key(turn);
	struct session *found;

	pthread_mutex_lock(&server->mutex);
	for (found = server->sessions; found != NULL; found = found->next)
		if (same_key(&found->key, &key))
			break;
	if (found != NULL)
		session_retain(found);
	pthread_mutex_unlock(&server->mutex);
	return found;
}

/* Opens a session: the table's reference, and one for the caller. */
static void add_session(struct server *server, struct session *session)
{
	session_retain(session);
	pthread_mutex_lock(&server->mutex);
	session->next = server->sessions;
	server->sessions = session;
	server->n_sessions++;
	pthread_mutex_unlock(&server->mutex);
}

static struct session *session_for(struct server *server, const struct message *message, bool hello)
{
	struct session *session = find_session(server, &message->turn);
	int64_t now = clock_monotonic_us();

	if (session != NULL) {
		if (!session_park(session, &message->turn, now))
			session_kill(session);
		return session;
	}
	session = session_new(server->transport, hello ? SESSION_OPEN : SESSION_PLAIN, message, now);
	if (session == NULL)
		return NULL;
	auth_peer(server->options.auth, message->peer_uid, &session->principal);
	if (hello)
		add_session(server, session);
	return session;
}

static bool first_is_hello(struct bytes body)
{
	struct envelope_reader reader;
	struct frame frame;
	bool more;

	envelope_read(&reader, body);
	return envelope_next(&reader, &frame, &more, NULL) == ASIDE_OK && more && frame.kind == FRAME_HELLO;
}

static void handle_frames(struct server *server, struct visit *visit, struct session *session, struct bytes body)
{
	struct envelope_reader reader;
	struct aside_status status;
	struct frame frame;
	bool more = true;

	envelope_read(&reader, body);
	while (more) {
		if (envelope_next(&reader, &frame, &more, &status) != ASIDE_OK) {
			refuse(visit, session, 0, &status);
			return;
		}
		if (!more)
			return;
		if (frame.kind == FRAME_CALL)
			start_call(server, visit, session, &frame);
		else if (frame.kind == FRAME_HELLO)
			hello_answer(server->options.auth, dispatcher_handlers(server->dispatcher), session, &frame);
	}
}

static void handle_message(struct server *server, struct visit *visit, struct message *message)
{
	struct session *session = session_for(server, message, first_is_hello(message->body));

	if (session != NULL) {
		/* A call of its own holds the plain reply back until all its frames are handled. */
		session_begin_call(session);
		handle_frames(server, visit, session, message->body);
		session_end_call(session);
		touch(visit, session);
		session_release(session);
	}
	message_free(message);
}

/* ── workers ─────────────────────────────────────────────────────────────────────────────────────── */

static void *work(void *arg)
{
	struct server *server = arg;

	for (;;) {
		struct visit visit = { .server = server };
		struct message *message = NULL;
		struct task *tasks;
		pthread_mutex_lock(&server->mutex);
		while (server->messages == NULL && server->tasks == NULL && !server->stopping)
			pthread_cond_wait(&server->wake, &server->mutex);
		if (server->stopping && server->tasks == NULL) {
			pthread_mutex_unlock(&server->mutex);
			return NULL;
		}
		tasks = server->tasks; /* all: one batch's replies leave together */
		server->tasks = NULL;
		server->tasks_tail = &server->tasks;
		if (tasks == NULL) {
			message = server->messages;
			server->messages = message->next;
			if (server->messages == NULL)
				server->messages_tail = &server->messages;
		}
		if (server->messages != NULL)
			pthread_cond_signal(&server->wake);
		pthread_mutex_unlock(&server->mutex);
		while (tasks != NULL) {
			struct task *task = tasks;
			tasks = task->next;
			continue_call(server, &visit, task);
		}
		if (message != NULL)
			handle_message(server, &visit, message);
		flush_touched(&visit);
	}
}

static void on_received(void *user, struct message *message)
{
	struct server *server = user;

	pthread_mutex_lock(&server->mutex);
	*server->messages_tail = message;
	server->messages_tail = &message->next;
	pthread_cond_signal(&server->wake);
	pthread_mutex_unlock(&server->mutex);
}

/* Takes the dead sessions out of the table; `connection` 0: those that have been silent. */
static void sweep(struct server *server, uint32_t connection)
{
	int64_t now = clock_monotonic_us();

	pthread_mutex_lock(&server->mutex);
	for (struct session **at = &server->sessions; *at != NULL;) {
		struct session *session = *at;
		bool gone = connection != 0 ? session->connection == connection : !session_tick(session, now);
		if (!gone) {
			at = &session->next;
			continue;
		}
		*at = session->next;
		server->n_sessions--;
		session_kill(session);
		session_release(session);
	}
	pthread_mutex_unlock(&server->mutex);
}

static void on_left(void *user, uint32_t connection)
{
	sweep(user, connection);
}

static void *tick(void *arg)
{
	struct server *server = arg;

	pthread_mutex_lock(&server->mutex);
	while (!server->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += TICK_US / 1000000;
		pthread_mutex_unlock(&server->mutex);
		sweep(server, 0);
		pthread_mutex_lock(&server->mutex);
		(void)pthread_cond_timedwait(&server->idle, &server->mutex, &until);
	}
	pthread_mutex_unlock(&server->mutex);
	return NULL;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────── */

enum aside_code server_open(const struct server_options *options, struct server **ret, struct aside_status *err)
{
	struct server *server = calloc(1, sizeof *server);
	enum aside_code code;

	if (server == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	server->options = *options;
	if (server->options.calls_max == 0)
		server->options.calls_max = CALLS_MAX_DEFAULT;
	server->messages_tail = &server->messages;
	server->tasks_tail = &server->tasks;
	pthread_mutex_init(&server->mutex, NULL);
	pthread_cond_init(&server->wake, NULL);
	pthread_cond_init(&server->idle, NULL);
	struct transport_events events = { on_received, on_left, server };
	code = dispatcher_open(options->handlers, &server->dispatcher, err);
	if (code == ASIDE_OK)
		code = transport_open(&events, &server->transport, err);
	if (code != ASIDE_OK)
		server_close(server);
	else
		*ret = server;
	return code;
}

enum aside_code server_listen(struct server *server, const char *url, const struct listen_options *options,
		char *ret_url, size_t size, struct aside_status *err)
{
	return transport_listen(server->transport, url, options, ret_url, size, err);
}

void server_start(struct server *server)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = server->options.workers != 0 ? server->options.workers : processors > 2 ? (unsigned)processors : 2;

	for (unsigned i = 0; i < n && i < WORKERS_MAX; i++)
		if (pthread_create(&server->threads[server->n_threads], NULL, work, server) == 0)
			server->n_threads++;
	if (pthread_create(&server->threads[server->n_threads], NULL, tick, server) == 0)
		server->n_threads++;
	transport_start(server->transport);
}

unsigned server_drain(struct server *server, int64_t deadline_us)
{
	struct frame goaway = { .kind = FRAME_GOAWAY, .last_call_id = UINT64_MAX,
		.reason = { (const uint8_t *)"shutting down", 13 } };
	unsigned left;

	pthread_mutex_lock(&server->mutex);
	server->draining = true;
	for (struct session *session = server->sessions; session != NULL; session = session->next) {
		session_put(session, &goaway);
		session_flush(session);
	}
	while (server->n_calls > 0 && clock_monotonic_us() < deadline_us) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		(void)pthread_cond_timedwait(&server->idle, &server->mutex, &until);
	}
	left = server->n_calls;
	pthread_mutex_unlock(&server->mutex);
	return left;
}

bool server_serving(struct server *server)
{
	pthread_mutex_lock(&server->mutex);
	bool draining = server->draining;
	pthread_mutex_unlock(&server->mutex);
	return !draining && (server->options.ready == NULL || server->options.ready(server->options.store));
}

void server_stats(struct server *server, struct server_stats *ret)
{
	pthread_mutex_lock(&server->mutex);
	*ret = (struct server_stats){ server->calls_ended, server->calls_failed, server->n_calls, server->n_sessions };
	pthread_mutex_unlock(&server->mutex);
}

void server_close(struct server *server)
{
	if (server == NULL)
		return;
	pthread_mutex_lock(&server->mutex);
	server->stopping = true;
	pthread_cond_broadcast(&server->wake);
	pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->mutex);
	for (unsigned i = 0; i < server->n_threads; i++)
		pthread_join(server->threads[i], NULL);
	transport_close(server->transport);
	while (server->messages != NULL) {
		struct message *message = server->messages;
		server->messages = message->next;
		message_free(message);
	}
	while (server->sessions != NULL) {
		struct session *session = server->sessions;
		server->sessions = session->next;
		session_release(session);
	}
	dispatcher_close(server->dispatcher);
	free(server);
}
