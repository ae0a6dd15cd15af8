/* See admission.h. */
#include "admission.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "dispatch.h"
#include "server.h"

#define CALLS_MAX_DEFAULT 20000
#define STREAMS_MAX_DEFAULT 100000
#define QUEUE_US 250000
#define WINDOW 2048 /* calls, after which the rate is reckoned anew; or so long */
#define WINDOW_US 1000000
#define CALLS_MIN 512 /* taken however slowly calls end */
#define CALLS_RESERVED 512 /* of methods that anyone may call: taken whatever is under way */
#define RETRY_US 200000
#define LEAVE_US 1000000 /* how long the last replies are waited for */
#define PRINCIPALS 4096 /* counters; two principals may share one */

struct admission {
	struct admission_options options;
	atomic_uint calls, streams, limit;
	atomic_uint for_anyone; /* of the calls */
	atomic_uint unsent; /* answered, but their replies have not left */
	atomic_uint principals[2][PRINCIPALS]; /* calls, streams */
	atomic_uint methods[METHODS_MAX];
	atomic_ullong refused;
	/* The rate: how many calls have ended in this window, when it began, whether there was always something to do. */
	atomic_uint ended;
	atomic_llong began_us;
	atomic_bool busy;
	atomic_flag reckoning;
	atomic_bool closed;
	pthread_mutex_t mutex;
	pthread_cond_t idle;
};

/* While it is not known how fast calls end: room for a flood, but not for all that could come while the first of it is
 * under way. */
static unsigned limit_unknown(const struct admission *admission)
{
	return admission->options.calls_max / 2 + 1;
}

struct admission *admission_new(const struct admission_options *options)
{
	struct admission *admission = calloc(1, sizeof *admission);

	if (admission == NULL)
		return NULL;
	admission->options = *options;
	if (admission->options.calls_max == 0)
		admission->options.calls_max = CALLS_MAX_DEFAULT;
	if (admission->options.streams_max == 0)
		admission->options.streams_max = STREAMS_MAX_DEFAULT;
	admission->limit = limit_unknown(admission);
	pthread_mutex_init(&admission->mutex, NULL);
	pthread_cond_init(&admission->idle, NULL);
	return admission;
}

void admission_free(struct admission *admission)
{
	if (admission == NULL)
		return;
	pthread_mutex_destroy(&admission->mutex);
	pthread_cond_destroy(&admission->idle);
	free(admission);
}

