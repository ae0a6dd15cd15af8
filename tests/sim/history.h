/* What callers and servers have seen of each call, and whether that fits together. */
#pragma once

#include "aside/channel.h"

struct record {
	uint64_t id;
	const struct aside_method *method;
	int64_t deadline_us;
	int64_t waits_since_us; /* its caller, for the library; 0: it does not */
	bool must_succeed; /* nothing befalls it that could be a reason to fail */
	bool must_hurry; /* nor to wait long */
	bool cancelled; /* by its caller */
	bool ended;
	struct aside_status status;
	unsigned executed; /* how often a server did */
};

void history_open(void);
void history_close(void);

/* A call that is about to begin. */
struct record *history_add(const struct aside_method *method, int64_t deadline_us);

/* A server executes it. */
void history_executed(uint64_t id);

/* Its caller has been told. */
void history_ended(struct record *record, const struct aside_status *status);

/* Its caller begins to wait for the library, no longer than until its deadline; or no longer does. */
void history_wait(struct record *record, bool wait);

/* Calls whose callers wait beyond their deadline: fails. */
void history_check_late(void);

/* When all have ended and nothing is under way any more. */
void history_check(void);
