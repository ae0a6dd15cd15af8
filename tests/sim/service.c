/* See service.h. */
#include "service.h"

#include <stdlib.h>
#include <string.h>

#include "echo.pb-c.h"
#include "echo.rpc.h"
#include "fibers.h"
#include "history.h"
#include "net.h"
#include "rpc/server.h"
#include "sim.h"
#include "store/op.h"
#include "wire/status.h"

#define STORE_US_MAX 20000
#define SLOW_US_MAX 2000000 /* one in some operations */
#define SLOW_ONE_IN 30
#define FULL_ONE_IN 2 /* operations, of a store that may be full */
#define DRAIN_US 30000000

struct node {
	struct auth *auth;
	struct server *server;
	unsigned ops; /* with the store */
	bool stopped; /* the store is */
	bool may_refuse;
};

/* ── methods ─────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t id_of(const struct call *call)
{
	struct bytes value = call_metadata(call, CALL_KEY);
	uint64_t id = 0;

	if (value.size == sizeof id)
		memcpy(&id, value.data, sizeof id);
	return id;
}

static enum aside_code give_back(struct call *call, const Echo__V1__EchoRequest *request, struct aside_status *err)
{
	Echo__V1__EchoResponse *out = call_response(call);

	if (out == NULL)
		return call_full(err);
	out->payload = request->payload;
	return ASIDE_OK;
}

static enum aside_code echo(struct call *call, const void *request, struct aside_status *err)
{
	history_executed(id_of(call));
	return give_back(call, request, err);
}

/* Executed by the store. */
static enum aside_code note(struct call *call, const void *request, struct aside_status *err)
{
	struct op *op = call->op = call_alloc(call, sizeof *op);

	(void)request;
	if (op == NULL)
		return call_full(err);
	op->page_id = (int64_t)id_of(call);
	return ASIDE_OK;
}

static enum aside_code noted(struct call *call, const void *request, struct aside_status *err)
{
	if (call->op->outcome == OP_DONE)
		return give_back(call, request, err);
	*err = call->op->err;
	return err->code;
}

/* A stream's own: whose it is, and what comes or goes next. */
static enum aside_code open_stream(struct call *call, struct aside_status *err)
{
	struct mark *mark = call->state = call_alloc(call, sizeof *mark);

	if (mark == NULL)
		return call_full(err);
	mark->id = id_of(call);
	history_executed(mark->id);
	return ASIDE_OK;
}

static enum aside_code repeat(struct call *call, const void *request, struct aside_status *err)
{
	const Echo__V1__RepeatRequest *in = request;
	enum aside_code code = open_stream(call, err);

	if (code == ASIDE_OK && in->count == 0)
		call_finish(call);
	return code;
}

static enum aside_code repeat_on(struct call *call, struct aside_status *err)
{
	const Echo__V1__RepeatRequest *in = (const void *)call->request;
	Echo__V1__EchoResponse item = ECHO__V1__ECHO_RESPONSE__INIT;
	struct mark *mark = call->state;
	uint8_t *bytes = call_alloc(call, sizeof *mark + in->payload.len);

	if (bytes == NULL)
		return call_full(err);
	item.payload = (ProtobufCBinaryData){ sizeof *mark + in->payload.len, bytes };
	for (; mark->n < in->count && call_writable(call); mark->n++) {
		memcpy(bytes, mark, sizeof *mark);
		call_send(call, &item.base);
	}
	if (mark->n == in->count)
		call_finish(call);
	return ASIDE_OK;
}

static enum aside_code open_items(struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	return open_stream(call, err);
}

static void check_item(struct mark *mark, const Echo__V1__EchoRequest *item)
{
	if (item->payload.len < sizeof *mark || memcmp(item->payload.data, mark, sizeof *mark) != 0)
		sim_fail("call %llu: its server expected item %llu and got another", (unsigned long long)mark->id,
				(unsigned long long)mark->n);
	mark->n++;
}

static enum aside_code collect_item(struct call *call, const void *item, struct aside_status *err)
{
	(void)err;
	check_item(call->state, item);
	return ASIDE_OK;
}

static enum aside_code collected(struct call *call, struct aside_status *err)
{
	const struct mark *mark = call->state;
	Echo__V1__CollectResponse *out = call_response(call);

	if (out == NULL)
		return call_full(err);
	out->items = mark->n;
	return ASIDE_OK;
}

static enum aside_code converse_item(struct call *call, const void *item, struct aside_status *err)
{
	const Echo__V1__EchoRequest *in = item;
	Echo__V1__EchoResponse out = ECHO__V1__ECHO_RESPONSE__INIT;

