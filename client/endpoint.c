/* See endpoint.h. */
#include "endpoint.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "channel.h"
#include "wire/status.h"

#define BACKOFF_TRIES_MAX 6 /* a second at most: several are well within what a call waits for a connection */
#define MESSAGE_BYTES_MAX (1u << 20) /* frames beyond this go in the next message */

/* Whether the server has answered HELLO. */
static bool is_greeted(const struct endpoint *endpoint)
{
	return endpoint->next_in > 1;
}

bool endpoint_is_connected(const struct endpoint *endpoint)
{
	return endpoint->state == ENDPOINT_UP || endpoint->state == ENDPOINT_LEAVING;
}

void endpoint_queue(struct endpoint *endpoint, struct attempt *attempt)
{
	attempt->state = ATTEMPT_QUEUED;
	attempt->endpoint = endpoint;
	TAILQ_INSERT_TAIL(&endpoint->queue, attempt, queued);
	TAILQ_INSERT_TAIL(&endpoint->attempts, attempt, member);
	endpoint->n_attempts++;
	endpoint->n_queued++;
}

static void unqueue(struct endpoint *endpoint, struct attempt *attempt)
{
	TAILQ_REMOVE(&endpoint->queue, attempt, queued);
	endpoint->n_queued--;
}

void endpoint_remove(struct endpoint *endpoint, struct attempt *attempt)
{
	if (attempt->state == ATTEMPT_QUEUED)
		unqueue(endpoint, attempt);
	TAILQ_REMOVE(&endpoint->attempts, attempt, member);
	attempt->state = ATTEMPT_NONE;
	if (--endpoint->n_attempts > 0)
		return;
	endpoint->calm_since_us = channel_now_us();
	if (endpoint->state != ENDPOINT_UP || endpoint->old_us <= endpoint->calm_since_us ||
			endpoint_keep_until(endpoint) < endpoint->channel->sleeps_until_us)
		channel_wake(endpoint->channel);
}

int64_t endpoint_keep_until(const struct endpoint *endpoint)
{
	uint32_t idle_ms = endpoint->channel->options.idle_ms;

	return idle_ms != 0 && endpoint->state == ENDPOINT_UP && endpoint->n_attempts == 0 ?
			endpoint->calm_since_us + idle_ms * 1000ll : INT64_MAX;
}

bool endpoint_put(struct endpoint *endpoint, const struct frame *frame)
{
	size_t size = envelope_frame_size(frame);

	if (endpoint->frames_size + size > endpoint->frames_room) {
		size_t room = (endpoint->frames_size + size) * 2;
		uint8_t *grown = realloc(endpoint->frames, room);
		if (grown == NULL)
			return false;
		endpoint->frames = grown;
		endpoint->frames_room = room;
	}
	(void)envelope_frame_write(frame, endpoint->frames + endpoint->frames_size);
	endpoint->frames_size += size;
	return true;
}

/* ── sending ─────────────────────────────────────────────────────────────────────────────────────── */

/* How many bytes the first attempts of the queue need, how many attempts that is, and whether it is all of them. */
static size_t measure(const struct endpoint *endpoint, int64_t now_us, size_t *ret_n, bool *ret_all)
{
	const struct attempt *at = TAILQ_FIRST(&endpoint->queue);
	size_t size = 0;
	struct frame frame;

	*ret_n = 0;
	for (; at != NULL && *ret_n < ENVELOPE_FRAMES_MAX / 2; at = TAILQ_NEXT(at, queued)) {
		attempt_frame(at, now_us, &frame);
		size_t more = envelope_frame_size(&frame);
		if (*ret_n > 0 && size + more > MESSAGE_BYTES_MAX)
			break;
		size += more;
		++*ret_n;
	}
	*ret_all = at == NULL;
	return size;
}

static uint8_t *write_calls(struct endpoint *endpoint, int64_t now_us, size_t n, uint8_t *out)
{
	struct frame frame;

	for (struct attempt *attempt; n > 0 && (attempt = TAILQ_FIRST(&endpoint->queue)) != NULL; n--) {
		attempt_frame(attempt, now_us, &frame);
		out = envelope_frame_write(&frame, out);
		attempt->state = ATTEMPT_SENT;
		attempt->call->tries++;
		unqueue(endpoint, attempt);
	}
	return out;
}

static void write_frames(struct endpoint *endpoint, size_t size, uint8_t *out)
{
	if (size == 0)
		return;
	memcpy(out, endpoint->frames, size);
	endpoint->frames_size -= size;
	memmove(endpoint->frames, endpoint->frames + size, endpoint->frames_size);
}

/* One message; false without memory.  HELLO goes alone: what follows it finds a server that has answered it, and
 * takes calls. */
