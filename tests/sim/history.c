/* See history.h. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "fibers.h"
#include "sim.h"

#define RECORDS_MAX 4096
#define LATE_US_MAX 500000 /* of an end, beyond its deadline: threads stall, too */
#define WELL_US_MAX 6000000 /* of a wait where nothing is wrong: drains and a slow store take up to 3 seconds */

static struct {
	struct record *all[RECORDS_MAX]; /* by id, from 1 */
	uint64_t n;
} history;

static noreturn void fail_record(const struct record *record, const char *what)
{
	sim_fail("call %llu (%s): %s; executed %u times, ended with %s %s%s", (unsigned long long)record->id,
			record->method->name, what, record->executed,
			record->ended ? aside_code_name(record->status.code) : "nothing", record->status.reason,
			record->status.not_executed ? ", certainly not executed" : "");
}

void history_open(void)
{
	history.n = 0;
}

void history_close(void)
{
	for (uint64_t i = 0; i < history.n; i++)
		free(history.all[i]);
	history.n = 0;
}

struct record *history_add(const struct aside_method *method, int64_t deadline_us)
{
	struct record *record = calloc(1, sizeof *record);

	if (history.n == RECORDS_MAX)
		sim_fail("more calls than the history has room for");
	history.all[history.n++] = record;
	*record = (struct record){ .id = history.n, .method = method, .deadline_us = deadline_us };
	sim_trace("call %llu (%s) begins, for %lld us", (unsigned long long)record->id, method->name,
			(long long)(deadline_us - fiber_now_us()));
	return record;
}

void history_executed(uint64_t id)
{
	if (id == 0 || id > history.n)
		sim_fail("a server executes call %llu, which nobody has begun", (unsigned long long)id);
	history.all[id - 1]->executed++;
	sim_trace("call %llu is executed", (unsigned long long)id);
}

static bool is_late(const struct record *record)
{
	int64_t due_us = record->deadline_us > record->waits_since_us ? record->deadline_us : record->waits_since_us;

	return record->waits_since_us != 0 && fiber_now_us() > due_us + LATE_US_MAX;
}

void history_wait(struct record *record, bool wait)
{
	record->waits_since_us = wait ? fiber_now_us() : 0;
}

static bool is_expected(const struct record *record)
{
	enum aside_code code = record->status.code;

	return code == ASIDE_OK || code == ASIDE_UNAVAILABLE || code == ASIDE_DEADLINE_EXCEEDED ||
			(code == ASIDE_RESOURCE_EXHAUSTED && strcmp(record->status.reason, "QUEUE_FULL") == 0) ||
			(code == ASIDE_CANCELLED && record->cancelled);
}

void history_ended(struct record *record, const struct aside_status *status)
{
	sim_trace("call %llu ends: %s %s%s", (unsigned long long)record->id, aside_code_name(status->code), status->reason,
			status->not_executed ? ", certainly not executed" : "");
	if (record->ended)
		fail_record(record, "it ends twice");
	record->ended = true;
	record->status = *status;
	if (!is_expected(record))
		fail_record(record, "nothing calls for that end");
	if (record->must_succeed && status->code != ASIDE_OK)
		fail_record(record, "it fails although nothing was wrong");
	if (record->must_hurry && record->waits_since_us != 0 && fiber_now_us() - record->waits_since_us > WELL_US_MAX)
		fail_record(record, "it took long although nothing was wrong");
	if (status->code == ASIDE_OK && record->executed == 0)
		fail_record(record, "it has an answer and was not executed");
	if (is_late(record))
		fail_record(record, "it ends after its deadline");
	history_wait(record, false);
}

void history_check_late(void)
{
	for (uint64_t i = 0; i < history.n; i++)
		if (is_late(history.all[i]))
			fail_record(history.all[i], "it has not ended by its deadline");
}

void history_check(void)
{
	for (uint64_t i = 0; i < history.n; i++) {
		const struct record *record = history.all[i];
		if (!record->ended)
			fail_record(record, "it has not ended");
		if (record->method->idempotency == ASIDE_NOT_IDEMPOTENT && record->executed > 1)
			fail_record(record, "it is not idempotent, and was executed more than once");
		if (record->status.not_executed && record->executed > 0)
			fail_record(record, "it was executed");
	}
}
