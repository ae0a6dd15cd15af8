/* A session: one peer's calls, the frames it is owed and the turns in which they may leave.
 *
 *     plain    made for one message that has no HELLO; its one turn waits until all its calls have ended
 *     open     after HELLO: frames leave with any parked turn, in any order
 *     dead     its connection is gone: frames are dropped, calls end unheard
 *
 * Counted by reference: the table holds one, each call one.  Any thread. */
#pragma once

#include <pthread.h>

#include "call.h"
#include "transport.h"
#include "wire/envelope.h"

#define TURNS_MAX 32
#define HEARTBEAT_US 20000000ll
#define SILENCE_US 60000000ll
#define OUTBOX_BYTES_MAX (MESSAGE_BYTES_MAX - 65536)

enum session_state {
	SESSION_PLAIN,
	SESSION_OPEN,
	SESSION_DEAD,
};

struct session {
	pthread_mutex_t mutex;
	enum session_state state;
	unsigned references;
	struct transport *transport;
	struct turn_key key;
	uint32_t connection;
	int64_t peer_uid;
	struct principal principal; /* from HELLO or the ipc peer; written before its first call */
	char refused[48]; /* why HELLO's credentials were refused: so are the session's calls; "" otherwise */
	struct turn turns[TURNS_MAX];
	int64_t parked_at_us[TURNS_MAX]; /* monotonic */
	unsigned first_turn, n_turns;
	int64_t last_turn_us;
	uint8_t *outbox; /* serialized frames */
	size_t outbox_size, outbox_room;
	unsigned n_calls; /* under way */
	struct session *next; /* in the table */
};

/* A new session holding `turn`, one reference; NULL without memory. */
struct session *session_new(struct transport *transport, enum session_state state, const struct message *message,
		int64_t now_us) MUST_CHECK;
void session_retain(struct session *session);
void session_release(struct session *session);

/* One more turn; false when the peer has TURNS_MAX outstanding already: it broke the rules. */
bool session_park(struct session *session, const struct turn *turn, int64_t now_us) MUST_CHECK;

/* Queues a frame; it leaves with session_flush().  Without memory the session dies. */
void session_put(struct session *session, const struct frame *frame);

/* Sends what there is to send, if there is a turn for it. */
void session_flush(struct session *session);

/* Answers turns that have waited for HEARTBEAT_US; false when the peer has been silent for SILENCE_US. */
bool session_tick(struct session *session, int64_t now_us);

void session_begin_call(struct session *session);
void session_end_call(struct session *session);
void session_kill(struct session *session);