static uint16_t counter_of(const struct principal *principal)
{
	uint64_t hash = (uint64_t)principal->user_id * 0x9E3779B97F4A7C15ull;

	for (const char *p = principal->service; p != NULL && *p != '\0'; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001B3ull;
	return (uint16_t)((hash ^ hash >> 32) % PRINCIPALS);
}

enum aside_code admission_refuse(enum admission_cause cause, struct aside_status *err)
{
	static const char *const reasons[] = { "TOO_MANY_CALLS", "TOO_MANY_CALLS_OF_PRINCIPAL", "TOO_MANY_CALLS_OF_METHOD" };
	static const char *const whose[] = { "server", "caller", "method" };

	(void)fail(err, ASIDE_RESOURCE_EXHAUSTED, reasons[cause], "the %s has too many calls under way", whose[cause]);
	err->retry_after_us = RETRY_US;
	err->not_executed = true;
	return ASIDE_RESOURCE_EXHAUSTED;
}

enum aside_code admission_draining(struct aside_status *err)
{
	(void)fail(err, ASIDE_UNAVAILABLE, "DRAINING", "the server is shutting down");
	err->not_executed = true;
	return ASIDE_UNAVAILABLE;
}

static bool is_for_anyone(const struct aside_method *method)
{
	return (method->callers & ASIDE_CALLER_ANYONE) != 0;
}

/* How many calls may be under way, so that one with so much time left makes its deadline. */
static unsigned limit_for(const struct admission *admission, int64_t left_us)
{
	unsigned limit = admission->limit, most = admission->options.calls_max;

	if (left_us < QUEUE_US)
		limit = left_us <= 0 ? 0 : (unsigned)((uint64_t)limit * (uint64_t)left_us / QUEUE_US);
	if (limit < CALLS_MIN)
		limit = CALLS_MIN < most ? CALLS_MIN : most;
	return limit;
}

/* And of these, so many by one principal. */
static unsigned share_of(unsigned limit, unsigned principal_max)
{
	return principal_max > 0 ? principal_max : limit / 4 * 3 + 1;
}

bool admission_sheds(struct admission *admission, const struct aside_method *method, const struct principal *principal,
		int64_t left_us, enum admission_cause *ret_cause)
{
	unsigned limit = limit_for(admission, left_us);

	if (aside_method_streams(method) || admission->closed ||
			(is_for_anyone(method) && admission->for_anyone < CALLS_RESERVED))
		return false;
	if (admission->calls >= limit)
		*ret_cause = ADMISSION_SERVER;
	else if (principal != NULL &&
			admission->principals[0][counter_of(principal)] >= share_of(limit, admission->options.principal_max))
		*ret_cause = ADMISSION_PRINCIPAL;
	else
		return false;
	atomic_fetch_add(&admission->refused, 1);
	return true;
}

static void give_back(struct admission *admission, const struct ticket *ticket)
{
	atomic_fetch_sub(ticket->stream ? &admission->streams : &admission->calls, 1);
	atomic_fetch_sub(&admission->for_anyone, ticket->for_anyone);
	atomic_fetch_sub(&admission->principals[ticket->stream][ticket->principal], 1);
	atomic_fetch_sub(&admission->methods[ticket->method], 1);
}

static bool is_busy(const struct admission *admission)
{
	return admission->calls >= CALLS_MIN / 2;
}

static bool has_ended(const struct admission *admission, int64_t now_us)
{
	return admission->ended >= WINDOW || now_us - admission->began_us >= WINDOW_US;
}

/* At the end of a window: as many calls as end in QUEUE_US. */
static void reckon(struct admission *admission, int64_t now_us)
{
	if (atomic_flag_test_and_set(&admission->reckoning))
		return; /* somebody does it; or the next one to end will */
	if (has_ended(admission, now_us)) {
		int64_t span_us = now_us - admission->began_us;
		uint64_t limit = span_us > 0 ? (uint64_t)admission->ended * QUEUE_US / (uint64_t)span_us : UINT64_MAX;
		if (!admission->busy || !is_busy(admission))
			admission->limit = limit_unknown(admission);
		else
			admission->limit = limit < admission->options.calls_max ? (unsigned)limit : admission->options.calls_max;
		admission->began_us = now_us;
		admission->ended = 0;
		admission->busy = is_busy(admission);
	}
	atomic_flag_clear(&admission->reckoning);
}

static void count_ended(struct admission *admission)
{
	if (admission->busy && !is_busy(admission)) {
		admission->busy = false;
		admission->limit = limit_unknown(admission);
	}
	if (atomic_fetch_add(&admission->ended, 1) + 1 >= WINDOW)
		reckon(admission, clock_monotonic_us());
}

void admission_leave(struct admission *admission, const struct ticket *ticket, bool executed)
{
	atomic_fetch_add(&admission->unsent, 1); /* before it is given back: none is overlooked */
	give_back(admission, ticket);
	if (!ticket->stream && executed)
		count_ended(admission);
}

void admission_over(struct admission *admission, unsigned n)
{
	atomic_fetch_sub(&admission->unsent, n);
	if (!admission->closed)
		return;
	pthread_mutex_lock(&admission->mutex);
	pthread_cond_broadcast(&admission->idle);
	pthread_mutex_unlock(&admission->mutex);
}

enum aside_code admission_enter(struct admission *admission, const struct call *call, unsigned index, int64_t now_us,
		struct ticket *ret, struct aside_status *err)
{
	const struct aside_method *method = call->method;
	struct ticket ticket = { .held = true, .stream = aside_method_streams(method),
		.for_anyone = !aside_method_streams(method) && is_for_anyone(method),
		.principal = counter_of(&call->principal), .method = (uint16_t)index };
	unsigned limit = ticket.stream ? admission->options.streams_max : limit_for(admission, call->deadline_us - now_us);
	unsigned share = share_of(limit, ticket.stream ? 0 : admission->options.principal_max);
	bool fits = atomic_fetch_add(ticket.stream ? &admission->streams : &admission->calls, 1) < limit;
	bool reserved = atomic_fetch_add(&admission->for_anyone, ticket.for_anyone) < CALLS_RESERVED && ticket.for_anyone;
	unsigned principal = atomic_fetch_add(&admission->principals[ticket.stream][ticket.principal], 1);
	unsigned of_method = atomic_fetch_add(&admission->methods[index], 1);
	enum aside_code code = ASIDE_OK;

	if (admission->closed && !is_for_anyone(method)) {
		code = admission_draining(err);
	} else if (!fits && !reserved) {
		code = admission_refuse(ADMISSION_SERVER, err);
	} else if (principal >= share && !reserved) {
		code = admission_refuse(ADMISSION_PRINCIPAL, err);
	} else if (method->concurrency > 0 && of_method >= method->concurrency) {
		code = admission_refuse(ADMISSION_METHOD, err);
	}
	if (code == ASIDE_OK) {
		*ret = ticket;
		return ASIDE_OK;
	}
	if (code == ASIDE_RESOURCE_EXHAUSTED)
		atomic_fetch_add(&admission->refused, 1);
	give_back(admission, &ticket);
	admission_over(admission, 0); /* whoever waits for the last one may have seen this one */
	return code;
}

void admission_close(struct admission *admission)
{
	admission->closed = true;
}

static unsigned count_unanswered(const struct admission *admission)
{
	return admission->calls + admission->streams;
}

/* With the mutex held: until something has ended, a second at most. */
static void wait_a_while(struct admission *admission)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	(void)pthread_cond_timedwait(&admission->idle, &admission->mutex, &until);
}

unsigned admission_wait(struct admission *admission, int64_t deadline_us)
{
	pthread_mutex_lock(&admission->mutex);
	while (count_unanswered(admission) > 0 && clock_monotonic_us() < deadline_us)
		wait_a_while(admission);
	int64_t leave_by_us = clock_monotonic_us() + LEAVE_US;
	while (count_unanswered(admission) == 0 && admission->unsent > 0 && clock_monotonic_us() < leave_by_us)
		wait_a_while(admission);
	pthread_mutex_unlock(&admission->mutex);
	return count_unanswered(admission);
}

void admission_tick(struct admission *admission, int64_t now_us)
{
	if (has_ended(admission, now_us))
		reckon(admission, now_us);
}

void admission_stats(struct admission *admission, struct admission_stats *ret)
{
	*ret = (struct admission_stats){ admission->calls, admission->streams, admission->limit,
		admission->options.calls_max, admission->options.streams_max, admission->refused };
}

unsigned admission_of_method(const struct admission *admission, unsigned index)
{
	return admission->methods[index];
}
