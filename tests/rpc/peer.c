/* See peer.h.  The functions of rpc/transport.h stand here. */
#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aside/rpc/v1/envelope.pb-c.h"
#include "log.h"
#include "wire/status.h"

#define WAIT_SECONDS 10

/* A reply on its way, or read. */
struct answer {
	uint32_t connection;
	struct answer *next;
	size_t size;
	uint8_t bytes[];
};

struct turn {
	uint32_t connection;
};

static struct transport {
	struct transport_events events;
	pthread_mutex_t mutex;
	pthread_cond_t answered;
	struct answer *answers;
	unsigned parked[256]; /* by connection, in turn */
	unsigned cuts[256];   /* by connection */
	uint32_t hidden;      /* a connection */
} transport = { .mutex = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER };

static uint32_t last_connection;
static struct auth *auth;

/* ── time ────────────────────────────────────────────────────────────────────────────────────────── */

static atomic_llong slept_us;
static atomic_llong stopped_us; /* when time was stopped; 0: it goes on */
static _Thread_local int64_t delay_us; /* from the next look at the clock on */

static int64_t read_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + slept_us;
}

int64_t clock_monotonic_us(void)
{
	int64_t stopped = stopped_us, now_us = stopped != 0 ? stopped : read_us(CLOCK_MONOTONIC);

	slept_us += delay_us;
	delay_us = 0;
	return now_us;
}

int64_t clock_realtime_us(void)
{
	return read_us(CLOCK_REALTIME);
}

void peer_sleep(struct server *server, int64_t us)
{
	slept_us += us;
	server_tick(server);
}

void peer_stop_time(bool stop)
{
	stopped_us = stop ? clock_monotonic_us() : 0;
}

void peer_delay(int64_t us)
{
	delay_us = us;
}

/* ── memory that runs out (the linker's --wrap) ──────────────────────────────────────────────────── */

static unsigned armed;
static _Thread_local unsigned countdown;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

