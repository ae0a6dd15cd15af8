/* What a channel's thread does for the connections: those whose server keeps silent are lost; those without calls that are
 * idle, old or of an address no longer listed take leave and close; those that are wanted are made.  Under the channel's
 * mutex. */
#pragma once

#include "channel.h"

/* Does what is due; true: it let go of the mutex meanwhile.  At most one connection is closed, so that timers have their
 * turn. */
bool upkeep(struct aside_channel *channel, int64_t now_us) MUST_CHECK;

/* When something is due, if nothing happens before; INT64_MAX: never. */
int64_t upkeep_due(const struct aside_channel *channel);