static bool send_one(struct endpoint *endpoint, int64_t now_us)
{
	struct envelope_head head = { endpoint->session, endpoint->next_out };
	struct bytes hello = channel_hello(endpoint->channel);
	uint8_t written[ENVELOPE_HEAD_MAX], *out;
	size_t head_size = (size_t)(envelope_head_write(&head, written) - written), n = 0, calls = 0, others = 0;
	bool all_calls = false;

	if (endpoint->next_out > 1) {
		calls = measure(endpoint, now_us, &n, &all_calls);
		hello.size = 0;
	}
	if (all_calls) /* a frame never overtakes its call */
		others = envelope_fitting(endpoint->frames, endpoint->frames_size, MESSAGE_BYTES_MAX);
	void *message = link_message_new(head_size + hello.size + calls + others, &out);
	if (message == NULL)
		return false;
	memcpy(out, written, head_size);
	out += head_size;
	if (hello.size > 0)
		memcpy(out, hello.data, hello.size);
	write_frames(endpoint, others, write_calls(endpoint, now_us, n, out + hello.size));
	endpoint->next_out++;
	endpoint->sending = true;
	if (endpoint->outstanding++ == 0)
		endpoint->waiting_since_us = now_us;
	link_send(endpoint->link, endpoint->session, message);
	return true;
}

/* Whether a message should leave now: one that says something, or one that waits with the server. */
static bool wants_to_send(const struct endpoint *endpoint)
{
	if (!endpoint_is_connected(endpoint) || endpoint->link == NULL)
		return false;
	if (!is_greeted(endpoint))
		return endpoint->outstanding == 0;
	if (endpoint->n_queued > 0 || endpoint->frames_size > 0)
		return !endpoint->sending && endpoint->outstanding < UNDER_WAY_MAX;
	return endpoint->outstanding == 0 && endpoint->part_by_us == 0 &&
			(endpoint->state == ENDPOINT_UP || endpoint->n_attempts > 0);
}

void endpoint_flush(struct endpoint *endpoint, int64_t now_us)
{
	while (wants_to_send(endpoint) && send_one(endpoint, now_us))
		; /* without memory: again with the next event */
}

void endpoint_sent(struct endpoint *endpoint)
{
	endpoint->sending = false;
	endpoint_flush(endpoint, channel_now_us());
}

/* ── receiving ───────────────────────────────────────────────────────────────────────────────────── */

static void hold_early(struct endpoint *endpoint, uint64_t sequence, struct received *received)
{
	struct early *early = malloc(sizeof *early), **at = &endpoint->early;

	while (*at != NULL && (*at)->sequence < sequence)
		at = &(*at)->next;
	/* Without memory, or with a number twice, it will never be in sequence again. */
	if (early == NULL || sequence < endpoint->next_in || (*at != NULL && (*at)->sequence == sequence)) {
		free(early);
		received_release(received);
		channel_lose(endpoint->channel, endpoint);
		return;
	}
	*early = (struct early){ *at, sequence, received };
	*at = early;
}

struct received *endpoint_next(struct endpoint *endpoint, uint64_t sequence, struct received *received)
{
	struct early *first;

	if (received != NULL) {
		if (sequence == endpoint->next_in) {
			endpoint->next_in++;
			return received;
		}
		hold_early(endpoint, sequence, received);
	}
	first = endpoint->early;
	if (first == NULL || first->sequence != endpoint->next_in)
		return NULL;
	endpoint->next_in++;
	endpoint->early = first->next;
	received = first->received;
	free(first);
	return received;
}

/* ── sessions ────────────────────────────────────────────────────────────────────────────────────── */

static void forget_early(struct endpoint *endpoint)
{
	while (endpoint->early != NULL) {
		struct early *early = endpoint->early;
		endpoint->early = early->next;
		received_release(early->received);
		free(early);
	}
}

/* The one way from state to state: whoever waits for one is told. */
static void set_state(struct endpoint *endpoint, enum endpoint_state state)
{
	endpoint->state = state;
	pthread_cond_broadcast(&endpoint->channel->changed);
	channel_wake(endpoint->channel);
}

void endpoint_begin(struct endpoint *endpoint)
{
	forget_early(endpoint);
	endpoint->frames_size = 0;
	do
		if (getrandom(&endpoint->session, sizeof endpoint->session, 0) != sizeof endpoint->session)
			endpoint->session ^= (uint64_t)channel_now_us() << 20; /* never on Linux once it has booted */
	while (endpoint->session == 0);
	endpoint->sending = false;
	endpoint->next_out = endpoint->next_in = 1;
	endpoint->unanswered++;
	endpoint->lost_at_us = 0;
	endpoint->waiting_since_us = endpoint->calm_since_us = channel_now_us();
	endpoint->stream_items = 0;
	endpoint->stream_bytes = 0;
	set_state(endpoint, endpoint->listed ? ENDPOINT_UP : ENDPOINT_LEAVING);
}

