/* See session.h. */
#include "session.h"

#include <string.h>

#include "../log.h"
#include "server.h"
#include "task.h"

#define CHAINS_MIN 16

struct session *session_new(struct server *server, enum session_state state, uint64_t number, uint32_t connection,
		int64_t now_us)
{
	struct session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return NULL;
	pthread_mutex_init(&session->mutex, NULL);
	session->references = 1;
	session->server = server;
	session->state = state;
	session->number = number;
	session->connection = connection;
	session->tasks_tail = &session->tasks;
	session->stalled_tail = &session->stalled;
	session->next_deadline_us = INT64_MAX;
	session->due_us = now_us + SILENCE_US;
	session->next_in = session->next_out = number != 0;
	session->last_turn_us = now_us;
	return session;
}

void session_retain(struct session *session)
{
	atomic_fetch_add(&session->references, 1);
}

void session_release(struct session *session)
{
	if (atomic_fetch_sub(&session->references, 1) > 1)
		return;
	session_kill(session);
	if (session->counted_bytes > 0)
		server_keep(session->server, session->connection, -(int64_t)session->counted_bytes);
	pthread_mutex_destroy(&session->mutex);
	free(session->credentials);
	free(session->outbox);
	free(session->calls);
	free(session);
}

/* ── mail ────────────────────────────────────────────────────────────────────────────────────────── */

/* With the mutex held: whether the caller is the one to visit. */
static bool must_visit(struct session *session)
{
	bool must = !session->visited;

	session->visited = true;
	if (must)
		session_retain(session);
	return must;
}

bool session_mail_message(struct session *session, struct message *message)
{
	struct message **at = &session->messages;

	pthread_mutex_lock(&session->mutex);
	while (*at != NULL && (*at)->sequence <= message->sequence)
		at = &(*at)->next;
	message->next = *at;
	*at = message;
	session->n_messages++;
	bool must = must_visit(session);
	pthread_mutex_unlock(&session->mutex);
	return must;
}

bool session_mail_task(struct session *session, struct task *task, unsigned news)
{
	pthread_mutex_lock(&session->mutex);
	if (task->mail == 0) {
		task->next = NULL;
		*session->tasks_tail = task;
		session->tasks_tail = &task->next;
	}
	task->mail |= news;
	bool must = must_visit(session);
	pthread_mutex_unlock(&session->mutex);
	return must;
}

bool session_mail_signal(struct session *session, unsigned signals)
{
	pthread_mutex_lock(&session->mutex);
	session->signals |= signals;
	bool must = must_visit(session);
	pthread_mutex_unlock(&session->mutex);
	return must;
}

/* With the mutex held: the next message in sequence, or one that will never be. */
static bool has_message(const struct session *session)
{
	return session->messages != NULL &&
			(session->messages->sequence <= session->next_in || session->n_messages > TURNS_MAX);
}

bool session_has_mail(struct session *session)
{
	pthread_mutex_lock(&session->mutex);
	bool has = has_message(session) || session->tasks != NULL || session->signals != 0;
	pthread_mutex_unlock(&session->mutex);
	return has;
}

bool session_take_mail(struct session *session, struct mail *ret)
{
	*ret = (struct mail){ 0 };
	pthread_mutex_lock(&session->mutex);
	if (has_message(session)) {
		ret->message = session->messages;
		session->messages = ret->message->next;
		session->n_messages--;
	}
	ret->tasks = session->tasks;
	ret->signals = session->signals;
	session->tasks = NULL;
	session->tasks_tail = &session->tasks;
	session->signals = 0;
	for (struct task *task = ret->tasks; task != NULL; task = task->next) {
		task->news = task->mail;
		task->mail = 0;
	}
	bool any = ret->message != NULL || ret->tasks != NULL || ret->signals != 0;
	session->visited = any;
	pthread_mutex_unlock(&session->mutex);
	return any;
}

/* ── turns and frames ────────────────────────────────────────────────────────────────────────────── */

static void end_turn(struct session *session, struct turn *turn)
{
	if (session->broken != NULL)
		session_refuse(turn, session->number, session->last_call_id, session->broken);
	else
		turn_drop(turn);
}

/* Every turn it has, and those that have just come or will never be in sequence. */
static void end_turns(struct session *session)
{
	for (; session->n_turns > 0; session->n_turns--) {
		struct turn *turn = session->turns[session->first_turn];
		session->first_turn = (session->first_turn + 1) % TURNS_MAX;
		end_turn(session, turn);
	}
	pthread_mutex_lock(&session->mutex);
	struct message *messages = session->messages;
	session->messages = NULL;
	session->n_messages = 0;
	pthread_mutex_unlock(&session->mutex);
	while (messages != NULL) {
		struct message *message = messages;
		messages = message->next;
		end_turn(session, message->turn);
		message_free(message);
	}
}

