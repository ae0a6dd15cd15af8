/* A channel's calls, from one thread to another; see channel.h for who does what. */
#include "channel.h"

#include <string.h>
#include <time.h>

#include "aside/rpc/v1/envelope.pb-c.h"
#include "wire/status.h"
#include "wire/validate.h"

#define CHECK_US 5000000ll /* between two looks at silent servers */
#define FLUSH_CALLS 128 /* so that the server has something to do meanwhile */
#define EJECT_AFTER 5 /* failures in a row */
#define EJECT_US 1000000ll
#define EJECT_US_MAX 30000000ll

static const struct failure lost = { ASIDE_UNAVAILABLE, "CONNECTION_LOST",
	"the connection was lost; whether the call was executed is unknown", false };
static const struct failure not_connected = { ASIDE_UNAVAILABLE, "NOT_CONNECTED", "no server could be reached", true };
static const struct failure late = { ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed", false };
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

/* ── the tables ──────────────────────────────────────────────────────────────────────────────────── */

static struct attempt **attempt_slot(struct aside_channel *channel, uint64_t id)
{
	struct attempt **at = &channel->attempts[id % TABLE_CHAINS];

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->table_next;
	return at;
}

static struct pending **handle_slot(struct aside_channel *channel, uint64_t handle)
{
	struct pending **at = &channel->handles[handle % TABLE_CHAINS];

	while (*at != NULL && (*at)->handle != handle)
		at = &(*at)->handle_next;
	return at;
}

struct pending *channel_find(const struct aside_channel *channel, uint64_t handle)
{
	return *handle_slot((struct aside_channel *)channel, handle);
}

/* ── balance ─────────────────────────────────────────────────────────────────────────────────────── */

/* What speaks against an endpoint: its load, and being ejected. */
static uint64_t burden(const struct endpoint *endpoint, int64_t now)
{
	return endpoint->n_attempts + (endpoint->ejected_until_us > now ? UINT64_C(1) << 32 : 0);
}

/* The better of two at random among those that take calls, but not `other`, unless it is alone (power of two
 * choices: Mitzenmacher 2001). */
static struct endpoint *pick(struct aside_channel *channel, const struct endpoint *other, int64_t now)
{
	struct endpoint *up[ASIDE_ENDPOINTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < channel->n_endpoints; i++)
		if (channel->endpoints[i].state == ENDPOINT_UP && &channel->endpoints[i] != other)
			up[n++] = &channel->endpoints[i];
	if (n == 0)
		return other != NULL && other->state == ENDPOINT_UP ? (struct endpoint *)other : NULL;
	if (n == 1)
		return up[0];
	size_t a = channel_random(channel) % n, b = (a + 1 + channel_random(channel) % (n - 1)) % n;
	return burden(up[a], now) <= burden(up[b], now) ? up[a] : up[b];
}

static void succeeded(struct endpoint *endpoint)
{
	endpoint->failures = 0;
	endpoint->ejected_until_us = 0;
}

static void failed(struct aside_channel *channel, struct endpoint *endpoint)
{
	int64_t us = EJECT_US;

	if (++endpoint->failures < EJECT_AFTER)
		return;
	for (unsigned i = EJECT_AFTER; i < endpoint->failures && us < EJECT_US_MAX; i += EJECT_AFTER)
		us *= 2;
	endpoint->ejected_until_us = channel_now_us() + us / 2 + (int64_t)(channel_random(channel) % (uint64_t)us);
}

/* ── a call's way ────────────────────────────────────────────────────────────────────────────────── */

static void wake_thread(struct aside_channel *channel)
{
	if (channel->waiting)
		pthread_cond_signal(&channel->wake);
	channel->waiting = false;
}

static void give_to_thread(struct aside_channel *channel, struct pending *call)
{
	call->next = NULL;
	*channel->ended_tail = call;
	channel->ended_tail = &call->next;
	wake_thread(channel);
}

void channel_flush(struct aside_channel *channel, struct endpoint *endpoint)
{
	/* What callbacks start leaves together when they have returned (channel_run_callbacks()), or when it is many. */
	if (!channel->started || endpoint->n_queued >= FLUSH_CALLS || !pthread_equal(pthread_self(), channel->thread))
		endpoint_flush(endpoint, channel_now_us());
}

/* The attempt is over; with `tell` the server is told that its result is not wanted. */
static void drop_attempt(struct aside_channel *channel, struct attempt *attempt, bool tell)
{
	struct endpoint *endpoint = attempt->endpoint;
	struct frame cancel = { .kind = FRAME_CANCEL, .call_id = attempt->id };

	if (attempt->state == ATTEMPT_NONE)
		return;
	*attempt_slot(channel, attempt->id) = attempt->table_next;
	tell = tell && attempt->state == ATTEMPT_SENT && endpoint->state != ENDPOINT_DOWN;
	endpoint_leave(endpoint, attempt);
	if (tell && endpoint_put(endpoint, &cancel))
		channel_flush(channel, endpoint);
}

void channel_end(struct aside_channel *channel, struct pending *call, const struct failure *failure)
{
	if (failure != NULL)
		call->failure = *failure;
	for (unsigned i = 0; i < ATTEMPTS_AT_ONCE; i++)
		drop_attempt(channel, &call->attempts[i], true);
	*handle_slot(channel, call->handle) = call->handle_next;
	timers_remove(&channel->timers, call);
	channel->n_calls--;
	call->state = PENDING_ENDED;
	if (call->stream != NULL)
		stream_on_end(call->stream);
	else if (call->blocking)
		call->done(call->user, NULL, NULL); /* the waiter reads the outcome itself */
	else
		give_to_thread(channel, call);
}

static void set_timer(struct aside_channel *channel, struct pending *call)
{
	int64_t due = call->deadline_us, first = timers_first(&channel->timers);

	if (call->state == PENDING_WAITING && call->give_up_us < due)
		due = call->give_up_us;
	if (call->state == PENDING_DELAYED && call->resume_us < due)
		due = call->resume_us;
	if (call->hedge_us != 0 && call->hedge_us < due)
		due = call->hedge_us;
	if (!timers_set(&channel->timers, call, due))
		channel_end(channel, call, &no_memory);
	else if (due < first)
		wake_thread(channel);
}

/* A new attempt at `endpoint`. */
static void try_at(struct aside_channel *channel, struct pending *call, struct attempt *attempt, struct endpoint *endpoint)
{
	call->state = PENDING_PLACED;
	call->tries++;
	attempt->id = ++channel->next_id;
	attempt->table_next = NULL;
	*attempt_slot(channel, attempt->id) = attempt;
	endpoint_queue(endpoint, attempt);
	if (call->stream != NULL)
		stream_on_placed(call->stream);
	channel_flush(channel, endpoint);
}

static void place(struct aside_channel *channel, struct pending *call, const struct endpoint *other)
{
	struct endpoint *endpoint = pick(channel, other, channel_now_us());

	if (endpoint != NULL)
		try_at(channel, call, &call->attempts[0], endpoint);
	else
		call->state = PENDING_WAITING;
	set_timer(channel, call);
}

void channel_add(struct aside_channel *channel, struct pending *call)
{
	call->handle = ++channel->next_handle;
	call->handle_next = NULL;
	*handle_slot(channel, call->handle) = call;
	channel->n_calls++;
	place(channel, call, NULL);
}

/* The last attempt has failed: again, or the end. */
static void fail_attempt(struct aside_channel *channel, struct pending *call, const struct endpoint *endpoint,
		const struct attempt_end *end, const struct failure *failure)
{
	int64_t delay_us = 0, now = channel_now_us();

	for (unsigned i = 0; i < ATTEMPTS_AT_ONCE; i++)
		if (call->attempts[i].state != ATTEMPT_NONE)
			return; /* the other one may still succeed */
	bool again = (call->stream == NULL || end->not_executed) &&
			retry_wanted(&channel->budget, call->method, end, call->tries, channel_random(channel), &delay_us);
	if (!again || now + delay_us >= call->deadline_us) {
		channel_end(channel, call, failure);
		return;
	}
	received_release(TAKE(call->received));
	if (delay_us == 0) {
		place(channel, call, endpoint);
		return;
	}
	call->state = PENDING_DELAYED;
	call->resume_us = now + delay_us;
	set_timer(channel, call);
}

/* ── frames from a server ────────────────────────────────────────────────────────────────────────── */

/* How the reply's failure is to be taken. */
static struct attempt_end read_end(const struct frame *frame)
{
	struct attempt_end end = { .code = (enum aside_code)frame->code };
	struct pending reply = { .code = frame->code, .status = frame->status };
	struct aside_status status;
	ProtobufCMessage *none;

	if (frame->code != ASIDE_UNAVAILABLE && frame->code != ASIDE_RESOURCE_EXHAUSTED)
		return end;
	pending_outcome(&reply, &status, &none);
	end.not_executed = status.not_executed;
	end.retry_after_us = status.retry_after_us;
	return end;
}

static void handle_reply(struct aside_channel *channel, struct attempt *attempt, struct received *received,
		const struct frame *frame)
{
	struct pending *call = attempt->call;
	struct endpoint *endpoint = attempt->endpoint;
	struct attempt_end end = read_end(frame);

	drop_attempt(channel, attempt, false);
	received_release(call->received);
	call->received = received_retain(received);
	call->code = frame->code;
	call->payload = frame->payload;
	call->status = frame->status;
	if (frame->code == ASIDE_UNAVAILABLE) {
		failed(channel, endpoint);
	} else {
		succeeded(endpoint);
		budget_success(&channel->budget);
	}
	if (frame->code == ASIDE_UNAVAILABLE || frame->code == ASIDE_RESOURCE_EXHAUSTED)
		fail_attempt(channel, call, endpoint, &end, NULL);
	else
		channel_end(channel, call, NULL);
}

typedef void visit_attempt(struct aside_channel *channel, struct attempt *attempt, void *arg);

static void each_attempt(struct aside_channel *channel, visit_attempt *visit, void *arg)
{
	for (size_t i = 0; i < TABLE_CHAINS && channel->n_calls > 0; i++)
		for (struct attempt *attempt = channel->attempts[i], *next; attempt != NULL; attempt = next) {
			next = attempt->table_next;
			visit(channel, attempt, arg);
		}
}

struct departure {
	struct endpoint *endpoint;
	uint64_t last_id; /* later ones were not executed */
};

/* A server goes away: its attempts go elsewhere, as far as that is safe. */
static void move_away(struct aside_channel *channel, struct attempt *attempt, void *arg)
{
	const struct departure *departure = arg;
	bool sent = attempt->state == ATTEMPT_SENT;
	struct attempt_end end = { .code = ASIDE_UNAVAILABLE, .not_executed = !sent || attempt->id > departure->last_id };

	if (attempt->endpoint != departure->endpoint)
		return;
	drop_attempt(channel, attempt, false);
	fail_attempt(channel, attempt->call, departure->endpoint, &end, end.not_executed ? &not_connected : &lost);
}

static void move_later(struct aside_channel *channel, struct attempt *attempt, void *arg)
{
	const struct departure *departure = arg;

	if (attempt->state == ATTEMPT_QUEUED || attempt->id > departure->last_id)
		move_away(channel, attempt, arg);
}

static void handle_goaway(struct aside_channel *channel, struct endpoint *endpoint, const struct frame *frame)
{
	struct departure departure = { endpoint, frame->last_call_id };

	endpoint->state = ENDPOINT_LEAVING;
	each_attempt(channel, move_later, &departure);
	pthread_cond_broadcast(&channel->changed);
}

static void handle_hello(struct endpoint *endpoint, const struct frame *frame)
{
	Aside__Rpc__V1__Hello *hello = NULL;

	if (validate(&aside__rpc__v1__hello__descriptor, frame->payload, NULL) == ASIDE_OK)
		hello = aside__rpc__v1__hello__unpack(NULL, frame->payload.size, frame->payload.data);
	if (hello == NULL)
		return;
	if (hello->limits != NULL) {
		endpoint->stream_items = hello->limits->stream_items;
		endpoint->stream_bytes = hello->limits->stream_bytes;
	}
	aside__rpc__v1__hello__free_unpacked(hello, NULL);
}

static void greet_stream(struct aside_channel *channel, struct attempt *attempt, void *endpoint)
{
	(void)channel;
	if (attempt->endpoint == endpoint && attempt->call->stream != NULL)
		stream_on_placed(attempt->call->stream);
}

static void handle_frame(struct aside_channel *channel, struct endpoint *endpoint, struct received *received,
		const struct frame *frame)
{
	struct attempt *attempt = *attempt_slot(channel, frame->call_id);
	struct aside_stream *stream = attempt != NULL ? attempt->call->stream : NULL;

	if (frame->kind == FRAME_GOAWAY) {
		handle_goaway(channel, endpoint, frame);
	} else if (frame->kind == FRAME_HELLO) {
		handle_hello(endpoint, frame);
		each_attempt(channel, greet_stream, endpoint);
	} else if (attempt == NULL || attempt->endpoint != endpoint) {
		return; /* of a call that has ended here */
	} else if (frame->kind == FRAME_REPLY) {
		handle_reply(channel, attempt, received, frame);
	} else if (frame->kind == FRAME_ITEM && stream != NULL) {
		stream_on_item(stream, received, frame->payload);
	} else if (frame->kind == FRAME_CREDIT && stream != NULL) {
		stream_on_credit(stream, frame);
	}
}

static void handle_frames(struct aside_channel *channel, struct endpoint *endpoint, struct received *received)
{
	struct envelope_reader reader;
	struct frame frame;
	bool more;

	(void)envelope_read(&reader, received_body(received));
	while (envelope_next(&reader, &frame, &more, NULL) == ASIDE_OK && more)
		handle_frame(channel, endpoint, received, &frame);
	received_release(received);
}

/* ── what nng's threads tell (link_events) ───────────────────────────────────────────────────────── */

static void place_waiting(struct aside_channel *channel)
{
	for (size_t i = 0; i < TABLE_CHAINS && channel->n_calls > 0; i++)
		for (struct pending *call = channel->handles[i], *next; call != NULL; call = next) {
			next = call->handle_next;
			if (call->state == PENDING_WAITING)
				place(channel, call, NULL);
		}
}

void channel_on_up(void *user)
{
	struct endpoint *endpoint = user;
	struct aside_channel *channel = endpoint->channel;

	pthread_mutex_lock(&channel->mutex);
	endpoint_begin(endpoint);
	place_waiting(channel);
	pthread_cond_broadcast(&channel->changed);
	pthread_mutex_unlock(&channel->mutex);
}

void channel_on_down(void *user)
{
	struct endpoint *endpoint = user;
	struct aside_channel *channel = endpoint->channel;
	struct departure departure = { endpoint, UINT64_MAX };

	pthread_mutex_lock(&channel->mutex);
	endpoint_end(endpoint);
	if (!channel->closing) {
		failed(channel, endpoint);
		each_attempt(channel, move_away, &departure);
	}
	pthread_cond_broadcast(&channel->changed);
	pthread_mutex_unlock(&channel->mutex);
}

/* The server knows nothing of this session: a new one, for calls that were certainly not executed. */
static void begin_again(struct aside_channel *channel, struct endpoint *endpoint)
{
	struct departure departure = { endpoint, UINT64_MAX };

	endpoint_begin(endpoint);
	each_attempt(channel, move_away, &departure);
}

void channel_on_replied(void *user, void *handle, struct bytes body)
{
	struct endpoint *endpoint = user;
	struct aside_channel *channel = endpoint->channel;
	struct envelope_reader reader;
	struct envelope_head head = envelope_read(&reader, body);
	struct received *received = handle != NULL ? received_new(handle, body) : NULL;

	if (handle != NULL && received == NULL)
		link_release(handle); /* the sequence is broken: the heartbeat will find out */
	pthread_mutex_lock(&channel->mutex);
	endpoint->outstanding--;
	endpoint->waiting_since_us = channel_now_us();
	if (received != NULL && (channel->closing || head.session != endpoint->session)) {
		received_release(received); /* of an earlier connection */
	} else if (received != NULL && head.sequence == 0) {
		received_release(received);
		begin_again(channel, endpoint);
	} else {
		while ((received = endpoint_next(endpoint, head.sequence, received)) != NULL) {
			handle_frames(channel, endpoint, received);
			received = NULL;
		}
	}
	endpoint_flush(endpoint, channel_now_us());
	pthread_mutex_unlock(&channel->mutex);
}

/* ── the channel's thread ────────────────────────────────────────────────────────────────────────── */

static void on_timer(struct aside_channel *channel, struct pending *call, int64_t now)
{
	if (call->deadline_us <= now) {
		channel_end(channel, call, &late);
		return;
	}
	if (call->state == PENDING_WAITING && call->give_up_us <= now) {
		channel_end(channel, call, &not_connected);
		return;
	}
	if (call->hedge_us != 0 && call->hedge_us <= now && call->state == PENDING_PLACED) {
		struct endpoint *other = pick(channel, call->attempts[0].endpoint, now);
		call->hedge_us = 0;
		if (other != NULL && other != call->attempts[0].endpoint)
			try_at(channel, call, &call->attempts[1], other);
	}
	if (call->state == PENDING_DELAYED && call->resume_us <= now)
		place(channel, call, NULL);
	else
		set_timer(channel, call);
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
		endpoint_flush(&channel->endpoints[i], channel_now_us());
}

/* A server that keeps silent although it has a request of ours is gone. */
static void check_silence(struct aside_channel *channel, int64_t now)
{
	for (size_t i = 0; i < channel->n_endpoints; i++) {
		struct endpoint *endpoint = &channel->endpoints[i];
		if (endpoint->state == ENDPOINT_DOWN || endpoint->outstanding == 0 ||
				endpoint->waiting_since_us + SILENCE_US > now)
			continue;
		endpoint->waiting_since_us = now;
		link_reset(endpoint->link);
	}
}

static void wait_until(struct aside_channel *channel, int64_t due_us)
{
	struct timespec until = { due_us / 1000000, due_us % 1000000 * 1000 };

	channel->waiting = true;
	if (due_us == INT64_MAX)
		pthread_cond_wait(&channel->wake, &channel->mutex);
	else
		(void)pthread_cond_timedwait(&channel->wake, &channel->mutex, &until);
	channel->waiting = false;
}

void *channel_run(void *arg)
{
	struct aside_channel *channel = arg;

	pthread_mutex_lock(&channel->mutex);
	while (!channel->closing) {
		int64_t now = channel_now_us(), due = channel->n_calls > 0 ? now + CHECK_US : INT64_MAX;
		check_silence(channel, now);
		while (timers_first(&channel->timers) <= now)
			on_timer(channel, timers_take(&channel->timers), now);
		if (channel->ended != NULL || channel->streams != NULL) {
			channel_run_callbacks(channel);
			continue;
		}
		if (timers_first(&channel->timers) < due)
			due = timers_first(&channel->timers);
		for (size_t i = 0; i < channel->n_endpoints; i++) /* what timers have queued */
			endpoint_flush(&channel->endpoints[i], now);
		wait_until(channel, due);
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
	wake_thread(channel);
}
