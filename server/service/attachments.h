/* What the rest of the server needs of the attachments: the sweep. */
#pragma once

#include "store/store.h"

#define ATTACHMENT_UNUSED_SECONDS (24 * 60 * 60)

/* Remove uploads that no message has used within 24 hours of `now_us` (microseconds since 1970), a small
 * batch at a time, until none is left or `until_us` (monotonic) has passed.  *ret_removed counts them,
 * also on failure; what was removed stays removed, the next sweep goes on.  Blocks: for a housekeeping
 * thread, about once an hour; several servers may sweep at once.  See P13. */
enum aside_code attachments_sweep(struct store *store, int64_t now_us, int64_t until_us,
		unsigned *ret_removed, struct aside_status *err) MUST_CHECK;
