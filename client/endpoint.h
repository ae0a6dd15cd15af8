/* One server of a channel: its connection, its session and the attempts under way there.
 *
 *     DOWN ──up──▶ UP ──retired──▶ LEAVING ──parted──▶ IDLE        (down from anywhere: DOWN)
 *      ▲                                                │
 *      └──────────── it is wanted ──────────────────────┘
 *
 * Retired: by GOAWAY or a refusal that says the same, by age, for want of calls, or struck off the list; so too one that
 * comes up unlisted.  There is one way to close a connection of which the client has had enough: without calls it *parts*
 * (tells the server GOAWAY, which then gives back all requests), then its link is closed, and a new one is opened when a
 * connection is wanted again; after several in a row whose HELLO was not answered, or not so that it can be read, not
 * before a while.
 * HELLO leaves as soon as it is UP, and one request always waits with the server: so that an idle client hears that
 * the server leaves, or that it is gone.  Calls queue until HELLO is answered, while a message is on its way out, and
 * while several are under way; then everything queued goes in the next: no timer, no delay when idle.  Everything here is under the
 * channel's mutex. */
#pragma once

#include "call.h"
#include "transport.h"

/* Messages under way, at most: the server keeps two requests and gives the others back, as a rule at once. */
#define UNDER_WAY_MAX 4
/* A server that has not answered a request for so long is gone, whatever TCP says: it answers one within 20 s. */
#define SILENCE_US 30000000ll
#define PART_US 100000ll
/* A link that has made no other connection so long after it lost one may never: nng's one thread that takes connections
 * down may wait for ever (wire/guard.c).  Another link can be opened all the same. */
#define STUCK_US 1000000ll
/* Sessions in a row that the server has not answered as it should, before it is given time. */
#define UNANSWERED_MAX 3

enum endpoint_state {
	ENDPOINT_DOWN, /* is to be connected: by its link, or (without one) from connect_at_us on */
	ENDPOINT_UP,
	ENDPOINT_LEAVING, /* takes no further calls */
	ENDPOINT_IDLE,    /* without a link, until it is wanted */
};

/* A message that came before its turn. */
struct early {
	struct early *next;
	uint64_t sequence;
	struct received *received;
};

struct endpoint {
	struct aside_channel *channel;
	char url[ASIDE_ADDRESS_MAX];
	bool listed; /* among the channel's addresses: others only end their calls */
	struct link *link; /* NULL: none */
	int64_t part_by_us; /* of one that parts: when its link closes, whatever the server says; 0: it does not */
	int64_t lost_at_us; /* when the link's last connection was, if it has made no other; 0: it was not */
	int64_t connect_at_us; /* when the next link may be opened */
	unsigned unanswered; /* sessions, and links that could not be opened, since a server has last answered as it should */
	enum endpoint_state state;
	int64_t old_us; /* when the connection has its maximum age; INT64_MAX: never */
	int64_t calm_since_us; /* since when there are no attempts */
	uint64_t session;            /* its number: a new one for each connection */
	uint64_t next_out, next_in;  /* sequence numbers */
	bool sending;                /* a message is about to leave */
	unsigned outstanding;        /* requests the server has not answered */
	int64_t waiting_since_us;    /* since when there is one; or the last answer */
	unsigned n_attempts;         /* here, queued or sent */
	struct attempts attempts, queue;
	unsigned n_queued;
	uint8_t *frames; /* other frames to send, serialized: after the queue */
	size_t frames_size, frames_room;
	struct early *early;
	uint32_t stream_items; /* credit with which streams to the server begin, from its HELLO */
	uint64_t stream_bytes;
	unsigned failures;         /* in a row */
	int64_t ejected_until_us;  /* no calls before, unless every other is worse */
};

/* One more of the channel's.  INVALID_ARGUMENT, reason BAD_ADDRESS; RESOURCE_EXHAUSTED. */
enum aside_code endpoint_new(struct aside_channel *channel, const char *url, struct aside_status *err) MUST_CHECK;

/* UP or LEAVING. */
bool endpoint_is_connected(const struct endpoint *endpoint);

/* Its address is no longer the channel's: freed when its calls have ended. */
void endpoint_unlist(struct endpoint *endpoint);

/* Until when a connection without calls is kept that is idle; INT64_MAX: for ever. */
int64_t endpoint_keep_until(const struct endpoint *endpoint);

/* Tells the server GOAWAY, which then gives back all requests: nng 1.5.2 may never finish closing a connection on which
 * a message is just coming in (wire/socket.h).  No attempt may be there. */
void endpoint_part(struct endpoint *endpoint);

/* Whether that is done: PART_US later at the latest. */
bool endpoint_has_parted(const struct endpoint *endpoint, int64_t now_us);

/* IDLE: of one that has parted the link closes.  Lets go of the mutex for a moment, while events of the link run. */
void endpoint_disconnect(struct endpoint *endpoint);

/* DOWN: of one that is IDLE and wanted. */
void endpoint_rouse(struct endpoint *endpoint);

/* Opens a link; one that cannot be opened is tried again later.  DOWN, and without a link. */
void endpoint_connect(struct endpoint *endpoint, int64_t now_us);

/* Parts, waits for it, and disconnects.  On the thread of whoever closes the channel. */
void endpoint_leave(struct endpoint *endpoint);

/* Has no link, nor attempts. */
void endpoint_free(struct endpoint *endpoint);

/* Puts an attempt in the queue, with a call id.  endpoint_flush() sends it. */
void endpoint_queue(struct endpoint *endpoint, struct attempt *attempt);

/* The attempt is over: out of the queue, if it is there still. */
void endpoint_remove(struct endpoint *endpoint, struct attempt *attempt);

/* Queues another frame of a call that was sent or is queued.  False without memory. */
bool endpoint_put(struct endpoint *endpoint, const struct frame *frame) MUST_CHECK;

/* Sends what is queued, or an empty message to keep one request with the server. */
void endpoint_flush(struct endpoint *endpoint, int64_t now_us);

/* A message of the session has left: the next may. */
void endpoint_sent(struct endpoint *endpoint);

/* The next message in sequence among `received` (taken; NULL: none) and those that came early; NULL: not yet. */
struct received *endpoint_next(struct endpoint *endpoint, uint64_t sequence, struct received *received);

/* A new session, as after a new connection. */
void endpoint_begin(struct endpoint *endpoint);

/* UP becomes LEAVING. */
void endpoint_retire(struct endpoint *endpoint);

/* DOWN: what was outstanding is void. */
void endpoint_end(struct endpoint *endpoint);
