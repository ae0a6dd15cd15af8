/* Methods and their handlers; bytes to messages and back.  Knows no session and no socket, so that tests and the
 * fuzzer drive it directly. */
#pragma once

#include "call.h"
#include "wire/envelope.h"

#define METHODS_MAX 256
#define RESPONSE_BYTES_MAX (4u * 1024 * 1024 - 65536)

/* A method with its handler. */
struct route {
	const struct aside_method *method;
	const struct handler *handler;
	unsigned index; /* below METHODS_MAX, in the order of the services */
};

struct dispatcher;

/* INTERNAL where a method has no handler, or a handler no method. */
enum aside_code dispatcher_open(const struct handlers *const *handlers, struct dispatcher **ret,
		struct aside_status *err) MUST_CHECK;
void dispatcher_close(struct dispatcher *dispatcher);
const struct handlers *const *dispatcher_handlers(const struct dispatcher *dispatcher);

/* The route of a path; NULL if there is none such. */
const struct route *dispatcher_find(const struct dispatcher *dispatcher, struct bytes path);

/* All routes, by index. */
const struct route *dispatcher_routes(const struct dispatcher *dispatcher, size_t *ret_n);

/* Whether the call's principal may call its method. */
enum aside_code dispatch_policy(const struct call *call, struct aside_status *err) MUST_CHECK;

/* Checks a payload and unpacks it into the call's arena. */
enum aside_code dispatch_unpack(struct call *call, struct bytes payload, ProtobufCMessage **ret,
		struct aside_status *err) MUST_CHECK;

/* RESOURCE_EXHAUSTED, reason RESPONSE_TOO_LARGE: it would not fit a message. */
enum aside_code dispatch_check_size(const ProtobufCMessage *message, struct aside_status *err) MUST_CHECK;

/* The REPLY that ends a call: the response with ASIDE_OK, `status` otherwise; `call` may be NULL for a call that
 * never was.  Allocates in `arena`, so that a call whose own is full still gets its reply. */
void dispatch_reply(const struct call *call, const struct aside_status *status, struct arena *arena, struct frame *ret);
