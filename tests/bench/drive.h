/* Drives a channel of libaside in the forms a program has: callbacks, blocking threads, a fixed pace. */
#pragma once

#include "aside/channel.h"

/* A channel, with the token in a file (NULL: none).  Ends the program where that cannot be. */
struct aside_channel *drive_open(const char *address, const char *token_file);

/* A number without a pattern.  Any thread. */
uint64_t drive_draw(void);

struct drive_call {
	const struct aside_method *method;
	const ProtobufCMessage *request;
	struct aside_call_options options;
};

/* Says what the next call is, on any thread.  What it points to stays until the same thread asks again. */
typedef void drive_make(struct drive_call *ret_call);

/* Calls for half a second, to warm up, and then for `seconds`, and prints load_print()'s line; on stderr, how the
 * first that failed did.  FORM: "calls" keeps n under way by callbacks, "threads" blocks n threads with one each,
 * "rate" starts n a second, whatever becomes of them. */
void drive(struct aside_channel *channel, drive_make *make, const char *form, size_t n, double seconds);