static bool fails(void)
{
	return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
	return fails() ? NULL : __real_realloc(pointer, size);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

unsigned peer_fail_nth(unsigned nth)
{
	unsigned left = armed;

	armed = nth;
	return left;
}

/* ── the transport ───────────────────────────────────────────────────────────────────────────────── */

enum aside_code transport_open(const struct transport_events *events, const char *const *origins, struct transport **ret,
		struct aside_status *err)
{
	(void)origins;
	(void)err;
	transport.events = *events;
	*ret = &transport;
	return ASIDE_OK;
}

enum aside_code transport_listen(struct transport *self, const char *url, const struct listen_options *options, char *ret_url,
		size_t size, struct aside_status *err)
{
	(void)self;
	(void)options;
	(void)err;
	(void)snprintf(ret_url, size, "%s", url);
	return ASIDE_OK;
}

enum aside_code transport_start(struct transport *self, struct aside_status *err)
{
	(void)self;
	(void)err;
	return ASIDE_OK;
}

int64_t message_peer_uid(const struct message *message)
{
	(void)message;
	return -1;
}

void *transport_reply_new(size_t size, uint8_t **ret_body)
{
	struct answer *answer = calloc(1, sizeof *answer + size);

	if (answer == NULL)
		return NULL;
	answer->size = size;
	*ret_body = answer->bytes;
	return answer;
}

static void use_up(struct turn *turn)
{
	transport.parked[turn->connection % N_OF(transport.parked)]--;
	pthread_cond_broadcast(&transport.answered);
	free(turn);
}

void transport_send(struct turn *turn, void *reply)
{
	struct answer *answer = reply, **at = &transport.answers;

	answer->connection = turn->connection;
	pthread_mutex_lock(&transport.mutex);
	while (*at != NULL)
		at = &(*at)->next;
	*at = answer;
	use_up(turn);
	pthread_mutex_unlock(&transport.mutex);
}

void turn_drop(struct turn *turn)
{
	pthread_mutex_lock(&transport.mutex);
	use_up(turn);
	pthread_mutex_unlock(&transport.mutex);
}

bool message_has_peer(const struct message *message)
{
	(void)message;
	return true;
}

void transport_cut(struct transport *self, uint32_t connection)
{
	pthread_mutex_lock(&self->mutex);
	self->cuts[connection % N_OF(self->cuts)]++;
	bool found = connection != self->hidden;
	pthread_mutex_unlock(&self->mutex);
	if (found)
		self->events.left(self->events.user, connection);
}

void message_free(struct message *message)
{
	free(message->handle);
	free(message);
}

void transport_stop(struct transport *self)
{
	(void)self;
}

void transport_close(struct transport *self)
{
	while (self != NULL && self->answers != NULL) {
		struct answer *answer = self->answers;
		self->answers = answer->next;
		free(answer);
	}
}

/* ── the server ──────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code no_store(void *store, struct op *op, struct aside_status *err)
{
	(void)store;
	(void)op;
	return fail(err, ASIDE_UNAVAILABLE, "NO_STORE", "there is no store");
}

struct server *peer_server(const struct handlers *const *handlers, server_submit *submit)
{
	struct server_options options = { .handlers = handlers, .submit = submit != NULL ? submit : no_store,
		.kept_bytes_max = PEER_KEPT_BYTES_MAX };
	struct auth_options nobody = { 0 };
	struct server *server = NULL;
	struct aside_status err;

	log_init(LOG_WARNING);
	if (auth_open(&nobody, &auth, &err) != ASIDE_OK)
		fail_msg("%s", err.message);
	options.auth = auth;
	if (server_open(&options, &server, &err) != ASIDE_OK || server_start(server, &err) != ASIDE_OK)
		fail_msg("%s", err.message);
	return server;
}

void peer_server_close(struct server *server)
{
	server_close(server);
	auth_close(auth);
	auth = NULL;
}

/* ── the peer ────────────────────────────────────────────────────────────────────────────────────── */

void peer_init(struct peer *peer, uint64_t session)
{
	*peer = (struct peer){ .connection = ++last_connection, .session = session, .next_out = 1, .next_in = 1 };
}

void peer_fini(struct peer *peer)
{
	free(peer->reading);
	free(peer->draft);
	*peer = (struct peer){ 0 };
}

void peer_leave(struct peer *peer)
{
	transport.events.left(transport.events.user, peer->connection);
}

/* Room for so many bytes more. */
static uint8_t *lengthen(struct peer *peer, size_t size)
{
	if (peer->draft_size + size > peer->draft_room) {
		peer->draft_room = (peer->draft_size + size) * 2;
		peer->draft = realloc(peer->draft, peer->draft_room);
		assert_non_null(peer->draft);
	}
	peer->draft_size += size;
	return peer->draft + peer->draft_size - size;
}

void peer_put(struct peer *peer, const struct frame *frame)
{
	(void)envelope_frame_write(frame, lengthen(peer, envelope_frame_size(frame)));
}

void peer_put_bytes(struct peer *peer, struct bytes bytes)
{
	memcpy(lengthen(peer, bytes.size), bytes.data, bytes.size);
}

static void put_message(struct peer *peer, struct frame *frame, const ProtobufCMessage *message)
{
	size_t size = message != NULL ? protobuf_c_message_get_packed_size(message) : 0;
	uint8_t *packed = malloc(size + 1);

	assert_non_null(packed);
	if (message != NULL)
		frame->payload = (struct bytes){ packed, protobuf_c_message_pack(message, packed) };
	peer_put(peer, frame);
	free(packed);
}

void peer_put_hello(struct peer *peer, uint32_t stream_items, uint64_t stream_bytes)
{
	Aside__Rpc__V1__Hello hello = ASIDE__RPC__V1__HELLO__INIT;
	Aside__Rpc__V1__Limits limits = ASIDE__RPC__V1__LIMITS__INIT;

	limits.stream_items = stream_items;
	limits.stream_bytes = stream_bytes;
	hello.protocol_version = 1;
	hello.limits = &limits;
	put_message(peer, &(struct frame){ .kind = FRAME_HELLO }, &hello.base);
}

void peer_put_call(struct peer *peer, uint64_t call_id, const char *method, const ProtobufCMessage *request)
{
	struct frame frame = { .call_id = call_id, .kind = FRAME_CALL, .method = { (const uint8_t *)method, strlen(method) } };

	put_message(peer, &frame, request);
}

void peer_put_item(struct peer *peer, uint64_t call_id, const ProtobufCMessage *item)
{
	put_message(peer, &(struct frame){ .call_id = call_id, .kind = FRAME_ITEM }, item);
}

void peer_put_kind(struct peer *peer, uint64_t call_id, enum frame_kind kind)
{
	peer_put(peer, &(struct frame){ .call_id = call_id, .kind = kind, .end = kind == FRAME_ITEM });
}

void peer_send_bytes(struct peer *peer, struct bytes bytes)
{
	struct message *message = calloc(1, sizeof *message);
	struct turn *turn = calloc(1, sizeof *turn);
	uint8_t *copy = malloc(bytes.size + 1);

	assert_true(message != NULL && turn != NULL && copy != NULL);
	if (bytes.size > 0)
		memcpy(copy, bytes.data, bytes.size);
	turn->connection = peer->connection;
	*message = (struct message){ .turn = turn, .connection = peer->connection, .body = { copy, bytes.size }, .handle = copy };
	pthread_mutex_lock(&transport.mutex);
	transport.parked[peer->connection % N_OF(transport.parked)]++;
	pthread_mutex_unlock(&transport.mutex);
	countdown = armed;
	transport.events.received(transport.events.user, message);
	armed = countdown;
	countdown = 0;
}

void peer_send(struct peer *peer)
{
	struct envelope_head head = { peer->session, peer->session != 0 ? peer->next_out++ : 0 };
	uint8_t *whole = malloc(ENVELOPE_HEAD_MAX + peer->draft_size), *end;

	assert_non_null(whole);
	end = envelope_head_write(&head, whole);
	if (peer->draft_size > 0)
		memcpy(end, peer->draft, peer->draft_size);
	end += peer->draft_size;
	peer->draft_size = 0;
	peer_send_bytes(peer, (struct bytes){ whole, (size_t)(end - whole) });
	free(whole);
}

/* With the mutex held: where the next answer for this peer is; NULL there: nowhere. */
static struct answer **find_answer(const struct peer *peer)
{
	struct answer **at = &transport.answers;

	while (*at != NULL && (*at)->connection != peer->connection)
		at = &(*at)->next;
	return at;
}

/* The same, taken out. */
static struct answer *take_answer(const struct peer *peer)
{
	struct answer **at = find_answer(peer), *answer = *at;

	if (answer != NULL)
		*at = answer->next;
	return answer;
}

/* Begins to read the next answer, in sequence. */
static bool read_answer(struct peer *peer)
{
	pthread_mutex_lock(&transport.mutex);
	struct answer *answer = take_answer(peer);
	pthread_mutex_unlock(&transport.mutex);
	if (answer == NULL)
		return false;
	free(peer->reading);
	peer->reading = answer;
	struct envelope_head head = envelope_read(&peer->reader, (struct bytes){ answer->bytes, answer->size });
	assert_true(head.session == peer->session);
	if (head.sequence != 0)
		assert_true(head.sequence == peer->next_in++);
	return true;
}

bool peer_next(struct peer *peer, struct frame *ret)
{
	bool more = false;

	do
		if (peer->reading != NULL)
			assert_int_equal(envelope_next(&peer->reader, ret, &more, NULL), ASIDE_OK);
	while (!more && read_answer(peer));
	return more;
}

/* Until there is an answer to read: whatever others have not read is none. */
static void wait_for_answer(const struct peer *peer)
{
	struct timespec until;
	int rv = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&transport.mutex);
	while (*find_answer(peer) == NULL && rv == 0)
		rv = pthread_cond_timedwait(&transport.answered, &transport.mutex, &until);
	pthread_mutex_unlock(&transport.mutex);
	assert_int_equal(rv, 0);
}

