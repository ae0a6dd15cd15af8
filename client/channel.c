/* A channel: endpoints, calls, and the one thread that ends them.
 *
 *     aside_call_start ──▶ endpoint queue ──▶ nng          (the caller's thread, under the mutex)
 *     nng's threads ──▶ events ──▶ the channel's thread ──▶ callbacks (without the mutex) */
#include "channel.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hello.h"
#include "wire/status.h"
#include "wire/validate.h"

#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS_MAX 3600000
#define US_PER_MS 1000

int64_t channel_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct bytes channel_hello(const struct aside_channel *channel)
{
	return (struct bytes){ channel->hello, channel->hello_size };
}

/* ── the table (mutex held) ──────────────────────────────────────────────────────────────────────── */

static struct pending **slot_of(struct aside_channel *channel, uint64_t id)
{
	struct pending **at = &channel->table[id % TABLE_SLOTS];

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->table_next;
	return at;
}

/* Takes a call out of everything; its callback will run. */
static void end_call(struct aside_channel *channel, struct pending *call)
{
	struct pending **slot = slot_of(channel, call->id);

	*slot = call->table_next;
	channel->n_calls--;
	if (call->endpoint != NULL) {
		if (call->state == PENDING_QUEUED)
			endpoint_unqueue(call->endpoint, call);
		call->endpoint->n_calls--;
	}
	call->next = NULL;
	*channel->ended_tail = call;
	channel->ended_tail = &call->next;
	pthread_cond_signal(&channel->wake);
}

/* The connected endpoint with the fewest calls; NULL when none is. */
static struct endpoint *pick(struct aside_channel *channel)
{
	struct endpoint *best = NULL;

	for (size_t i = 0; i < channel->n_endpoints; i++) {
		struct endpoint *endpoint = &channel->endpoints[i];
		if (endpoint->state == ENDPOINT_UP && (best == NULL || endpoint->n_calls < best->n_calls))
			best = endpoint;
	}
	return best;
}

static void place(struct aside_channel *channel, struct pending *call, int64_t now)
{
	struct endpoint *endpoint = pick(channel);

	if (endpoint == NULL) {
		call->state = PENDING_WAITING;
		call->endpoint = NULL;
		return;
	}
	endpoint_queue(endpoint, call);
	endpoint_flush(endpoint, now);
}

typedef void visit_call(struct aside_channel *channel, struct pending *call, void *arg);

static void each_call(struct aside_channel *channel, visit_call *visit, void *arg)
{
	for (size_t i = 0; i < TABLE_SLOTS && channel->n_calls > 0; i++)
		for (struct pending *call = channel->table[i], *next; call != NULL; call = next) {
			next = call->table_next;
			visit(channel, call, arg);
		}
}

/* ── events (the channel's thread, mutex held) ───────────────────────────────────────────────────── */

static void place_waiting(struct aside_channel *channel, struct pending *call, void *now)
{
	if (call->state == PENDING_WAITING)
		place(channel, call, *(int64_t *)now);
}

/* The call's endpoint has lost its connection: elsewhere, if that cannot execute it twice. */
static void move_away(struct aside_channel *channel, struct pending *call, void *lost)
{
	if (call->endpoint != lost)
		return;
	if (call->state == PENDING_SENT && call->method->idempotency == ASIDE_NOT_IDEMPOTENT) {
		(void)fail(&call->status, ASIDE_UNAVAILABLE, "CONNECTION_LOST",
				"the connection was lost; whether the call was executed is unknown");
		end_call(channel, call);
		return;
	}
	if (call->state == PENDING_QUEUED)
		endpoint_unqueue(call->endpoint, call);
	call->endpoint->n_calls--;
	place(channel, call, channel_now_us());
}

static void end_with_reply(struct aside_channel *channel, struct pending *call, const struct frame *frame)
{
	Aside__Rpc__V1__Status *status = NULL;

	if (frame->code != ASIDE_OK) {
		if (validate(&aside__rpc__v1__status__descriptor, frame->status, NULL) == ASIDE_OK)
			status = aside__rpc__v1__status__unpack(NULL, frame->status.size, frame->status.data);
		status_from_proto(status, frame->code, &call->status);
		if (status != NULL)
			aside__rpc__v1__status__free_unpacked(status, NULL);
	} else if (validate(call->method->response, frame->payload, NULL) == ASIDE_OK) {
		call->response = protobuf_c_message_unpack(call->method->response, NULL, frame->payload.size,
				frame->payload.data);
	}
	if (frame->code == ASIDE_OK && call->response == NULL)
		(void)fail(&call->status, ASIDE_INTERNAL, "MALFORMED_RESPONSE", "the response cannot be read");
	end_call(channel, call);
}

