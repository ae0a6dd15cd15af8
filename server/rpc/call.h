/* A call as a service sees it, and how a service is written.
 *
 * A method is two small functions.  `begin` checks the request and either answers or names the store
 * operation that will; `end` turns the finished operation into the answer.  Neither waits for anything,
 * and returning *is* replying: only the dispatcher replies, exactly once.
 *
 *     begin ── call->op set ──▶ store ──▶ end ── call->op set again ──▶ store ──▶ end …
 *       └── no op: call->response (or a code) is the answer          └── no op: the answer
 *
 * A streaming method has more steps, each as small as those two, each free to name an operation:
 *
 *     item          the client sent one; where both sides stream, only while one may be sent back
 *     half_closed   the client has sent its last
 *     pull          something may be sent: it has just begun, credit has come, or call_wake() was called
 *     leaving       the server drains and will end the stream: a last item may be sent
 *     gone          the call has ended, however: the last word, where call_wake()'s callers are told
 *
 * The arena keeps what `begin` (and the operation it named) left there; what later steps allocate is freed when
 * the stream rests.  It lasts until a step fails, calls call_finish(), or (where only the client streams) makes the response.
 *
 * All run on the thread that visits the call's session; a call is in one thread at a time. */
#pragma once

#include <stdatomic.h>

#include "aside/method.h"
#include "wire/arena.h"
#include "wire/scope.h"
#include "wire/status.h"

struct frame;
struct op;
struct trailer;

/* Who calls: what authentication made of the credentials. */
enum principal_kind {
	PRINCIPAL_ANONYMOUS = 0,
	PRINCIPAL_PERSON,
	PRINCIPAL_SERVICE,
};

#define PRINCIPAL_NAME_MAX 64
#define PRINCIPAL_SCOPES_MAX 512

struct principal {
	enum principal_kind kind;
	int64_t user_id;       /* PERSON; 0 otherwise */
	int64_t expires_at_us; /* 0: never */
	const char *service;   /* SERVICE, or the one a person acts through; NULL otherwise */
	const char *scopes;    /* space-separated; NULL: none.  Both borrowed: from the session, the call's arena or auth */
};

struct call {
	const struct aside_method *method;
	struct principal principal;
	int64_t now_us;      /* since 1970, when the call was dispatched; every statement's idea of now */
	int64_t deadline_us; /* on the monotonic clock; what a call makes on its way has this, too */
	struct arena arena;
	ProtobufCMessage *request;  /* in the arena */
	ProtobufCMessage *response; /* in the arena; made by call_response() */
	struct op *op;              /* in the arena; set by begin or end to have it executed */
	void *state;                /* the handler's own, between begin and end; in the arena */
	const struct handler *handler;
	const struct frame *frame;  /* with which it began; only during the first step */
	struct trailer *trailers;   /* see call_add_metadata() */
	char request_id[33];        /* for logs and INTERNAL errors */
	char traceparent[56];       /* W3C trace context as it came; "" where none did */
	bool finished;              /* call_finish() */
};

typedef enum aside_code handler_begin(struct call *call, const void *request, struct aside_status *err);
typedef enum aside_code handler_end(struct call *call, const void *request, struct aside_status *err);

struct handler {
	const char *method; /* as the .proto spells it: "SendMessage" */
	handler_begin *begin;
	handler_end *end; /* NULL where begin always answers */
	/* Streaming methods; each may be NULL. */
	enum aside_code (*item)(struct call *call, const void *item, struct aside_status *err);
	enum aside_code (*half_closed)(struct call *call, struct aside_status *err);
	enum aside_code (*pull)(struct call *call, struct aside_status *err);
	void (*leaving)(struct call *call); /* only while call_writable(); `gone` follows */
	void (*gone)(struct call *call);
};

/* One service's handlers, in the order of the .proto; `main` lists them in server/service/service.h.
 * A method without handler, or a handler without method, refuses to start. */
struct handlers {
	const struct aside_service *service;
	const struct handler *handlers;
	size_t n_handlers;
};

/* A new, initialised message of the method's response type, also put in call->response.  NULL when the
 * arena is full: answer with call_full(). */
void *call_response(struct call *call) MUST_CHECK;

/* A zeroed piece of the arena; NULL as above. */
void *call_alloc(struct call *call, size_t size) MUST_CHECK;

/* What the caller sent as `key` beside the request; data NULL: nothing.  In the call's first step, and borrowed until
 * that returns. */
struct bytes call_metadata(const struct call *call, const char *key);

/* Sends `key` and `value`, both copied, beside the reply.  Of a stream: in its first step or in the one that ends it.
 * False, and it is not sent: the call has as much metadata as the wire allows, or its arena is full. */
bool call_add_metadata(struct call *call, const char *key, struct bytes value);

/* ── streams ─────────────────────────────────────────────────────────────────────────────────────── */

/* Whether one more item may be sent: the peer has given credit, and its session is not full of what it has not
 * taken yet.  Where not, `pull` runs once there is room. */
bool call_writable(const struct call *call);

/* Sends one item, a message of the method's response type or its bytes.  Only while call_writable().  Borrowed. */
void call_send(struct call *call, const ProtobufCMessage *item);
void call_send_bytes(struct call *call, struct bytes item);

/* The stream has ended well, once this step has returned ASIDE_OK. */
void call_finish(struct call *call);

/* Has `pull` run soon.  Any thread, from the call's first step until `gone` has returned; never blocks. */
void call_wake(struct call *call);

/* RESOURCE_EXHAUSTED, reason CALL_TOO_LARGE: the call's arena is full. */
enum aside_code call_full(struct aside_status *err);