static void end_session(struct endpoint *endpoint, enum endpoint_state state)
{
	forget_early(endpoint);
	endpoint->frames_size = 0;
	endpoint->session = 0;
	set_state(endpoint, state);
}

void endpoint_end(struct endpoint *endpoint)
{
	end_session(endpoint, ENDPOINT_DOWN);
	if (endpoint->unanswered >= UNANSWERED_MAX && endpoint->part_by_us == 0)
		endpoint->part_by_us = channel_now_us(); /* its link would connect again at once */
}

void endpoint_retire(struct endpoint *endpoint)
{
	if (endpoint->state == ENDPOINT_UP)
		set_state(endpoint, ENDPOINT_LEAVING);
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code connect_link(struct endpoint *endpoint, struct aside_status *err)
{
	struct link_events events = receive_events(endpoint);

	return link_open(endpoint->url, &endpoint->channel->options, &events, &endpoint->link, err);
}

enum aside_code endpoint_new(struct aside_channel *channel, const char *url, struct aside_status *err)
{
	struct endpoint *endpoint = calloc(1, sizeof *endpoint);
	enum aside_code code;

	if (endpoint == NULL || channel->n_endpoints == ENDPOINTS_MAX) {
		free(endpoint);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory, or too many addresses");
	}
	endpoint->channel = channel;
	endpoint->listed = true;
	endpoint->old_us = INT64_MAX;
	(void)snprintf(endpoint->url, sizeof endpoint->url, "%s", url);
	TAILQ_INIT(&endpoint->attempts);
	TAILQ_INIT(&endpoint->queue);
	code = connect_link(endpoint, err);
	if (code != ASIDE_OK)
		free(endpoint);
	else
		channel->endpoints[channel->n_endpoints++] = endpoint;
	return code;
}

void endpoint_unlist(struct endpoint *endpoint)
{
	endpoint->listed = false;
	endpoint_retire(endpoint);
	channel_wake(endpoint->channel); /* one that is DOWN is freed at once */
}

void endpoint_part(struct endpoint *endpoint)
{
	struct frame goaway = { .kind = FRAME_GOAWAY };

	if (endpoint->part_by_us != 0)
		return;
	endpoint->part_by_us = channel_now_us() + PART_US;
	endpoint_retire(endpoint); /* no call begins here meanwhile */
	if (endpoint_is_connected(endpoint) && endpoint_put(endpoint, &goaway))
		endpoint_flush(endpoint, channel_now_us());
}

bool endpoint_has_parted(const struct endpoint *endpoint, int64_t now_us)
{
	return endpoint->part_by_us != 0 &&
			(endpoint->outstanding == 0 || !endpoint_is_connected(endpoint) || endpoint->part_by_us <= now_us);
}

/* From now on, or after a while if it was in vain so far. */
static void connect_later(struct endpoint *endpoint, int64_t now_us)
{
	unsigned tries = endpoint->unanswered < BACKOFF_TRIES_MAX ? endpoint->unanswered : BACKOFF_TRIES_MAX;

	endpoint->connect_at_us = now_us;
	if (tries >= UNANSWERED_MAX)
		endpoint->connect_at_us += retry_backoff_us(tries, channel_random(endpoint->channel));
}

void endpoint_disconnect(struct endpoint *endpoint)
{
	struct link *link = TAKE(endpoint->link);

	if (link != NULL) {
		pthread_mutex_unlock(&endpoint->channel->mutex);
		link_stop(link);
		pthread_mutex_lock(&endpoint->channel->mutex);
	}
	closers_add(&endpoint->channel->closers, link);
	endpoint->part_by_us = 0;
	endpoint->lost_at_us = 0;
	endpoint->outstanding = 0;
	endpoint->old_us = INT64_MAX;
	connect_later(endpoint, channel_now_us());
	end_session(endpoint, ENDPOINT_IDLE);
}

void endpoint_rouse(struct endpoint *endpoint)
{
	set_state(endpoint, ENDPOINT_DOWN);
}

void endpoint_connect(struct endpoint *endpoint, int64_t now_us)
{
	if (connect_link(endpoint, NULL) == ASIDE_OK)
		return;
	endpoint->unanswered = (endpoint->unanswered < UNANSWERED_MAX ? UNANSWERED_MAX : endpoint->unanswered) + 1;
	connect_later(endpoint, now_us);
}

void endpoint_leave(struct endpoint *endpoint)
{
	struct timespec until;

	endpoint_part(endpoint);
	until = (struct timespec){ endpoint->part_by_us / 1000000, endpoint->part_by_us % 1000000 * 1000 };
	while (!endpoint_has_parted(endpoint, channel_now_us()))
		(void)pthread_cond_timedwait(&endpoint->channel->changed, &endpoint->channel->mutex, &until);
	endpoint_disconnect(endpoint);
}

void endpoint_free(struct endpoint *endpoint)
{
	forget_early(endpoint);
	free(endpoint->frames);
	free(endpoint);
}
