/* Programs that call: each a thread that makes calls of every kind, one after another, through one channel. */
#pragma once

#include <stdbool.h>

#include "aside/channel.h"

/* How they call, and what may befall them. */
struct calling {
	struct aside_channel *channel;
	unsigned calls; /* of each caller */
	int64_t pause_us_max; /* between them */
	bool patient; /* deadlines are long */
	bool cancels; /* now and then */
	bool well; /* nothing befalls the network or the servers: everything succeeds ... */
	bool drained; /* ... but for streams, which end where a server drains */
};

/* Starts `n` callers. */
void callers_start(const struct calling *calling, unsigned n);

/* Until all have made all their calls. */
void callers_wait(void);

/* Closes the channel, with some calls under way. */
void callers_close(void);