static void handle_frames(struct aside_channel *channel, struct endpoint *endpoint, struct bytes body)
{
	struct envelope_reader reader;
	struct frame frame;
	bool more;

	envelope_read(&reader, body);
	while (envelope_next(&reader, &frame, &more, NULL) == ASIDE_OK && more) {
		struct pending *call = frame.kind == FRAME_REPLY ? *slot_of(channel, frame.call_id) : NULL;
		if (call != NULL && call->endpoint == endpoint)
			end_with_reply(channel, call, &frame);
		else if (frame.kind == FRAME_GOAWAY)
			endpoint_set_state(endpoint, ENDPOINT_LEAVING);
	}
}

static void handle_event(struct aside_channel *channel, struct event *event)
{
	struct endpoint *endpoint = event->endpoint;
	int64_t now = channel_now_us();

	switch (event->kind) {
	case EVENT_UP:
		endpoint_set_state(endpoint, ENDPOINT_UP);
		each_call(channel, place_waiting, &now);
		break;
	case EVENT_DOWN:
		endpoint_set_state(endpoint, ENDPOINT_DOWN);
		each_call(channel, move_away, endpoint);
		break;
	case EVENT_SENT: endpoint->sending = false; break;
	case EVENT_RECEIVED:
		if (endpoint->outstanding > 0)
			endpoint->outstanding--;
		handle_frames(channel, endpoint, event->body);
		link_release(event->handle);
		break;
	}
	endpoint_flush(endpoint, now);
}

static void expire(struct aside_channel *channel, struct pending *call, void *arg)
{
	int64_t now = *(int64_t *)arg, due = call->deadline_us;

	if (call->state == PENDING_WAITING && call->give_up_waiting_us < due)
		due = call->give_up_waiting_us;
	if (due > now) {
		if (due < channel->next_deadline_us)
			channel->next_deadline_us = due;
		return;
	}
	if (call->state == PENDING_WAITING) {
		(void)fail(&call->status, ASIDE_UNAVAILABLE, "NOT_CONNECTED", "no server could be reached");
		call->status.not_executed = true;
	} else {
		(void)fail(&call->status, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed");
	}
	end_call(channel, call);
}

static void run_callbacks(struct aside_channel *channel)
{
	struct pending *ended = channel->ended;

	channel->ended = NULL;
	channel->ended_tail = &channel->ended;
	pthread_mutex_unlock(&channel->mutex);
	while (ended != NULL) {
		struct pending *call = ended;
		ended = call->next;
		call->done(call->user, call->response, &call->status);
		free(call->request);
		free(call);
	}
	pthread_mutex_lock(&channel->mutex);
}

static void wait_for_work(struct aside_channel *channel)
{
	struct timespec until = { channel->next_deadline_us / 1000000, channel->next_deadline_us % 1000000 * 1000 };

	if (channel->next_deadline_us == INT64_MAX)
		pthread_cond_wait(&channel->wake, &channel->mutex);
	else
		(void)pthread_cond_timedwait(&channel->wake, &channel->mutex, &until);
}

static void *run(void *arg)
{
	struct aside_channel *channel = arg;

	pthread_mutex_lock(&channel->mutex);
	while (!channel->closing) {
		struct event *events = channel->events;
		int64_t now = channel_now_us();
		if (events == NULL && channel->ended == NULL && now < channel->next_deadline_us) {
			wait_for_work(channel);
			continue;
		}
		channel->events = NULL;
		channel->events_tail = &channel->events;
		while (events != NULL) {
			struct event *event = events;
			events = event->next;
			handle_event(channel, event);
			free(event);
		}
		if (now >= channel->next_deadline_us) {
			channel->next_deadline_us = INT64_MAX;
			each_call(channel, expire, &now);
		}
		run_callbacks(channel);
	}
	pthread_mutex_unlock(&channel->mutex);
	return NULL;
}

/* ── events (nng's threads) ──────────────────────────────────────────────────────────────────────── */

static void post(struct endpoint *endpoint, struct event event)
{
	struct aside_channel *channel = endpoint->channel;
	struct event *copy = malloc(sizeof *copy);

	if (copy == NULL) {
		if (event.handle != NULL)
			link_release(event.handle);
		return; /* the deadline ends what waits for it */
	}
	*copy = event;
	copy->endpoint = endpoint;
	copy->next = NULL;
	pthread_mutex_lock(&channel->mutex);
	*channel->events_tail = copy;
	channel->events_tail = &copy->next;
	pthread_cond_signal(&channel->wake);
	pthread_mutex_unlock(&channel->mutex);
}

static void on_up(void *user)
{
	post(user, (struct event){ .kind = EVENT_UP });
}

static void on_down(void *user)
{
	post(user, (struct event){ .kind = EVENT_DOWN });
}

static void on_sent(void *user, bool ok)
{
	post(user, (struct event){ .kind = EVENT_SENT, .ok = ok });
}

static void on_received(void *user, void *handle, struct bytes body)
{
	post(user, (struct event){ .kind = EVENT_RECEIVED, .handle = handle, .body = body });
}

/* ── the public side ─────────────────────────────────────────────────────────────────────────────── */

static enum aside_code open_endpoints(struct aside_channel *channel, const char *addresses,
		const struct aside_options *options, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (const char *at = addresses; code == ASIDE_OK; at += strcspn(at, ",") + 1) {
		size_t length = strcspn(at, ",");
		char url[ASIDE_ADDRESS_MAX];
		if (length == 0 || length >= sizeof url || channel->n_endpoints == ASIDE_ENDPOINTS_MAX)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS", "%s: 1 to %d addresses, comma-separated",
					addresses, ASIDE_ENDPOINTS_MAX);
		struct endpoint *endpoint = &channel->endpoints[channel->n_endpoints];
		struct link_events events = { on_up, on_down, on_sent, on_received, endpoint };
		(void)snprintf(url, sizeof url, "%.*s", (int)length, at);
		endpoint->channel = channel;
		endpoint->queue_tail = &endpoint->queue;
		/* Counted first: its events may come before link_open() has returned. */
		channel->n_endpoints++;
		code = link_open(url, options, &events, &endpoint->link, err);
		if (at[length] == '\0')
			break;
	}
	return code;
}

