/* See chain.h. */
#include "chain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"

static enum aside_code pass(struct chain *chain, const struct aside_interceptor *interceptor,
		struct aside_intercepted *call, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	call->state = NULL;
	if (interceptor->before != NULL)
		code = interceptor->before(interceptor->user, call, err);
	if (code == ASIDE_OK) {
		chain->all[chain->n] = interceptor;
		chain->states[chain->n++] = call->state;
	}
	return code;
}

enum aside_code chain_enter(struct chain *chain, const struct aside_options *channel, struct aside_intercepted *call,
		struct aside_status *err)
{
	const struct aside_interceptor *own = call->options.interceptor;
	struct aside_status status = { 0 };
	enum aside_code code = ASIDE_OK;

	chain->began_us = channel_now_us();
	if (call->options.n_metadata > ASIDE_METADATA_MAX)
		return ASIDE_OK; /* refused as any such call: pending_new() */
	if (call->options.n_metadata > 0)
		memcpy(call->metadata, call->options.metadata, call->options.n_metadata * sizeof *call->metadata);
	call->options.metadata = call->metadata;
	for (size_t i = 0; i < channel->n_interceptors && code == ASIDE_OK; i++)
		code = pass(chain, &channel->interceptors[i], call, &status);
	if (own != NULL && code == ASIDE_OK)
		code = pass(chain, own, call, &status);
	if (code == ASIDE_OK)
		return ASIDE_OK;
	status.code = code;
	chain_leave(chain, call->method, &status);
	if (err != NULL)
		*err = status;
	return code;
}

/* With the NUL that is there already; returns what comes after. */
static char *put(char *out, struct bytes bytes)
{
	if (bytes.size > 0)
		memcpy(out, bytes.data, bytes.size);
	return out + bytes.size + 1;
}

void chain_keep_metadata(struct chain *chain, const struct frame *reply)
{
	size_t size = reply->n_metadata * sizeof *chain->metadata;
	char *out;

	static_assert(ASIDE_METADATA_MAX == METADATA_MAX - 1, "aside-attempt takes one");
	if (chain->n == 0)
		return;
	free(TAKE(chain->metadata)); /* of a reply before */
	chain->n_metadata = 0;
	for (size_t i = 0; i < reply->n_metadata; i++)
		size += reply->metadata[i].key.size + reply->metadata[i].value.size + 2;
	if (reply->n_metadata == 0 || (chain->metadata = calloc(1, size)) == NULL)
		return;
	out = (char *)(chain->metadata + reply->n_metadata);
	for (; chain->n_metadata < reply->n_metadata; chain->n_metadata++) {
		const struct metadata *from = &reply->metadata[chain->n_metadata];
		struct aside_metadata *to = &chain->metadata[chain->n_metadata];
		to->key = out;
		out = put(out, from->key);
		to->value = out;
		to->value_bytes = from->value.size;
		out = put(out, from->value);
	}
}

void chain_leave(struct chain *chain, const struct aside_method *method, const struct aside_status *status)
{
	int64_t ended_us = chain->ended_us != 0 ? chain->ended_us : channel_now_us();
	struct aside_outcome outcome = { status, ended_us - chain->began_us, chain->metadata, chain->n_metadata };

	while (chain->n > 0) {
		const struct aside_interceptor *interceptor = chain->all[--chain->n];
		if (interceptor->after != NULL)
			interceptor->after(interceptor->user, chain->states[chain->n], method, &outcome);
	}
	free(TAKE(chain->metadata));
}

bool aside_intercepted_add(struct aside_intercepted *call, const char *key, const void *value, size_t value_bytes)
{
	if (call->options.n_metadata >= ASIDE_METADATA_MAX)
		return false;
	call->metadata[call->options.n_metadata++] = (struct aside_metadata){ key, value, value_bytes };
	return true;
}
