/* See migrate.h. */
#include "migrate.h"

#include <string.h>
#include <time.h>

#include "../log.h"
#include "wire/status.h"

#define LOCK_TRIES 60 /* half a second apart */
#define LOCK_KEY "7400170001"
#define RECORD_CHARS 512

static const char create_table[] =
		"CREATE TABLE IF NOT EXISTS aside_migration (version int PRIMARY KEY, servers int NOT NULL, name text NOT NULL,"
		" sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/* The role of grants.sql.  An owner who may make no roles has an administrator make this one. */
static const char create_role[] =
		"DO $$ BEGIN"
		" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aside_app') THEN CREATE ROLE aside_app; END IF;"
		" EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";

static const char settings[] = "SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = '" SCRIPT_LOCK_TIMEOUT "'";

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
		code = script_command(pg, "settings", settings, err);
	if (code == ASIDE_OK)
		code = script_command(pg, "aside_migration", create_table, err);
	if (code != ASIDE_OK)
		PQfinish(pg);
	else
		*ret = pg;
	return code;
}

/* What a database has. */
struct applied {
	unsigned n;
	unsigned servers; /* what servers must know to work with those that are newer than ours; 0: there are none */
};

static bool has_failed_with(const PGresult *rows, const char *sqlstate)
{
	const char *actual = PQresultErrorField(rows, PG_DIAG_SQLSTATE);

	return actual != NULL && strcmp(actual, sqlstate) == 0;
}

/* undefined_table: nobody has migrated the database yet. */
static bool is_new(const PGresult *rows)
{
	return has_failed_with(rows, "42P01");
}

/* To read aside_migration; insufficient_privilege: whose login it is. */
static enum aside_code cannot_read(PGconn *pg, const PGresult *rows, struct aside_status *err)
{
	if (has_failed_with(rows, "42501"))
		return fail(err, ASIDE_FAILED_PRECONDITION, "ROLE", "the role %s may not read aside_migration:"
				" a server's must be a member of aside_app, and who migrates the schema's owner", PQuser(pg));
	return failed(pg, "aside_migration", err);
}

/* Fails where one of ours was applied with other content. */
static enum aside_code read_applied(PGconn *pg, const struct migrations *ours, struct applied *ret, struct aside_status *err)
{
	CLEANUP(clearp) PGresult *rows = PQexec(pg, "SELECT version, servers, sha256 FROM aside_migration ORDER BY version");

	if (PQresultStatus(rows) != PGRES_TUPLES_OK && !is_new(rows))
		return cannot_read(pg, rows, err);
	*ret = (struct applied){ .n = (unsigned)PQntuples(rows) };
	for (unsigned i = 0; i < ret->n; i++) {
		unsigned version = (unsigned)strtoul(PQgetvalue(rows, (int)i, 0), NULL, 10);
		unsigned servers = (unsigned)strtoul(PQgetvalue(rows, (int)i, 1), NULL, 10);
		if (i >= ours->n)
			ret->servers = servers > ret->servers ? servers : ret->servers;
		else if (version != ours->list[i].version || strcmp(PQgetvalue(rows, (int)i, 2), ours->list[i].sha256) != 0)
			return fail(err, ASIDE_FAILED_PRECONDITION, "MIGRATION_CHANGED", "migration %u was applied with other content",
					ours->list[i].version);
	}
	return ASIDE_OK;
}

static enum aside_code check_servers(const struct migrations *ours, const struct applied *applied, struct aside_status *err)
{
	if (applied->servers > ours->n)
		return fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_NEWER", "the database has migrations of a newer server");
	return ASIDE_OK;
}

static enum aside_code apply(PGconn *pg, const struct migration *migration, struct aside_status *err)
{
	char record[RECORD_CHARS];

	/* Of names and numbers that the build has checked. */
	(void)snprintf(record, sizeof record, "INSERT INTO aside_migration (version, servers, name, sha256) VALUES (%u, %u, '%s', '%s')",
			migration->version, migration->servers, migration->name, migration->sha256);
	log_info("event=migrate version=%u name=%s", migration->version, migration->name);
	return script_run(pg, migration->name, &migration->up, record, err);
}

static enum aside_code undo(PGconn *pg, const struct migration *migration, struct aside_status *err)
{
	char record[RECORD_CHARS];

	log_info("event=migrate_undo version=%u name=%s", migration->version, migration->name);
	(void)snprintf(record, sizeof record, "DELETE FROM aside_migration WHERE version = %u", migration->version);
	return script_run(pg, migration->name, &migration->down, record, err);
}

