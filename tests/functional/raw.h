/* A stock REQ socket that says whatever it is given: bytes the client library would never send, and replies as
 * they came. */
#pragma once

#include <nng/nng.h>

#include "wire/envelope.h"

struct raw {
	nng_socket socket;
	nng_msg *reply;
	uint64_t timeout_us; /* of raw_call(); 0: the method's own */
};

/* Connects; false if that fails. */
bool raw_open(struct raw *raw, const char *url);
void raw_close(struct raw *raw);

/* One request with this body.  The reply's, borrowed until the next exchange; without data if none came. */
struct bytes raw_exchange(struct raw *raw, struct bytes body);

/* One plain call as `user` (0: as the service).  Its reply, borrowed likewise; false if none came. */
bool raw_call(struct raw *raw, const char *method, struct bytes payload, int64_t user, struct frame *ret_reply);

/* The first frame of a reply; false if there is none. */
bool raw_first_frame(struct bytes body, struct frame *ret);
