/* The server's side of nng, all of it: a raw REP socket, its listeners, and messages with their turns.
 *
 * A *turn* is the right to speak once: the header of a request, kept until its reply.  The layers above see
 * turns and bytes and nothing of nng, so that another transport (a simulated one) can stand in. */
#pragma once

#include "wire/scope.h"

#define TURN_HEADER_MAX 64 /* pipe, up to 14 hops, request id */
#define MESSAGE_BYTES_MAX (4u << 20)

struct transport;

/* The right to answer one request. */
struct turn {
	uint8_t header[TURN_HEADER_MAX];
	size_t size;
};

/* The connection a request came by, and the path behind it: all of a turn but the request's own id. */
struct turn_key {
	uint8_t bytes[TURN_HEADER_MAX];
	size_t size;
};

struct turn_key turn_key(const struct turn *turn);
uint32_t turn_connection(const struct turn *turn);

/* What came in.  `handle` is given back with transport_release(). */
struct message {
	struct turn turn;
	struct bytes body; /* borrowed from `handle` */
	int64_t peer_uid;  /* of an ipc peer; -1 otherwise */
	void *handle;
	struct message *next; /* the receiver's */
};

struct transport_events {
	/* Takes `message` (heap).  On nng's threads: must only hand over. */
	void (*received)(void *user, struct message *message);
	/* The connection is gone; its turns are void. */
	void (*left)(void *user, uint32_t connection);
	void *user;
};

struct listen_options {
	const char *tls_file; /* for tls+tcp and wss: certificate and key, PEM */
};

enum aside_code transport_open(const struct transport_events *events, struct transport **ret,
		struct aside_status *err) MUST_CHECK;

/* Listens at `url`; *ret_url (of `size`) gets it with the port that was chosen for port 0. */
enum aside_code transport_listen(struct transport *transport, const char *url,
		const struct listen_options *options, char *ret_url, size_t size,
		struct aside_status *err) MUST_CHECK;

/* Begins to receive.  After the last transport_listen(). */
void transport_start(struct transport *transport);

/* A reply of `size` bytes to fill in; NULL without memory. */
void *transport_reply_new(size_t size, uint8_t **ret_body) MUST_CHECK;

/* Sends it, using up the turn.  Takes `reply`.  A peer that is gone is no error: it will not read. */
void transport_send(struct transport *transport, const struct turn *turn, void *reply);

/* Frees `message` and what it borrows. */
void message_free(struct message *message);

/* Once, at exit. */
void transport_close(struct transport *transport);
