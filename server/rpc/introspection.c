/* Introspection: what the server is doing, put together on request.  Nothing is counted for it alone: what it says
 * is what admission, metrics and sessions know anyway. */
#include <stdio.h>
#include <string.h>

#include "aside/rpc/v1/introspection.rpc.h"
#include "builtin.h"
#include "metrics.h"
#include "server.h"
#include "task.h"

#define SESSIONS_DEFAULT 100
#define SESSIONS_MAX 1000
#define QUEUES_MAX 64

typedef Aside__Rpc__V1__SessionState session_state;

/* A session, and room for its service's name: both are used again when it makes room for another. */
struct kept {
	session_state row;
	char service[PRINCIPAL_NAME_MAX];
};

/* A walk through the sessions. */
struct survey {
	struct call *call;
	int64_t now_us;
	Aside__Rpc__V1__GetServerResponse *out;
	size_t sessions_max;
	int64_t oldest_us[METHODS_MAX]; /* by index of the method's route */
	bool full; /* the arena is */
};

/* ── sessions ────────────────────────────────────────────────────────────────────────────────────── */

static bool goes_before(const session_state *a, const session_state *b)
{
	uint64_t a_calls = (uint64_t)a->calls + a->streams, b_calls = (uint64_t)b->calls + b->streams;

	return a_calls != b_calls ? a_calls > b_calls : a->silent_us < b->silent_us;
}

static void count_calls(const struct session *session, struct survey *survey, session_state *row)
{
	for (size_t i = 0; i < session->n_chains; i++)
		for (const struct task *task = session->calls[i]; task != NULL; task = task->next_call) {
			int64_t *oldest_us = &survey->oldest_us[task->route];
			int64_t age_us = survey->now_us - task->began_us;
			bool streams = aside_method_streams(task->call.method);
			row->streams += streams;
			row->calls += !streams;
			*oldest_us = age_us > *oldest_us ? age_us : *oldest_us;
		}
}

static void name_principal(const struct principal *principal, struct kept *kept)
{
	static const Aside__Rpc__V1__Caller callers[] = {
		[PRINCIPAL_ANONYMOUS] = ASIDE__RPC__V1__CALLER__CALLER_ANYONE,
		[PRINCIPAL_PERSON] = ASIDE__RPC__V1__CALLER__CALLER_PERSON,
		[PRINCIPAL_SERVICE] = ASIDE__RPC__V1__CALLER__CALLER_SERVICE,
	};

	kept->row.caller = callers[principal->kind];
	if (principal->service == NULL)
		return;
	(void)snprintf(kept->service, sizeof kept->service, "%s", principal->service);
	kept->row.service = kept->service;
}

/* Keeps a row where it belongs, if it is among the first; the last one makes room, and its memory becomes that
 * of the next. */
static void look(const struct session *session, void *user)
{
	struct survey *survey = user;
	Aside__Rpc__V1__GetServerResponse *out = survey->out;
	session_state row;

	aside__rpc__v1__session_state__init(&row);
	row.connection = session->connection;
	row.silent_us = survey->now_us > session->last_turn_us ? survey->now_us - session->last_turn_us : 0;
	count_calls(session, survey, &row);
	out->session_count++;
	bool more = out->n_sessions < survey->sessions_max;
	if (survey->full || (!more && !goes_before(&row, out->sessions[out->n_sessions - 1])))
		return;
	struct kept *kept = more ? call_alloc(survey->call, sizeof *kept) : (struct kept *)out->sessions[out->n_sessions - 1];
	if (kept == NULL) {
		survey->full = true;
		return;
	}
	kept->row = row;
	name_principal(&session->principal, kept);
	size_t at = more ? out->n_sessions++ : out->n_sessions - 1;
	for (; at > 0 && goes_before(&kept->row, out->sessions[at - 1]); at--)
		out->sessions[at] = out->sessions[at - 1];
	out->sessions[at] = &kept->row; /* its first member */
}

static bool add_sessions(struct survey *survey)
{
	survey->out->sessions = call_alloc(survey->call, survey->sessions_max * sizeof *survey->out->sessions);
	if (survey->out->sessions == NULL)
		return false;
	server_each_session(builtin_server(), look, survey);
	return !survey->full;
}

/* ── methods ─────────────────────────────────────────────────────────────────────────────────────── */

