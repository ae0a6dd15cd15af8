/* See stream.h and aside/stream.h. */
#include "stream.h"

#include <string.h>

#include "channel.h"
#include "fork.h"
#include "wire/status.h"
#include "wire/validate.h"

/* ── frames out (mutex held) ─────────────────────────────────────────────────────────────────────── */

static struct attempt *attempt_of(const struct aside_stream *stream)
{
	return &stream->call->attempts[0];
}

static bool is_placed(const struct aside_stream *stream)
{
	return !stream->ended && attempt_of(stream)->state != ATTEMPT_NONE;
}

static void put(struct aside_stream *stream, struct frame *frame)
{
	struct endpoint *endpoint = attempt_of(stream)->endpoint;

	frame->call_id = attempt_of(stream)->entry.id;
	if (!endpoint_put(endpoint, frame))
		link_reset(endpoint->link); /* a hole in the stream is worse */
	else
		channel_flush(stream->channel, endpoint);
}

static void put_half_closed(struct aside_stream *stream)
{
	struct frame end = { .kind = FRAME_ITEM, .end = true };

	if (!stream->half_closed || stream->told_half_closed || !is_placed(stream) || !stream->call->method->client_streaming)
		return;
	stream->told_half_closed = true;
	put(stream, &end);
}

/* Gives back the credit of what was taken, half a window at a time. */
static void give_credit(struct aside_stream *stream)
{
	struct frame credit = { .kind = FRAME_CREDIT, .items = stream->taken_items, .payload_bytes = stream->taken_bytes };

	if (!is_placed(stream) || (stream->taken_items < STREAM_ITEMS / 2 && stream->taken_bytes < STREAM_BYTES / 2))
		return;
	stream->given_items += stream->taken_items;
	stream->given_bytes += (int64_t)stream->taken_bytes;
	stream->taken_items = 0;
	stream->taken_bytes = 0;
	put(stream, &credit);
}

static bool has_credit(const struct aside_stream *stream)
{
	return stream->credit_items > 0 && stream->credit_bytes > 0 && is_placed(stream);
}

/* ── events (mutex held) ─────────────────────────────────────────────────────────────────────────── */

static void tell(struct aside_stream *stream)
{
	if (stream->has_events)
		channel_serve_stream(stream->channel, stream);
	else
		pthread_cond_broadcast(&stream->changed);
}

bool stream_on_item(struct aside_stream *stream, struct received *received, struct bytes payload)
{
	struct arrived *arrived = malloc(sizeof *arrived);

	if (arrived == NULL || stream->given_items <= 0 || stream->given_bytes <= 0) {
		free(arrived); /* without memory; or a server without credit, and we do not hold what it sends */
		return false;
	}
	stream->given_items--;
	stream->given_bytes -= (int64_t)payload.size;
	stream->begun = true;
	*arrived = (struct arrived){ NULL, received_retain(received), payload };
	*stream->items_tail = arrived;
	stream->items_tail = &arrived->next;
	tell(stream);
	return true;
}

void stream_on_credit(struct aside_stream *stream, const struct frame *frame)
{
	stream->credit_items += frame->items;
	stream->credit_bytes += frame->payload_bytes < INT32_MAX ? (int64_t)frame->payload_bytes : INT32_MAX;
	if (stream->wants_credit || !stream->has_events)
		tell(stream);
}

void stream_on_greeted(struct aside_stream *stream)
{
	const struct endpoint *endpoint = attempt_of(stream)->endpoint;

	stream->credit_items = endpoint->stream_items;
	stream->credit_bytes = (int64_t)endpoint->stream_bytes;
	tell(stream);
}

void stream_on_placed(struct aside_stream *stream)
{
	stream->given_items = STREAM_ITEMS;
	stream->given_bytes = STREAM_BYTES;
	stream->told_half_closed = false;
	put_half_closed(stream);
	stream_on_greeted(stream); /* none yet, where HELLO is still to come */
}

bool stream_may_repeat(const struct aside_stream *stream)
{
	return !stream->begun;
}

void stream_on_end(struct aside_stream *stream)
{
	stream->ended = true;
	tell(stream);
}

static struct arrived *take_item(struct aside_stream *stream)
{
	struct arrived *arrived = stream->items;

