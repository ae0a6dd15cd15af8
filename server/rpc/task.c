/* See task.h. */
#include "task.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "dispatch.h"
#include "server.h"
#include "shed.h"
#include "store/op.h"
#include "stream.h"

#define CALL_BYTES_MAX (8u << 20)
#define REPLY_BYTES_MAX (2 * MESSAGE_BYTES_MAX)
#define TIMEOUT_US_MAX 3600000000ull /* of a unary call: an hour */
#define STREAM_US_MAX 86400000000ull /* of a stream: 24 hours */

static bool is_stream(const struct task *task)
{
	return aside_method_streams(task->call.method);
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────────── */

static void put_reply(struct session *session, uint64_t call_id, const struct call *call, const struct aside_status *status)
{
	struct frame frame;
	struct arena arena;

	arena_init(&arena, REPLY_BYTES_MAX);
	dispatch_reply(call, status, &arena, &frame);
	frame.call_id = call_id;
	session_put(session, &frame);
	arena_fini(&arena);
}

static void answer(struct task *task, struct aside_status *status)
{
	if (status->code == ASIDE_OK && task->call.response == NULL && !task->call.method->server_streaming)
		(void)fail(status, ASIDE_INTERNAL, "NO_RESPONSE", "the handler made no response");
	if (status->code == ASIDE_OK && task->call.response != NULL &&
			dispatch_check_size(task->call.response, status) != ASIDE_OK)
		task->call.response = NULL;
	if (status->code == ASIDE_INTERNAL)
		status_add_fact(status, "request_id", "%s", task->call.request_id);
	put_reply(task->session, task->call_id, &task->call, status);
	session_remove_call(task->session, task);
	session_unstall(task->session, task);
	task->answered = true;
	task->took_us = clock_monotonic_us() - task->began_us;
	chain_after(task, status);
}

static void task_free(struct task *task)
{
	struct session *session = task->session;

	stream_drop_items(task);
	session->task_bytes -= task->kept_bytes;
	arena_fini(&task->call.arena);
	free(task);
	session_release(session);
}

/* Answers, if that was not done, and frees: at once, or when the mail is in. */
static void end(struct task *task, struct aside_status *status)
{
	if (!task->answered)
		answer(task, status);
	if (task->call.handler->gone != NULL)
		task->call.handler->gone(&task->call);
	task->state = TASK_ENDED;
	pthread_mutex_lock(&task->session->mutex);
	bool mailed = task->mail != 0;
	pthread_mutex_unlock(&task->session->mutex);
	if (!mailed)
		task_free(task);
}

/* ── operations ──────────────────────────────────────────────────────────────────────────────────── */

/* On a lane's thread: hands over. */
static void operation_done(struct op *op)
{
	struct task *task = op->user;

	if (session_mail_task(task->session, task, TASK_RETURNED))
		server_visit_later(task->session);
}

/* Before it waits: what handlers have left in its arena by now. */
static void count_kept(struct task *task)
{
	size_t bytes = sizeof *task + task->call.arena.used_bytes;

	task->session->task_bytes += bytes - task->kept_bytes;
	task->kept_bytes = bytes;
}

static enum aside_code submit(struct task *task, struct aside_status *err)
{
	const struct server_options *options = server_options(task->session->server);
	struct call *call = &task->call;
	int64_t step_us = clock_monotonic_us() + call->method->timeout_ms * 1000ll;

	call->op->done = operation_done;
	call->op->user = task;
	call->op->deadline_us = is_stream(task) && step_us < call->deadline_us ? step_us : call->deadline_us;
	if (call->op->deadline_us < task->session->next_deadline_us)
		task->session->next_deadline_us = call->op->deadline_us;
	count_kept(task);
	task->state = TASK_WAITING;
	enum aside_code code = options->submit(options->store, call->op, err);
	if (code != ASIDE_OK)
		task->state = TASK_RUNNING;
	else
		task->session->n_submitted++;
	return code;
}

static void returned(struct task *task)
{
	struct aside_status status = { 0 };
	struct op *finished = task->call.op;
	enum aside_code code = ASIDE_OK;

	task->state = TASK_RUNNING;
	if (task->answered) { /* cancelled meanwhile */
		op_release(finished);
		end(task, &status);
		return;
	}
	task->session->n_submitted--;
	code = task->call.handler->end(&task->call, task->call.request, &status);
	op_release(finished);
	/* The same operation still in place means that there is no further one. */
	if (task->call.op == finished)
		task->call.op = NULL;
	task_advance(task, code, &status);
}

/* ── from step to step ───────────────────────────────────────────────────────────────────────────── */

static bool has_ended(const struct task *task)
{
	return !is_stream(task) || task->call.finished ||
			(task->call.response != NULL && !task->call.method->server_streaming);
}

/* Between two steps; what they leave in the arena beyond what the beginning left is not needed any more. */
static void rest(struct task *task)
{
	task->state = TASK_OPEN;
	if (task->begun)
		arena_rewind(&task->call.arena, &task->beginning);
	else
		task->beginning = arena_mark(&task->call.arena);
	task->begun = true;
	count_kept(task);
}

void task_advance(struct task *task, enum aside_code code, struct aside_status *status)
{
	do {
		if (code == ASIDE_OK && task->call.op != NULL) {
			code = submit(task, status);
			if (code == ASIDE_OK)
				return;
		}
		if (code != ASIDE_OK || has_ended(task)) {
			if (code == ASIDE_OK)
				*status = (struct aside_status){ 0 };
			end(task, status);
			return;
		}
	} while (stream_next_step(task, &code, status));
	rest(task);
}

void task_stir(struct task *task)
{
	struct aside_status status = { 0 };

	if (task->state != TASK_OPEN)
		return;
	task->state = TASK_RUNNING;
	task_advance(task, ASIDE_OK, &status);
}

void task_cancel(struct task *task, const struct aside_status *why)
{
	struct aside_status status = *why;

	if (task->state == TASK_ENDED || task->answered)
		return;
	if (task->state == TASK_WAITING) {
		task->session->n_submitted--;
		op_abandon(task->call.op);
		answer(task, &status); /* the operation's end frees it */
	} else {
		end(task, &status);
	}
}

void task_news(struct task *task)
{
	unsigned news = task->news;

	task->news = 0;
	if (task->state == TASK_ENDED) {
		task_free(task);
		return;
	}
	task->pull = task->pull || (news & TASK_WOKEN) != 0;
	if (news & TASK_RETURNED)
		returned(task);
	else
		task_stir(task);
}

static int64_t due_of(const struct task *task)
{
	if (task->state == TASK_WAITING)
		return task->call.op->deadline_us;
	return is_stream(task) ? task->call.deadline_us : INT64_MAX;
}

int64_t task_tick(struct task *task, int64_t now_us)
{
	struct aside_status late;
	int64_t due_us = due_of(task);

	if (due_us > now_us)
		return due_us;
	if (task->token_bound && task->call.deadline_us <= now_us)
		(void)fail(&late, ASIDE_UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired");
	else if (task->state == TASK_WAITING)
		(void)fail(&late, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
				"the deadline passed before the store answered; whether it was done is unknown");
	else
		(void)fail(&late, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the stream has lasted as long as it may");
	task_cancel(task, &late);
	return INT64_MAX;
}

/* ── the beginning ───────────────────────────────────────────────────────────────────────────────── */

/* The server's start and a count: 32 hexadecimal digits. */
static void make_request_id(char out[33])
{
	static atomic_ullong start, counter;
	unsigned long long count = atomic_fetch_add(&counter, 1), began = start;

	if (began == 0) {
		(void)atomic_compare_exchange_strong(&start, &began, (unsigned long long)clock_realtime_us() << 8 ^ (unsigned)getpid());
		began = start;
	}
	for (unsigned i = 0; i < 16; i++) {
		out[15 - i] = "0123456789abcdef"[began >> 4 * i & 15];
		out[31 - i] = "0123456789abcdef"[count >> 4 * i & 15];
	}
}

/* How long a call may take whose caller has said so, or (0) nothing. */
static int64_t timeout_of(const struct aside_method *method, uint64_t timeout_us)
{
	uint64_t most = aside_method_streams(method) ? STREAM_US_MAX : TIMEOUT_US_MAX;

	if (timeout_us == 0)
		timeout_us = aside_method_streams(method) ? STREAM_US_MAX : method->timeout_ms * 1000ull;
	return (int64_t)(timeout_us < most ? timeout_us : most);
}

static struct task *task_new(struct session *session, const struct frame *frame, const struct route *route)
{
	struct task *task = calloc(1, sizeof *task);

	if (task == NULL)
		return NULL;
	task->session = session;
	task->call_id = frame->call_id;
	task->began_us = session->received_us;
	task->route = route->index;
	task->call.method = route->method;
	task->call.handler = route->handler;
	task->call.now_us = session->realtime_us;
	task->call.deadline_us = task->began_us + timeout_of(route->method, frame->timeout_us);
	task->credit_items = session->stream_items;
	task->credit_bytes = (int64_t)session->stream_bytes;
	task->open_items = STREAM_ITEMS;
	task->open_bytes = STREAM_BYTES;
	task->items_tail = &task->items;
	task->pull = true;
	arena_init(&task->call.arena, CALL_BYTES_MAX);
	make_request_id(task->call.request_id);
	return task;
}

static void refuse(struct session *session, uint64_t call_id, const struct aside_status *status)
{
	put_reply(session, call_id, NULL, status);
}

/* The route, unless this session may not take it. */
static enum aside_code find_route(struct session *session, const struct frame *frame, const struct route **ret,
		struct aside_status *err)
{
	const struct route *route = dispatcher_find(server_dispatcher(session->server), frame->method);

	*ret = route;
	if (route == NULL)
		return fail(err, ASIDE_UNIMPLEMENTED, "METHOD_UNKNOWN", "no method %.*s", (int)frame->method.size,
				(const char *)frame->method.data);
	if (session->state == SESSION_PLAIN && aside_method_streams(route->method))
		return fail(err, ASIDE_UNIMPLEMENTED, "SESSION_REQUIRED", "%s streams, which takes a session", route->method->path);
	if (session->conflicts[route->index / 64] >> route->index % 64 & 1)
		return fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_CONFLICT",
				"client and server would misread each other in %s; see the answer to HELLO", route->method->path);
	return ASIDE_OK;
}

/* A stream does not outlive the token that opened it. */
static void set_last_moment(struct task *task)
{
	struct session *session = task->session;
	int64_t expires_us = task->call.principal.expires_at_us;
	int64_t token_us = expires_us == 0 ? INT64_MAX : session->now_us + (expires_us - session->realtime_us);

	task->token_bound = token_us < task->call.deadline_us;
	if (task->token_bound)
		task->call.deadline_us = token_us;
	if (task->call.deadline_us < session->next_deadline_us)
		session->next_deadline_us = task->call.deadline_us;
}

void task_start(struct session *session, const struct frame *frame)
{
	struct aside_status status = { 0 };
	const struct route *route;
	enum aside_code code = find_route(session, frame, &route, &status);

	if (code != ASIDE_OK) {
		refuse(session, frame->call_id, &status);
		return;
	}
	if (session_find_call(session, frame->call_id) != NULL) {
		session_break(session, "a call id twice");
		return;
	}
	int64_t left_us = timeout_of(route->method, frame->timeout_us) - (session->now_us - session->received_us);
	if (shed_call(server_shed(session->server), session, frame, route, left_us))
		return;
	struct task *task = task_new(session, frame, route);
	if (task == NULL || !session_add_call(session, task)) {
		free(task);
		session_kill(session); /* not even memory for a refusal */
		return;
	}
	session_retain(session);
	if (frame->call_id > session->last_call_id)
		session->last_call_id = frame->call_id;
	task->call.frame = frame;
	code = chain_before(task, frame, route, &status);
	if (code == ASIDE_OK && is_stream(task))
		set_last_moment(task);
	if (code == ASIDE_OK && !route->method->client_streaming)
		code = dispatch_unpack(&task->call, frame->payload, &task->call.request, &status);
	if (code == ASIDE_OK)
		code = route->handler->begin(&task->call, task->call.request, &status);
	task->call.frame = NULL;
	task_advance(task, code, &status);
}
