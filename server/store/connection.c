/* See connection.h. */
#include "connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "bind.h"
#include "sql.h"

#define CONNECT_TIMEOUT_S "5"

/* First in every batch: the statements after it see what the pages' last writers have committed.  A page that is made
 * between this and a statement is seen unlocked; the statement's numbers then clash with those of another writer, an
 * error of class 23, and the batch is sent again.  Ascending, so that two servers never wait for each other. */
static const char lock_pages[] = "SELECT page_id FROM page WHERE page_id = ANY($1) ORDER BY page_id FOR UPDATE";

const char connection_plan_settings[] =
		"SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;"
		" SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off";

static enum aside_code broken(const struct connection *connection, const char *what, struct aside_status *err)
{
	const char *why = PQerrorMessage(connection->pg);
	int length = (int)strcspn(why, "\n");

	return fail(err, ASIDE_UNAVAILABLE, "DATABASE_UNAVAILABLE", "%s: %.*s", what, length, why);
}

static bool command(struct connection *connection, const char *sql)
{
	PGresult *result = PQexec(connection->pg, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static enum aside_code check_types(const struct statement *statement, const PGresult *described,
		struct aside_status *err)
{
	int skip = statement->form == FORM_SET;

	if (skip == 1 && (PQnfields(described) == 0 || strcmp(PQfname(described, 0), "ord") != 0))
		return fail(err, ASIDE_INTERNAL, "STATEMENT_MISMATCH", "%s.sql: the first column of a set is ord",
				statement->name);
	if (PQnfields(described) != (int)statement->n_columns + skip)
		return fail(err, ASIDE_INTERNAL, "STATEMENT_MISMATCH", "%s.sql declares %zu columns and has %d",
				statement->name, statement->n_columns, PQnfields(described) - skip);
	for (size_t i = 0; i < statement->n_columns; i++) {
		int column = (int)i + skip;
		if (PQftype(described, column) != bind_oid(statement->columns[i].type, false) ||
				strcmp(PQfname(described, column), statement->columns[i].name) != 0)
			return fail(err, ASIDE_INTERNAL, "STATEMENT_MISMATCH",
					"%s.sql: column %zu is declared as %s, and is %s of type %u", statement->name,
					i + 1, statement->columns[i].name, PQfname(described, column),
					PQftype(described, column));
	}
	return ASIDE_OK;
}

static enum aside_code prepare(struct connection *connection, const struct statement *statement, bool check,
		struct aside_status *err)
{
	Oid types[OP_PARAMS_MAX];
	enum aside_code code = ASIDE_OK;
	PGresult *result;

	for (size_t i = 0; i < statement->n_params; i++)
		types[i] = bind_oid(statement->params[i].type, statement->form == FORM_SET);
	result = PQprepare(connection->pg, statement->name, statement->sql, (int)statement->n_params, types);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		code = broken(connection, statement->name, err);
	PQclear(result);
	if (code != ASIDE_OK || !check)
		return code;
	result = PQdescribePrepared(connection->pg, statement->name);
	code = check_types(statement, result, err);
	PQclear(result);
	return code;
}

static enum aside_code prepare_all(struct connection *connection, bool check, struct aside_status *err)
{
	static const Oid numbers = 1016;
	enum aside_code code = ASIDE_OK;

	for (const struct statement *const *s = sql_statements; *s != NULL && code == ASIDE_OK; s++)
		if ((*s)->lane == connection->kind)
			code = prepare(connection, *s, check, err);
	if (code == ASIDE_OK && connection->kind == LANE_WRITE)
		PQclear(PQprepare(connection->pg, "lock_pages", lock_pages, 1, &numbers));
	return code;
}

/* libpq would print them on stderr. */
static void note(void *user, const PGresult *notice)
{
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	(void)user;
	log_debug("event=database_notice message=\"%s\"", message != NULL ? message : "");
}

enum aside_code connection_open(struct connection *connection, bool check, struct aside_status *err)
{
	/* What stands before "dbname" the DSN may overrule.  A silent network ends the connection, so that
	 * deadlines are kept. */
	const char *keys[] = { "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"dbname", "connect_timeout", "application_name", "client_encoding", NULL };
	const char *values[] = { "10", "5", "3", "15000", connection->dsn, CONNECT_TIMEOUT_S, "aside-server", "UTF8", NULL };
	enum aside_code code;

	connection->pg = PQconnectdbParams(keys, values, 1);
	PQsetNoticeReceiver(connection->pg, note, NULL);
	if (PQstatus(connection->pg) != CONNECTION_OK)
		code = broken(connection, "cannot connect to the database", err);
	else if (!command(connection, "SET synchronous_commit = on") || !command(connection, connection_plan_settings) ||
			(connection->kind == LANE_READ && !command(connection, "SET default_transaction_read_only = on")))
		code = broken(connection, "cannot set up the session", err);
	else
		code = prepare_all(connection, check, err);
	if (code == ASIDE_OK && (PQsetnonblocking(connection->pg, 1) != 0 || PQenterPipelineMode(connection->pg) != 1))
		code = broken(connection, "cannot enter pipeline mode", err);
	if (code != ASIDE_OK)
		connection_close(connection);
	return code;
}

void connection_close(struct connection *connection)
{
	PQfinish(connection->pg);
	connection->pg = NULL;
}

bool connection_lost(const struct connection *connection)
{
	return connection->pg == NULL || PQstatus(connection->pg) != CONNECTION_OK;
}

bool connection_alive(struct connection *connection)
{
	return !connection_lost(connection) && PQconsumeInput(connection->pg) == 1 && !connection_lost(connection);
}

static int64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void connection_stop(struct connection *connection, int64_t deadline_us)
{
	uint64_t one = 1;

	atomic_store(&connection->stop_by_us, deadline_us > 0 ? deadline_us : 1);
	(void)!write(connection->stop_fd, &one, sizeof one);
}

/* How long to wait, in poll()'s milliseconds. */
static int patience(int64_t stop_by_us)
{
	int64_t left_us = stop_by_us - monotonic_us();

	if (stop_by_us == 0)
		return -1;
	return left_us <= 0 ? 0 : left_us / 1000 < INT_MAX ? (int)(left_us / 1000) + 1 : INT_MAX;
}

/* false: the connection is lost, or was given up. */
static bool wait_for(struct connection *connection, short events)
{
	struct pollfd fds[] = { { .fd = PQsocket(connection->pg), .events = events },
		{ .fd = connection->stop_fd, .events = POLLIN } };
	int rc;

	do {
		int64_t stop_by_us = atomic_load(&connection->stop_by_us);
		rc = poll(fds, stop_by_us == 0 ? 2 : 1, patience(stop_by_us));
	} while ((rc < 0 && errno == EINTR) || (rc > 0 && fds[0].revents == 0));
	if (rc > 0)
		return (fds[0].revents & POLLIN) == 0 || PQconsumeInput(connection->pg) == 1;
	connection_close(connection);
	return false;
}

bool connection_flush(struct connection *connection)
{
	int rc;

	/* Reading while writing: otherwise both sides could wait for the other (libpq, chapter 34.5). */
	while ((rc = PQflush(connection->pg)) == 1)
		if (!wait_for(connection, POLLIN | POLLOUT))
			return false;
	return rc == 0;
}

PGresult *connection_result(struct connection *connection)
{
	while (PQisBusy(connection->pg))
		if (connection_lost(connection) || !wait_for(connection, POLLIN))
			return NULL;
	return PQgetResult(connection->pg);
}
