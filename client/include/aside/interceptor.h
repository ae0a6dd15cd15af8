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
	/* As the caller gave them, and `before` may change them.  To send more metadata, put it into
	 * metadata[options.n_metadata++]; names and values are borrowed until the call has begun, so let `state` keep them. */
	struct aside_call_options options;
	struct aside_metadata metadata[ASIDE_METADATA_MAX];
	void *state; /* this interceptor's own, for `after` */
};

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
