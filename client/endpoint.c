/* See endpoint.h. */
#include "endpoint.h"

#include <string.h>

#include "aside/rpc/v1/envelope.pb-c.h"
#include "channel.h"

#define MESSAGE_BYTES_MAX (1u << 20) /* calls beyond this go in the next message */
#define SESSION_FRESH_US 30000000ll  /* the server forgets a session after 60 s of silence */

void endpoint_queue(struct endpoint *endpoint, struct pending *call)
{
	call->state = PENDING_QUEUED;
	call->endpoint = endpoint;
	call->next = NULL;
	*endpoint->queue_tail = call;
	endpoint->queue_tail = &call->next;
	endpoint->n_calls++;
}

void endpoint_unqueue(struct endpoint *endpoint, const struct pending *call)
{
	for (struct pending **at = &endpoint->queue; *at != NULL; at = &(*at)->next) {
		if (*at != call)
			continue;
		*at = call->next;
		if (*at == NULL)
			endpoint->queue_tail = at;
		return;
	}
}

static void call_frame(const struct pending *call, int64_t now_us, struct frame *ret)
{
	memset(ret, 0, offsetof(struct frame, metadata));
	ret->call_id = call->id;
	ret->kind = FRAME_CALL;
	ret->method = (struct bytes){ (const uint8_t *)call->method->path, strlen(call->method->path) };
	ret->payload = (struct bytes){ call->request, call->request_size };
	ret->timeout_us = call->deadline_us > now_us ? (uint64_t)(call->deadline_us - now_us) : 1;
	memcpy(ret->metadata, call->metadata, call->n_metadata * sizeof *call->metadata);
	ret->n_metadata = call->n_metadata;
}

/* How many bytes the first calls of the queue need, and how many calls that is. */
static size_t measure(const struct endpoint *endpoint, int64_t now_us, size_t *ret_n)
{
	size_t size = 0;
	struct frame frame;

	*ret_n = 0;
	for (const struct pending *call = endpoint->queue; call != NULL && *ret_n < ENVELOPE_FRAMES_MAX - 1; call = call->next) {
		call_frame(call, now_us, &frame);
		size_t more = envelope_frame_size(&frame);
		if (*ret_n > 0 && size + more > MESSAGE_BYTES_MAX)
			break;
		size += more;
		++*ret_n;
	}
	return size;
}

void endpoint_flush(struct endpoint *endpoint, int64_t now_us)
{
	bool greet = endpoint->last_sent_us == 0 ||
			(endpoint->outstanding == 0 && now_us - endpoint->last_sent_us > SESSION_FRESH_US);
	struct bytes hello = greet ? channel_hello(endpoint->channel) : (struct bytes){ NULL, 0 };
	uint8_t *out;
	size_t n, size;
	void *message;

	if (endpoint->state == ENDPOINT_DOWN || endpoint->sending || endpoint->outstanding >= OUTSTANDING_MAX)
		return;
	if (endpoint->queue == NULL && (endpoint->n_calls == 0 || endpoint->outstanding > 0))
		return;
	size = measure(endpoint, now_us, &n);
	message = link_message_new(hello.size + size, &out);
	if (message == NULL)
		return; /* tried again with the next event */
	if (hello.size > 0)
		memcpy(out, hello.data, hello.size);
	out += hello.size;
	for (; n > 0; n--) {
		struct pending *call = endpoint->queue;
		struct frame frame;
		call_frame(call, now_us, &frame);
		out = envelope_frame_write(&frame, out);
		call->state = PENDING_SENT;
		endpoint->queue = call->next;
	}
	if (endpoint->queue == NULL)
		endpoint->queue_tail = &endpoint->queue;
	endpoint->sending = true;
	endpoint->outstanding++;
	endpoint->last_sent_us = now_us;
	link_send(endpoint->link, message);
}

void endpoint_set_state(struct endpoint *endpoint, enum endpoint_state state)
{
	endpoint->state = state;
	if (state == ENDPOINT_LEAVING)
		return;
	endpoint->outstanding = 0;
	endpoint->last_sent_us = 0;
}