	if (arrived == NULL)
		return NULL;
	stream->items = arrived->next;
	if (stream->items == NULL)
		stream->items_tail = &stream->items;
	stream->taken_items++;
	stream->taken_bytes += arrived->payload.size;
	return arrived;
}

/* ── items and ends (without the mutex) ──────────────────────────────────────────────────────────── */

/* NULL where it cannot be read.  Frees `arrived`. */
static ProtobufCMessage *unpack(const struct aside_stream *stream, struct arrived *arrived)
{
	const ProtobufCMessageDescriptor *desc = stream->call->method->response;
	ProtobufCMessage *item = NULL;

	if (validate(desc, arrived->payload, NULL) == ASIDE_OK)
		item = protobuf_c_message_unpack(desc, NULL, arrived->payload.size, arrived->payload.data);
	received_release(arrived->received);
	free(arrived);
	return item;
}

/* Without the mutex: nobody else knows it any more. */
static void stream_free(struct aside_stream *stream)
{
	pthread_cond_destroy(&stream->changed);
	pending_free(stream->call);
	free(stream);
}

/* An item of the server's that cannot be read. */
static void break_off(struct aside_stream *stream)
{
	static const struct failure malformed = { ASIDE_INTERNAL, "MALFORMED_RESPONSE", "an item cannot be read", false };

	if (!stream->ended)
		channel_end(stream->channel, stream->call, &malformed);
}

static void serve(struct aside_stream *stream)
{
	struct aside_channel *channel = stream->channel;
	struct arrived *arrived;

	pthread_mutex_lock(&channel->mutex);
	stream->due = false;
	stream->running = true;
	while ((arrived = take_item(stream)) != NULL) {
		pthread_mutex_unlock(&channel->mutex);
		ProtobufCMessage *item = unpack(stream, arrived);
		if (item != NULL)
			stream->events.item(stream->events.user, item);
		pthread_mutex_lock(&channel->mutex);
		give_credit(stream);
		if (item == NULL)
			break_off(stream);
	}
	bool writable = stream->wants_credit && has_credit(stream) && stream->events.writable != NULL;
	bool ended = stream->ended && !stream->told_end;
	stream->wants_credit = stream->wants_credit && !writable;
	pthread_mutex_unlock(&channel->mutex);
	if (writable)
		stream->events.writable(stream->events.user);
	if (ended) {
		struct aside_status status;
		ProtobufCMessage *response;
		pending_outcome(stream->call, &status, &response);
		stream->events.end(stream->events.user, response, &status);
	}
	pthread_mutex_lock(&channel->mutex);
	stream->told_end = stream->told_end || ended;
	stream->running = false;
	bool last = stream->abandoned && stream->told_end && !stream->due;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&channel->mutex);
	if (last)
		stream_free(stream);
}

void stream_run_callbacks(struct aside_stream *streams)
{
	while (streams != NULL) {
		struct aside_stream *stream = streams;
		streams = stream->next_due; /* `stream` may be gone when serve() returns */
		serve(stream);
	}
}

/* ── the public side ─────────────────────────────────────────────────────────────────────────────── */

static enum aside_code check(const struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, struct aside_status *err)
{
	if (channel->generation != fork_generation())
		return fail(err, ASIDE_FAILED_PRECONDITION, "FORKED", "the channel belongs to the parent process");
	if (!aside_method_streams(method))
		return fail(err, ASIDE_INVALID_ARGUMENT, "UNARY_METHOD", "%s does not stream: aside_call()", method->path);
	if ((request == NULL) != method->client_streaming || (request != NULL && request->descriptor != method->request))
		return fail(err, ASIDE_INVALID_ARGUMENT, "WRONG_MESSAGE", "%s takes %s %s", method->path,
				method->client_streaming ? "items, no request; each is a" : "a", method->request->name);
	return ASIDE_OK;
}

static enum aside_code stream_new(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options, struct aside_stream **ret,
		struct aside_status *err)
{
	struct aside_stream *stream = calloc(1, sizeof *stream);
	enum aside_code code;

