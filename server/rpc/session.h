/* A session: one peer's calls, the frames it is owed and the turns in which they may leave.
 *
 *     plain    made for one message without a session number; its one turn waits until all its calls have ended
 *     open     after HELLO: frames leave with any parked turn, in the order in which they were queued
 *     dead     its connection is gone, or it broke the rules: frames are dropped, calls are cancelled
 *
 *           HELLO            gone, silent, rules broken
 *     ∅ ──────────▶ OPEN ─────────────────────────────▶ DEAD
 *     ∅ ──────────▶ PLAIN ──answered──▶ freed with its last task
 *
 * Threads leave *mail* (messages, tasks that go on, signals), and one of them at a time *visits* the session and
 * handles all of it: so the rest of a session needs no lock, frames keep their order, and what finished together
 * leaves together.  Counted by reference: the table holds one, each task one, a visit one.  A plain session is in the
 * table only while its calls wait for the store. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "auth.h"
#include "call.h"
#include "transport.h"
#include "wire/envelope.h"

#define TURNS_MAX 32
/* Turns kept with nothing to say.  The others go back empty (unless refusals wait), so that the client may send what it has
 * queued. */
#define PARKED_MAX 2
#define HEARTBEAT_US 20000000ll
#define SILENCE_US 60000000ll
#define OUTBOX_BYTES_MAX (1u << 20) /* frames beyond this go in the next message */
/* With more than this to send, streams must wait. */
#define OUTBOX_STREAMS_MAX (1u << 20)
/* With more than this, replies alone, the peer only asks and never listens: it loses its session. */
#define OUTBOX_MAX (64u << 20)
#define OUTBOX_KEPT_MAX 16384 /* of its memory, while there is nothing to send */
/* What shed.c refuses leaves with the session's next reply, where a call waits for the store and the last reply was no longer
 * ago than this; at the latest with the next tick.  A message costs as much as many refusals, and a peer that is not
 * answered at once has more to say the next time. */
#define REFUSALS_WAIT_US 20000
/* Those of calls that have no more time than this do not wait: their callers would not hear that nothing was done. */
#define REFUSALS_HASTE_US 2000000
#define SESSION_BYTES 2048    /* what one costs, at least */
#define COUNT_STEP_BYTES 16384 /* what it keeps beyond is counted in steps of about this */
/* Credit with which the peer's streams begin; given back as items are handled. */
#define STREAM_ITEMS 64
#define STREAM_BYTES (256 * 1024)
#define CONFLICTS_MAX 256 /* methods */

struct server;
struct task;

enum session_state {
	SESSION_PLAIN,
	SESSION_OPEN,
	SESSION_DEAD,
};

/* Whether its peer knows that the server leaves. */
enum session_goaway {
	GOAWAY_NONE,
	GOAWAY_QUEUED, /* it waits for a turn */
	GOAWAY_SENT,
};

/* Signals: mail without content. */
enum {
	SIGNAL_GONE = 1 << 0,  /* its connection is */
	SIGNAL_TICK = 1 << 1,  /* due_us has passed */
	SIGNAL_DRAIN = 1 << 2, /* tell it to go away, end its streams */
};

struct session {
	atomic_uint references;
	struct server *server;
	uint64_t number; /* the client's; 0: plain */
	uint32_t connection;
	struct session *next, **place; /* in the server's table, under its mutex */
	struct session *next_queued; /* with the workers */

	/* Mail, under the mutex. */
	pthread_mutex_t mutex;
	struct message *messages; /* by sequence */
	unsigned n_messages;
	struct task *tasks, **tasks_tail;
	unsigned signals;
	bool visited; /* somebody is on the way, or here */