	(void)err;
	check_item(call->state, in);
	out.payload = in->payload;
	call_send(call, &out.base);
	return ASIDE_OK;
}

static enum aside_code conversed(struct call *call, struct aside_status *err)
{
	(void)err;
	call_finish(call);
	return ASIDE_OK;
}

static const struct handler methods[] = {
	{ .method = "Echo", .begin = echo },
	{ .method = "Note", .begin = note, .end = noted },
	{ .method = "Keep", .begin = note, .end = noted },
	{ .method = "Repeat", .begin = repeat, .pull = repeat_on },
	{ .method = "Collect", .begin = open_items, .item = collect_item, .half_closed = collected },
	{ .method = "Converse", .begin = open_items, .item = converse_item, .half_closed = conversed },
};
static const struct handlers service = { &echo_v1_echo_service, methods, sizeof methods / sizeof *methods };
static const struct handlers *const all[] = { &service, NULL };

/* ── the store ───────────────────────────────────────────────────────────────────────────────────────── */

static int64_t draw_delay(void)
{
	return chance_between(0, chance_one_in(SLOW_ONE_IN) ? SLOW_US_MAX : STORE_US_MAX);
}

struct errand {
	struct node *node;
	struct op *op;
};

static void *run_op(void *arg)
{
	struct errand errand = *(struct errand *)arg;
	struct op *op = errand.op;

	free(arg);
	fiber_sleep(draw_delay());
	if (op->abandoned || op->deadline_us <= fiber_now_us() || errand.node->stopped) {
		op->outcome = OP_FAILED;
		(void)fail(&op->err, errand.node->stopped ? ASIDE_UNAVAILABLE : ASIDE_DEADLINE_EXCEEDED, "NOT_SENT",
				"it was not executed in time");
		op->err.not_executed = true;
	} else {
		op->outcome = OP_DONE;
		history_executed((uint64_t)op->page_id);
	}
	fiber_sleep(draw_delay());
	op->done(op);
	errand.node->ops--;
	fiber_wake(errand.node);
	return NULL;
}

static enum aside_code submit(void *store, struct op *op, struct aside_status *err)
{
	struct node *node = store;
	struct errand *errand = malloc(sizeof *errand);

	if (node->stopped || (node->may_refuse && chance_one_in(FULL_ONE_IN))) {
		free(errand);
		(void)fail(err, node->stopped ? ASIDE_UNAVAILABLE : ASIDE_RESOURCE_EXHAUSTED, "QUEUE_FULL",
				"the store takes no more");
		err->not_executed = true;
		return err->code;
	}
	*errand = (struct errand){ node, op };
	node->ops++;
	fiber_start("the store", run_op, errand);
	return ASIDE_OK;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────────── */

struct node *node_start(const char *url, bool may_refuse)
{
	static const char *const users[] = { "0=service:sim:echo.note", NULL };
	struct node *node = calloc(1, sizeof *node);
	struct server_options options = { .handlers = all, .submit = submit, .store = node, .workers = 2 };
	struct aside_status err;
	char bound[ASIDE_ADDRESS_MAX];

	if (auth_open(&(struct auth_options){ .ipc_users = users }, &node->auth, &err) != ASIDE_OK)
		sim_fail("cannot start a server: %s", err.message);
	options.auth = node->auth;
	node->may_refuse = may_refuse;
	if (server_open(&options, &node->server, &err) != ASIDE_OK ||
			server_listen(node->server, url, &(struct listen_options){ 0 }, bound, sizeof bound, &err) !=
					ASIDE_OK ||
			server_start(node->server, &err) != ASIDE_OK)
		sim_fail("cannot start a server: %s", err.message);
	sim_trace("%s serves", url);
	return node;
}

void node_take_all(struct node *node)
{
	node->may_refuse = false;
}

/* As the program does: main.c. */
void node_bury(struct node *node)
{
	node->stopped = true;
	while (node->ops > 0)
		(void)fiber_wait(node, INT64_MAX);
	server_close(node->server);
	auth_close(node->auth);
	free(node);
}

unsigned node_drain(struct node *node)
{
	unsigned left = server_drain(node->server, fiber_now_us() + DRAIN_US);

	node_bury(node);
	return left;
}

const char *node_leftover(struct node *node, bool gone)
{
	struct server_stats stats;

	server_stats(node->server, &stats);
	if (stats.admission.calls > 0)
		return "an admission ticket of a call";
	if (stats.admission.streams > 0)
		return "an admission ticket of a stream";
	if (gone && stats.sessions > 0)
		return "a session";
	if (gone && stats.kept_bytes > 0)
		return "bytes in its ledger";
	return NULL;
}
