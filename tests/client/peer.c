/* See peer.h. */
#include "../unit/test.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "aside/rpc/v1/envelope.pb-c.h"
#include "peer.h"
#include "wire/socket.h"
#include "wire/status.h"

#define TIMEOUT_S 20
#define KEPT 2 /* requests; it gives the others back, as a server does */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;

static struct timespec in_time(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TIMEOUT_S;
	return until;
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static void wait_for_next(struct peer *peer)
{
	if (nng_ctx_open(&peer->ctx, peer->socket) == 0)
		nng_ctx_recv(peer->ctx, peer->aio);
}

/* On nng's thread. */
static void on_message(void *arg)
{
	struct peer *peer = arg;

	if (nng_aio_result(peer->aio) != 0)
		return;
	pthread_mutex_lock(&mutex);
	bool room = peer->n_arrivals < PEER_MESSAGES_MAX;
	if (room)
		peer->arrivals[peer->n_arrivals++] = (struct parcel){ peer->ctx, nng_aio_get_msg(peer->aio) };
	pthread_cond_broadcast(&arrived);
	pthread_mutex_unlock(&mutex);
	if (room)
		wait_for_next(peer);
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct peer *peer = arg;

	(void)pipe;
	pthread_mutex_lock(&mutex);
	peer->n_pipes += event == NNG_PIPE_EV_ADD_POST ? 1 : -1;
	pthread_cond_broadcast(&arrived);
	pthread_mutex_unlock(&mutex);
}

static void listen_there(struct peer *peer)
{
	assert_int_equal(nng_rep0_open(&peer->socket), 0);
	assert_int_equal(nng_pipe_notify(peer->socket, NNG_PIPE_EV_ADD_POST, on_pipe, peer), 0);
	assert_int_equal(nng_pipe_notify(peer->socket, NNG_PIPE_EV_REM_POST, on_pipe, peer), 0);
	assert_int_equal(nng_aio_alloc(&peer->aio, on_message, peer), 0);
	wait_for_next(peer);
	assert_int_equal(nng_listen(peer->socket, peer->url, NULL, 0), 0);
}

void peer_open(struct peer *peer, const char *name)
{
	memset(peer, 0, sizeof *peer);
	(void)snprintf(peer->url, sizeof peer->url, "ipc:///tmp/aside-peer-%d-%s.sock", (int)getpid(), name);
	listen_there(peer);
}

static void stop(struct peer *peer)
{
	nng_aio_stop(peer->aio);
	if (socket_close(peer->socket))
		nng_aio_free(peer->aio);
	while (peer->n_arrivals > 0)
		nng_msg_free(peer->arrivals[--peer->n_arrivals].msg);
	peer->n_taken = peer->n_answered = 0;
	peer->reader.rest.size = 0;
	peer->waits = false;
}

void peer_vanish(struct peer *peer)
{
	stop(peer);
	(void)unlink(peer->url + strlen("ipc://"));
}

/* nng takes down what the client has closed by itself, which it does better than by nng_close(). */
void peer_close(struct peer *peer)
{
	struct timespec until = in_time();

	pthread_mutex_lock(&mutex);
	while (peer->n_pipes > 0 && pthread_cond_timedwait(&arrived, &mutex, &until) == 0)
		;
	pthread_mutex_unlock(&mutex);
	peer_vanish(peer);
}

void peer_hang_up(struct peer *peer)
{
	stop(peer);
	listen_there(peer);
}

/* The nth message; waits for it. */
static struct parcel arrival(struct peer *peer, size_t n)
{
	struct timespec until = in_time();
	int rv = 0;

	pthread_mutex_lock(&mutex);
	while (n >= peer->n_arrivals && rv == 0)
		rv = pthread_cond_timedwait(&arrived, &mutex, &until);
	struct parcel found = peer->arrivals[n];
	pthread_mutex_unlock(&mutex);
	assert_int_equal(rv, 0); /* it came in time */
	return found;
}

size_t peer_arrived(struct peer *peer)
{
	pthread_mutex_lock(&mutex);
	size_t n = peer->n_arrivals;
	pthread_mutex_unlock(&mutex);
	return n;
}

void peer_wait(struct peer *peer)
{
	(void)arrival(peer, peer->n_taken);
}

/* The next message becomes the one that is read. */
static void take(struct peer *peer)
{
	nng_msg *msg = arrival(peer, peer->n_taken++).msg;
	struct envelope_head head;

	head = envelope_read(&peer->reader, (struct bytes){ nng_msg_body(msg), nng_msg_len(msg) });
	if (head.sequence == 1) {
		peer->session = head.session;
		peer->sequence = 0;
		peer->n_answered = peer->n_taken - 1; /* those before are of a connection that is gone */
	}
	assert_true(head.session == peer->session);
}

void peer_wait_anew(struct peer *peer)
{
	uint64_t session = peer->session;

	while (peer->session == session)
		take(peer);
}

/* ── saying ──────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t *write_hello(uint8_t *out)
{
	Aside__Rpc__V1__Hello hello = ASIDE__RPC__V1__HELLO__INIT;
	Aside__Rpc__V1__Limits limits = ASIDE__RPC__V1__LIMITS__INIT;
	uint8_t packed[256];

	limits.stream_items = PEER_STREAM_ITEMS;
	limits.stream_bytes = PEER_STREAM_BYTES;
	hello.protocol_version = 1;
	hello.limits = &limits;
	struct frame frame = { .kind = FRAME_HELLO, .payload = { packed, aside__rpc__v1__hello__pack(&hello, packed) } };
	return envelope_frame_write(&frame, out);
}

void peer_say_bytes(struct peer *peer, const uint8_t *body, size_t size)
{
	nng_msg *msg;
	nng_aio *aio;

	nng_ctx ctx = arrival(peer, peer->n_answered++).ctx;
	assert_int_equal(nng_msg_alloc(&msg, 0), 0);
	assert_int_equal(nng_msg_append(msg, body, size), 0);
	assert_int_equal(nng_aio_alloc(&aio, NULL, NULL), 0);
	nng_aio_set_msg(aio, msg);
	nng_ctx_send(ctx, aio);
	nng_aio_wait(aio);
	assert_int_equal(nng_aio_result(aio), 0);
	nng_aio_free(aio);
}

void peer_say(struct peer *peer, const struct frame *frames, size_t n)
{
	static uint8_t body[1 << 20];
	struct envelope_head head;
	uint8_t *out;

	head = (struct envelope_head){ peer->session, ++peer->sequence };
	out = envelope_head_write(&head, body);
	if (peer->sequence == 1)
		out = write_hello(out);
	for (size_t i = 0; i < n; i++) {
		assert_true(envelope_frame_size(&frames[i]) < (size_t)(body + sizeof body - out));
		out = envelope_frame_write(&frames[i], out);
	}
	peer_say_bytes(peer, body, (size_t)(out - body));
}

static struct frame failure(uint64_t call_id, struct aside_status *status)
{
	static uint8_t packed[1024];
	struct frame frame = { .kind = FRAME_REPLY, .call_id = call_id, .code = (uint32_t)status->code };
	struct arena arena;

	arena_init(&arena, 65536);
	Aside__Rpc__V1__Status *wire = status_to_proto(status, &arena);
	assert_non_null(wire);
	frame.status = (struct bytes){ packed, aside__rpc__v1__status__pack(wire, packed) };
	arena_fini(&arena);
	return frame;
}

struct frame peer_reply(uint64_t call_id, enum aside_code code, bool not_executed, uint64_t retry_after_us)
{
	struct aside_status status;

	if (code == ASIDE_OK)
		return (struct frame){ .kind = FRAME_REPLY, .call_id = call_id };
	(void)fail(&status, code, "SCRIPTED", "as the test says");
	status.not_executed = not_executed;
	status.retry_after_us = retry_after_us;
	return failure(call_id, &status);
}

struct frame peer_drain(uint64_t call_id)
{
	struct aside_status status;

	(void)fail(&status, ASIDE_UNAVAILABLE, "DRAINING", "the server is shutting down");
	status.not_executed = true;
	return failure(call_id, &status);
}

/* ── hearing ─────────────────────────────────────────────────────────────────────────────────────── */

/* Does what every server does with HELLO and GOAWAY, and tells whether it was one. */
static bool manners(struct peer *peer)
{
	size_t most = peer->frame.kind == FRAME_GOAWAY ? peer->n_taken : peer->n_answered + 1;

	if (peer->frame.kind != FRAME_HELLO && peer->frame.kind != FRAME_GOAWAY)
		return false;
	while (peer->n_answered < most)
		peer_say(peer, NULL, 0);
	return true;
}

/* Goes on to the next frame, as far as messages have come; false: there is none yet. */
static bool advance(struct peer *peer)
{
	bool more = false;

	while (!peer->waits) {
		assert_int_equal(envelope_next(&peer->reader, &peer->frame, &more, NULL), ASIDE_OK);
		peer->waits = more && !manners(peer);
		if (more)
			continue;
		if (peer->n_taken > peer->n_answered + KEPT)
			peer_say(peer, NULL, 0);
		if (peer->n_taken == peer_arrived(peer))
			break;
		take(peer);
	}
	return peer->waits;
}

struct peer *peers_any(struct peer *peers, size_t n)
{
	struct timespec until = in_time();
	size_t seen, now = 0;
	int rv = 0;

	do {
		seen = now;
		for (size_t i = 0; i < n; i++)
			if (advance(&peers[i]))
				return &peers[i];
		pthread_mutex_lock(&mutex);
		for (;;) {
			now = 0;
			for (size_t i = 0; i < n; i++)
				now += peers[i].n_arrivals;
			if (now != seen || rv != 0)
				break;
			rv = pthread_cond_timedwait(&arrived, &mutex, &until);
		}
		pthread_mutex_unlock(&mutex);
	} while (rv == 0);
	fail_msg("nothing came in time");
	return NULL;
}

const struct frame *peer_hear(struct peer *peer, enum frame_kind kind)
{
	(void)peers_any(peer, 1);
	peer->waits = false;
	assert_int_equal(peer->frame.kind, kind);
	return &peer->frame;
}
