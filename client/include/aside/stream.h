/* Streams: calls with many requests, many responses, or both.
 *
 *     struct aside_stream *stream = NULL;
 *     if (aside_v1_watch_service_watch_thread_open(channel, &request, NULL, &stream, &status) != ASIDE_OK) ...
 *     while (aside_stream_receive(stream, &item, &status) == ASIDE_OK && item != NULL)
 *             ...; aside_free(item);
 *     aside_stream_close(stream);
 *
 * A stream has two halves.  Ours sends until aside_stream_close_send(); the server's ends the call.  Either side
 * sends only while the other has given it credit: a reader that is slow stops its own stream and nothing else.
 *
 * A stream is not repeated after its server is lost: it ends with UNAVAILABLE, and its user opens another, from
 * the cursor that the last item named.
 *
 * Every function may be called from any thread; those that wait hold up only their caller. */
#pragma once

#include "aside/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

struct aside_stream;

/* The callback form.  All run on a thread of the library, one at a time for a stream: they must not block, and may
 * call everything here but the functions that wait. */
struct aside_stream_events {
	/* An item came; it is the callee's to aside_free().  Credit for the next is given when this returns. */
	void (*item)(void *user, ProtobufCMessage *item);
	/* The call has ended, with `status` (borrowed) and, where only we stream, the response (the callee's, or
	 * NULL).  Exactly once, last of all; the stream still is the user's to close. */
	void (*end)(void *user, ProtobufCMessage *response, const struct aside_status *status);
	/* There is credit again, after aside_stream_try_send() had none.  May be NULL. */
	void (*writable)(void *user);
	void *user;
};

/* Opens a stream; does not wait.  `request`: the one request, NULL where we stream.  `events`: the callback form,
 * copied; NULL: items and the end are waited for with the functions below.  The stream is the caller's to
 * aside_stream_close().  Without options->timeout_ms it may last 24 hours. */
ASIDE_API enum aside_code aside_stream_open(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options,
		const struct aside_stream_events *events, struct aside_stream **ret_stream,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Sends an item, waiting for credit.  What is not ASIDE_OK is how the call has ended, or FAILED_PRECONDITION,
 * reason HALF_CLOSED; RESOURCE_EXHAUSTED, reason REQUEST_TOO_LARGE; INVALID_ARGUMENT, reasons WRONG_MESSAGE, and
 * NO_CLIENT_STREAM where only the server streams.  Nothing is sent then, and the stream goes on. */
ASIDE_API enum aside_code aside_stream_send(struct aside_stream *stream, const ProtobufCMessage *item,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* The same without waiting: RESOURCE_EXHAUSTED, reason NO_CREDIT, where there is none just now. */
ASIDE_API enum aside_code aside_stream_try_send(struct aside_stream *stream, const ProtobufCMessage *item,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* We send no more. */
ASIDE_API void aside_stream_close_send(struct aside_stream *stream);

/* Waits for the next item.  ASIDE_OK with *ret_item, the caller's to aside_free(), or NULL: the call has ended well.
 * Otherwise how it has ended.  Not with `events`. */
ASIDE_API enum aside_code aside_stream_receive(struct aside_stream *stream, ProtobufCMessage **ret_item,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Closes our half and waits for the end of a call in which only we stream; with ASIDE_OK *ret_response is the
 * caller's to aside_free().  Not with `events`. */
ASIDE_API enum aside_code aside_stream_finish(struct aside_stream *stream, ProtobufCMessage **ret_response,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Ends the call early, with CANCELLED; the server is told. */
ASIDE_API void aside_stream_cancel(struct aside_stream *stream);

/* Cancels what has not ended, and frees.  With `events`, `end` runs before this returns, unless it has run; in a callback,
 * after that has returned.  NULL is fine. */
ASIDE_API void aside_stream_close(struct aside_stream *stream);

#ifdef __cplusplus
}
#endif
