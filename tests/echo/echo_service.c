/* See echo_service.h. */
#include "echo_service.h"

#include "echo.pb-c.h"
#include "echo.rpc.h"

static enum aside_code echo(struct call *call, const void *request, struct aside_status *err)
{
	const Echo__V1__EchoRequest *in = request;
	Echo__V1__EchoResponse *out = call_response(call);
	struct bytes tag = call_metadata(call, "echo-tag");

	if (out == NULL || (tag.data != NULL && !call_add_metadata(call, "echo-tag", tag)))
		return call_full(err);
	out->payload = in->payload;
	return ASIDE_OK;
}

/* ── streams ─────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code repeat(struct call *call, const void *request, struct aside_status *err)
{
	const Echo__V1__RepeatRequest *in = request;
	uint64_t *left = call->state = call_alloc(call, sizeof *left);

	if (left == NULL)
		return call_full(err);
	*left = in->count;
	if (in->count == 0 && !in->stay_open)
		call_finish(call);
	return ASIDE_OK;
}

static enum aside_code repeat_on(struct call *call, struct aside_status *err)
{
	const Echo__V1__RepeatRequest *in = (const void *)call->request;
	Echo__V1__EchoResponse item = ECHO__V1__ECHO_RESPONSE__INIT;
	uint64_t *left = call->state;

	(void)err;
	item.payload = in->payload;
	for (; *left > 0 && call_writable(call); --*left)
		call_send(call, &item.base);
	if (*left == 0 && !in->stay_open)
		call_finish(call);
	return ASIDE_OK;
}

static enum aside_code collect(struct call *call, const void *request, struct aside_status *err)
{
	Echo__V1__CollectResponse *sum = call->state = call_alloc(call, sizeof *sum);

	(void)request;
	if (sum == NULL)
		return call_full(err);
	echo__v1__collect_response__init(sum);
	return ASIDE_OK;
}

static enum aside_code collect_item(struct call *call, const void *item, struct aside_status *err)
{
	const Echo__V1__EchoRequest *in = item;
	Echo__V1__CollectResponse *sum = call->state;

	(void)err;
	sum->items++;
	sum->payload_bytes += in->payload.len;
	return ASIDE_OK;
}

static enum aside_code collected(struct call *call, struct aside_status *err)
{
	const Echo__V1__CollectResponse *sum = call->state;
	Echo__V1__CollectResponse *out = call_response(call);

	if (out == NULL)
		return call_full(err);
	*out = *sum;
	return ASIDE_OK;
}

static enum aside_code converse(struct call *call, const void *request, struct aside_status *err)
{
	(void)call;
	(void)request;
	(void)err;
	return ASIDE_OK;
}

static enum aside_code converse_item(struct call *call, const void *item, struct aside_status *err)
{
	const Echo__V1__EchoRequest *in = item;
	Echo__V1__EchoResponse out = ECHO__V1__ECHO_RESPONSE__INIT;

	(void)err;
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
	{ .method = "Note", .begin = echo },
	{ .method = "Keep", .begin = echo },
	{ .method = "Repeat", .begin = repeat, .pull = repeat_on },
	{ .method = "Collect", .begin = collect, .item = collect_item, .half_closed = collected },
	{ .method = "Converse", .begin = converse, .item = converse_item, .half_closed = conversed },
};
const struct handlers echo_handlers = { &echo_v1_echo_service, methods, sizeof methods / sizeof *methods };
