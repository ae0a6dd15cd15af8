/* A channel's calls, from one thread to another; see channel.h for who does what. */
#include "channel.h"

#include <string.h>
#include <time.h>

#include "balance.h"
#include "upkeep.h"

#define FLUSH_CALLS 128 /* so that the server has something to do meanwhile */
#define LOOK_US 1000000

static const struct failure lost = { ASIDE_UNAVAILABLE, "CONNECTION_LOST",
	"the connection was lost; whether the call was executed is unknown", false };
static const struct failure not_connected = { ASIDE_UNAVAILABLE, "NOT_CONNECTED", "no server could be reached", true };
static const struct failure leaving = { ASIDE_UNAVAILABLE, "DRAINING", "the server shuts down and did not take the call", true };
/* Not executed, that is, unless it was sent: pending_status(). */
static const struct failure late = { ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed", true };
static const struct failure late_alone = { ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
	"the deadline passed before a server could be reached", true };
static const struct failure no_memory = { ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory", true };

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

/* xorshift64*: for balance and jitter only. */
uint64_t channel_random(struct aside_channel *channel)
{
	channel->random ^= channel->random >> 12;
	channel->random ^= channel->random << 25;
	channel->random ^= channel->random >> 27;
	return channel->random * 0x2545F4914F6CDD1Dull;
}

/* ── a call's way ────────────────────────────────────────────────────────────────────────────────── */

void channel_wake(struct aside_channel *channel)
{
	if (channel->sleeping && !channel->wake_held)
		pthread_cond_signal(&channel->wake);
	channel->wake_due = channel->wake_held && (channel->wake_due || channel->sleeping);
	channel->sleeping = false;
}

void channel_hold_wake(struct aside_channel *channel)
{
	channel->wake_held = true;
}

void channel_unlock(struct aside_channel *channel)
{
	bool due = channel->wake_due;

	channel->wake_held = channel->wake_due = false;
	pthread_mutex_unlock(&channel->mutex);
	if (due)
		pthread_cond_signal(&channel->wake);
}

static void give_to_thread(struct aside_channel *channel, struct pending *call)
{
	call->next = NULL;
	*channel->ended_tail = call;
	channel->ended_tail = &call->next;
	channel_wake(channel);
}

enum aside_state channel_state(const struct aside_channel *channel)
{
	bool idle = channel->n_endpoints > 0;

	if (channel->closing)
		return ASIDE_STATE_CLOSED;
	for (size_t i = 0; i < channel->n_endpoints; i++) {
		if (channel->endpoints[i]->state == ENDPOINT_UP)
			return ASIDE_STATE_READY;
		idle = idle && channel->endpoints[i]->state == ENDPOINT_IDLE;
	}
	return idle ? ASIDE_STATE_IDLE : ASIDE_STATE_CONNECTING;
}

bool channel_in_callback(const struct aside_channel *channel)
{
	return channel->started && pthread_equal(pthread_self(), channel->thread);
}

void channel_flush(struct aside_channel *channel, struct endpoint *endpoint)
{
	/* What callbacks start leaves together when they have returned (channel_run_callbacks()), or when it is many. */
	if (endpoint->n_queued >= FLUSH_CALLS || !channel_in_callback(channel))
		endpoint_flush(endpoint, channel_now_us());
}

void channel_drop_attempt(struct aside_channel *channel, struct attempt *attempt, bool tell)
{
	struct endpoint *endpoint = attempt->endpoint;
	struct frame cancel = { .kind = FRAME_CANCEL, .call_id = attempt->entry.id };

	if (attempt->state == ATTEMPT_NONE)
		return;
	table_remove(&channel->attempts, &attempt->entry);
	tell = tell && attempt->state == ATTEMPT_SENT && endpoint_is_connected(endpoint);
	endpoint_remove(endpoint, attempt);
	if (tell && endpoint_put(endpoint, &cancel))
		channel_flush(channel, endpoint);
}

/* The one way from state to state: keeps the list of those that wait. */
static void move(struct aside_channel *channel, struct pending *call, enum pending_state state)
{
	if (call->state == PENDING_WAITING)
		TAILQ_REMOVE(&channel->waiting, call, waiting);
	if (state == PENDING_WAITING)
		TAILQ_INSERT_TAIL(&channel->waiting, call, waiting);
	call->state = state;
}

void channel_end(struct aside_channel *channel, struct pending *call, const struct failure *failure)
{
	if (failure != NULL)
		call->failure = *failure;
	for (unsigned i = 0; i < ATTEMPTS_AT_ONCE; i++) {
		call->maybe_executed = call->maybe_executed || call->attempts[i].state == ATTEMPT_SENT;
		channel_drop_attempt(channel, &call->attempts[i], true);
	}
	table_remove(&channel->handles, &call->entry);
	timers_remove(&channel->timers, call);
	move(channel, call, PENDING_ENDED);
	if (call->chain.n > 0)
		call->chain.ended_us = channel_now_us();
	if (call->stream != NULL)
		stream_on_end(call->stream);
	else if (call->blocking)
		call->done(call->user, NULL, NULL); /* the waiter reads the outcome itself */
	else
		give_to_thread(channel, call);
}

void channel_cancel(struct aside_channel *channel, struct pending *call)
{
	static const struct failure cancelled = { ASIDE_CANCELLED, "CANCELLED", "the caller cancelled the call", false };

	channel_end(channel, call, &cancelled);
}

static void set_timer(struct aside_channel *channel, struct pending *call)
{
	int64_t due = call->deadline_us;

	if (call->state == PENDING_WAITING && call->give_up_us < due)
		due = call->give_up_us;
	if (call->state == PENDING_DELAYED && call->resume_us < due)
		due = call->resume_us;
	if (call->hedge_us != 0 && call->hedge_us < due)
		due = call->hedge_us;
	if (!timers_set(&channel->timers, call, due))
		channel_end(channel, call, &no_memory);
	else if (due < channel->sleeps_until_us)
		channel_wake(channel);
}

/* A new attempt at `endpoint`. */
static void try_at(struct aside_channel *channel, struct pending *call, struct attempt *attempt, struct endpoint *endpoint)
{
	move(channel, call, PENDING_PLACED);
	table_add(&channel->attempts, &attempt->entry, ++channel->next_id);
	endpoint_queue(endpoint, attempt);
	if (call->stream != NULL)
		stream_on_placed(call->stream);
	channel_flush(channel, endpoint);
}

/* With a server, but not `other` unless it is alone; or among the waiting. */
static void place(struct aside_channel *channel, struct pending *call, const struct endpoint *other)
{
	struct endpoint *endpoint = balance_pick(channel, other, channel_now_us());

	if (endpoint != NULL) {
		try_at(channel, call, &call->attempts[0], endpoint);
	} else {
		move(channel, call, PENDING_WAITING);
		channel_wake(channel); /* a connection that rests is wanted */
	}
	set_timer(channel, call);
}

void channel_place_waiting(struct aside_channel *channel)
{
	for (struct pending *call = TAILQ_FIRST(&channel->waiting), *next; call != NULL; call = next) {
		next = TAILQ_NEXT(call, waiting);
		place(channel, call, NULL);
	}
}

void channel_add(struct aside_channel *channel, struct pending *call)
{
	table_add(&channel->handles, &call->entry, ++channel->next_handle);
	place(channel, call, NULL);
}

struct pending *channel_find(const struct aside_channel *channel, uint64_t handle)
{
	return (struct pending *)table_find(&channel->handles, handle);
}

static void delay(struct aside_channel *channel, struct pending *call, int64_t until_us)
{
	move(channel, call, PENDING_DELAYED);
	call->resume_us = until_us;
	set_timer(channel, call);
}

/* Why a call ends that had no reply and is not tried again. */
static const struct failure *why_not(const struct pending *call, const struct endpoint *endpoint)
{
	if (call->maybe_executed)
		return &lost;
	return endpoint->state == ENDPOINT_LEAVING ? &leaving : &not_connected;
}

void channel_fail_attempt(struct aside_channel *channel, struct attempt *attempt, enum retry_cause cause,
		uint64_t retry_after_us)
{
	struct pending *call = attempt->call;
	struct endpoint *endpoint = attempt->endpoint;
	int64_t delay_us = 0, now = channel_now_us();

	channel_drop_attempt(channel, attempt, false);
	call->maybe_executed = call->maybe_executed || cause == RETRY_UNKNOWN;
	for (unsigned i = 0; i < ATTEMPTS_AT_ONCE; i++)
		if (call->attempts[i].state != ATTEMPT_NONE)
			return; /* the other one may still succeed */
	bool again = (call->stream == NULL || (cause != RETRY_UNKNOWN && stream_may_repeat(call->stream))) &&
			retry_wanted(&channel->budget, call->method, cause, call->tries, retry_after_us,
					balance_elsewhere(channel, endpoint, now), channel_random(channel), &delay_us);
	if (!again || now + delay_us >= call->deadline_us) {
		channel_end(channel, call, call->received != NULL ? NULL : why_not(call, endpoint));
		return;
	}
	received_release(TAKE(call->received));
	if (delay_us > 0)
		delay(channel, call, now + delay_us);
	else
		place(channel, call, endpoint);
}

/* ── the channel's thread ────────────────────────────────────────────────────────────────────────── */

/* A server that lets deadlines pass is not well. */
static void end_late(struct aside_channel *channel, struct pending *call, int64_t now)
{
	for (unsigned i = 0; i < ATTEMPTS_AT_ONCE; i++)
		if (call->attempts[i].state == ATTEMPT_SENT && call->stream == NULL)
			balance_failed(call->attempts[i].endpoint, now);
	channel_end(channel, call, call->state == PENDING_WAITING && call->tries == 0 ? &late_alone : &late);
}

/* Asks a second server, where there is one. */
static void hedge(struct aside_channel *channel, struct pending *call, int64_t now)
{
	struct endpoint *first = call->attempts[0].endpoint;

	call->hedge_us = 0;
	if (call->state == PENDING_PLACED && balance_elsewhere(channel, first, now) && budget_take(&channel->budget))
		try_at(channel, call, &call->attempts[1], balance_pick(channel, first, now));
}

static void on_timer(struct aside_channel *channel, struct pending *call, int64_t now)
{
	if (call->state == PENDING_WAITING && call->give_up_us <= now && call->give_up_us <= call->deadline_us) {
		channel_end(channel, call, call->maybe_executed ? &lost : &not_connected);
		return;
	}
	if (call->deadline_us <= now) {
		end_late(channel, call, now);
		return;
	}
	if (call->hedge_us != 0 && call->hedge_us <= now)
		hedge(channel, call, now);
	if (call->state == PENDING_DELAYED && call->resume_us <= now)
		place(channel, call, NULL);
	else
		set_timer(channel, call);
}

/* Attempts at a server that has lost them: each is made elsewhere, as far as that is safe. */
static void move_attempts(struct aside_channel *channel, struct endpoint *endpoint)
{
	uint64_t last_id = channel->next_id; /* those that come back have later ones */

	for (struct attempt *attempt; (attempt = TAILQ_FIRST(&endpoint->attempts)) != NULL && attempt->entry.id <= last_id;)
		channel_fail_attempt(channel, attempt, attempt->state == ATTEMPT_SENT ? RETRY_UNKNOWN : RETRY_UNSENT, 0);
}

void channel_lose(struct aside_channel *channel, struct endpoint *endpoint)
{
	if (endpoint->link != NULL)
		link_reset(endpoint->link);
	if (!endpoint_is_connected(endpoint))
		return;
	endpoint_end(endpoint);
	endpoint->lost_at_us = channel_now_us();
	if (!channel->closing) {
		balance_failed(endpoint, channel_now_us());
		move_attempts(channel, endpoint);
	}
}

void channel_run_callbacks(struct aside_channel *channel)
{
	struct pending *ended = channel->ended;
	struct aside_stream *streams = channel->streams;

	channel->ended = NULL;
	channel->ended_tail = &channel->ended;
	channel->streams = NULL;
	channel->streams_tail = &channel->streams;
	pthread_mutex_unlock(&channel->mutex);
	while (ended != NULL) {
		struct pending *call = ended;
		struct aside_status status;
		ProtobufCMessage *response;
		ended = call->next;
		pending_outcome(call, &status, &response);
		call->done(call->user, response, &status);
		pending_free(call);
	}
	if (streams != NULL)
		stream_run_callbacks(streams);
	pthread_mutex_lock(&channel->mutex);
	for (size_t i = 0; i < channel->n_endpoints; i++)
		endpoint_flush(channel->endpoints[i], channel_now_us());
}

/* When the thread has something to do, if nobody wakes it before.  As long as calls come it looks every second, so that
 * most need not wake it for their deadline. */
static int64_t next_look(struct aside_channel *channel, int64_t now)
{
	int64_t due = timers_first(&channel->timers), upkeep_us = upkeep_due(channel);

	if (upkeep_us < due)
		due = upkeep_us;
	if (channel->last_handle != channel->next_handle && now + LOOK_US < due)
		due = now + LOOK_US;
	channel->last_handle = channel->next_handle;
	return due;
}

static void wait_until(struct aside_channel *channel, int64_t due_us)
{
	struct timespec until = { due_us / 1000000, due_us % 1000000 * 1000 };

	channel->sleeping = true;
	channel->sleeps_until_us = due_us;
	if (due_us == INT64_MAX)
		pthread_cond_wait(&channel->wake, &channel->mutex);
	else
		(void)pthread_cond_timedwait(&channel->wake, &channel->mutex, &until);
	channel->sleeping = false;
}

void *channel_run(void *arg)
{
	struct aside_channel *channel = arg;

	pthread_mutex_lock(&channel->mutex);
	while (!channel->closing) {
		int64_t now = channel_now_us();
		bool more = upkeep(channel, now);
		while (timers_first(&channel->timers) <= now)
			on_timer(channel, timers_take(&channel->timers), now);
		if (channel->ended != NULL || channel->streams != NULL) {
			channel_run_callbacks(channel);
			continue;
		}
		for (size_t i = 0; i < channel->n_endpoints; i++) /* what timers have queued */
			endpoint_flush(channel->endpoints[i], now);
		if (!more)
			wait_until(channel, next_look(channel, now));
	}
	pthread_mutex_unlock(&channel->mutex);
	return NULL;
}

void channel_serve_stream(struct aside_channel *channel, struct aside_stream *stream)
{
	if (stream->due)
		return;
	stream->due = true;
	stream->next_due = NULL;
	*channel->streams_tail = stream;
	channel->streams_tail = &stream->next_due;
	channel_wake(channel);
}