	if (stream == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	code = pending_new(&channel->options, method, request, options, &stream->call, err);
	if (code != ASIDE_OK) {
		free(stream);
		return code;
	}
	stream->channel = channel;
	stream->items_tail = &stream->items;
	pthread_cond_init(&stream->changed, NULL);
	stream->call->stream = stream;
	*ret = stream;
	return ASIDE_OK;
}

enum aside_code aside_stream_open(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options,
		const struct aside_stream_events *events, struct aside_stream **ret_stream, struct aside_status *ret_status)
{
	struct aside_stream *stream = NULL;
	enum aside_code code = check(channel, method, request, ret_status);

	if (code == ASIDE_OK)
		code = stream_new(channel, method, request, options, &stream, ret_status);
	if (code != ASIDE_OK)
		return code;
	stream->has_events = events != NULL;
	if (events != NULL)
		stream->events = *events;
	pthread_mutex_lock(&channel->mutex);
	if (channel->closing) {
		code = fail(ret_status, ASIDE_CANCELLED, "CANCELLED", "the channel is being closed");
	} else {
		*ret_stream = stream; /* before its first event */
		channel_add(channel, stream->call);
	}
	pthread_mutex_unlock(&channel->mutex);
	if (code != ASIDE_OK)
		stream_free(stream);
	return code;
}

/* Whether the caller may wait for this stream. */
static enum aside_code may_wait(const struct aside_stream *stream, bool for_items, struct aside_status *err)
{
	if (stream->channel->generation != fork_generation())
		return fail(err, ASIDE_FAILED_PRECONDITION, "FORKED", "the stream belongs to the parent process");
	if (channel_in_callback(stream->channel))
		return fail(err, ASIDE_FAILED_PRECONDITION, "IN_CALLBACK", "a callback may not wait");
	if (for_items && stream->has_events)
		return fail(err, ASIDE_FAILED_PRECONDITION, "CALLBACK_STREAM", "this stream calls back");
	return ASIDE_OK;
}

/* With the mutex held, after the end: its status. */
static enum aside_code outcome(struct aside_stream *stream, ProtobufCMessage **ret_response, struct aside_status *ret_status)
{
	struct aside_status status;
	ProtobufCMessage *response;

	pending_outcome(stream->call, &status, &response);
	if (ret_status != NULL)
		*ret_status = status;
	if (ret_response != NULL && status.code == ASIDE_OK)
		*ret_response = response;
	else
		aside_free(response);
	return status.code;
}

/* With the mutex held: sends, or says why not. */
static enum aside_code send_now(struct aside_stream *stream, struct bytes payload, struct aside_status *ret_status)
{
	struct frame item = { .kind = FRAME_ITEM, .payload = payload };

	if (stream->ended) {
		enum aside_code code = outcome(stream, NULL, ret_status);
		return code != ASIDE_OK ? code : fail(ret_status, ASIDE_FAILED_PRECONDITION, "ENDED", "the call has ended");
	}
	if (stream->half_closed)
		return fail(ret_status, ASIDE_FAILED_PRECONDITION, "HALF_CLOSED", "nothing more can be sent");
	if (!has_credit(stream))
		return fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "NO_CREDIT", "the server takes no items just now");
	stream->credit_items--;
	stream->credit_bytes -= (int64_t)payload.size;
	stream->begun = true;
	put(stream, &item);
	return ASIDE_OK;
}

static enum aside_code refuse_item(const struct aside_method *method, const ProtobufCMessage *item, size_t size,
		struct aside_status *err)
{
	if (!method->client_streaming)
		return fail(err, ASIDE_INVALID_ARGUMENT, "NO_CLIENT_STREAM", "%s takes no items: only its server streams", method->path);
	if (item->descriptor != method->request)
		return fail(err, ASIDE_INVALID_ARGUMENT, "WRONG_MESSAGE", "%s takes a %s", method->path, method->request->name);
	return fail(err, ASIDE_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the item has %zu bytes; at most %u", size,
			method->request_bytes);
}

static enum aside_code send_item(struct aside_stream *stream, const ProtobufCMessage *item, bool wait,
		struct aside_status *ret_status)
{
	struct aside_channel *channel = stream->channel;
	size_t size = protobuf_c_message_get_packed_size(item);
	const struct aside_method *method = stream->call->method;
	enum aside_code code;

