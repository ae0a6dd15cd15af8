/* The library's front: channels and unary calls.  See aside/channel.h. */
#include <semaphore.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "channel.h"
#include "fork.h"
#include "hello.h"
#include "wire/status.h"

#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS_MAX 3600000

static const struct failure cancelled = { ASIDE_CANCELLED, "CANCELLED", "the caller cancelled the call", false };

/* ── channels ────────────────────────────────────────────────────────────────────────────────────── */

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
		struct link_events events = receive_events(endpoint);
		(void)snprintf(url, sizeof url, "%.*s", (int)length, at);
		endpoint->channel = channel;
		TAILQ_INIT(&endpoint->attempts);
		TAILQ_INIT(&endpoint->queue);
		code = link_open(url, options, &events, &endpoint->link, err);
		channel->n_endpoints += code == ASIDE_OK;
		if (at[length] == '\0')
			break;
	}
	return code;
}

static struct aside_channel *channel_new(const struct aside_options *options)
{
	struct aside_channel *channel = calloc(1, sizeof *channel);
	pthread_condattr_t attributes;

	if (channel == NULL)
		return NULL;
	if (!table_init(&channel->attempts) || !table_init(&channel->handles)) {
		table_fini(&channel->attempts);
		free(channel);
		return NULL;
	}
	TAILQ_INIT(&channel->waiting);
	channel->generation = fork_generation();
	channel->timeout_ms = options->timeout_ms;
	channel->connect_timeout_ms = options->connect_timeout_ms != 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	channel->ended_tail = &channel->ended;
	channel->streams_tail = &channel->streams;
	budget_init(&channel->budget);
	if (getrandom(&channel->random, sizeof channel->random, 0) < 0 || channel->random == 0)
		channel->random = 1;
	pthread_mutex_init(&channel->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&channel->wake, &attributes);
	pthread_cond_init(&channel->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return channel;
}

enum aside_code aside_channel_open(const char *endpoints, const struct aside_options *options,
		struct aside_channel **ret_channel, struct aside_status *ret_status)
{
	static const struct aside_options defaults = { 0 };
	struct aside_channel *channel;
	enum aside_code code;

	if (fork_happened())
		return fail(ret_status, ASIDE_FAILED_PRECONDITION, "FORKED", "the library is in use by the parent process");
	channel = channel_new(options != NULL ? options : &defaults);
	if (channel == NULL)
		return fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	options = options != NULL ? options : &defaults;
	code = hello_make(options->token, &channel->hello, &channel->hello_size, ret_status);
	/* The links' events wait for the mutex, and find a channel that is whole. */
	pthread_mutex_lock(&channel->mutex);
	if (code == ASIDE_OK && pthread_create(&channel->thread, NULL, channel_run, channel) != 0)
		code = fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	else
		channel->started = code == ASIDE_OK;
	if (code == ASIDE_OK)
		code = open_endpoints(channel, endpoints, options, ret_status);
	pthread_mutex_unlock(&channel->mutex);
	if (code != ASIDE_OK)
		aside_channel_close(channel);
	else
		*ret_channel = channel;
	return code;
}

static void end_all(struct aside_channel *channel)
{
	struct table_entry *entry;

	while ((entry = table_any(&channel->handles)) != NULL)
		channel_end(channel, (struct pending *)entry, &cancelled);
}

void aside_channel_close(struct aside_channel *channel)
{
	if (channel == NULL || channel->generation != fork_generation())
		return;
	pthread_mutex_lock(&channel->mutex);
	channel->closing = true;
	end_all(channel);
	pthread_cond_signal(&channel->wake);
	pthread_cond_broadcast(&channel->changed);
	pthread_mutex_unlock(&channel->mutex);
	if (channel->started)
		pthread_join(channel->thread, NULL);
	for (size_t i = 0; i < channel->n_endpoints; i++)
		endpoint_fini(&channel->endpoints[i]);
	channel->n_endpoints = 0;
	pthread_mutex_lock(&channel->mutex);
	end_all(channel);
	channel_run_callbacks(channel);
	pthread_mutex_unlock(&channel->mutex);
	timers_fini(&channel->timers);
	table_fini(&channel->attempts);
	table_fini(&channel->handles);
	pthread_mutex_destroy(&channel->mutex);
	pthread_cond_destroy(&channel->wake);
	pthread_cond_destroy(&channel->changed);
	free(channel->hello);
	free(channel);
}

static enum aside_state state_of(const struct aside_channel *channel)
{
	enum aside_state state = ASIDE_STATE_CONNECTING;

