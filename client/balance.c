/* See balance.h. */
#include "balance.h"

#include "channel.h"

#define EJECT_AFTER 5 /* failures in a row */
#define EJECT_US 1000000ll
#define EJECT_US_MAX 30000000ll

/* Those that take calls, without `other`; of these the ones not ejected, where there are any. */
static size_t candidates(struct aside_channel *channel, const struct endpoint *other, int64_t now_us,
		struct endpoint *ret[ENDPOINTS_MAX])
{
	bool any_good = false;
	size_t n = 0;

	for (size_t i = 0; i < channel->n_endpoints; i++) {
		struct endpoint *endpoint = channel->endpoints[i];
		bool good = endpoint->ejected_until_us <= now_us;
		if (endpoint->state != ENDPOINT_UP || endpoint == other || (any_good && !good))
			continue;
		if (good && !any_good)
			n = 0;
		any_good = any_good || good;
		ret[n++] = endpoint;
	}
	return n;
}

struct endpoint *balance_pick(struct aside_channel *channel, const struct endpoint *other, int64_t now_us)
{
	struct endpoint *up[ENDPOINTS_MAX];
	size_t n = candidates(channel, other, now_us, up);

	if (n == 0)
		return other != NULL && other->state == ENDPOINT_UP ? (struct endpoint *)other : NULL;
	if (n == 1)
		return up[0];
	size_t a = channel_random(channel) % n, b = (a + 1 + channel_random(channel) % (n - 1)) % n;
	return up[a]->n_attempts <= up[b]->n_attempts ? up[a] : up[b];
}

bool balance_elsewhere(struct aside_channel *channel, const struct endpoint *endpoint, int64_t now_us)
{
	struct endpoint *other = balance_pick(channel, endpoint, now_us);

	return other != NULL && other != endpoint;
}

void balance_succeeded(struct endpoint *endpoint)
{
	endpoint->failures = 0;
	endpoint->ejected_until_us = 0;
}

void balance_failed(struct endpoint *endpoint, int64_t now_us)
{
	int64_t us = EJECT_US;

	if (++endpoint->failures < EJECT_AFTER)
		return;
	for (unsigned i = EJECT_AFTER; i < endpoint->failures && us < EJECT_US_MAX; i += EJECT_AFTER)
		us *= 2;
	endpoint->ejected_until_us = now_us + us / 2 + (int64_t)(channel_random(endpoint->channel) % (uint64_t)us);
}