static bool add_outcomes(struct call *call, const struct method_metrics *metrics, Aside__Rpc__V1__MethodState *row)
{
	row->outcomes = call_alloc(call, METRICS_CODES * sizeof *row->outcomes);
	for (uint32_t code = 0; row->outcomes != NULL && code < METRICS_CODES; code++) {
		if (metrics->codes[code] == 0)
			continue;
		Aside__Rpc__V1__MethodState__Outcome *outcome = call_alloc(call, sizeof *outcome);
		if (outcome == NULL)
			return false;
		aside__rpc__v1__method_state__outcome__init(outcome);
		outcome->code = code;
		outcome->calls = metrics->codes[code];
		row->outcomes[row->n_outcomes++] = outcome;
	}
	return row->outcomes != NULL;
}

static bool add_methods(struct survey *survey)
{
	struct server *server = builtin_server();
	Aside__Rpc__V1__GetServerResponse *out = survey->out;
	size_t n;
	const struct route *routes = dispatcher_routes(server_dispatcher(server), &n);

	out->methods = call_alloc(survey->call, n * sizeof *out->methods);
	for (size_t i = 0; out->methods != NULL && i < n; i++) {
		Aside__Rpc__V1__MethodState *row = call_alloc(survey->call, sizeof *row);
		struct method_metrics metrics;
		if (row == NULL)
			return false;
		metrics_read(server_metrics(server), routes[i].index, &metrics);
		aside__rpc__v1__method_state__init(row);
		row->method = (char *)(uintptr_t)routes[i].method->path;
		row->under_way = admission_of_method(server_admission(server), routes[i].index);
		row->oldest_us = survey->oldest_us[routes[i].index];
		row->took_us = metrics.took_us;
		if (!add_outcomes(survey->call, &metrics, row))
			return false;
		if (row->under_way > 0 || row->n_outcomes > 0)
			out->methods[out->n_methods++] = row;
	}
	return out->methods != NULL;
}

/* ── the server ──────────────────────────────────────────────────────────────────────────────────── */

static Aside__Rpc__V1__Load *load_of(struct call *call, const struct admission_stats *stats)
{
	Aside__Rpc__V1__Load *load = call_alloc(call, sizeof *load);

	if (load == NULL)
		return NULL;
	aside__rpc__v1__load__init(load);
	load->calls = stats->calls;
	load->calls_limit = stats->limit;
	load->calls_max = stats->calls_max;
	load->streams = stats->streams;
	load->streams_max = stats->streams_max;
	load->refused = stats->refused;
	return load;
}

static bool add_queue(struct call *call, const struct queue_stats *stats, Aside__Rpc__V1__GetServerResponse *out)
{
	Aside__Rpc__V1__QueueState *row = call_alloc(call, sizeof *row);

	if (row == NULL)
		return false;
	aside__rpc__v1__queue_state__init(row);
	row->name = arena_strndup(&call->arena, stats->name, strlen(stats->name));
	row->waiting = stats->waiting;
	row->under_way = stats->under_way;
	row->batches = stats->batches;
	row->operations = stats->operations;
	out->queues[out->n_queues++] = row;
	return row->name != NULL;
}

static bool add_queues(struct call *call, Aside__Rpc__V1__GetServerResponse *out)
{
	const struct server_options *options = server_options(builtin_server());
	struct queue_stats stats;

	out->queues = call_alloc(call, QUEUES_MAX * sizeof *out->queues);
	for (unsigned i = 0; out->queues != NULL && options->queue != NULL && i < QUEUES_MAX; i++) {
		if (!options->queue(options->store, i, &stats))
			break;
		if (!add_queue(call, &stats, out))
			return false;
	}
	return out->queues != NULL;
}

static enum aside_code get_server(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__Rpc__V1__GetServerRequest *in = request;
	Aside__Rpc__V1__GetServerResponse *out = call_response(call);
	size_t wanted = in->max_sessions == 0 ? SESSIONS_DEFAULT : in->max_sessions;
	struct survey survey = { .call = call, .now_us = clock_monotonic_us(), .out = out,
		.sessions_max = wanted < SESSIONS_MAX ? wanted : SESSIONS_MAX };
	struct server_stats stats;

	if (out == NULL)
		return call_full(err);
	server_stats(builtin_server(), &stats);
	out->version = (char *)ASIDE_VERSION;
	out->started_at_us = stats.started_at_us;
	out->now_us = clock_realtime_us();
	out->status = health_status(builtin_server());
	out->load = load_of(call, &stats.admission);
	return out->load != NULL && add_sessions(&survey) && add_methods(&survey) && add_queues(call, out) ? ASIDE_OK : call_full(err);
}

static const struct handler introspection[] = { { .method = "GetServer", .begin = get_server } };
const struct handlers introspection_handlers = { &aside_rpc_v1_introspection_service, introspection, 1 };
