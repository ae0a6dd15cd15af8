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
#define QUEUE_US 1000000
/* Always taken: a server that has just started, or has idled, knows no rate. */
#define CALLS_MIN 512
#define RETRY_US 200000
#define LEAVE_US 1000000 /* how long the last replies are waited for */
#define PRINCIPALS 4096 /* counters; two principals may share one */

struct admission {
	struct admission_options options;
	atomic_uint calls, streams, limit;
	atomic_uint unsent; /* answered, but their replies have not left */
	atomic_uint principals[2][PRINCIPALS]; /* calls, streams */
	atomic_uint methods[METHODS_MAX];
	atomic_ullong ended, refused;
	atomic_bool closed;
	unsigned long long ended_before;
	int64_t ticked_us;
	pthread_mutex_t mutex;
	pthread_cond_t idle;
};

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
	if (admission->options.principal_max == 0)
		admission->options.principal_max = admission->options.calls_max / 4 * 3 + 1;
	admission->limit = admission->options.calls_max;
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

static enum aside_code refuse(struct admission *admission, const char *reason, const char *what, struct aside_status *err)
{
	atomic_fetch_add(&admission->refused, 1);
	(void)fail(err, ASIDE_RESOURCE_EXHAUSTED, reason, "%s", what);
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

/* How many calls may be under way, so that this one makes its deadline. */
static unsigned limit_for(const struct admission *admission, const struct call *call, int64_t now_us)
{
	unsigned limit = admission->limit;
	int64_t left_us = call->deadline_us - now_us;

	if (left_us < QUEUE_US)
		limit = left_us <= 0 ? 0 : (unsigned)((uint64_t)limit * (uint64_t)left_us / QUEUE_US);
	return limit > CALLS_MIN ? limit : CALLS_MIN;
}

static void give_back(struct admission *admission, const struct ticket *ticket)
{
	atomic_fetch_sub(ticket->stream ? &admission->streams : &admission->calls, 1);
	atomic_fetch_sub(&admission->principals[ticket->stream][ticket->principal], 1);
	atomic_fetch_sub(&admission->methods[ticket->method], 1);
}

void admission_leave(struct admission *admission, const struct ticket *ticket)
{
	if (!ticket->stream)
		atomic_fetch_add(&admission->ended, 1);
	atomic_fetch_add(&admission->unsent, 1); /* before it is given back: none is overlooked */
	give_back(admission, ticket);
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
		.principal = counter_of(&call->principal), .method = (uint16_t)index };
	unsigned limit = ticket.stream ? admission->options.streams_max : limit_for(admission, call, now_us);
	unsigned share = ticket.stream ? admission->options.streams_max / 4 * 3 + 1 : admission->options.principal_max;
	bool fits = atomic_fetch_add(ticket.stream ? &admission->streams : &admission->calls, 1) < limit;
	unsigned principal = atomic_fetch_add(&admission->principals[ticket.stream][ticket.principal], 1);
	unsigned of_method = atomic_fetch_add(&admission->methods[index], 1);
	enum aside_code code = ASIDE_OK;

	if (admission->closed && (method->callers & ASIDE_CALLER_ANYONE) == 0) {
		code = admission_draining(err);
	} else if (!fits) {
		code = refuse(admission, "TOO_MANY_CALLS", "the server has too many calls under way", err);
	} else if (principal >= share) {
		code = refuse(admission, "TOO_MANY_CALLS_OF_PRINCIPAL", "the caller has too many calls under way", err);
	} else if (method->concurrency > 0 && of_method >= method->concurrency) {
		code = refuse(admission, "TOO_MANY_CALLS_OF_METHOD", "the method has too many calls under way", err);
	}
	if (code == ASIDE_OK) {
		*ret = ticket;
		return ASIDE_OK;
	}
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
	unsigned long long ended = admission->ended;
	int64_t span_us = now_us - admission->ticked_us;

	if (admission->ticked_us != 0 && span_us > 0 && admission->calls >= CALLS_MIN / 2) {
		uint64_t limit = (ended - admission->ended_before) * QUEUE_US / (uint64_t)span_us;
		admission->limit = limit < admission->options.calls_max ? (unsigned)limit : admission->options.calls_max;
	} else {
		admission->limit = admission->options.calls_max; /* no load, no limit */
	}
	admission->ended_before = ended;
	admission->ticked_us = now_us;
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
