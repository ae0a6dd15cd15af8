/* What comes from a server: on nng's threads, several at once; what it changes is under the channel's mutex. */
#include "aside/rpc/v1/envelope.pb-c.h"
#include "balance.h"
#include "channel.h"
#include "wire/status.h"
#include "wire/validate.h"

/* ── frames (mutex held) ─────────────────────────────────────────────────────────────────────────── */

/* What the reply's failure calls for; *ret_retry_after_us is the server's own wait. */
static enum retry_cause read_failure(const struct frame *frame, uint64_t *ret_retry_after_us)
{
	struct pending reply = { .code = frame->code, .status = frame->status };
	struct aside_status status;
	ProtobufCMessage *none;

	*ret_retry_after_us = 0;
	if (frame->code != ASIDE_UNAVAILABLE && frame->code != ASIDE_RESOURCE_EXHAUSTED)
		return RETRY_NEVER;
	pending_outcome(&reply, &status, &none);
	*ret_retry_after_us = status.retry_after_us;
	return retry_cause(&status);
}

static void handle_reply(struct aside_channel *channel, struct attempt *attempt, struct received *received,
		const struct frame *frame)
{
	struct pending *call = attempt->call;
	struct endpoint *endpoint = attempt->endpoint;
	uint64_t retry_after_us;
	enum retry_cause cause = read_failure(frame, &retry_after_us);

	received_release(call->received);
	call->received = received_retain(received);
	chain_keep_metadata(&call->chain, frame);
	call->code = frame->code;
	call->payload = frame->payload;
	call->status = frame->status;
	if (cause == RETRY_UNKNOWN) {
		balance_failed(endpoint, channel_now_us());
	} else {
		balance_succeeded(endpoint);
		if (cause == RETRY_NEVER)
			budget_success(&channel->budget);
	}
	if (cause == RETRY_LEAVING)
		endpoint_retire(endpoint); /* it told only the sessions it had when it began to */
	if (cause != RETRY_NEVER) {
		channel_fail_attempt(channel, attempt, cause, retry_after_us);
		return;
	}
	channel_drop_attempt(channel, attempt, false);
	channel_end(channel, call, NULL);
}

/* Those after the last one it accepted were certainly not executed. */
static void handle_goaway(struct aside_channel *channel, struct endpoint *endpoint, const struct frame *frame)
{
	endpoint_retire(endpoint);
	for (struct attempt *attempt = TAILQ_FIRST(&endpoint->attempts), *next; attempt != NULL; attempt = next) {
		next = TAILQ_NEXT(attempt, member);
		if (attempt->state == ATTEMPT_QUEUED || attempt->entry.id > frame->last_call_id)
			channel_fail_attempt(channel, attempt, RETRY_UNSENT, 0);
	}
}

/* False where it cannot be read. */
static bool handle_hello(struct endpoint *endpoint, const struct frame *frame)
{
	Aside__Rpc__V1__Hello *hello = NULL;
	struct attempt *attempt;

	if (validate(&aside__rpc__v1__hello__descriptor, frame->payload, NULL) == ASIDE_OK)
		hello = aside__rpc__v1__hello__unpack(NULL, frame->payload.size, frame->payload.data);
	if (hello == NULL)
		return false;
	if (hello->limits != NULL) {
		endpoint->stream_items = hello->limits->stream_items;
		endpoint->stream_bytes = hello->limits->stream_bytes;
	}
	aside__rpc__v1__hello__free_unpacked(hello, NULL);
	TAILQ_FOREACH(attempt, &endpoint->attempts, member)
		if (attempt->call->stream != NULL)
			stream_on_greeted(attempt->call->stream);
	return true;
}

static void handle_call_frame(struct aside_channel *channel, struct endpoint *endpoint, struct received *received,
		const struct frame *frame)
{
	struct attempt *attempt = (struct attempt *)table_find(&channel->attempts, frame->call_id);
	struct aside_stream *stream;

	if (attempt == NULL || attempt->endpoint != endpoint)
		return; /* of a call that has ended here */
	stream = attempt->call->stream;
	if (frame->kind == FRAME_REPLY)
		handle_reply(channel, attempt, received, frame);
	else if (frame->kind == FRAME_ITEM && stream != NULL && !stream_on_item(stream, received, frame->payload))
		channel_lose(channel, endpoint);
	else if (frame->kind == FRAME_CREDIT && stream != NULL)
		stream_on_credit(stream, frame);
}

