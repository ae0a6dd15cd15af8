/* See migrate.h. */
#include "migrate.h"

#include <libpq-fe.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "sql.h"
#include "wire/status.h"

#define LOCK_TRIES 60 /* half a second apart */
#define LOCK_KEY "7400170001"

static const char create_table[] =
		"CREATE TABLE IF NOT EXISTS aside_migration (version int PRIMARY KEY, name text NOT NULL,"
		" sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/* The role of sql_grants.  An owner who may make no roles has an administrator make this one. */
static const char create_role[] =
		"DO $$ BEGIN"
		" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aside_app') THEN CREATE ROLE aside_app; END IF;"
		" EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";

static void finishp(PGconn **pg)
{
	PQfinish(*pg);
}

static void clearp(PGresult **result)
{
	PQclear(*result);
}

static enum aside_code failed(PGconn *pg, const char *what, struct aside_status *err)
{
	const char *why = PQerrorMessage(pg);

	return fail(err, ASIDE_FAILED_PRECONDITION, "MIGRATION_FAILED", "%s: %.*s", what, (int)strcspn(why, "\n"), why);
}

static enum aside_code run(PGconn *pg, const char *what, const char *sql, struct aside_status *err)
{
	CLEANUP(clearp) PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? ASIDE_OK : failed(pg, what, err);
}

/* A blocked lock call would hold a snapshot: it is tried instead. */
static enum aside_code take_lock(PGconn *pg, struct aside_status *err)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		CLEANUP(clearp) PGresult *result = PQexec(pg, "SELECT pg_try_advisory_lock(" LOCK_KEY ")");
		if (PQresultStatus(result) == PGRES_TUPLES_OK && PQgetvalue(result, 0, 0)[0] == 't')
			return ASIDE_OK;
		nanosleep(&(struct timespec){ 0, 500000000 }, NULL);
	}
	return fail(err, ASIDE_UNAVAILABLE, "MIGRATION_LOCKED", "another migration has been running for 30 s");
}

/* *ret must be finished, whatever the outcome. */
static enum aside_code connect_to(const char *dsn, PGconn **ret, struct aside_status *err)
{
	PGconn *pg = *ret = PQconnectdb(dsn);
	const char *encoding = PQparameterStatus(pg, "server_encoding");

	if (PQstatus(pg) != CONNECTION_OK)
		return failed(pg, "cannot connect", err);
	if (encoding == NULL || strcmp(encoding, "UTF8") != 0) /* it could not keep every text */
		return fail(err, ASIDE_FAILED_PRECONDITION, "ENCODING", "the database must have the encoding UTF8, not %s",
				encoding != NULL ? encoding : "an unknown one");
	return ASIDE_OK;
}

static enum aside_code open_locked(const char *dsn, PGconn **ret, struct aside_status *err)
{
	PGconn *pg;
	enum aside_code code = connect_to(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = take_lock(pg, err);
	if (code == ASIDE_OK)
		code = run(pg, "settings", "SET client_min_messages = warning; SET lock_timeout = '5s'", err);
	if (code == ASIDE_OK)
		code = run(pg, "aside_migration", create_table, err);
	if (code != ASIDE_OK)
		PQfinish(pg);
	else
		*ret = pg;
	return code;
}

/* How many of the embedded ones are applied; fails where the database has others. */
static enum aside_code count_applied(PGconn *pg, unsigned *ret, struct aside_status *err)
{
	CLEANUP(clearp) PGresult *rows = PQexec(pg, "SELECT version, sha256 FROM aside_migration ORDER BY version");

	if (PQresultStatus(rows) != PGRES_TUPLES_OK)
		return failed(pg, "aside_migration", err);
	*ret = (unsigned)PQntuples(rows);
	if (*ret > SQL_MIGRATIONS)
		return fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_NEWER", "the database has migrations of a newer server");
	for (unsigned i = 0; i < *ret; i++)
		if (strtoul(PQgetvalue(rows, (int)i, 0), NULL, 10) != sql_migrations[i].version ||
				strcmp(PQgetvalue(rows, (int)i, 1), sql_migrations[i].sha256) != 0)
			return fail(err, ASIDE_FAILED_PRECONDITION, "MIGRATION_CHANGED",
					"migration %u was applied with other content", sql_migrations[i].version);
	return ASIDE_OK;
}

/* `sql` and `record` in one transaction. */
static enum aside_code apply(PGconn *pg, const struct migration *migration, const char *sql, const char *record,
		struct aside_status *err)
{
	char version[16];
	const char *values[] = { version, migration->name, migration->sha256 };
	int n = record[0] == 'I' ? 3 : 1;
	enum aside_code code = run(pg, migration->name, "BEGIN", err);

	(void)snprintf(version, sizeof version, "%u", migration->version);
	if (code == ASIDE_OK)
		code = run(pg, migration->name, sql, err);
	if (code == ASIDE_OK) {
		CLEANUP(clearp) PGresult *result = PQexecParams(pg, record, n, NULL, values, NULL, NULL, 0);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			code = failed(pg, "aside_migration", err);
	}
	if (code == ASIDE_OK)
		return run(pg, migration->name, "COMMIT", err);
	PQclear(PQexec(pg, "ROLLBACK"));
	return code;
}

enum aside_code migrate_up(const char *dsn, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	unsigned applied = 0;
	enum aside_code code = open_locked(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = count_applied(pg, &applied, err);
	for (; code == ASIDE_OK && applied < SQL_MIGRATIONS; applied++) {
		log_info("event=migrate version=%u name=%s", sql_migrations[applied].version, sql_migrations[applied].name);
		code = apply(pg, &sql_migrations[applied], sql_migrations[applied].up,
				"INSERT INTO aside_migration (version, name, sha256) VALUES ($1::int, $2, $3)", err);
	}
	if (code == ASIDE_OK)
		code = run(pg, "role aside_app", create_role, err);
	return code == ASIDE_OK ? run(pg, "grants.sql", sql_grants, err) : code;
}

enum aside_code migrate_down(const char *dsn, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	unsigned applied = 0;
	enum aside_code code = open_locked(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = count_applied(pg, &applied, err);
	if (code == ASIDE_OK && applied > 0)
		code = apply(pg, &sql_migrations[applied - 1], sql_migrations[applied - 1].down,
				"DELETE FROM aside_migration WHERE version = $1::int", err);
	return code;
}

enum aside_code migrate_status(const char *dsn, FILE *out, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	unsigned applied = 0;
	enum aside_code code = open_locked(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = count_applied(pg, &applied, err);
	for (unsigned i = 0; code == ASIDE_OK && i < SQL_MIGRATIONS; i++)
		fprintf(out, "%04u %-24s %s\n", sql_migrations[i].version, sql_migrations[i].name,
				i < applied ? "applied" : "pending");
	return code;
}

/* A server that may do more than it needs works all the same. */
static void warn_of_power(PGconn *pg)
{
	CLEANUP(clearp) PGresult *result = PQexec(pg, "SELECT has_table_privilege('message', 'DELETE')");

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQgetvalue(result, 0, 0)[0] == 't')
		log_warning("event=powerful_role role=\"%s\" message=\"a server needs no more than the role aside_app\"", PQuser(pg));
}

enum aside_code migrate_check(const char *dsn, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	unsigned applied = 0;
	enum aside_code code = connect_to(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = count_applied(pg, &applied, err);
	if (code == ASIDE_OK && applied < SQL_MIGRATIONS)
		code = fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_OLDER", "run aside-server migrate up first");
	if (code == ASIDE_OK)
		warn_of_power(pg);
	return code;
}