	if (!method->client_streaming || item->descriptor != method->request || size > method->request_bytes)
		return refuse_item(method, item, size, ret_status);
	uint8_t *CLEANUP(freep) packed = malloc(size + 1);
	if (packed == NULL)
		return fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	(void)protobuf_c_message_pack(item, packed);
	pthread_mutex_lock(&channel->mutex);
	while (wait && !stream->ended && !stream->half_closed && !has_credit(stream))
		pthread_cond_wait(&stream->changed, &channel->mutex);
	code = send_now(stream, (struct bytes){ packed, size }, ret_status);
	stream->wants_credit = stream->wants_credit || code == ASIDE_RESOURCE_EXHAUSTED;
	pthread_mutex_unlock(&channel->mutex);
	return code;
}

enum aside_code aside_stream_send(struct aside_stream *stream, const ProtobufCMessage *item, struct aside_status *ret_status)
{
	enum aside_code code = may_wait(stream, false, ret_status);

	return code == ASIDE_OK ? send_item(stream, item, true, ret_status) : code;
}

enum aside_code aside_stream_try_send(struct aside_stream *stream, const ProtobufCMessage *item,
		struct aside_status *ret_status)
{
	return send_item(stream, item, false, ret_status);
}

void aside_stream_close_send(struct aside_stream *stream)
{
	if (stream->channel->generation != fork_generation())
		return;
	pthread_mutex_lock(&stream->channel->mutex);
	stream->half_closed = true;
	put_half_closed(stream);
	pthread_mutex_unlock(&stream->channel->mutex);
}

enum aside_code aside_stream_receive(struct aside_stream *stream, ProtobufCMessage **ret_item, struct aside_status *ret_status)
{
	struct aside_channel *channel = stream->channel;
	enum aside_code code = may_wait(stream, true, ret_status);
	struct arrived *arrived;

	if (code != ASIDE_OK)
		return code;
	pthread_mutex_lock(&channel->mutex);
	while (stream->items == NULL && !stream->ended)
		pthread_cond_wait(&stream->changed, &channel->mutex);
	arrived = take_item(stream);
	if (arrived != NULL)
		give_credit(stream);
	pthread_mutex_unlock(&channel->mutex);
	ProtobufCMessage *item = arrived != NULL ? unpack(stream, arrived) : NULL;
	if (arrived != NULL && item == NULL) {
		pthread_mutex_lock(&channel->mutex);
		break_off(stream);
		pthread_mutex_unlock(&channel->mutex);
		return fail(ret_status, ASIDE_INTERNAL, "MALFORMED_RESPONSE", "an item cannot be read");
	}
	if (arrived == NULL)
		code = outcome(stream, NULL, ret_status);
	if (code == ASIDE_OK)
		*ret_item = item;
	return code;
}

enum aside_code aside_stream_finish(struct aside_stream *stream, ProtobufCMessage **ret_response,
		struct aside_status *ret_status)
{
	struct aside_channel *channel = stream->channel;
	enum aside_code code = may_wait(stream, true, ret_status);

	if (code != ASIDE_OK)
		return code;
	aside_stream_close_send(stream);
	pthread_mutex_lock(&channel->mutex);
	while (!stream->ended)
		pthread_cond_wait(&stream->changed, &channel->mutex);
	pthread_mutex_unlock(&channel->mutex);
	return outcome(stream, ret_response, ret_status);
}

/* With the mutex held. */
static void cancel(struct aside_stream *stream)
{
	if (!stream->ended)
		channel_cancel(stream->channel, stream->call);
}

void aside_stream_cancel(struct aside_stream *stream)
{
	if (stream->channel->generation != fork_generation())
		return;
	pthread_mutex_lock(&stream->channel->mutex);
	cancel(stream);
	pthread_mutex_unlock(&stream->channel->mutex);
}

void aside_stream_close(struct aside_stream *stream)
{
	struct arrived *arrived;

	if (stream == NULL || stream->channel->generation != fork_generation())
		return;
	struct aside_channel *channel = stream->channel;
	pthread_mutex_lock(&channel->mutex);
	cancel(stream);
	if (stream->has_events && channel_in_callback(channel))
		stream->abandoned = true;
	while (stream->has_events && !stream->abandoned && (!stream->told_end || stream->running || stream->due))
		pthread_cond_wait(&stream->changed, &channel->mutex);
	while ((arrived = take_item(stream)) != NULL) {
		received_release(arrived->received);
		free(arrived);
	}
	bool last = !stream->abandoned || (stream->told_end && !stream->running && !stream->due);
	pthread_mutex_unlock(&channel->mutex);
	if (last)
		stream_free(stream);
}
