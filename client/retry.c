/* See retry.h. */
#include "retry.h"

#include <string.h>

#define TOKEN_TENTHS 10
#define TENTHS_MAX (1000 * TOKEN_TENTHS) /* one lost connection's worth of calls */
#define BACKOFF_MIN_US 20000
#define BACKOFF_MAX_US 5000000

void budget_init(struct budget *budget)
{
	budget->tenths = TENTHS_MAX;
}

void budget_success(struct budget *budget)
{
	budget->tenths += budget->tenths < TENTHS_MAX;
}

bool budget_take(struct budget *budget)
{
	if (budget->tenths < TOKEN_TENTHS)
		return false;
	budget->tenths -= TOKEN_TENTHS;
	return true;
}

enum retry_cause retry_cause(const struct aside_status *status)
{
	if (status->code == ASIDE_UNAVAILABLE && status->not_executed)
		return strcmp(status->reason, "DRAINING") == 0 ? RETRY_LEAVING : RETRY_REFUSED;
	if (status->code == ASIDE_UNAVAILABLE)
		return RETRY_UNKNOWN;
	return status->code == ASIDE_RESOURCE_EXHAUSTED && status->not_executed ? RETRY_REFUSED : RETRY_NEVER;
}

int64_t retry_backoff_us(unsigned tries, uint64_t random)
{
	int64_t us = BACKOFF_MIN_US;

	for (unsigned i = 1; i < tries && us < BACKOFF_MAX_US; i++)
		us *= 2;
	return us / 2 + (int64_t)(random % (uint64_t)us);
}

bool retry_wanted(struct budget *budget, const struct aside_method *method, enum retry_cause cause, unsigned tries,
		uint64_t retry_after_us, bool elsewhere, uint64_t random, int64_t *ret_delay_us)
{
	*ret_delay_us = 0;
	if (cause == RETRY_UNSENT)
		return true;
	if (cause == RETRY_NEVER || tries >= TRIES_MAX ||
			(cause == RETRY_UNKNOWN && method->idempotency == ASIDE_NOT_IDEMPOTENT))
		return false;
	if (cause == RETRY_LEAVING && elsewhere)
		return true;
	*ret_delay_us = retry_backoff_us(tries, random);
	if (retry_after_us > 0)
		*ret_delay_us = (int64_t)(retry_after_us + random % (retry_after_us + 1));
	return cause == RETRY_LEAVING || budget_take(budget);
}
