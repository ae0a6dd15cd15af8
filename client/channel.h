/* A channel's inside: what its own files share.
 *
 *     any thread   ── aside_call… ──▶ endpoint queue ──▶ link_send()           under the mutex
 *     nng's threads ── receive.c: frames ──▶ calls ENDED                    under the mutex
 *                        blocking calls: their waiters are woken at once
 *                        others: queued for the channel's thread
 *     the channel's thread: callbacks (without the mutex), timers
 *
 * Responses are unpacked without the mutex, by whoever is given them. */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "closers.h"
#include "endpoint.h"
#include "retry.h"
#include "stream.h"
#include "table.h"
#include "timers.h"

/* Those of the addresses, and those that only end their calls. */
#define ENDPOINTS_MAX (2 * ASIDE_ENDPOINTS_MAX)

struct resolver;

struct aside_channel {
	pthread_mutex_t mutex;
	pthread_cond_t wake, changed; /* the thread; those who watch the state */
	pthread_t thread;
	bool started, closing;
	unsigned generation; /* of the process that opened it: fork.h */
	struct aside_options options; /* a copy; zeros are replaced */
	struct resolver *resolver;
	struct endpoint *endpoints[ENDPOINTS_MAX];
	size_t n_endpoints;
	struct closers closers;
	uint8_t *hello; /* the serialized HELLO frame */
	size_t hello_size;
	uint64_t next_id;     /* of an attempt */
	uint64_t next_handle; /* of a call */
	bool sleeping;           /* the thread is */
	int64_t sleeps_until_us; /* and wakes by itself then */
	bool wake_held, wake_due; /* channel_hold_wake() */
	uint64_t last_handle;    /* the last call when it went to sleep */
	struct table attempts, handles;
	TAILQ_HEAD(, pending) waiting; /* for a server */
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

/* The thread (pthread_create). */
void *channel_run(void *channel);

/* What an endpoint's link tells: receive.c. */
struct link_events receive_events(struct endpoint *endpoint);

/* Whether this is the channel's thread: what runs there may not wait. */
bool channel_in_callback(const struct aside_channel *channel);

/* Runs the callbacks that are due, letting go of the mutex meanwhile. */
void channel_run_callbacks(struct aside_channel *channel);

/* ── under the mutex ─────────────────────────────────────────────────────────────────────────────── */

/* The thread has something to do. */
void channel_wake(struct aside_channel *channel);

/* From now on it is woken only with channel_unlock(): before, it would but wait for the mutex. */
void channel_hold_wake(struct aside_channel *channel);
void channel_unlock(struct aside_channel *channel);

enum aside_state channel_state(const struct aside_channel *channel);

/* Begins a call. */
void channel_add(struct aside_channel *channel, struct pending *call);

/* Ends a call with `failure`, or (NULL) with the reply it has.  A server that still has it is told (CANCEL). */
void channel_end(struct aside_channel *channel, struct pending *call, const struct failure *failure);

/* The same for a call its caller wants no more. */
void channel_cancel(struct aside_channel *channel, struct pending *call);

/* The call a handle names; NULL: it has ended. */
struct pending *channel_find(const struct aside_channel *channel, uint64_t handle);

/* Those that wait for a server: there is one. */
void channel_place_waiting(struct aside_channel *channel);

/* The attempt is over; with `tell` the server is told that its result is not wanted. */
void channel_drop_attempt(struct aside_channel *channel, struct attempt *attempt, bool tell);

/* The same for one that has failed: its call is tried again after `retry_after_us` (0: our choice) or ends, with the
 * reply it has or as lost. */
void channel_fail_attempt(struct aside_channel *channel, struct attempt *attempt, enum retry_cause cause,
		uint64_t retry_after_us);

/* The connection is lost, or is to be: another is made. */
void channel_lose(struct aside_channel *channel, struct endpoint *endpoint);

/* Sends what is queued at `endpoint`: at once, or when the callbacks that run just now have returned. */
void channel_flush(struct aside_channel *channel, struct endpoint *endpoint);

/* Has the thread run a stream's callbacks. */
void channel_serve_stream(struct aside_channel *channel, struct aside_stream *stream);

uint64_t channel_random(struct aside_channel *channel);
