/* How long messages and events are kept, and the sweep that removes what is older. */
#pragma once

#include "store/store.h"

struct retention {
	unsigned message_days, event_days; /* 0: for ever */
	int64_t after_page_id;             /* how far this round has come: 0 before the first and after the last page */
};

/* Goes on with a round over all pages: lets go of what is older than it need be at `now_us` (microseconds since 1970),
 * oldest first, at most RETENTION_BATCH events or messages in one transaction, until the round is over or `until_us`
 * (monotonic) has passed.  *ret_more: which of the two; *ret_removed counts events and messages, also on failure.
 *
 * Of events (P17) the rows go, and watches that are further behind get a resync; those of messages no later than the
 * messages themselves.  Of messages the words go: text, that of the entry answered, links, uploads.  The row stays, and no
 * call shows it any more: who wrote to whom and when, number (P11), key and hash (P10), settings (P4), which entry it answered
 * (P6); counters (P14) go on counting it.  The hash is of the words: who reads the table can tell whether a guess is right.
 *
 * Blocks: for a housekeeping thread; several servers may do this at once. */
enum aside_code retention_sweep(struct retention *retention, struct store *store, int64_t now_us, int64_t until_us,
		bool *ret_more, uint64_t *ret_removed, struct aside_status *err) MUST_CHECK;
