/* A migration's SQL, executed while servers write.
 *
 *     in a transaction:  BEGIN, steps, record, COMMIT ──▶ done
 *                          ▲        │ a lock was not to be had for SCRIPT_LOCK_TIMEOUT: rolled back, and a pause, in which
 *                          └────────┘ those who had to queue up behind it go on
 *
 *     outside of one:    step, step, …, record ──▶ done
 *                          └ for what PostgreSQL does not allow in a transaction and what can be repeated, like CREATE INDEX
 *                            CONCURRENTLY IF NOT EXISTS: it blocks no writer while it waits, and so waits as long as it takes */
#pragma once

#include <libpq-fe.h>

#include "wire/scope.h"

#define SCRIPT_LOCK_TIMEOUT "1s"
#define SCRIPT_PATIENCE_S 600 /* for locks, before it is given up */

struct script_step {
	const char *sql;
	const char *index; /* that it builds concurrently; what is left of a build that failed is dropped first.  NULL: none */
};

struct script {
	bool transaction;
	const struct script_step *steps;
	unsigned n;
};

/* Executes `script` and then `record` (NULL: nothing), all or nothing where it is a transaction; otherwise what was done stays, and the
 * same call goes on.  `name` is for the log and *err; UNAVAILABLE, reason MIGRATION_BLOCKED, when a lock was not to be had.
 * Leaves the session's lock_timeout at SCRIPT_LOCK_TIMEOUT.  Blocks. */
enum aside_code script_run(PGconn *pg, const char *name, const struct script *script, const char *record,
		struct aside_status *err) MUST_CHECK;

/* One command, or several in a transaction of their own; the same failures, without a second try. */
enum aside_code script_command(PGconn *pg, const char *name, const char *sql, struct aside_status *err) MUST_CHECK;