	/* The visitor's alone. */
	enum session_state state;
	bool in_table;
	int64_t now_us, realtime_us; /* when this round of the visit began */
	int64_t received_us;         /* when its message came */
	uint64_t next_in, next_out; /* sequence numbers */
	struct principal principal; /* from HELLO or the ipc peer; changed under the mutex */
	struct credentials *credentials; /* of HELLO; NULL: none */
	char refused[48], refused_why[80]; /* HELLO's credentials, and so the session's calls: reason and message; "" otherwise */
	const char *broken; /* which rule its peer broke; NULL: none */
	uint64_t conflicts[CONFLICTS_MAX / 64]; /* methods on which the two sides disagree, by index */
	uint32_t stream_items; /* credit with which streams to the peer begin */
	uint64_t stream_bytes;
	enum session_goaway goaway;
	unsigned n_submitted; /* of its calls wait for the store */
	unsigned unsent; /* replies to calls that admission has taken */
	uint64_t last_call_id;
	struct turn *turns[TURNS_MAX]; /* a ring */
	int64_t parked_at_us[TURNS_MAX]; /* monotonic */
	unsigned first_turn, n_turns;
	uint8_t *outbox; /* serialized frames */
	size_t outbox_size, outbox_room;
	bool has_replies; /* the outbox may have: it is not sure to be refusals alone */
	int64_t replied_at_us; /* when replies last left */
	size_t task_bytes; /* of its calls and their items */
	size_t counted_bytes; /* of all it keeps, in the ledger */
	struct task *stalled, **stalled_tail; /* streams that wait for the outbox, first come, first served */
	int64_t next_deadline_us; /* of its calls, at the earliest; INT64_MAX: none */
	/* Written by the visitor, read by any thread. */
	atomic_llong due_us;       /* when the session wants SIGNAL_TICK */
	atomic_llong last_turn_us; /* when the peer was last heard of */
	/* Read by the visitor; changed by it under the mutex, under which others may read. */
	struct task **calls; /* under way: chains by call id, a power of two of them */
	size_t n_chains, n_calls;
};

/* A new session, one reference, no mail.  NULL without memory. */
struct session *session_new(struct server *server, enum session_state state, uint64_t number, uint32_t connection,
		int64_t now_us) MUST_CHECK;
void session_retain(struct session *session);
void session_release(struct session *session);

/* ── mail: any thread ────────────────────────────────────────────────────────────────────────────── */

/* Each leaves something; true: nobody visits the session, so the caller must see to it.  It then holds a
 * reference for the visit. */
bool session_mail_message(struct session *session, struct message *message) MUST_CHECK;
bool session_mail_task(struct session *session, struct task *task, unsigned news) MUST_CHECK; /* TASK_… of task.h */
bool session_mail_signal(struct session *session, unsigned signals) MUST_CHECK;

/* What a visitor takes out. */
struct mail {
	struct message *message; /* the next in sequence; NULL: not there yet */
	struct task *tasks;
	unsigned signals;
};

/* Whether there is more by now: what it brings may leave together with what there is. */
bool session_has_mail(struct session *session) MUST_CHECK;

/* False: there is nothing, and the visit is over. */
bool session_take_mail(struct session *session, struct mail *ret) MUST_CHECK;

/* ── turns and frames: the visitor ───────────────────────────────────────────────────────────────── */

/* One more turn; a peer that has TURNS_MAX outstanding already broke the rules. */
void session_park(struct session *session, struct turn *turn, int64_t now_us);

/* Queues a frame; it leaves with session_flush().  Without memory the session dies, beyond OUTBOX_MAX it is broken. */
void session_put(struct session *session, const struct frame *frame);

/* The same for a refusal that may wait for others: REFUSALS_WAIT_US. */
void session_put_refusal(struct session *session, const struct frame *frame);

/* Sends what there is to send, if there is a turn for it, and it does not wait for more. */
void session_flush(struct session *session);

/* The same within a visit that goes on: keeps a turn back. */
void session_flush_early(struct session *session);

/* Answers turns that have waited for HEARTBEAT_US; false when the peer has been silent for SILENCE_US. */
bool session_tick(struct session *session, int64_t now_us) MUST_CHECK;

/* Tells the ledger what the session keeps by now, if that differs much from what it was told before. */
void session_count(struct session *session);

/* At the end of a visit: says when it wants to be ticked. */
void session_set_due(struct session *session);

/* DEAD: its turns are dropped.  The calls stay in the table, for the caller to cancel. */
void session_kill(struct session *session);

/* The same for a peer that leaves: its turns tell it so.  `why` is kept. */
void session_leave(struct session *session, const char *why);

/* The same for a peer that broke the rules, which is logged. */
void session_break(struct session *session, const char *why);

/* Answers a request of a session that is not, or no longer, there. */
void session_refuse(struct turn *turn, uint64_t number, uint64_t last_call_id, const char *why);

/* ── calls under way: the visitor ────────────────────────────────────────────────────────────────── */

/* False without memory.  The id is not taken. */
bool session_add_call(struct session *session, struct task *task) MUST_CHECK;
struct task *session_find_call(const struct session *session, uint64_t call_id);
void session_remove_call(struct session *session, struct task *task);

/* A stream waits until the outbox is half empty; once, however often it is said. */
void session_stall(struct session *session, struct task *task);
void session_unstall(struct session *session, struct task *task);

/* The first of them, taken out; NULL: none, or the outbox is too full. */
struct task *session_next_stalled(struct session *session);
