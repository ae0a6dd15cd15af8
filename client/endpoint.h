/* One server of a channel: its connection, its session and the calls under way there.
 *
 *     DOWN ──up──▶ UP ──GOAWAY──▶ LEAVING        (down from anywhere: DOWN)
 *
 * Everything here runs with the channel's mutex held. */
#pragma once

#include "call.h"
#include "transport.h"

enum endpoint_state {
	ENDPOINT_DOWN,
	ENDPOINT_UP,
	ENDPOINT_LEAVING, /* takes no further calls */
};

/* Requests that may wait for their reply: the protocol's limit is 32 (proto/README.md). */
#define OUTSTANDING_MAX 32

struct endpoint {
	struct aside_channel *channel;
	struct link *link;
	enum endpoint_state state;
	bool sending;        /* a message is under way: what comes now goes with the next */
	unsigned outstanding; /* requests the server has not answered */
	unsigned n_calls;
	int64_t last_sent_us; /* 0: nothing in this connection yet, so HELLO comes first */
	struct pending *queue, **queue_tail; /* calls to send */
};

/* Puts a call in the queue.  endpoint_flush() sends it. */
void endpoint_queue(struct endpoint *endpoint, struct pending *call);

/* Takes a call out of the queue, if it is there. */
void endpoint_unqueue(struct endpoint *endpoint, const struct pending *call);

/* Sends what is queued, or an empty message to keep one request with the server while calls are under way. */
void endpoint_flush(struct endpoint *endpoint, int64_t now_us);

/* A new connection, or none: what was outstanding is void. */
void endpoint_set_state(struct endpoint *endpoint, enum endpoint_state state);
