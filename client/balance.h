/* Which endpoint a call goes to: of two chosen at random the one with fewer calls under way (power of two choices:
 * Mitzenmacher 2001), so that a slow server gets fewer and a new one is not overrun.  One that keeps failing is
 * *ejected* for a while, longer each time.  Under the channel's mutex. */
#pragma once

#include "endpoint.h"

/* Not `other`, unless it is alone; NULL: none takes calls. */
struct endpoint *balance_pick(struct aside_channel *channel, const struct endpoint *other, int64_t now_us);

/* Whether another than `endpoint` takes calls. */
bool balance_elsewhere(struct aside_channel *channel, const struct endpoint *endpoint, int64_t now_us);

/* An attempt there has ended as a server should let it end, or not. */
void balance_succeeded(struct endpoint *endpoint);
void balance_failed(struct endpoint *endpoint, int64_t now_us);
