/* See resolver.h. */
#include "resolver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "addresses.h"
#include "channel.h"
#include "wire/status.h"

#define FAILING_INTERVAL_MS 1000 /* looked up this often while no server can be reached */

/* One of the addresses the channel was opened with, and what it stood for when it was last looked up. */
struct target {
	char text[ASIDE_ADDRESS_MAX];
	struct addresses found;
};

struct resolver {
	struct aside_channel *channel;
	struct target *targets;
	size_t n_targets;
	pthread_t thread;
	bool started, closing; /* with the channel's mutex */
};

static void resolve(struct target *target)
{
	struct addresses found = { .n = 0 };

	if (addresses_look_up(target->text, &found))
		target->found = found; /* or else what was known */
}

/* ── endpoints (mutex held) ──────────────────────────────────────────────────────────────────────── */

static bool has(const struct addresses *all, const char *url)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->url[i], url) == 0)
			return true;
	return false;
}

static bool is_listed(const struct aside_channel *channel, const char *url)
{
	for (size_t i = 0; i < channel->n_endpoints; i++)
		if (channel->endpoints[i]->listed && strcmp(channel->endpoints[i]->url, url) == 0)
			return true;
	return false;
}

/* Makes the channel's endpoints those of `all`; of the addresses that are none *err tells the first. */
static enum aside_code apply(struct aside_channel *channel, const struct addresses *all, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (size_t i = 0; i < channel->n_endpoints; i++)
		if (channel->endpoints[i]->listed && !has(all, channel->endpoints[i]->url))
			endpoint_unlist(channel->endpoints[i]);
	for (size_t i = 0; i < all->n; i++) {
		enum aside_code it = is_listed(channel, all->url[i]) ? ASIDE_OK :
				endpoint_new(channel, all->url[i], code == ASIDE_OK ? err : NULL);
		code = code == ASIDE_OK ? it : code;
	}
	return code;
}

static enum aside_code apply_all(struct resolver *resolver, struct aside_status *err)
{
	struct addresses *CLEANUP(freep) all = calloc(1, sizeof *all);
	enum aside_code code;

	if (all == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	for (size_t i = 0; i < resolver->n_targets; i++)
		for (size_t k = 0; k < resolver->targets[i].found.n; k++)
			addresses_add(all, resolver->targets[i].found.url[k]);
	pthread_mutex_lock(&resolver->channel->mutex);
	code = apply(resolver->channel, all, err);
	pthread_mutex_unlock(&resolver->channel->mutex);
	return code;
}

/* ── the thread ──────────────────────────────────────────────────────────────────────────────────── */

/* Until it is time to look again; false: for good. */
static bool sleep_for_interval(struct resolver *resolver)
{
	struct aside_channel *channel = resolver->channel;
	int64_t began = channel_now_us();
	int rv = 0;

	pthread_mutex_lock(&channel->mutex);
	while (!resolver->closing && rv != ETIMEDOUT) {
		uint32_t interval_ms = channel->options.resolve_interval_ms;
		if (channel_state(channel) != ASIDE_STATE_READY && interval_ms > FAILING_INTERVAL_MS)
			interval_ms = FAILING_INTERVAL_MS;
		int64_t until_us = began + (int64_t)interval_ms * 1000;
		struct timespec until = { until_us / 1000000, until_us % 1000000 * 1000 };
		rv = pthread_cond_timedwait(&channel->changed, &channel->mutex, &until);
	}
	bool more = !resolver->closing;
	pthread_mutex_unlock(&channel->mutex);
	return more;
}

static void *run(void *arg)
{
	struct resolver *resolver = arg;

	do {
		for (size_t i = 0; i < resolver->n_targets; i++)
			resolve(&resolver->targets[i]);
		(void)apply_all(resolver, NULL);
	} while (sleep_for_interval(resolver));
	return NULL;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code bad_address(const char *addresses, struct aside_status *err)
{
	return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS", "%s: 1 to %d addresses, comma-separated", addresses,
			ASIDE_ENDPOINTS_MAX);
}

static enum aside_code parse(struct resolver *resolver, const char *addresses, struct aside_status *err)
{
	for (const char *at = addresses;; at++) {
		size_t length = strcspn(at, ",");
		if (length == 0 || length >= ASIDE_ADDRESS_MAX || resolver->n_targets == ASIDE_ENDPOINTS_MAX)
			return bad_address(addresses, err);
		struct target *grown = realloc(resolver->targets, (resolver->n_targets + 1) * sizeof *grown);
		if (grown == NULL)
			return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
		resolver->targets = grown;
		struct target *target = &grown[resolver->n_targets++];
		target->found.n = 0;
		(void)snprintf(target->text, sizeof target->text, "%.*s", (int)length, at);
		at += length;
		if (*at == '\0')
			return ASIDE_OK;
	}
}

/* The name a certificate must have is the one that was looked up, not the address it led to. */
static enum aside_code name_certificate(struct resolver *resolver, const char *name, struct aside_status *err)
{
	struct aside_options *options = &resolver->channel->options;
	size_t length = strcspn(name, ":");

	if (options->server_name != NULL)
		return ASIDE_OK;
	if (resolver->n_targets > 1)
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS",
				"%s: among several addresses it needs the option server_name", name);
	options->server_name = strndup(name, length);
	return options->server_name != NULL ? ASIDE_OK :
			fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static enum aside_code resolve_first(struct resolver *resolver, bool *ret_more, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	*ret_more = false;
	for (size_t i = 0; i < resolver->n_targets && code == ASIDE_OK; i++) {
		struct target *target = &resolver->targets[i];
		const char *host = addresses_name(target->text);
		*ret_more = *ret_more || addresses_change(target->text);
		if (host != NULL) { /* it may take long: later */
			if (strchr(host, ':') == NULL || strstr(host, "://") != NULL)
				return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS", "%s: not dns:[tls+tcp://]HOST:PORT", target->text);
			if (addresses_certified(target->text))
				code = name_certificate(resolver, host, err);
			continue;
		}
		resolve(target);
		if (target->found.n == 0)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS", "%s: no address there", target->text);
	}
	return code == ASIDE_OK ? apply_all(resolver, err) : code;
}

enum aside_code resolver_open(struct aside_channel *channel, const char *addresses, struct resolver **ret,
		struct aside_status *err)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);
	enum aside_code code;
	bool more;

	if (resolver == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	resolver->channel = channel;
	code = parse(resolver, addresses, err);
	if (code == ASIDE_OK)
		code = resolve_first(resolver, &more, err);
	if (code == ASIDE_OK && more) {
		resolver->started = pthread_create(&resolver->thread, NULL, run, resolver) == 0;
		if (!resolver->started)
			code = fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	}
	if (code != ASIDE_OK)
		resolver_close(resolver);
	else
		*ret = resolver;
	return code;
}

void resolver_close(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	if (resolver->started) {
		pthread_mutex_lock(&resolver->channel->mutex);
		resolver->closing = true;
		pthread_cond_broadcast(&resolver->channel->changed);
		pthread_mutex_unlock(&resolver->channel->mutex);
		pthread_join(resolver->thread, NULL);
	}
	free(resolver->targets);
	free(resolver);
}
