/* The chain is one table: a step added here stands around every call of every service.  See chain.h. */
#include "chain.h"

#include <string.h>

#include "../log.h"
#include "hello.h"
#include "metrics.h"
#include "server.h"

/* ── the deadline ────────────────────────────────────────────────────────────────────────────────── */

/* Nobody waits any more for what is too late already. */
static enum aside_code drop_expired(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err)
{
	(void)frame;
	(void)route;
	if (task->call.deadline_us > task->session->now_us)
		return ASIDE_OK;
	(void)fail(err, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed before the call was begun");
	err->not_executed = true;
	return ASIDE_DEADLINE_EXCEEDED;
}

/* ── authentication and policy ───────────────────────────────────────────────────────────────────── */

static enum aside_code authenticate(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err)
{
	struct call *call = &task->call;
	enum aside_code code = hello_principal(server_options(task->session->server)->auth, task->session, frame, call, err);

	(void)route;
	return code == ASIDE_OK ? dispatch_policy(call, err) : code;
}

/* ── admission ───────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code admit(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err)
{
	(void)frame;
	if (task->session->goaway != GOAWAY_NONE) /* which has said that nothing further is executed, whoever may call it */
		return admission_draining(err);
	return admission_enter(server_admission(task->session->server), &task->call, route->index,
			task->session->now_us, &task->ticket, err);
}

static void leave(struct task *task, const struct aside_status *status)
{
	struct session *session = task->session;

	if (!task->ticket.held)
		return;
	admission_leave(server_admission(session->server), &task->ticket, !status->not_executed);
	session->unsent++;
}

/* ── tracing: W3C trace context ──────────────────────────────────────────────────────────────────── */

static enum aside_code read_trace(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err)
{
	static const char hex[] = "0123456789abcdef-";
	struct call *call = &task->call;
	struct bytes value = call_metadata(call, "traceparent");

	(void)frame;
	(void)route;
	(void)err;
	if (value.size == 0 || value.size >= sizeof call->traceparent)
		return ASIDE_OK;
	memcpy(call->traceparent, value.data, value.size);
	if (strspn(call->traceparent, hex) != value.size) /* goes into the log */
		memset(call->traceparent, 0, sizeof call->traceparent);
	else /* who traces a call finds it in the log */
		(void)call_add_metadata(call, "aside-request-id", (struct bytes){ (const uint8_t *)call->request_id, strlen(call->request_id) });
	return ASIDE_OK;
}

/* ── metrics and the log ─────────────────────────────────────────────────────────────────────────── */

static void count(struct task *task, const struct aside_status *status)
{
	metrics_count(server_metrics(task->session->server), task->ticket.method, status->code,
			task->took_us);
}

static enum aside_code name_method(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err)
{
	(void)frame;
	(void)err;
	task->ticket.method = (uint16_t)route->index;
	return ASIDE_OK;
}

static void log_call(struct task *task, const struct aside_status *status)
{
	static const char *const kinds[] = { "anonymous", "person", "service" };
	const struct call *call = &task->call;

	if (log_wants(LOG_INFO))
		log_info("event=call method=%s code=%s reason=%s us=%lld request_id=%s principal=%s%s%s", call->method->path,
				aside_code_name(status->code), status->reason[0] != '\0' ? status->reason : "-",
				(long long)task->took_us, call->request_id, kinds[call->principal.kind],
				call->traceparent[0] != '\0' ? " traceparent=" : "", call->traceparent);
}

/* ── the chain ───────────────────────────────────────────────────────────────────────────────────── */

static const struct link {
	enum aside_code (*before)(struct task *task, const struct frame *frame, const struct route *route,
			struct aside_status *err);
	void (*after)(struct task *task, const struct aside_status *status); /* in the reverse order */
} chain[] = {
	{ read_trace, log_call },
	{ name_method, count },
	{ drop_expired, NULL },
	{ authenticate, NULL },
	{ admit, leave },
};
#define N_LINKS (sizeof chain / sizeof *chain)

enum aside_code chain_before(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (size_t i = 0; i < N_LINKS && code == ASIDE_OK; i++)
		if (chain[i].before != NULL)
			code = chain[i].before(task, frame, route, err);
	return code;
}

void chain_after(struct task *task, const struct aside_status *status)
{
	for (size_t i = N_LINKS; i > 0; i--)
		if (chain[i - 1].after != NULL)
			chain[i - 1].after(task, status);
}