void peer_wait(struct peer *peer, struct frame *ret)
{
	while (!peer_next(peer, ret))
		wait_for_answer(peer);
}

struct bytes peer_wait_bytes(struct peer *peer)
{
	while (!read_answer(peer))
		wait_for_answer(peer);
	return (struct bytes){ peer->reading->bytes, peer->reading->size };
}

void peer_hide(const struct peer *peer)
{
	pthread_mutex_lock(&transport.mutex);
	transport.hidden = peer->connection;
	pthread_mutex_unlock(&transport.mutex);
}

unsigned peer_cuts(const struct peer *peer)
{
	pthread_mutex_lock(&transport.mutex);
	unsigned cuts = transport.cuts[peer->connection % N_OF(transport.cuts)];
	pthread_mutex_unlock(&transport.mutex);
	return cuts;
}

unsigned peer_parked(const struct peer *peer)
{
	pthread_mutex_lock(&transport.mutex);
	unsigned parked = transport.parked[peer->connection % N_OF(transport.parked)];
	pthread_mutex_unlock(&transport.mutex);
	return parked;
}

void peer_wait_parked(const struct peer *peer, unsigned most)
{
	pthread_mutex_lock(&transport.mutex);
	while (transport.parked[peer->connection % N_OF(transport.parked)] > most)
		pthread_cond_wait(&transport.answered, &transport.mutex);
	pthread_mutex_unlock(&transport.mutex);
}
