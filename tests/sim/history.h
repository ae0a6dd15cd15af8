/* What callers and servers have seen of each call, and whether that fits together. */
#pragma once

#include "aside/channel.h"

struct record {
	uint64_t id;
	const struct aside_method *method;
	int64_t deadline_us;
	bool waits;	   /* its caller, for the library: no longer than until the deadline */
	bool must_succeed; /* nothing befalls it that could be a reason to fail */
	bool cancelled;	   /* by its caller */
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

/* Calls whose callers wait beyond their deadline: fails. */
void history_check_late(void);

/* When all have ended and nothing is under way any more. */
void history_check(void);
