/* See session.h. */
#include "session.h"

#include <string.h>

struct session *session_new(struct transport *transport, enum session_state state, const struct message *message,
		int64_t now_us)
{
	struct session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return NULL;
	pthread_mutex_init(&session->mutex, NULL);
	session->state = state;
	session->references = 1;
	session->transport = transport;
	session->key = turn_key(&message->turn);
	session->connection = turn_connection(&message->turn);
	session->peer_uid = message->peer_uid;
	session->turns[0] = message->turn;
	session->parked_at_us[0] = now_us;
	session->last_turn_us = now_us;
	session->n_turns = 1;
	return session;
}

void session_retain(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	session->references++;
	pthread_mutex_unlock(&session->mutex);
}

void session_release(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	unsigned left = --session->references;
	pthread_mutex_unlock(&session->mutex);
	if (left > 0)
		return;
	pthread_mutex_destroy(&session->mutex);
	free(session->outbox);
	free(session);
}

bool session_park(struct session *session, const struct turn *turn, int64_t now_us)
{
	pthread_mutex_lock(&session->mutex);
	bool room = session->n_turns < TURNS_MAX;
	if (room) {
		unsigned at = (session->first_turn + session->n_turns++) % TURNS_MAX;
		session->turns[at] = *turn;
		session->parked_at_us[at] = now_us;
		session->last_turn_us = now_us;
	}
	pthread_mutex_unlock(&session->mutex);
	return room;
}

/* With the mutex held. */
static void die(struct session *session)
{
	session->state = SESSION_DEAD;
	session->outbox_size = 0;
	session->n_turns = 0;
}

/* With the mutex held: room for `size` more bytes. */
static bool reserve(struct session *session, size_t size)
{
	size_t room = (session->outbox_room + size) * 2;
	uint8_t *grown;

	if (session->outbox_room - session->outbox_size >= size)
		return true;
	grown = realloc(session->outbox, room);
	if (grown == NULL)
		return false;
	session->outbox = grown;
	session->outbox_room = room;
	return true;
}

void session_put(struct session *session, const struct frame *frame)
{
	size_t size = envelope_frame_size(frame);

	pthread_mutex_lock(&session->mutex);
	if (session->state == SESSION_DEAD) {
		pthread_mutex_unlock(&session->mutex);
		return;
	}
	if (reserve(session, size)) {
		(void)envelope_frame_write(frame, session->outbox + session->outbox_size);
		session->outbox_size += size;
	} else {
		die(session);
	}
	pthread_mutex_unlock(&session->mutex);
}

/* How much of the outbox fits one message: whole frames, at least one. */
static size_t fitting(const struct session *session)
{
	size_t used = 0;

	if (session->outbox_size <= OUTBOX_BYTES_MAX)
		return session->outbox_size;
	while (used < session->outbox_size) {
		const uint8_t *p = session->outbox + used + 1; /* tag */
		size_t size = 0;
		unsigned shift = 0;
		do {
			size |= (size_t)(*p & 0x7F) << shift;
			shift += 7;
		} while (*p++ >= 0x80);
		size += (size_t)(p - (session->outbox + used));
		if (used > 0 && used + size > OUTBOX_BYTES_MAX)
			break;
		used += size;
	}
	return used;
}

/* With the mutex held: uses up one turn for `size` bytes of the outbox. */
static void speak(struct session *session, size_t size)
{
	uint8_t *body = NULL;
	void *reply = transport_reply_new(size, &body);

	if (reply == NULL) {
		die(session);
		return;
	}
	if (size > 0)
		memcpy(body, session->outbox, size);
	session->outbox_size -= size;
	if (session->outbox_size > 0)
		memmove(session->outbox, session->outbox + size, session->outbox_size);
	struct turn turn = session->turns[session->first_turn];
	session->first_turn = (session->first_turn + 1) % TURNS_MAX;
	session->n_turns--;
	transport_send(session->transport, &turn, reply);
}

void session_flush(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	if (session->state == SESSION_PLAIN && session->n_calls == 0 && session->n_turns > 0)
		speak(session, fitting(session));
	while (session->state == SESSION_OPEN && session->n_turns > 0 && session->outbox_size > 0)
		speak(session, fitting(session));
	pthread_mutex_unlock(&session->mutex);
}

bool session_tick(struct session *session, int64_t now_us)
{
	pthread_mutex_lock(&session->mutex);
	while (session->state == SESSION_OPEN && session->n_turns > 0 &&
			now_us - session->parked_at_us[session->first_turn] >= HEARTBEAT_US)
		speak(session, fitting(session));
	bool alive = session->state != SESSION_DEAD &&
			(session->n_turns > 0 || now_us - session->last_turn_us < SILENCE_US);
	pthread_mutex_unlock(&session->mutex);
	return alive;
}

void session_begin_call(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	session->n_calls++;
	pthread_mutex_unlock(&session->mutex);
}

void session_end_call(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	session->n_calls--;
	pthread_mutex_unlock(&session->mutex);
}

void session_kill(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	die(session);
	pthread_mutex_unlock(&session->mutex);
}
