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
#include "resolver.h"
#include "wire/status.h"

#define CONNECT_TIMEOUT_MS 5000
#define RESOLVE_INTERVAL_MS 30000


/* ── channels ────────────────────────────────────────────────────────────────────────────────────── */

static char *copy_text(const char *text, bool *ok)
{
	char *copy = text != NULL ? strdup(text) : NULL;

	*ok = *ok && (text == NULL || copy != NULL);
	return copy;
}

static uint32_t or_else(uint32_t value, uint32_t otherwise)
{
	return value != 0 ? value : otherwise;
}

static bool copy_options(struct aside_options *to, const struct aside_options *from)
{
	size_t size = from->n_interceptors * sizeof *from->interceptors;
	struct aside_interceptor *interceptors = size > 0 ? malloc(size) : NULL;
	bool ok = size == 0 || interceptors != NULL;

	*to = *from;
	to->interceptors = interceptors;
	if (interceptors != NULL)
		memcpy(interceptors, from->interceptors, size);
	to->token = copy_text(from->token, &ok);
	to->ca_file = copy_text(from->ca_file, &ok);
	to->server_name = copy_text(from->server_name, &ok);
	to->connect_timeout_ms = or_else(from->connect_timeout_ms, CONNECT_TIMEOUT_MS);
	to->resolve_interval_ms = or_else(from->resolve_interval_ms, RESOLVE_INTERVAL_MS);
	return ok;
}

static void free_options(struct aside_options *options)
{
	free((void *)(uintptr_t)options->token);
	free((void *)(uintptr_t)options->ca_file);
	free((void *)(uintptr_t)options->server_name);
	free((void *)(uintptr_t)options->interceptors);
}

static void channel_free(struct aside_channel *channel)
{
	timers_fini(&channel->timers);
	table_fini(&channel->attempts);
	table_fini(&channel->handles);
	pthread_mutex_destroy(&channel->mutex);
	pthread_cond_destroy(&channel->wake);
	pthread_cond_destroy(&channel->changed);
	free_options(&channel->options);
	free(channel->hello);
	free(channel);
}

static struct aside_channel *channel_new(const struct aside_options *options)
{
	struct aside_channel *channel = calloc(1, sizeof *channel);
	pthread_condattr_t attributes;

	if (channel == NULL)
		return NULL;
	TAILQ_INIT(&channel->waiting);
	channel->generation = fork_generation();
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
	if (table_init(&channel->attempts) && table_init(&channel->handles) && copy_options(&channel->options, options))
		return channel;
	channel_free(channel);
	return NULL;
}

enum aside_code aside_channel_open(const char *endpoints, const struct aside_options *options,
		struct aside_channel **ret_channel, struct aside_status *ret_status)
{
	static const struct aside_options defaults = { 0 };
	struct aside_channel *channel;
	enum aside_code code;

	if (fork_happened())
		return fail(ret_status, ASIDE_FAILED_PRECONDITION, "FORKED", "the library is in use by the parent process");
	if (options != NULL && options->n_interceptors > ASIDE_INTERCEPTORS_MAX)
		return fail(ret_status, ASIDE_INVALID_ARGUMENT, "TOO_MANY_INTERCEPTORS", "at most %d interceptors", ASIDE_INTERCEPTORS_MAX);
	channel = channel_new(options != NULL ? options : &defaults);
	if (channel == NULL)
		return fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	code = hello_make(channel->options.token, &channel->hello, &channel->hello_size, ret_status);
	/* Whoever comes meanwhile waits for the mutex, and finds a channel that is whole. */
	pthread_mutex_lock(&channel->mutex);
	if (code == ASIDE_OK && pthread_create(&channel->thread, NULL, channel_run, channel) != 0)
		code = fail(ret_status, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	else
		channel->started = code == ASIDE_OK;
	pthread_mutex_unlock(&channel->mutex);
	if (code == ASIDE_OK)
		code = resolver_open(channel, endpoints, &channel->resolver, ret_status);
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
		channel_cancel(channel, (struct pending *)entry);
}

static void free_endpoints(struct aside_channel *channel)
{
	for (;;) {
		pthread_mutex_lock(&channel->mutex);
		struct endpoint *endpoint = channel->n_endpoints > 0 ? channel->endpoints[--channel->n_endpoints] : NULL;
		if (endpoint != NULL)
			endpoint_leave(endpoint);
		pthread_mutex_unlock(&channel->mutex);
		if (endpoint == NULL)
			return;
		endpoint_free(endpoint);
	}
}

void aside_channel_close(struct aside_channel *channel)
{
	if (channel == NULL || channel->generation != fork_generation())
		return;
	pthread_mutex_lock(&channel->mutex);
	channel->closing = true;
	end_all(channel);
	for (size_t i = 0; i < channel->n_endpoints; i++)
		endpoint_part(channel->endpoints[i]);
	channel_wake(channel);
	pthread_cond_broadcast(&channel->changed);
	pthread_mutex_unlock(&channel->mutex);
	if (channel->started)
		pthread_join(channel->thread, NULL);
	resolver_close(channel->resolver);
	free_endpoints(channel);
	closers_wait(&channel->closers);
	pthread_mutex_lock(&channel->mutex);
	channel_run_callbacks(channel);
	pthread_mutex_unlock(&channel->mutex);
	channel_free(channel);
}

enum aside_state aside_channel_state(struct aside_channel *channel)
{
	if (channel->generation != fork_generation())
		return ASIDE_STATE_CLOSED;
	pthread_mutex_lock(&channel->mutex);
	enum aside_state state = channel_state(channel);
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
	while (channel_state(channel) == state && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&channel->changed, &channel->mutex, &until);
	state = channel_state(channel);
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
	if (aside_method_streams(method))
		return fail(err, ASIDE_INVALID_ARGUMENT, "STREAMING_METHOD", "%s streams: aside_stream_open()", method->path);
	if (request->descriptor != method->request)
		return fail(err, ASIDE_INVALID_ARGUMENT, "WRONG_MESSAGE", "%s takes a %s", method->path, method->request->name);
	code = pending_new(&channel->options, method, request, options, &call, err);
	if (code != ASIDE_OK)
		return code;
	call->done = done;
	call->user = user;
	call->blocking = blocking;
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
		channel_cancel(channel, call);
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
