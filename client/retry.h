/* Whether a call is tried again when its attempt has failed, and when (after gRPC's A6).
 *
 *     UNSENT, LEAVING   certainly not executed, and no sign of overload: again at once, elsewhere if there is an elsewhere
 *     REFUSED           certainly not executed: again after a while, or after the server's own
 *     UNKNOWN           again after a while, only where the method is idempotent or keyed
 *
 * A budget keeps retries from multiplying an outage: each of the last two kinds takes a token, ten calls that go well
 * give one back, and without tokens nothing is tried again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "aside/method.h"

#define TRIES_MAX 5

struct budget {
	unsigned tenths; /* of tokens */
};

void budget_init(struct budget *budget);
void budget_success(struct budget *budget);

/* False: there is no token. */
bool budget_take(struct budget *budget);

enum retry_cause {
	RETRY_NEVER,   /* the answer is final */
	RETRY_UNSENT,  /* it never left, or is beyond a GOAWAY */
	RETRY_LEAVING, /* refused by a server that shuts down */
	RETRY_REFUSED, /* refused, for the moment */
	RETRY_UNKNOWN, /* perhaps executed */
};

/* What a reply with this status calls for. */
enum retry_cause retry_cause(const struct aside_status *status);

/* How long to wait before the next of several tries: half to one and a half times as long, each time twice as long, from
 * 20 ms to 5 s. */
int64_t retry_backoff_us(unsigned tries, uint64_t random);

/* Whether to try again; *ret_delay_us says after how long.  `tries` have been sent; `retry_after_us` is the server's own
 * (0: none); `elsewhere`: another server takes calls; `random` jitters. */
bool retry_wanted(struct budget *budget, const struct aside_method *method, enum retry_cause cause, unsigned tries,
		uint64_t retry_after_us, bool elsewhere, uint64_t random, int64_t *ret_delay_us);
