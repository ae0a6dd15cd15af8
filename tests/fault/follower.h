/* Watchers of pages, whatever becomes of the servers: each goes on from its cursor, and all they get is in a history. */
#pragma once

#include <stdint.h>

#include "aside/channel.h"

struct follower;
struct history;

/* Watches a page whose newest event is `last_event`, and waits until the watch stands: nothing is to be written to the
 * page meanwhile.  `channel` and `history` are borrowed until follower_stop().  NULL where it does not stand. */
struct follower *follower_start(struct aside_channel *channel, struct history *history, unsigned number, int64_t page,
		int64_t last_event);

/* Waits until `last_event` has come, until `until_us` on CLOCK_MONOTONIC, and frees; false where it has not. */
bool follower_stop(struct follower *follower, int64_t last_event, int64_t until_us);