	for (size_t i = 0; i < channel->n_endpoints; i++)
		if (channel->endpoints[i].state == ENDPOINT_UP)
			state = ASIDE_STATE_READY;
	return channel->closing ? ASIDE_STATE_CLOSED : state;
}

enum aside_state aside_channel_state(struct aside_channel *channel)
{
	if (channel->generation != fork_generation())
		return ASIDE_STATE_CLOSED;
	pthread_mutex_lock(&channel->mutex);
	enum aside_state state = state_of(channel);
	pthread_mutex_unlock(&channel->mutex);
	return state;
}

enum aside_state aside_channel_wait(struct aside_channel *channel, enum aside_state state, uint32_t timeout_ms)
{
	int64_t due_us = channel_now_us() + (channel_in_callback(channel) ? 0 : timeout_ms * 1000ll);
	struct timespec until = { due_us / 1000000, due_us % 1000000 * 1000 };
	int rc = 0;

	if (channel->generation != fork_generation())
		return ASIDE_STATE_CLOSED;
	pthread_mutex_lock(&channel->mutex);
	while (state_of(channel) == state && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&channel->changed, &channel->mutex, &until);
	state = state_of(channel);
	pthread_mutex_unlock(&channel->mutex);
	return state;
}

/* ── calls ───────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code begin(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options, aside_call_done done, void *user,
		bool blocking, struct pending **ret, struct aside_status *err)
{
	struct pending *call;
	enum aside_code code;

	if (channel->generation != fork_generation())
		return fail(err, ASIDE_FAILED_PRECONDITION, "FORKED", "the channel belongs to the parent process");
	if (method->client_streaming || method->server_streaming)
		return fail(err, ASIDE_INVALID_ARGUMENT, "STREAMING_METHOD", "%s streams: aside_stream_open()", method->path);
	if (request->descriptor != method->request)
		return fail(err, ASIDE_INVALID_ARGUMENT, "WRONG_MESSAGE", "%s takes a %s", method->path, method->request->name);
	code = pending_new(method, request, options, &call, err);
	if (code != ASIDE_OK)
		return code;
	call->done = done;
	call->user = user;
	call->blocking = blocking;
	pending_set_times(call, options, channel->timeout_ms != 0 ? channel->timeout_ms : method->timeout_ms, TIMEOUT_MS_MAX,
			channel->connect_timeout_ms);
	*ret = call;
	return ASIDE_OK;
}

/* Hands the call over to the channel. */
static enum aside_code enter(struct aside_channel *channel, struct pending *call, uint64_t *ret_handle,
		struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	pthread_mutex_lock(&channel->mutex);
	if (channel->closing) {
		code = fail(err, ASIDE_CANCELLED, "CANCELLED", "the channel is being closed");
	} else {
		if (ret_handle != NULL)
			*ret_handle = channel->next_handle + 1; /* before its callback */
		channel_add(channel, call);
	}
	pthread_mutex_unlock(&channel->mutex);
	if (code != ASIDE_OK)
		pending_free(call);
	return code;
}

enum aside_code aside_call_start(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options, aside_call_done done,
		void *user, uint64_t *ret_call_id, struct aside_status *ret_status)
{
	struct pending *call = NULL;
	enum aside_code code = begin(channel, method, request, options, done, user, false, &call, ret_status);

	return code == ASIDE_OK ? enter(channel, call, ret_call_id, ret_status) : code;
}

void aside_call_cancel(struct aside_channel *channel, uint64_t call_id)
{
	if (channel->generation != fork_generation())
		return;
	pthread_mutex_lock(&channel->mutex);
	struct pending *call = channel_find(channel, call_id);
	if (call != NULL && call->stream == NULL)
		channel_end(channel, call, &cancelled);
	pthread_mutex_unlock(&channel->mutex);
}

static void wake_waiter(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	(void)response; /* there are none: the waiter reads the outcome itself */
	(void)status;
	(void)sem_post(user);
}

enum aside_code aside_call(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options,
		ProtobufCMessage **ret_response, struct aside_status *ret_status)
{
	struct aside_status status;
	ProtobufCMessage *response;
	struct pending *call = NULL;
	enum aside_code code;
	sem_t ended;

	if (channel_in_callback(channel))
		return fail(ret_status, ASIDE_FAILED_PRECONDITION, "IN_CALLBACK", "a callback may not wait for a call");
	(void)sem_init(&ended, 0, 0);
	code = begin(channel, method, request, options, wake_waiter, &ended, true, &call, ret_status);
	if (code == ASIDE_OK)
		code = enter(channel, call, NULL, ret_status);
	if (code != ASIDE_OK)
		return code;
	while (sem_wait(&ended) != 0)
		; /* EINTR */
	pending_outcome(call, &status, &response);
	pending_free(call);
	if (ret_status != NULL)
		*ret_status = status;
	if (status.code == ASIDE_OK)
		*ret_response = response;
	return status.code;
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
