/* What a program wants to stand around its calls: logging, metrics, tracing, credentials of its own.
 *
 *     static void log_call(void *user, void *state, const struct aside_method *method, const struct aside_outcome *outcome)
 *     {
 *             fprintf(user, "%s %s %lld us\n", method->path, aside_code_name(outcome->status->code),
 *                             (long long)outcome->took_us);
 *     }
 *
 *     struct aside_interceptor logging = { .after = log_call, .user = stderr };
 *     struct aside_options options = { .interceptors = &logging, .n_interceptors = 1 };
 *
 * Several make a chain: `before` runs in their order, `after` in the reverse.  Attempts that the library makes again,
 * or hedges, are one call. */
#pragma once

#include "aside/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most interceptors of a channel, and most metadata of a call. */
#define ASIDE_INTERCEPTORS_MAX 4
#define ASIDE_METADATA_MAX 31

/* A call that is about to begin. */
struct aside_intercepted {
	const struct aside_method *method;
	const ProtobufCMessage *request; /* NULL where the client streams */
	struct aside_call_options options; /* as the caller gave them; `before` may change them */
	struct aside_metadata metadata[ASIDE_METADATA_MAX]; /* what options.metadata points to: aside_intercepted_add() */
	void *state; /* this interceptor's own, for `after` */
};

/* Sends `key` and `value` with the call, too.  Borrowed until the call has begun, so let `state` keep them.  False: the call
 * has as much metadata as it may. */
ASIDE_API bool aside_intercepted_add(struct aside_intercepted *call, const char *key, const void *value, size_t value_bytes)
		ASIDE_MUST_CHECK;

/* How a call ended.  Borrowed until `after` returns. */
struct aside_outcome {
	const struct aside_status *status;
	int64_t took_us;
	const struct aside_metadata *metadata; /* what the server sent beside its reply.  Keys and values end with a NUL
	                                        * that their length does not count. */
	size_t n_metadata;
};

struct aside_interceptor {
	/* On the thread that calls.  Anything but ASIDE_OK ends the call with that and *ret_status, unsent.  NULL: nothing
	 * to do before. */
	enum aside_code (*before)(void *user, struct aside_intercepted *call, struct aside_status *ret_status);
	/* Once for each call that `before` let pass, when its caller has been told; of a stream, when it is closed.  On the
	 * caller's thread or the library's: must not block.  NULL: nothing to do. */
	void (*after)(void *user, void *state, const struct aside_method *method, const struct aside_outcome *outcome);
	void *user;
};

#ifdef __cplusplus
}
#endif
