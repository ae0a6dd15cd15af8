/* The server of an invocation: a channel to it, and the catalog of what it can do. */
#pragma once

#include "aside/stream.h"
#include "catalog.h"
#include "command.h"

struct remote {
	const struct invocation *in;
	struct aside_channel *channel;
	struct catalog catalog;
};

/* Opens the channel and asks for the catalog.  remote_close() is due in any case. */
enum aside_code remote_open(const struct invocation *in, struct remote *remote, struct aside_status *err) MUST_CHECK;
void remote_close(struct remote *remote);

/* The deadline of calls in the user's name that are no method of theirs: --timeout, or more than connecting takes. */
uint32_t remote_timeout_ms(const struct invocation *in);

/* complain(); where no server could be reached, also why each could not. */
int remote_complain(const struct invocation *in, const struct aside_status *status);

/* The channel alone, to `server`, for calls that need no catalog. */
enum aside_code remote_channel(const struct invocation *in, const char *server, struct aside_channel **ret,
		struct aside_status *err) MUST_CHECK;

/* Calls in the name that the invocation says.  The response is the caller's to aside_free(). */
enum aside_code remote_call(const struct remote *remote, const struct aside_method *method, const ProtobufCMessage *request,
		ProtobufCMessage **ret_response, struct aside_status *err) MUST_CHECK;

/* Opens a stream of a method whose server streams, in the same name; the caller's to aside_stream_close(). */
enum aside_code remote_stream(const struct remote *remote, const struct aside_method *method, const ProtobufCMessage *request,
		struct aside_stream **ret_stream, struct aside_status *err) MUST_CHECK;

/* The same, and prints each item as a line of JSON when it comes, until the stream ends or a signal ends it; the exit
 * status: 0 then, too. */
int stream_items(const struct remote *remote, const struct aside_method *method, const ProtobufCMessage *request);
