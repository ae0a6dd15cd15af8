/* What stands around every call: the interceptors of its channel, then its own (aside/interceptor.h). */
#pragma once

#include "aside/interceptor.h"
#include "wire/envelope.h"
#include "wire/scope.h"

/* A call's part of it. */
struct chain {
	const struct aside_interceptor *all[ASIDE_INTERCEPTORS_MAX + 1]; /* those whose `before` has let it pass */
	void *states[ASIDE_INTERCEPTORS_MAX + 1];
	unsigned n;
	int64_t began_us, ended_us;
	struct aside_metadata *metadata; /* from the server; one block with what it points to */
	size_t n_metadata;
};

/* Runs `before` for a call in `call`, whose method, request and options are set.  Where one refuses, those before it
 * have had their `after`. */
enum aside_code chain_enter(struct chain *chain, const struct aside_options *channel, struct aside_intercepted *call,
		struct aside_status *err) MUST_CHECK;

/* Keeps what came beside a reply, where somebody will look at it; without memory it is lost. */
void chain_keep_metadata(struct chain *chain, const struct frame *reply);

/* Runs `after`, and frees. */
void chain_leave(struct chain *chain, const struct aside_method *method, const struct aside_status *status);