enum aside_code aside_channel_open(const char *endpoints, const struct aside_options *options,
		struct aside_channel **ret_channel, struct aside_status *ret_status)
{
	static const struct aside_options defaults = { 0 };
	struct aside_channel *channel = calloc(1, sizeof *channel);
	pthread_condattr_t attributes;
	enum aside_code code;

	if (channel == NULL)
		return fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	options = options != NULL ? options : &defaults;
	channel->pid = getpid();
	channel->timeout_ms = options->timeout_ms;
	channel->connect_timeout_ms = options->connect_timeout_ms != 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	channel->events_tail = &channel->events;
	channel->ended_tail = &channel->ended;
	channel->next_deadline_us = INT64_MAX;
	pthread_mutex_init(&channel->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&channel->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	code = hello_make(options->token, &channel->hello, &channel->hello_size, ret_status);
	if (code == ASIDE_OK) /* events queue until the thread below takes them */
		code = open_endpoints(channel, endpoints, options, ret_status);
	if (code == ASIDE_OK && pthread_create(&channel->thread, NULL, run, channel) != 0)
		code = fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	channel->started = code == ASIDE_OK;
	if (code != ASIDE_OK)
		aside_channel_close(channel);
	else
		*ret_channel = channel;
	return code;
}

static void cancel_one(struct aside_channel *channel, struct pending *call, void *arg)
{
	(void)arg;
	(void)fail(&call->status, ASIDE_CANCELLED, "CANCELLED", "the caller cancelled the call");
	end_call(channel, call);
}

void aside_channel_close(struct aside_channel *channel)
{
	if (channel == NULL || channel->pid != getpid())
		return;
	pthread_mutex_lock(&channel->mutex);
	channel->closing = true;
	each_call(channel, cancel_one, NULL);
	pthread_cond_signal(&channel->wake);
	pthread_mutex_unlock(&channel->mutex);
	if (channel->started)
		pthread_join(channel->thread, NULL);
	for (size_t i = 0; i < channel->n_endpoints; i++)
		link_close(channel->endpoints[i].link);
	pthread_mutex_lock(&channel->mutex);
	run_callbacks(channel);
	pthread_mutex_unlock(&channel->mutex);
	while (channel->events != NULL) {
		struct event *event = channel->events;
		channel->events = event->next;
		if (event->kind == EVENT_RECEIVED)
			link_release(event->handle);
		free(event);
	}
	pthread_mutex_destroy(&channel->mutex);
	pthread_cond_destroy(&channel->wake);
	free(channel->hello);
	free(channel);
}

static void set_deadlines(const struct aside_channel *channel, const struct aside_call_options *options,
		struct pending *call)
{
	uint32_t timeout_ms = call->method->timeout_ms;
	int64_t now = channel_now_us();

