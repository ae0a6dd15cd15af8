/* A server that does what a test says, frame by frame: for what a real one never does, or not when it is wanted.
 * Whatever goes wrong fails the test. */
#pragma once

#include <nng/nng.h>

#include "wire/envelope.h"

#define PEER_MESSAGES_MAX 4096

/* Credit with which the client's streams begin. */
#define PEER_STREAM_ITEMS 4
#define PEER_STREAM_BYTES 4096

/* What came, and the right to answer it. */
struct parcel {
	nng_ctx ctx;
	nng_msg *msg;
};

struct peer {
	nng_socket socket;
	char url[128];
	nng_ctx ctx; /* that waits for the next */
	nng_aio *aio;
	int n_pipes; /* its clients */
	struct parcel arrivals[PEER_MESSAGES_MAX]; /* these three: under peer.c's mutex */
	size_t n_arrivals;
	size_t n_taken; /* of them */
	uint64_t session, sequence; /* of the session it serves; its own last number there */
	size_t n_answered; /* of the arrivals taken, the oldest first */
	struct envelope_reader reader; /* of the last one */
	struct frame frame;
	bool waits; /* to be heard */
};

/* Listens on an ipc address of its own. */
void peer_open(struct peer *peer, const char *name);
/* After its clients. */
void peer_close(struct peer *peer);
/* Before them. */
void peer_vanish(struct peer *peer);

/* The client's next frame; waits for it.  HELLO and GOAWAY are answered, and not told.  Borrowed until the next. */
const struct frame *peer_hear(struct peer *peer, enum frame_kind kind);

/* Waits until one of `peers` has something to hear: which. */
struct peer *peers_any(struct peer *peers, size_t n);

/* Waits for a message that was not read yet. */
void peer_wait(struct peer *peer);

/* Waits for another session, passing over what is left of this one. */
void peer_wait_anew(struct peer *peer);

/* How many messages have come. */
size_t peer_arrived(struct peer *peer);

/* Answers the oldest request; waits for one. */
void peer_say(struct peer *peer, const struct frame *frames, size_t n);

/* The same with bytes of the test's own, head and all. */
void peer_say_bytes(struct peer *peer, const uint8_t *body, size_t size);

/* Breaks the connection off, and takes another. */
void peer_hang_up(struct peer *peer);

/* A REPLY: ASIDE_OK with an empty response, or a failure, certainly not executed or perhaps. */
struct frame peer_reply(uint64_t call_id, enum aside_code code, bool not_executed, uint64_t retry_after_us);

/* What a server that shuts down answers: UNAVAILABLE, DRAINING, not executed. */
struct frame peer_drain(uint64_t call_id);