static void handle_frames(struct aside_channel *channel, struct endpoint *endpoint, struct received *received)
{
	struct envelope_reader reader;
	enum aside_code code = ASIDE_OK;
	struct frame frame;
	bool more;

	(void)envelope_read(&reader, received_body(received));
	while (endpoint_is_connected(endpoint) && (code = envelope_next(&reader, &frame, &more, NULL)) == ASIDE_OK && more) {
		if (frame.kind == FRAME_GOAWAY)
			handle_goaway(channel, endpoint, &frame);
		else if (frame.kind == FRAME_HELLO && !handle_hello(endpoint, &frame))
			channel_lose(channel, endpoint);
		else if (frame.kind != FRAME_HELLO)
			handle_call_frame(channel, endpoint, received, &frame);
	}
	if (code != ASIDE_OK)
		channel_lose(channel, endpoint); /* what followed is lost */
	received_release(received);
}

/* ── what a link tells ───────────────────────────────────────────────────────────────────────────── */

static void on_up(void *user)
{
	struct endpoint *endpoint = user;
	struct aside_channel *channel = endpoint->channel;
	int64_t age_us = channel->options.connection_age_ms * 1000ll;

	pthread_mutex_lock(&channel->mutex);
	if (endpoint->part_by_us != 0) {
		pthread_mutex_unlock(&channel->mutex);
		return;
	}
	endpoint_begin(endpoint);
	if (age_us > 0) /* not all at once */
		endpoint->old_us = channel_now_us() + age_us * 3 / 4 + (int64_t)(channel_random(channel) % (uint64_t)age_us) / 2;
	channel_place_waiting(channel);
	endpoint_flush(endpoint, channel_now_us());
	pthread_mutex_unlock(&channel->mutex);
}

static void on_down(void *user)
{
	struct endpoint *endpoint = user;

	pthread_mutex_lock(&endpoint->channel->mutex);
	channel_lose(endpoint->channel, endpoint);
	pthread_mutex_unlock(&endpoint->channel->mutex);
}

/* A message of the session, in its turn. */
static void take(struct aside_channel *channel, struct endpoint *endpoint, uint64_t sequence, struct received *received)
{
	if (sequence == 0 && endpoint->part_by_us != 0) { /* GOAWAY, for each request: the answer to ours */
		received_release(received);
		return;
	}
	if (sequence == 0) { /* GOAWAY: the server knows nothing of this session, or nothing any more */
		handle_frames(channel, endpoint, received);
		channel_lose(channel, endpoint);
		return;
	}
	while ((received = endpoint_next(endpoint, sequence, received)) != NULL) {
		handle_frames(channel, endpoint, received);
		received = NULL;
		if (endpoint_is_connected(endpoint))
			endpoint->unanswered = 0;
	}
}

static void on_replied(void *user, uint64_t session, void *handle, struct bytes body)
{
	struct endpoint *endpoint = user;
	struct aside_channel *channel = endpoint->channel;
	struct envelope_reader reader;
	struct envelope_head head = envelope_read(&reader, body);
	struct received *received = handle != NULL ? received_new(handle, body) : NULL;
	int64_t now = channel_now_us();

	pthread_mutex_lock(&channel->mutex);
	channel_hold_wake(channel);
	endpoint->outstanding--;
	if (received == NULL && handle != NULL) {
		link_release(handle);
		channel_lose(channel, endpoint); /* without memory: the sequence has a hole */
	} else if (session != endpoint->session) {
		received_release(received); /* of an earlier connection */
	} else if (received == NULL) {
		channel_lose(channel, endpoint);
	} else if (head.session == session) {
		endpoint->waiting_since_us = now;
		take(channel, endpoint, head.sequence, received);
	} else { /* of nobody's session */
		received_release(received);
		channel_lose(channel, endpoint);
	}
	endpoint_flush(endpoint, now);
	if (endpoint->part_by_us != 0 && endpoint->outstanding == 0) {
		pthread_cond_broadcast(&channel->changed);
		channel_wake(channel);
	}
	channel_unlock(channel);
}

static void on_sent(void *user, uint64_t session)
{
	struct endpoint *endpoint = user;

	pthread_mutex_lock(&endpoint->channel->mutex);
	if (session == endpoint->session)
		endpoint_sent(endpoint);
	pthread_mutex_unlock(&endpoint->channel->mutex);
}

struct link_events receive_events(struct endpoint *endpoint)
{
	return (struct link_events){ on_up, on_down, on_sent, on_replied, endpoint };
}
