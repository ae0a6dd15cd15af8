/* Which calls are taken and which are refused early and cheaply: RESOURCE_EXHAUSTED, with the time to wait.
 *
 * Three limits on calls under way: of the server, of a method (Rule.concurrency), of a principal.  The server's
 * own limit moves: a call is taken only if, at the rate at which calls have lately ended, it will be answered
 * before its deadline and within QUEUE_US (Little's law: time = calls under way / calls ended a second).  That rate
 * is measured only while there is always something to do; otherwise half the highest limit holds.  For methods that
 * anyone may call (health) some places are reserved: who asks whether a busy server lives shall hear that it does.
 * Streams are counted apart: they last.  So are replies that have not left: they are their peers' affair.  Any thread. */
#pragma once

#include "call.h"

struct admission;

struct admission_options {
	unsigned calls_max;     /* under way at once; 0: 20,000 */
	unsigned streams_max;   /* open at once; 0: 100,000 */
	unsigned principal_max; /* calls of one principal; 0: three quarters of what all may.  Of streams: always that */
};

/* What a call that was taken gives back at its end. */
struct ticket {
	bool held, stream, for_anyone;
	uint16_t principal; /* its counter */
	uint16_t method;
};

struct admission *admission_new(const struct admission_options *options) MUST_CHECK;
void admission_free(struct admission *admission);

/* For want of what a call is refused: RESOURCE_EXHAUSTED with this reason. */
enum admission_cause {
	ADMISSION_SERVER,    /* TOO_MANY_CALLS */
	ADMISSION_PRINCIPAL, /* TOO_MANY_CALLS_OF_PRINCIPAL */
	ADMISSION_METHOD,    /* TOO_MANY_CALLS_OF_METHOD */
	ADMISSION_CAUSES,
};
enum aside_code admission_refuse(enum admission_cause cause, struct aside_status *err);

/* Whether a call with so much time left is certain to be refused for want of room, before it is known who (NULL) makes
 * it; true: it is counted as refused.  False says nothing: admission_enter() decides. */
bool admission_sheds(struct admission *admission, const struct aside_method *method, const struct principal *principal,
		int64_t left_us, enum admission_cause *ret_cause) MUST_CHECK;

/* Takes a call, or refuses it; `index` is the method's in the dispatcher. */
enum aside_code admission_enter(struct admission *admission, const struct call *call, unsigned index, int64_t now_us,
		struct ticket *ret, struct aside_status *err) MUST_CHECK;

/* How a call is refused because the server drains. */
enum aside_code admission_draining(struct aside_status *err);

/* A call that was taken has been answered; it is over once its reply has left: admission_over().  `executed`: it was not
 * refused further on. */
void admission_leave(struct admission *admission, const struct ticket *ticket, bool executed);
void admission_over(struct admission *admission, unsigned n);

/* From now on calls are refused, but for those anyone may make: UNAVAILABLE, DRAINING. */
void admission_close(struct admission *admission);

/* Waits until every call is answered, at most until `deadline_us`, and then for the replies, a second at most: returns
 * how many have not been answered. */
unsigned admission_wait(struct admission *admission, int64_t deadline_us);

/* Once a second: how fast calls end, where they end too slowly to tell by themselves. */
void admission_tick(struct admission *admission, int64_t now_us);

struct admission_stats {
	unsigned calls, streams, limit;
	unsigned calls_max, streams_max; /* of the options */
	uint64_t refused;
};
void admission_stats(struct admission *admission, struct admission_stats *ret);

/* Calls of one method that have not been answered. */
unsigned admission_of_method(const struct admission *admission, unsigned index);
