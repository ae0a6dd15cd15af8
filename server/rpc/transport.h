/* The server's side of nng, all of it: a REP socket, its listeners, and the turns of its contexts.
 *
 * A *turn* is the right to speak once: one request that awaits its reply.  The layers above see turns and
 * bytes and nothing of nng, so that another transport (a simulated one) can stand in.
 *
 * Turns are nng contexts, one for each request that waits.  A raw socket would do without them, but drops
 * replies without a word once 64 wait for a connection, and takes two thread hops more: 83 µs for a round
 * trip over tcp where contexts take 56 (one call at a time, two processes, this file and client/transport.c
 * against their raw forms). */
#pragma once

#include "wire/scope.h"

#define MESSAGE_BYTES_MAX (4u << 20)
#define TURN_BYTES 4096 /* what a turn costs, at least */

struct transport;
struct turn;

/* What came in. */
struct message {
	struct turn *turn;   /* to be given to transport_send() or turn_drop(), once */
	uint32_t connection; /* which it came by; never 0 */
	struct bytes body;   /* borrowed from `handle` */
	uint64_t sequence;   /* the receiver's: in its session */
	int64_t received_us; /* the receiver's: monotonic */
	void *handle;
	struct message *next; /* the receiver's */
};

struct transport_events {
	/* Takes `message` (heap).  On nng's threads, several at once: must not block. */
	void (*received)(void *user, struct message *message);
	/* The connection is gone; its turns are void, but still to be dropped.  On nng's threads. */
	void (*left)(void *user, uint32_t connection);
	/* Its peer has the transport keep so many bytes more, or fewer: messages, turns, replies.  Any thread. */
	void (*kept)(void *user, uint32_t connection, int64_t bytes);
	void *user;
};

struct listen_options {
	const char *tls_file; /* for tls+tcp and wss: certificate and key, PEM */
};

/* `origins`, borrowed: which web pages may call by ws and wss, as in origin.h. */
enum aside_code transport_open(const struct transport_events *events, const char *const *origins, struct transport **ret,
		struct aside_status *err) MUST_CHECK;

/* Listens at `url`; *ret_url (of `size`) gets it with the port that was chosen for port 0. */
enum aside_code transport_listen(struct transport *transport, const char *url,
		const struct listen_options *options, char *ret_url, size_t size,
		struct aside_status *err) MUST_CHECK;

/* Begins to receive.  After the last transport_listen(). */
enum aside_code transport_start(struct transport *transport, struct aside_status *err) MUST_CHECK;

/* The uid of the ipc peer that sent `message`; -1 for any other peer. */
int64_t message_peer_uid(const struct message *message);

/* A reply of `size` bytes to fill in; NULL without memory. */
void *transport_reply_new(size_t size, uint8_t **ret_body) MUST_CHECK;

/* Sends it, using up the turn.  Takes `reply`.  A peer that is gone is no error: it will not read.  Any thread;
 * never blocks. */
void transport_send(struct turn *turn, void *reply);

/* Gives a turn back unused: its request will never be answered. */
void turn_drop(struct turn *turn);

/* Whether whoever has sent it is still connected. */
bool message_has_peer(const struct message *message);

/* Frees `message` and what it borrows, not its turn. */
void message_free(struct message *message);

/* Ends a connection as if its peer had; left() follows.  Over ipc, every connection of the process that has made it.  It
 * may not be found: that of another pid namespace's process never is, nor any without /proc or a file to spare.  Any thread. */
void transport_cut(struct transport *transport, uint32_t connection);

/* No message comes and no turn is used afterwards.  Not from an event. */
void transport_stop(struct transport *transport);

/* Once, at exit, after transport_stop(). */
void transport_close(struct transport *transport);
