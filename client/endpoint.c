/* See endpoint.h. */
#include "endpoint.h"

#include <string.h>
#include <sys/random.h>

#include "channel.h"

#define MESSAGE_BYTES_MAX (1u << 20) /* frames beyond this go in the next message */
#define SESSION_IDLE_US 30000000ll   /* the server forgets a session that was silent for 60 s */

/* Whether the server may have forgotten the session, in which nothing is under way. */
static bool is_stale(const struct endpoint *endpoint)
{
	return endpoint->n_attempts == 0 && endpoint->outstanding == 0 &&
			channel_now_us() - endpoint->waiting_since_us > SESSION_IDLE_US;
}

void endpoint_queue(struct endpoint *endpoint, struct attempt *attempt)
{
	if (is_stale(endpoint))
		endpoint_begin(endpoint);
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

void endpoint_leave(struct endpoint *endpoint, struct attempt *attempt)
{
	if (attempt->state == ATTEMPT_QUEUED)
		unqueue(endpoint, attempt);
	TAILQ_REMOVE(&endpoint->attempts, attempt, member);
	attempt->state = ATTEMPT_NONE;
	endpoint->n_attempts--;
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

/* One message with as much as fits; false without memory. */
static bool send_one(struct endpoint *endpoint, int64_t now_us)
{
	struct envelope_head head = { endpoint->session, endpoint->next_out };
	struct bytes hello = endpoint->next_out == 1 ? channel_hello(endpoint->channel) : (struct bytes){ NULL, 0 };
	uint8_t written[ENVELOPE_HEAD_MAX], *out;
	size_t head_size = (size_t)(envelope_head_write(&head, written) - written), n, others = 0;
	bool all_calls;
	size_t calls = measure(endpoint, now_us, &n, &all_calls);

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
	if (endpoint->outstanding++ == 0)
		endpoint->waiting_since_us = now_us;
	link_send(endpoint->link, message);
	return true;
}

void endpoint_flush(struct endpoint *endpoint, int64_t now_us)
{
	bool sent = true;

	while (sent && endpoint->state != ENDPOINT_DOWN && endpoint->outstanding < UNDER_WAY_MAX) {
		bool something = endpoint->n_queued > 0 || endpoint->frames_size > 0;
		if (!something && (endpoint->n_attempts == 0 || endpoint->outstanding > 0))
			return;
		sent = send_one(endpoint, now_us); /* without memory: again with the next event */
	}
}

/* ── receiving ───────────────────────────────────────────────────────────────────────────────────── */

static void hold_early(struct endpoint *endpoint, uint64_t sequence, struct received *received)
{
	struct early *early = malloc(sizeof *early), **at = &endpoint->early;

	if (early == NULL) {
		received_release(received);
		link_reset(endpoint->link); /* it will never be in sequence again */
		return;
	}
	while (*at != NULL && (*at)->sequence < sequence)
		at = &(*at)->next;
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

void endpoint_begin(struct endpoint *endpoint)
{
	forget_early(endpoint);
	endpoint->frames_size = 0;
	endpoint->state = ENDPOINT_UP;
	do
		if (getrandom(&endpoint->session, sizeof endpoint->session, 0) != sizeof endpoint->session)
			endpoint->session ^= (uint64_t)channel_now_us() << 20; /* never on Linux once it has booted */
	while (endpoint->session == 0);
	endpoint->next_out = endpoint->next_in = 1;
	endpoint->stream_items = 0;
	endpoint->stream_bytes = 0;
}

void endpoint_end(struct endpoint *endpoint)
{
	forget_early(endpoint);
	endpoint->frames_size = 0;
	endpoint->state = ENDPOINT_DOWN;
	endpoint->session = 0;
}

void endpoint_fini(struct endpoint *endpoint)
{
	link_close(endpoint->link);
	forget_early(endpoint);
	free(endpoint->frames);
}