enum aside_code migrate_up(const char *dsn, const struct migrations *migrations, struct aside_status *err)
{
	const struct script_step steps[] = { { migrations->citus, NULL }, { create_role, NULL }, { migrations->grants, NULL } };
	const struct script citus = { true, steps, 1 }, grants = { true, steps + 1, 2 };
	CLEANUP(finishp) PGconn *pg = NULL;
	struct applied applied = { 0 };
	enum aside_code code = open_locked(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = read_applied(pg, migrations, &applied, err);
	if (code != ASIDE_OK || applied.n > migrations->n)
		return code == ASIDE_OK ? check_servers(migrations, &applied, err) : code;
	for (unsigned i = applied.n; code == ASIDE_OK && i < migrations->n; i++)
		code = apply(pg, &migrations->list[i], err);
	if (code == ASIDE_OK)
		code = script_run(pg, "citus.sql", &citus, NULL, err);
	return code == ASIDE_OK ? script_run(pg, "grants.sql", &grants, NULL, err) : code;
}

enum aside_code migrate_down(const char *dsn, const struct migrations *migrations, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	struct applied applied = { 0 };
	enum aside_code code = open_locked(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = read_applied(pg, migrations, &applied, err);
	if (code == ASIDE_OK && applied.n > migrations->n)
		code = fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_NEWER", "the newest migration is a newer server's to undo");
	return code == ASIDE_OK && applied.n > 0 ? undo(pg, &migrations->list[applied.n - 1], err) : code;
}

/* ── status ──────────────────────────────────────────────────────────────────────────────────────── */

static const char select_applied[] = "SELECT version, name, sha256, to_char(applied_at, 'YYYY-MM-DD HH24:MI:SSOF'), servers FROM aside_migration"
		" ORDER BY version";

/* Who holds the lock, whom that process waits for, and for how long. */
static const char select_running[] = "SELECT l.pid, array_to_string(pg_blocking_pids(l.pid), ', '),"
		" extract(epoch FROM clock_timestamp() - a.query_start)::int FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
		" WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32 | l.objid::bigint) = " LOCK_KEY
		" AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

static void print_pending(const struct migration *migration, FILE *out)
{
	fprintf(out, "%04u %-24s pending%s%s\n", migration->version, migration->name, migration->up.transaction ? "" : ", outside a transaction",
			migration->servers < migration->version ? ", older servers go on" : "");
}

static void print_applied(const PGresult *rows, int row, const struct migrations *ours, FILE *out)
{
	const char *note = row >= (int)ours->n ? ", of a newer server" :
		strcmp(PQgetvalue(rows, row, 2), ours->list[row].sha256) != 0 ? ", with other content" : "";

	fprintf(out, "%04lu %-24s applied %s%s\n", strtoul(PQgetvalue(rows, row, 0), NULL, 10), PQgetvalue(rows, row, 1),
			PQgetvalue(rows, row, 3), note);
}

enum aside_code migrate_status(const char *dsn, const struct migrations *migrations, FILE *out, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	enum aside_code code = connect_to(dsn, &pg, err);

	if (code != ASIDE_OK)
		return code;
	CLEANUP(clearp) PGresult *applied = PQexec(pg, select_applied);
	if (PQresultStatus(applied) != PGRES_TUPLES_OK && !is_new(applied))
		return cannot_read(pg, applied, err);
	CLEANUP(clearp) PGresult *running = PQexec(pg, select_running);
	if (PQresultStatus(running) != PGRES_TUPLES_OK)
		return failed(pg, "pg_locks", err);
	for (int row = 0; row < PQntuples(applied); row++)
		print_applied(applied, row, migrations, out);
	for (unsigned i = (unsigned)PQntuples(applied); i < migrations->n; i++)
		print_pending(&migrations->list[i], out);
	for (int row = 0; row < PQntuples(running); row++)
		fprintf(out, "process %s migrates%s%s, for %s s\n", PQgetvalue(running, row, 0), PQgetvalue(running, row, 1)[0] != '\0' ?
				", waits for process " : "", PQgetvalue(running, row, 1), PQgetvalue(running, row, 2));
	return ASIDE_OK;
}

/* ── a server's start ────────────────────────────────────────────────────────────────────────────── */

/* A server that may do more than it needs works all the same. */
static void warn_of_power(PGconn *pg)
{
	CLEANUP(clearp) PGresult *result = PQexec(pg, "SELECT has_table_privilege('message', 'DELETE')");

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQgetvalue(result, 0, 0)[0] == 't')
		log_warning("event=powerful_role role=\"%s\" message=\"a server needs no more than the role aside_app\"", PQuser(pg));
}

enum aside_code migrate_check(const char *dsn, const struct migrations *migrations, struct aside_status *err)
{
	CLEANUP(finishp) PGconn *pg = NULL;
	struct applied applied = { 0 };
	enum aside_code code = connect_to(dsn, &pg, err);

	if (code == ASIDE_OK)
		code = read_applied(pg, migrations, &applied, err);
	if (code == ASIDE_OK && applied.n < migrations->n)
		code = fail(err, ASIDE_FAILED_PRECONDITION, "SCHEMA_OLDER", "run aside-server migrate up first");
	if (code == ASIDE_OK)
		code = check_servers(migrations, &applied, err);
	if (code == ASIDE_OK)
		warn_of_power(pg);
	return code;
}
