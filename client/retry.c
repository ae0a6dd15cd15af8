/* See retry.h. */
#include "retry.h"

#define TENTHS_MAX 1000 /* 100 tokens */
#define TOKEN_TENTHS 10
#define BACKOFF_MIN_US 50000
#define BACKOFF_MAX_US 5000000

void budget_init(struct budget *budget)
{
	budget->tenths = TENTHS_MAX;
}

void budget_success(struct budget *budget)
{
	if (budget->tenths < TENTHS_MAX)
		budget->tenths++;
}

static bool budget_take(struct budget *budget)
{
	if (budget->tenths >= TOKEN_TENTHS)
		budget->tenths -= TOKEN_TENTHS;
	return budget->tenths > TENTHS_MAX / 2;
}

/* Half to one and a half times as long, each time twice as long. */
static int64_t backoff_us(unsigned tries, uint64_t random)
{
	int64_t us = BACKOFF_MIN_US;

	for (unsigned i = 1; i < tries && us < BACKOFF_MAX_US; i++)
		us *= 2;
	return us / 2 + (int64_t)(random % (uint64_t)us);
}

bool retry_wanted(struct budget *budget, const struct aside_method *method, const struct attempt_end *end, unsigned tries,
		uint64_t random, int64_t *ret_delay_us)
{
	bool temporary = end->code == ASIDE_UNAVAILABLE || end->code == ASIDE_RESOURCE_EXHAUSTED;
	bool safe = end->not_executed || (end->code == ASIDE_UNAVAILABLE && method->idempotency != ASIDE_NOT_IDEMPOTENT);
	bool affordable = !temporary || budget_take(budget);

	if (!temporary || !safe || !affordable || tries >= TRIES_MAX)
		return false;
	*ret_delay_us = end->retry_after_us > 0 ? (int64_t)(end->retry_after_us + random % (end->retry_after_us + 1)) :
						  backoff_us(tries, random);
	if (end->code == ASIDE_UNAVAILABLE && end->not_executed && tries == 1)
		*ret_delay_us = 0; /* a server that goes away: the next one will do */
	return true;
}
