/* See upkeep.h. */
#include "upkeep.h"

#include "balance.h"

/* A server that keeps silent although it has a request of ours is gone. */
static void check_silence(struct aside_channel *channel, struct endpoint *endpoint, int64_t now_us)
{
	if (endpoint_is_connected(endpoint) && endpoint->waiting_since_us + SILENCE_US <= now_us)
		channel_lose(channel, endpoint);
}

/* Until when a connection is kept that has no calls now. */
static int64_t keep_until(const struct endpoint *endpoint)
{
	int64_t until_us = endpoint_keep_until(endpoint);

	if (!endpoint->listed)
		return 0;
	if (endpoint->lost_at_us != 0)
		return endpoint->lost_at_us + STUCK_US;
	return endpoint_is_connected(endpoint) && endpoint->old_us < until_us ? endpoint->old_us : until_us;
}

/* One that is old leaves while others take its calls. */
static void begin_to_part(struct aside_channel *channel, struct endpoint *endpoint, int64_t now_us)
{
	if (endpoint->part_by_us != 0)
		return;
	if (endpoint->n_attempts == 0 && keep_until(endpoint) <= now_us)
		endpoint_part(endpoint);
	else if (endpoint->old_us <= now_us && balance_elsewhere(channel, endpoint, now_us))
		endpoint_retire(endpoint);
}

/* Whether it should be connected. */
static bool is_wanted(const struct endpoint *endpoint)
{
	const struct aside_channel *channel = endpoint->channel;

	return endpoint->listed && (channel->options.idle_ms == 0 || !TAILQ_EMPTY(&channel->waiting));
}

static void connect_wanted(struct endpoint *endpoint, int64_t now_us)
{
	if (endpoint->state == ENDPOINT_IDLE && is_wanted(endpoint))
		endpoint_rouse(endpoint);
	if (endpoint->state == ENDPOINT_DOWN && endpoint->link == NULL && endpoint->connect_at_us <= now_us)
		endpoint_connect(endpoint, now_us);
}

static void forget(struct aside_channel *channel, size_t i)
{
	struct endpoint *endpoint = channel->endpoints[i];

	channel->endpoints[i] = channel->endpoints[--channel->n_endpoints];
	pthread_cond_broadcast(&channel->changed);
	endpoint_free(endpoint);
}

bool upkeep(struct aside_channel *channel, int64_t now_us)
{
	for (size_t i = 0; i < channel->n_endpoints; i++) {
		struct endpoint *endpoint = channel->endpoints[i];
		check_silence(channel, endpoint, now_us);
		begin_to_part(channel, endpoint, now_us);
		if (endpoint_has_parted(endpoint, now_us)) {
			endpoint_disconnect(endpoint);
			if (!endpoint->listed && endpoint->n_attempts == 0)
				forget(channel, i);
			return true;
		}
		connect_wanted(endpoint, now_us);
	}
	return false;
}

int64_t upkeep_due(const struct aside_channel *channel)
{
	int64_t due_us = INT64_MAX;

	for (size_t i = 0; i < channel->n_endpoints; i++) {
		const struct endpoint *endpoint = channel->endpoints[i];
		int64_t own_us = INT64_MAX;
		if (endpoint->part_by_us != 0)
			own_us = endpoint->part_by_us;
		else if (endpoint->state == ENDPOINT_DOWN && endpoint->link == NULL)
			own_us = endpoint->connect_at_us;
		else if (endpoint_is_connected(endpoint))
			own_us = endpoint->waiting_since_us + SILENCE_US;
		if (endpoint->part_by_us == 0 && endpoint->n_attempts == 0 && keep_until(endpoint) < own_us)
			own_us = keep_until(endpoint);
		if (own_us < due_us)
			due_us = own_us;
	}
	return due_us;
}