void session_kill(struct session *session)
{
	session->state = SESSION_DEAD;
	session->outbox_size = 0;
	end_turns(session);
}

void session_leave(struct session *session, const char *why)
{
	session->broken = why;
	session_kill(session);
}

void session_break(struct session *session, const char *why)
{
	if (session->state != SESSION_DEAD)
		log_info("event=session_broken connection=%u message=\"%s\"", session->connection, why);
	session_leave(session, why);
}

void session_refuse(struct turn *turn, uint64_t number, uint64_t last_call_id, const char *why)
{
	struct frame goaway = { .kind = FRAME_GOAWAY, .last_call_id = last_call_id,
		.reason = { (const uint8_t *)why, strlen(why) } };
	struct envelope_head head = { number, 0 };
	uint8_t written[ENVELOPE_HEAD_MAX], *body;
	size_t head_size = (size_t)(envelope_head_write(&head, written) - written);
	void *reply = transport_reply_new(head_size + envelope_frame_size(&goaway), &body);

	if (reply == NULL) {
		turn_drop(turn);
		return;
	}
	memcpy(body, written, head_size);
	(void)envelope_frame_write(&goaway, body + head_size);
	transport_send(turn, reply);
}

void session_park(struct session *session, struct turn *turn, int64_t now_us)
{
	if (session->state == SESSION_DEAD) {
		session_refuse(turn, session->number, session->last_call_id, "the session has ended");
		return;
	}
	if (session->n_turns == TURNS_MAX) {
		session_refuse(turn, session->number, session->last_call_id, "too many requests outstanding");
		session_break(session, "too many requests outstanding");
		return;
	}
	unsigned at = (session->first_turn + session->n_turns++) % TURNS_MAX;
	session->turns[at] = turn;
	session->parked_at_us[at] = now_us;
	session->last_turn_us = now_us;
}

static bool reserve(struct session *session, size_t size)
{
	size_t room = (session->outbox_size + size) * 2;
	uint8_t *grown;

	if (session->outbox_room >= session->outbox_size + size)
		return true;
	grown = realloc(session->outbox, room);
	if (grown == NULL)
		return false;
	session->outbox = grown;
	session->outbox_room = room;
	session_count(session);
	return true;
}

static void append(struct session *session, const struct frame *frame)
{
	size_t size = envelope_frame_size(frame);

	if (session->state == SESSION_DEAD)
		return;
	if (size > OUTBOX_MAX - session->outbox_size) {
		session_break(session, "replies that are not fetched");
		return;
	}
	if (!reserve(session, size)) {
		session_kill(session);
		return;
	}
	(void)envelope_frame_write(frame, session->outbox + session->outbox_size);
	session->outbox_size += size;
}

void session_put(struct session *session, const struct frame *frame)
{
	append(session, frame);
	session->has_replies = true;
}

void session_put_refusal(struct session *session, const struct frame *frame)
{
	append(session, frame);
}

/* Uses up one turn for as much of the outbox as fits; a plain peer's one turn for all of it. */
static void speak(struct session *session)
{
	struct envelope_head head = { session->number, session->next_out };
	uint8_t written[ENVELOPE_HEAD_MAX], *body = NULL;
	size_t head_size = (size_t)(envelope_head_write(&head, written) - written);
	size_t most = session->state == SESSION_PLAIN ? OUTBOX_MAX : OUTBOX_BYTES_MAX;
	size_t size = envelope_fitting(session->outbox, session->outbox_size, most);
	void *reply = transport_reply_new(head_size + size, &body);

	if (reply == NULL) {
		session_kill(session);
		return;
	}
	memcpy(body, written, head_size);
	if (size > 0)
		memcpy(body + head_size, session->outbox, size);
	session->outbox_size -= size;
	if (session->outbox_size > 0)
		memmove(session->outbox, session->outbox + size, session->outbox_size);
	session->next_out += session->number != 0;
	if (session->has_replies)
		session->replied_at_us = session->now_us;
	session->has_replies = session->has_replies && session->outbox_size > 0;
	struct turn *turn = session->turns[session->first_turn];
	session->first_turn = (session->first_turn + 1) % TURNS_MAX;
	session->n_turns--;
	transport_send(turn, reply);
}

/* The outbox waits for the next reply, which is not far: see REFUSALS_WAIT_US. */
static bool waits(const struct session *session)
{
	return session->outbox_size > 0 && session->outbox_size < OUTBOX_STREAMS_MAX / 2 && !session->has_replies &&
			session->n_submitted > 0 && session->now_us - session->replied_at_us < REFUSALS_WAIT_US;
}

