/* Where a channel's servers are: turns the addresses it was opened with into endpoints, and keeps these up to
 * date.  A file is read and a name looked up on a thread of its own, which there is only where they occur. */
#pragma once

#include "aside/channel.h"
#include "wire/scope.h"

struct resolver;

/* Makes the endpoints of `addresses` (borrowed for the call); those of names come later.  Neither this nor
 * resolver_close() with the channel's mutex held.  INVALID_ARGUMENT, reason BAD_ADDRESS. */
enum aside_code resolver_open(struct aside_channel *channel, const char *addresses, struct resolver **ret,
		struct aside_status *err) MUST_CHECK;

/* Waits for its thread.  NULL is fine. */
void resolver_close(struct resolver *resolver);
