/* Calls of Echo that do not wait, for a peer that the test drives. */
#pragma once

#include <semaphore.h>

#include "echo.stub.h"
#include "peer.h"

/* How a call ends. */
struct ending {
	sem_t ended;
	struct aside_status status;
	uint64_t call_id; /* for aside_call_cancel() */
};

struct aside_channel *open_channel(const char *urls, const struct aside_options *options);

/* Begins a call; `method` (NULL: Echo itself) is Echo with other properties.  Ends in wait_for(). */
void start(struct aside_channel *channel, const struct aside_method *method, const struct aside_call_options *options,
		struct ending *ending);
enum aside_code wait_for(struct ending *ending);

/* The peer hears a call and answers it, as peer_reply() does. */
void answer(struct peer *peer, enum aside_code code, bool not_executed, uint64_t retry_after_us);
