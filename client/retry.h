/* Whether a call may be tried again, and when (gRPC's A6, by the method's own idempotency).
 *
 *     certainly not executed   again, elsewhere if there is an elsewhere
 *     unknown                  again only where the method is idempotent or keyed
 *
 * A budget keeps retries from multiplying an outage: each failure takes a token, ten successes give one back, and
 * below half of the tokens nothing is tried again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "aside/method.h"

#define TRIES_MAX 5

struct budget {
	int tenths; /* of tokens */
};

void budget_init(struct budget *budget);
void budget_success(struct budget *budget);

/* How an attempt failed. */
struct attempt_end {
	enum aside_code code;
	bool not_executed;
	uint64_t retry_after_us; /* the server's push-back; 0: none */
};

/* Whether to try again; *ret_delay_us says after how long.  `tries` have been begun; `random` jitters. */
bool retry_wanted(struct budget *budget, const struct aside_method *method, const struct attempt_end *end, unsigned tries,
		uint64_t random, int64_t *ret_delay_us);
