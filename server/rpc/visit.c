/* See visit.h. */
#include "visit.h"

#include "../log.h"
#include "dispatch.h"
#include "hello.h"
#include "server.h"
#include "stream.h"

#define FLUSH_FRAMES 128 /* of a long message: so that the peer has something to do meanwhile */
#define ROUNDS_MAX 64 /* then the others' turn */

static void handle_frame(struct session *session, const struct frame *frame)
{
	struct task *task;

	if (frame->kind == FRAME_CALL) {
		task_start(session, frame);
		return;
	}
	if (frame->kind == FRAME_GOAWAY && session->state == SESSION_OPEN) {
		session_leave(session, "the client has left");
		return;
	}
	if (frame->kind == FRAME_HELLO) {
		if (session->state == SESSION_OPEN)
			hello_answer(session, frame);
		return;
	}
	task = session_find_call(session, frame->call_id);
	if (task == NULL)
		return; /* it has ended; the peer did not know */
	if (frame->kind == FRAME_ITEM) {
		stream_item(task, frame);
	} else if (frame->kind == FRAME_CREDIT) {
		stream_credit(task, frame);
	} else if (frame->kind == FRAME_CANCEL) {
		struct aside_status cancelled;
		(void)fail(&cancelled, ASIDE_CANCELLED, "CANCELLED", "the caller cancelled the call");
		task_cancel(task, &cancelled);
	}
}

static void refuse_message(struct session *session, const struct aside_status *status)
{
	struct frame frame;
	struct arena arena;

	arena_init(&arena, MESSAGE_BYTES_MAX);
	dispatch_reply(NULL, status, &arena, &frame);
	frame.call_id = 0;
	session_put(session, &frame);
	arena_fini(&arena);
}

static void handle_frames(struct session *session, struct bytes body)
{
	struct envelope_reader reader;
	struct aside_status status;
	struct frame frame;
	bool more = true;

	(void)envelope_read(&reader, body);
	for (unsigned n = 1; more && session->state != SESSION_DEAD; n++) {
		if (n % FLUSH_FRAMES == 0)
			session_flush_early(session);
		if (envelope_next(&reader, &frame, &more, &status) != ASIDE_OK) {
			more = false;
			if (session->state == SESSION_PLAIN)
				refuse_message(session, &status);
			else /* whoever waits for what followed would wait for ever */
				session_break(session, "a frame that cannot be read");
		}
		if (more)
			handle_frame(session, &frame);
	}
}

static void handle_message(struct session *session, struct message *message)
{
	bool in_order = session->state == SESSION_PLAIN || message->sequence == session->next_in;

	session->next_in += session->number != 0;
	if (session->state == SESSION_PLAIN && !message_has_peer(message)) {
		session_kill(session); /* it has waited for a worker, its peer has not */
		turn_drop(message->turn);
	} else if (in_order) {
		session->received_us = message->received_us;
		session_park(session, message->turn, message->received_us);
		handle_frames(session, message->body);
	} else { /* a number twice, or one missing for good */
		session_refuse(message->turn, session->number, session->last_call_id, "a message is missing");
		session_break(session, "a message is missing");
	}
	message_free(message);
}

/* ── all calls of a session ──────────────────────────────────────────────────────────────────────── */

typedef void each_task(struct task *task, void *arg);

static void for_each_call(struct session *session, each_task *each, void *arg)
{
	for (size_t i = 0; i < session->n_chains; i++)
		for (struct task *task = session->calls[i], *next; task != NULL; task = next) {
			next = task->next_call;
			each(task, arg);
		}
}

static void tick_one(struct task *task, void *next_us)
{
	int64_t due_us = task_tick(task, task->session->now_us);

	if (due_us < *(int64_t *)next_us)
		*(int64_t *)next_us = due_us;
}

static void end_late_calls(struct session *session)
{
	int64_t next_us = INT64_MAX;

	if (session->next_deadline_us > session->now_us)
		return;
	for_each_call(session, tick_one, &next_us);
	session->next_deadline_us = next_us;
}

static void cancel_one(struct task *task, void *why)
{
	task_cancel(task, why);
}

static void end_stream(struct task *task, void *why)
{
	if (!aside_method_streams(task->call.method))
		return;
	if (task->call.handler->leaving != NULL && call_writable(&task->call))
		task->call.handler->leaving(&task->call);
	task_cancel(task, why);
}

/* ── signals ─────────────────────────────────────────────────────────────────────────────────────── */

/* Its peer is told to go elsewhere; streams end, so that they are resumed there; calls under way are answered. */
static void drain(struct session *session)
{
	struct frame goaway = { .kind = FRAME_GOAWAY, .last_call_id = session->last_call_id,
		.reason = { (const uint8_t *)"shutting down", 13 } };
	struct aside_status elsewhere;

	if (session->state != SESSION_OPEN || session->goaway != GOAWAY_NONE)
		return;
	session->goaway = GOAWAY_QUEUED;
	server_count_untold(session->server, 1);
	session_put(session, &goaway);
	(void)fail(&elsewhere, ASIDE_UNAVAILABLE, "DRAINING", "the server is shutting down");
	for_each_call(session, end_stream, &elsewhere);
}

static void bury(struct session *session)
{
	struct aside_status gone;

	session_kill(session);
	(void)fail(&gone, ASIDE_CANCELLED, "CONNECTION_LOST", "the peer is gone");
	for_each_call(session, cancel_one, &gone);
	server_forget(session);
}

static void tick(struct session *session)
{
	if (session->state == SESSION_DEAD)
		return;
	end_late_calls(session);
	if (session->state == SESSION_OPEN && !session_tick(session, session->now_us))
		session_kill(session);
}

/* Lets the session speak; calls whose replies have left are over. */
static void flush(struct session *session)
{
	struct task *task;

	session_flush(session);
	while ((task = session_next_stalled(session)) != NULL) {
		stream_unstalled(task);
		session_flush(session);
	}
	session_set_due(session);
	if (session->number == 0 && session->n_calls > 0)
		server_await(session);
	else if (session->number == 0)
		server_forget(session);
	session_count(session);
	if (session->goaway == GOAWAY_QUEUED && session->outbox_size == 0) {
		session->goaway = GOAWAY_SENT;
		server_count_untold(session->server, -1);
	}
	if (session->outbox_size > 0 || session->unsent == 0)
		return;
	admission_over(server_admission(session->server), session->unsent);
	session->unsent = 0;
}

void visit(struct session *session)
{
	struct mail mail;
	unsigned rounds = 0;

	log_hold();
	while (session_take_mail(session, &mail)) {
		session->now_us = clock_monotonic_us();
		session->realtime_us = clock_realtime_us();
		for (struct task *task = mail.tasks, *next; task != NULL; task = next) {
			next = task->next;
			task_news(task);
		}
		if (mail.signals & SIGNAL_GONE)
			session_kill(session);
		if (mail.signals & SIGNAL_DRAIN)
			drain(session);
		if (mail.message != NULL)
			handle_message(session, mail.message);
		if (mail.signals & SIGNAL_TICK) /* after the message: a peer that has just spoken is not silent */
			tick(session);
		if (session->state == SESSION_DEAD)
			bury(session);
		if (!session_has_mail(session))
			flush(session);
		if (++rounds == ROUNDS_MAX) {
			flush(session);
			log_release();
			server_visit_later(session);
			return;
		}
	}
	log_release();
	session_release(session);
}