	if (channel->timeout_ms != 0)
		timeout_ms = channel->timeout_ms;
	if (options != NULL && options->timeout_ms != 0)
		timeout_ms = options->timeout_ms;
	if (timeout_ms > TIMEOUT_MS_MAX)
		timeout_ms = TIMEOUT_MS_MAX;
	call->deadline_us = now + (int64_t)timeout_ms * US_PER_MS;
	call->give_up_waiting_us = now + (int64_t)channel->connect_timeout_ms * US_PER_MS;
}

/* The request and the metadata, copied into one block. */
static enum aside_code copy_request(struct pending *call, const ProtobufCMessage *request,
		const struct aside_call_options *options, struct aside_status *err)
{
	size_t size = protobuf_c_message_get_packed_size(request), metadata = 0;
	size_t n = options != NULL ? options->n_metadata : 0;
	uint8_t *out;

	for (size_t i = 0; i < n; i++)
		metadata += strlen(options->metadata[i].key) + options->metadata[i].value_bytes;
	if (n > METADATA_MAX || metadata > METADATA_BYTES_MAX)
		return fail(err, ASIDE_INVALID_ARGUMENT, "METADATA_TOO_LARGE", "more than %d entries or 8 KiB of metadata",
				METADATA_MAX);
	if (size > call->method->request_bytes)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request has %zu bytes; at most %u", size,
				call->method->request_bytes);
	out = call->request = malloc(size + metadata + 1);
	if (out == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	call->request_size = protobuf_c_message_pack(request, out);
	out += size;
	for (size_t i = 0; i < n; i++) {
		const struct aside_metadata *from = &options->metadata[i];
		struct metadata *to = &call->metadata[call->n_metadata++];
		to->key = (struct bytes){ memcpy(out, from->key, strlen(from->key)), strlen(from->key) };
		out += to->key.size;
		to->value = (struct bytes){ out, from->value_bytes };
		if (from->value_bytes > 0)
			memcpy(out, from->value, from->value_bytes);
		out += from->value_bytes;
	}
	return ASIDE_OK;
}

static void add_call(struct aside_channel *channel, struct pending *call, uint64_t *ret_call_id)
{
	int64_t due = call->deadline_us < call->give_up_waiting_us ? call->deadline_us : call->give_up_waiting_us;

	pthread_mutex_lock(&channel->mutex);
	call->id = ++channel->next_id;
	if (ret_call_id != NULL)
		*ret_call_id = call->id;
	*slot_of(channel, call->id) = call;
	channel->n_calls++;
	if (due < channel->next_deadline_us) {
		channel->next_deadline_us = due;
		pthread_cond_signal(&channel->wake);
	}
	place(channel, call, channel_now_us());
	pthread_mutex_unlock(&channel->mutex);
}

enum aside_code aside_call_start(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options, aside_call_done done,
		void *user, uint64_t *ret_call_id, struct aside_status *ret_status)
{
	struct pending *call;
	enum aside_code code;

	if (channel->pid != getpid())
		return fail(ret_status, ASIDE_FAILED_PRECONDITION, "FORKED", "the channel belongs to the parent process");
	call = calloc(1, sizeof *call);
	if (call == NULL)
		return fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	call->method = method;
	call->done = done;
	call->user = user;
	set_deadlines(channel, options, call);
	code = copy_request(call, request, options, ret_status);
	if (code != ASIDE_OK) {
		free(call->request);
		free(call);
		return code;
	}
	add_call(channel, call, ret_call_id);
	return ASIDE_OK;
}

void aside_call_cancel(struct aside_channel *channel, uint64_t call_id)
{
	pthread_mutex_lock(&channel->mutex);
	struct pending *call = *slot_of(channel, call_id);
	if (call != NULL)
		cancel_one(channel, call, NULL);
	pthread_mutex_unlock(&channel->mutex);
}

/* ── the blocking form ───────────────────────────────────────────────────────────────────────────── */

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	bool done;
	ProtobufCMessage *response;
	struct aside_status status;
};

static void wake_waiter(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct waiter *waiter = user;

	pthread_mutex_lock(&waiter->mutex);
	waiter->response = response;
	waiter->status = *status;
	waiter->done = true;
	pthread_cond_signal(&waiter->ended);
	pthread_mutex_unlock(&waiter->mutex);
}

enum aside_code aside_call(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options,
		ProtobufCMessage **ret_response, struct aside_status *ret_status)
{
	struct waiter waiter = { .mutex = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };
	enum aside_code code = aside_call_start(channel, method, request, options, wake_waiter, &waiter, NULL, ret_status);

	if (code != ASIDE_OK)
		return code;
	pthread_mutex_lock(&waiter.mutex);
	while (!waiter.done)
		pthread_cond_wait(&waiter.ended, &waiter.mutex);
	pthread_mutex_unlock(&waiter.mutex);
	if (ret_status != NULL)
		*ret_status = waiter.status;
	if (waiter.status.code == ASIDE_OK)
		*ret_response = waiter.response;
	return waiter.status.code;
}

void aside_free(void *message)
{
	if (message != NULL)
		protobuf_c_message_free_unpacked(message, NULL);
}

const char *aside_version(void)
{
	return ASIDE_VERSION;
}