void session_flush(struct session *session)
{
	if (waits(session))
		return;
	if (session->state == SESSION_PLAIN && session->n_calls == 0 && session->n_turns > 0)
		speak(session);
	while (session->state == SESSION_OPEN && session->n_turns > 0 &&
			(session->outbox_size > 0 || session->n_turns > PARKED_MAX))
		speak(session);
	if (session->outbox_size > 0 || session->outbox_room <= OUTBOX_KEPT_MAX)
		return;
	free(session->outbox);
	session->outbox = NULL;
	session->outbox_room = 0;
}

void session_flush_early(struct session *session)
{
	if (session->state == SESSION_OPEN && session->n_turns > 1 && session->outbox_size > 0 && !waits(session))
		speak(session);
}

void session_count(struct session *session)
{
	size_t base = session->number != 0 ? SESSION_BYTES : 0, more = session->task_bytes + session->outbox_room;
	int64_t change = (int64_t)(base + more) - (int64_t)session->counted_bytes;

	if (change > -COUNT_STEP_BYTES && change < COUNT_STEP_BYTES)
		return;
	session->counted_bytes += (size_t)change;
	server_keep(session->server, session->connection, change);
}

bool session_tick(struct session *session, int64_t now_us)
{
	while (session->state == SESSION_OPEN && session->n_turns > 0 &&
			now_us - session->parked_at_us[session->first_turn] >= HEARTBEAT_US)
		speak(session);
	return session->n_turns > 0 || now_us - session->last_turn_us < SILENCE_US;
}

void session_set_due(struct session *session)
{
	int64_t due_us = session->n_turns > 0 ? session->parked_at_us[session->first_turn] + HEARTBEAT_US :
						session->last_turn_us + SILENCE_US;

	if (session->state == SESSION_PLAIN)
		due_us = INT64_MAX;
	else if (waits(session))
		due_us = session->replied_at_us + REFUSALS_WAIT_US;
	session->due_us = due_us < session->next_deadline_us ? due_us : session->next_deadline_us;
}

/* ── calls under way ─────────────────────────────────────────────────────────────────────────────── */

static struct task **chain_of(const struct session *session, uint64_t call_id)
{
	return &session->calls[call_id & (session->n_chains - 1)];
}

/* Twice as many chains. */
static bool grow(struct session *session)
{
	size_t n = session->n_chains > 0 ? session->n_chains * 2 : CHAINS_MIN;
	struct task **grown = calloc(n, sizeof *grown);

	if (grown == NULL)
		return false;
	for (size_t i = 0; i < session->n_chains; i++)
		while (session->calls[i] != NULL) {
			struct task *task = session->calls[i];
			session->calls[i] = task->next_call;
			task->next_call = grown[task->call_id & (n - 1)];
			grown[task->call_id & (n - 1)] = task;
		}
	free(session->calls);
	session->calls = grown;
	session->n_chains = n;
	return true;
}

struct task *session_find_call(const struct session *session, uint64_t call_id)
{
	struct task *task = session->n_chains > 0 ? *chain_of(session, call_id) : NULL;

	while (task != NULL && task->call_id != call_id)
		task = task->next_call;
	return task;
}

bool session_add_call(struct session *session, struct task *task)
{
	pthread_mutex_lock(&session->mutex);
	bool room = session->n_calls < session->n_chains || grow(session);
	if (room) {
		task->next_call = *chain_of(session, task->call_id);
		*chain_of(session, task->call_id) = task;
		session->n_calls++;
	}
	pthread_mutex_unlock(&session->mutex);
	return room;
}

void session_remove_call(struct session *session, struct task *task)
{
	struct task **at = chain_of(session, task->call_id);

	while (*at != task)
		at = &(*at)->next_call;
	pthread_mutex_lock(&session->mutex);
	*at = task->next_call;
	session->n_calls--;
	pthread_mutex_unlock(&session->mutex);
}

void session_stall(struct session *session, struct task *task)
{
	if (task->stalled)
		return;
	task->stalled = true;
	task->next_stalled = NULL;
	*session->stalled_tail = task;
	session->stalled_tail = &task->next_stalled;
}

void session_unstall(struct session *session, struct task *task)
{
	struct task **at = &session->stalled;

	if (!task->stalled)
		return;
	while (*at != task)
		at = &(*at)->next_stalled;
	*at = task->next_stalled;
	if (*at == NULL)
		session->stalled_tail = at;
	task->stalled = false;
}

struct task *session_next_stalled(struct session *session)
{
	struct task *task = session->outbox_size < OUTBOX_STREAMS_MAX / 2 ? session->stalled : NULL;

	if (task != NULL)
		session_unstall(session, task);
	return task;
}
