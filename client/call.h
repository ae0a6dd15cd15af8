/* A call under way in this process, and its attempts at one server or another.
 *
 *     NEW ──server──▶ PLACED ──reply──▶ ENDED
 *      │                ▲ └─ refused, lost ─▶ DELAYED ──due──▶ PLACED, or WAITING
 *      └──▶ WAITING ────┘                   (repeated where that is safe: retry.h)
 *     from anywhere: deadline, cancel ──▶ ENDED
 *
 * Everything here is under the channel's mutex until the call has ENDED; then it is its finisher's. */
#pragma once

#include <sys/queue.h>

#include "aside/channel.h"
#include "chain.h"
#include "table.h"
#include "wire/envelope.h"
#include "wire/scope.h"

#define ATTEMPTS_AT_ONCE 2 /* the second is a hedge */

struct endpoint;
struct received;
struct stream_state;

enum pending_state {
	PENDING_NEW,
	PENDING_WAITING, /* no server yet */
	PENDING_PLACED,  /* with a server, or in its queue */
	PENDING_DELAYED, /* to be repeated at due_us */
	PENDING_ENDED,
};

enum attempt_state {
	ATTEMPT_NONE,
	ATTEMPT_QUEUED, /* at its endpoint, not sent */
	ATTEMPT_SENT,
};

struct attempt {
	struct table_entry entry; /* its call id in the session, in the channel's table */
	enum attempt_state state;
	struct pending *call;
	struct endpoint *endpoint;
	TAILQ_ENTRY(attempt) queued; /* in the endpoint's queue */
	TAILQ_ENTRY(attempt) member; /* among all that are there */
};
TAILQ_HEAD(attempts, attempt);

/* Why a call ended without a reply: static texts. */
struct failure {
	enum aside_code code;
	const char *reason, *message;
	bool not_executed;
};

struct pending {
	struct table_entry entry; /* the handle that names it to its caller; never changes */
	enum pending_state state;
	const struct aside_method *method;
	struct attempt attempts[ATTEMPTS_AT_ONCE];
	unsigned tries;      /* sent so far */
	bool maybe_executed; /* one of them was lost, or not waited for */
	int64_t deadline_us, give_up_us; /* of the call; of waiting for a server */
	int64_t hedge_us, resume_us;     /* when a hedge, when a repeat is due; 0: never */
	size_t timer;                    /* its place in the channel's heap; 0: none */
	TAILQ_ENTRY(pending) waiting;    /* in the channel's list, while it is */
	/* Serialized; the metadata points into it. */
	uint8_t *request;
	size_t request_size;
	struct metadata *metadata;
	size_t n_metadata;
	aside_call_done done;
	void *user;
	struct aside_stream *stream; /* NULL: unary */
	struct chain chain;
	bool blocking;               /* `done` only wakes a waiter: runs at once, on whichever thread */
	struct pending *next;        /* among those whose `done` is due */
	/* How it ended. */
	struct failure failure;    /* code 0: by the reply */
	struct received *received; /* the message that `reply` borrows from */
	uint32_t code;
	struct bytes payload, status;
};

/* A new call, past its interceptors, owning a copy of the request (NULL: none) and the metadata. */
enum aside_code pending_new(const struct aside_options *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options, struct pending **ret,
		struct aside_status *err) MUST_CHECK;

/* Its interceptors hear how it ended.  Without the mutex.  NULL is fine. */
void pending_free(struct pending *call);

/* Of an ENDED call: its status. */
void pending_status(const struct pending *call, struct aside_status *ret_status);

/* The same, and with ASIDE_OK its response (NULL where the server streams), which is the
 * caller's.  Without the mutex: this is where replies are unpacked. */
void pending_outcome(struct pending *call, struct aside_status *ret_status, ProtobufCMessage **ret_response);

/* The frame that starts `attempt`. */
void attempt_frame(const struct attempt *attempt, int64_t now_us, struct frame *ret);

/* ── messages from the server ────────────────────────────────────────────────────────────────────── */

/* A message whose frames are borrowed by several calls. */
struct received *received_new(void *handle, struct bytes body) MUST_CHECK;
struct received *received_retain(struct received *received);
void received_release(struct received *received);
struct bytes received_body(const struct received *received);
