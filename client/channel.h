/* A channel's inside: what its own files share.
 *
 *     any thread   ── aside_call… ──▶ endpoint queue ──▶ link_send()           under the mutex
 *     nng's threads ── replied() ──▶ frames ──▶ calls ENDED                    under the mutex
 *                        blocking calls: their waiters are woken at once
 *                        others: queued for the channel's thread
 *     the channel's thread: callbacks (without the mutex), timers
 *
 * Responses are unpacked without the mutex, by whoever is given them. */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "endpoint.h"
#include "retry.h"
#include "stream.h"
#include "timers.h"

#define TABLE_CHAINS 4096

struct aside_channel {
	pthread_mutex_t mutex;
	pthread_cond_t wake, changed; /* the thread; those who watch the state */
	pthread_t thread;
	bool started, closing;
	unsigned generation; /* of the process that opened it: fork.h */
	struct endpoint endpoints[ASIDE_ENDPOINTS_MAX];
	size_t n_endpoints;
	uint32_t timeout_ms, connect_timeout_ms;
	uint8_t *hello; /* the serialized HELLO frame */
	size_t hello_size;
	uint64_t next_id;     /* of an attempt */
	uint64_t next_handle; /* of a call */
	size_t n_calls;
	bool waiting; /* the thread is */
	struct attempt *attempts[TABLE_CHAINS];
	struct pending *handles[TABLE_CHAINS];
	struct timers timers;
	struct budget budget;
	uint64_t random;
	/* Work for the channel's thread. */
	struct pending *ended, **ended_tail;
	struct aside_stream *streams, **streams_tail;
};

/* The frame that opens a session.  Borrowed. */
struct bytes channel_hello(const struct aside_channel *channel);

int64_t channel_now_us(void);

/* The thread (pthread_create); what an endpoint's link tells (link_events, with the endpoint as `user`). */
void *channel_run(void *channel);
void channel_on_up(void *endpoint);
void channel_on_down(void *endpoint);
void channel_on_replied(void *endpoint, void *handle, struct bytes body);

/* Runs the callbacks that are due, letting go of the mutex meanwhile. */
void channel_run_callbacks(struct aside_channel *channel);

/* ── under the mutex ─────────────────────────────────────────────────────────────────────────────── */

/* Begins a call. */
void channel_add(struct aside_channel *channel, struct pending *call);

/* Ends a call with `failure`, or (NULL) with the reply it has.  A server that still has it is told (CANCEL). */
void channel_end(struct aside_channel *channel, struct pending *call, const struct failure *failure);

/* The call a handle names; NULL: it has ended. */
struct pending *channel_find(const struct aside_channel *channel, uint64_t handle);

/* Sends what is queued at `endpoint`: at once, or when the callbacks that run just now have returned. */
void channel_flush(struct aside_channel *channel, struct endpoint *endpoint);

/* Has the thread run a stream's callbacks. */
void channel_serve_stream(struct aside_channel *channel, struct aside_stream *stream);

uint64_t channel_random(struct aside_channel *channel);
