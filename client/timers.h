/* Calls by the moment at which something is to be done about them: a heap.  Under the channel's mutex. */
#pragma once

#include "call.h"

struct timers {
	struct timer {
		int64_t due_us;
		struct pending *call;
	} *heap; /* from 1 */
	size_t n, room;
};

/* Puts a call in, or moves it.  False without memory. */
bool timers_set(struct timers *timers, struct pending *call, int64_t due_us) MUST_CHECK;

/* Takes it out, if it is there. */
void timers_remove(struct timers *timers, struct pending *call);

/* The first moment; INT64_MAX: none. */
int64_t timers_first(const struct timers *timers);

/* The call of the first moment, out of the heap. */
struct pending *timers_take(struct timers *timers);

void timers_fini(struct timers *timers);
