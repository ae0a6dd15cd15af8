/* A server of the runtime without a socket, and its peer: bytes in, bytes out.
 *
 * Stands in for server/rpc/transport.c and server/clock.c at link time; everything above is what the program runs.  Messages
 * are handled in the thread that sends them: what came of one at once is there when peer_send() returns.  (Those over
 * 64 KiB, and operations that are done, go through the workers.) */
#pragma once

#include "../unit/test.h"

#include "rpc/server.h"
#include "wire/envelope.h"

struct peer {
	uint32_t connection;
	uint64_t session;           /* 0: plain */
	uint64_t next_out, next_in; /* sequence numbers */
	uint8_t *draft;             /* frames of the message under construction */
	size_t draft_size, draft_room;
	struct answer *reading; /* whose frames are being read */
	struct envelope_reader reader;
};

/* What all peers together may have the server keep: little enough for a test to go beyond. */
#define PEER_KEPT_BYTES_MAX (256u << 20)

/* Starts a server with these handlers; `submit` (NULL: there is no store) takes its operations. */
struct server *peer_server(const struct handlers *const *handlers, server_submit *submit);
void peer_server_close(struct server *server);

/* Time goes on at once, for the whole server. */
void peer_sleep(struct server *server, int64_t us);

/* The monotonic clock stands still until it goes on. */
void peer_stop_time(bool stop);

/* The next message waits so long before anybody looks at it. */
void peer_delay(int64_t us);

/* While the next message is handled, the nth allocation fails (1: the first); 0: none.  Returns what is left of the
 * last n: 0, its allocation has failed. */
unsigned peer_fail_nth(unsigned nth);

/* A peer on a connection of its own.  With a session number: the first message has to begin with HELLO. */
void peer_init(struct peer *peer, uint64_t session);
void peer_fini(struct peer *peer);

/* One with a session, and the server's HELLO read. */
void peer_greet(struct peer *peer, uint32_t stream_items, uint64_t stream_bytes);

/* The connection is lost. */
void peer_leave(struct peer *peer);

void peer_put(struct peer *peer, const struct frame *frame);
void peer_put_bytes(struct peer *peer, struct bytes bytes); /* that are no frame */
void peer_put_hello(struct peer *peer, uint32_t stream_items, uint64_t stream_bytes);
void peer_put_call(struct peer *peer, uint64_t call_id, const char *method, const ProtobufCMessage *request);
void peer_put_item(struct peer *peer, uint64_t call_id, const ProtobufCMessage *item);
void peer_put_kind(struct peer *peer, uint64_t call_id, enum frame_kind kind); /* ITEM: the end */

/* The draft as one message; an empty one is a parked request. */
void peer_send(struct peer *peer);

/* Any bytes as one message. */
void peer_send_bytes(struct peer *peer, struct bytes message);

/* The next frame the server has sent, if any; waits for nothing.  Borrowed until the next but one. */
bool peer_next(struct peer *peer, struct frame *ret);

/* The same; waits up to ten seconds for each answer.  The other: for the whole next answer. */
void peer_wait(struct peer *peer, struct frame *ret);
struct bytes peer_wait_bytes(struct peer *peer);

/* The next frame must be there, and be this. */
void peer_expect(struct peer *peer, uint64_t call_id, enum frame_kind kind, struct frame *ret);
void peer_read_status(const struct frame *frame, struct aside_status *ret);
void peer_expect_failure(struct peer *peer, uint64_t call_id, enum aside_code code, const char *reason);
void peer_expect_nothing(struct peer *peer);

/* Reads until the session is ended; because of this. */
void peer_wait_goaway(struct peer *peer, const char *why);

/* The same for a reply that may be on its way. */
void peer_wait_failure(struct peer *peer, uint64_t call_id, enum aside_code code, const char *reason);

/* How often the server has cut its connection off; and from now on that is not found. */
unsigned peer_cuts(const struct peer *peer);
void peer_hide(const struct peer *peer);

/* Requests of this peer that still wait; waits until there are so few. */
unsigned peer_parked(const struct peer *peer);
void peer_wait_parked(const struct peer *peer, unsigned most);
