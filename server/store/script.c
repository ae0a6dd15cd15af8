/* See script.h. */
#include "script.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../clock.h"
#include "../log.h"
#include "wire/status.h"

#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000
#define INDEX_CHARS_MAX 63 /* PostgreSQL's */
#define TEXT_OF_(number) #number
#define TEXT_OF(number) TEXT_OF_(number)

static const char impatient[] = "SET lock_timeout = '" SCRIPT_LOCK_TIMEOUT "'";
static const char patient[] = "SET lock_timeout = '" TEXT_OF(SCRIPT_PATIENCE_S) "s'";

static void clearp(PGresult **result)
{
	PQclear(*result);
}

enum aside_code script_command(PGconn *pg, const char *name, const char *sql, struct aside_status *err)
{
	CLEANUP(clearp) PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE), *why = PQerrorMessage(pg);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return ASIDE_OK;
	/* lock_not_available, deadlock_detected */
	if (sqlstate != NULL && (strcmp(sqlstate, "55P03") == 0 || strcmp(sqlstate, "40P01") == 0))
		return fail(err, ASIDE_UNAVAILABLE, "MIGRATION_BLOCKED", "%s: %.*s", name, (int)strcspn(why, "\n"), why);
	return fail(err, ASIDE_FAILED_PRECONDITION, "MIGRATION_FAILED", "%s: %.*s", name, (int)strcspn(why, "\n"), why);
}

/* IF NOT EXISTS would take an index that is not valid for the one that is wanted. */
static enum aside_code drop_failed(PGconn *pg, const char *name, const struct script_step *step, struct aside_status *err)
{
	const char *values[] = { step->index };
	char drop[sizeof "DROP INDEX CONCURRENTLY " + INDEX_CHARS_MAX];

	if (step->index == NULL)
		return ASIDE_OK;
	CLEANUP(clearp) PGresult *found = PQexecParams(pg, "SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid", 1,
			NULL, values, NULL, NULL, 0);
	if (PQntuples(found) == 0)
		return ASIDE_OK;
	log_info("event=migrate_again name=%s index=%s message=\"drops what is left of a build that failed\"", name, step->index);
	(void)snprintf(drop, sizeof drop, "DROP INDEX CONCURRENTLY %s", step->index);
	return script_command(pg, name, drop, err);
}

static enum aside_code run_steps(PGconn *pg, const char *name, const struct script *script, const char *record, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (unsigned i = 0; i < script->n && code == ASIDE_OK; i++) {
		code = drop_failed(pg, name, &script->steps[i], err);
		if (code == ASIDE_OK)
			code = script_command(pg, name, script->steps[i].sql, err);
	}
	return code == ASIDE_OK && record != NULL ? script_command(pg, "aside_migration", record, err) : code;
}

static enum aside_code run_in_transaction(PGconn *pg, const char *name, const struct script *script, const char *record,
		struct aside_status *err)
{
	enum aside_code code = script_command(pg, name, "BEGIN", err);

	if (code == ASIDE_OK)
		code = run_steps(pg, name, script, record, err);
	if (code == ASIDE_OK)
		return script_command(pg, name, "COMMIT", err);
	PQclear(PQexec(pg, "ROLLBACK"));
	return code;
}

static enum aside_code run_outside(PGconn *pg, const char *name, const struct script *script, const char *record,
		struct aside_status *err)
{
	enum aside_code code = script_command(pg, name, patient, err);

	if (code == ASIDE_OK)
		code = run_steps(pg, name, script, record, err);
	PQclear(PQexec(pg, impatient));
	return code;
}

enum aside_code script_run(PGconn *pg, const char *name, const struct script *script, const char *record, struct aside_status *err)
{
	int64_t until_us = clock_monotonic_us() + SCRIPT_PATIENCE_S * 1000000ll, pause_ms = FIRST_PAUSE_MS;
	enum aside_code code = script_command(pg, name, impatient, err);

	while (code == ASIDE_OK) {
		code = script->transaction ? run_in_transaction(pg, name, script, record, err) : run_outside(pg, name, script, record, err);
		if (code != ASIDE_UNAVAILABLE || clock_monotonic_us() + pause_ms * 1000 > until_us)
			return code;
		log_info("event=migrate_waits name=%s again_in_ms=%lld message=\"%s\"", name, (long long)pause_ms, err->message);
		nanosleep(&(struct timespec){ pause_ms / 1000, pause_ms % 1000 * 1000000 }, NULL);
		pause_ms = pause_ms * 2 < LONGEST_PAUSE_MS ? pause_ms * 2 : LONGEST_PAUSE_MS;
		code = ASIDE_OK;
	}
	return code;
}
