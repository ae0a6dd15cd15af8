/* See connection.h. */
#include "connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../clock.h"
#include "../log.h"
#include "bind.h"
#include "dsn.h"
#include "sql.h"
#include "watermark.h"

/* First in every batch: the statements after it see what the pages' last writers have committed.  A page that is made
 * between this and a statement is seen unlocked; the statement's numbers then clash with those of another writer, an
 * error of class 23, and the batch is sent again.  Ascending, so that two servers never wait for each other. */
static const char lock_pages[] = "SELECT page_id FROM page WHERE page_id = ANY($1) ORDER BY page_id FOR UPDATE";

const char connection_plan_settings[] = "SELECT set_config(name, value, false) FROM (VALUES"
		" ('plan_cache_mode', 'force_generic_plan'), ('jit', 'off'), ('enable_seqscan', 'off'),"
		" ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'),"
		" ('enable_material', 'off')) AS settings(name, value)";

/* What connections of a kind are like. */
static const struct kind {
	const char *settings;
	bool prepares[LANE_KINDS]; /* the statements of these lanes */
	const char *pages;         /* CONNECTION_PAGES; NULL: it has none */
	bool waits;                /* connects in libpq's own way, which nothing interrupts */
	bool any_host;             /* of its dsn, in turn, not the first that will do */
} kinds[CONNECTION_KINDS] = {
#define DURABLE "SELECT set_config('synchronous_commit', 'on', false)"
#define READS_ONLY ", set_config('default_transaction_read_only', 'on', false)"
	[CONNECTION_READ] = { DURABLE READS_ONLY, { [LANE_READ] = true, [LANE_REPLICA] = true }, NULL, true, false },
	[CONNECTION_WRITE] = { DURABLE, { [LANE_WRITE] = true }, lock_pages, true, false },
	/* One snapshot for all of a batch. */
	[CONNECTION_REPLICA] = { DURABLE READS_ONLY ", set_config('default_transaction_isolation', 'repeatable read', false)",
		{ [LANE_REPLICA] = true }, watermark_of_replica, false, true },
	[CONNECTION_WITNESS] = { DURABLE READS_ONLY, { false }, watermark_of_primary, false, false },
#undef DURABLE
#undef READS_ONLY
};

static enum aside_code broken(const struct connection *connection, const char *what, const PGresult *result,
		struct aside_status *err)
{
	const char *why = result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(connection->pg);
	int length = (int)strcspn(why, "\n");

	return fail(err, ASIDE_UNAVAILABLE, "DATABASE_UNAVAILABLE", "%s: %.*s", what, length, why);
}

/* ── making one ──────────────────────────────────────────────────────────────────────────────────── */

enum aside_code connection_init(struct connection *connection, enum connection_kind kind, const char *dsn,
		struct aside_status *err)
{
	*connection = (struct connection){ .kind = kind, .dsn = dsn, .stop_fd = eventfd(0, EFD_CLOEXEC) };
	if (connection->stop_fd < 0)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no file descriptor is left");
	return ASIDE_OK;
}

void connection_fini(struct connection *connection)
{
	connection_close(connection);
	if (connection->stop_fd >= 0)
		close(connection->stop_fd);
	connection->stop_fd = -1;
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

static bool prepares(const struct connection *connection, const struct statement *statement)
{
	return kinds[connection->kind].prepares[statement->lane];
}

static bool send_prepare(struct connection *connection, const struct statement *statement, bool check)
{
	Oid types[OP_PARAMS_MAX];

	for (size_t i = 0; i < statement->n_params; i++)
		types[i] = bind_oid(statement->params[i].type, statement->form == FORM_SET);
	return PQsendPrepare(connection->pg, statement->name, statement->sql, (int)statement->n_params, types) == 1 &&
			(!check || PQsendDescribePrepared(connection->pg, statement->name) == 1);
}

/* All of it in one trip. */
static bool send_set_up(struct connection *connection, bool check)
{
	static const Oid numbers = 1016;
	const struct kind *kind = &kinds[connection->kind];
	PGconn *pg = connection->pg;
	bool sent = PQsetnonblocking(pg, 1) == 0 && PQenterPipelineMode(pg) == 1 &&
			PQsendQueryParams(pg, kind->settings, 0, NULL, NULL, NULL, NULL, 1) == 1 &&
			PQsendQueryParams(pg, connection_plan_settings, 0, NULL, NULL, NULL, NULL, 1) == 1 &&
			(kind->pages == NULL || PQsendPrepare(pg, CONNECTION_PAGES, kind->pages, 1, &numbers) == 1);

	for (const struct statement *const *s = sql_statements; *s != NULL && sent; s++)
		sent = !prepares(connection, *s) || send_prepare(connection, *s, check);
	return sent && PQpipelineSync(pg) == 1 && connection_flush(connection);
}

/* Whether the next answer is as it should be. */
static enum aside_code expect(struct connection *connection, ExecStatusType status, const char *what, struct aside_status *err)
{
	PGresult *result = connection_answer(connection);
	enum aside_code code = ASIDE_OK;

	if (PQresultStatus(result) != status)
		code = broken(connection, what, result, err);
	PQclear(result);
	return code;
}

static enum aside_code expect_prepared(struct connection *connection, const struct statement *statement, bool check,
		struct aside_status *err)
{
	enum aside_code code = expect(connection, PGRES_COMMAND_OK, statement->name, err);
	PGresult *result;

	if (code != ASIDE_OK || !check)
		return code;
	result = connection_answer(connection);
	code = PQresultStatus(result) == PGRES_COMMAND_OK ? check_types(statement, result, err) :
							    broken(connection, statement->name, result, err);
	PQclear(result);
	return code;
}

static enum aside_code set_up(struct connection *connection, bool check, struct aside_status *err)
{
	enum aside_code code;
	PGresult *sync;

	if (!send_set_up(connection, check))
		return broken(connection, "cannot set up the session", NULL, err);
	code = expect(connection, PGRES_TUPLES_OK, "cannot set up the session", err);
	if (code == ASIDE_OK)
		code = expect(connection, PGRES_TUPLES_OK, "cannot set up the session", err);
	if (code == ASIDE_OK && kinds[connection->kind].pages != NULL)
		code = expect(connection, PGRES_COMMAND_OK, CONNECTION_PAGES, err);
	for (const struct statement *const *s = sql_statements; *s != NULL && code == ASIDE_OK; s++)
		if (prepares(connection, *s))
			code = expect_prepared(connection, *s, check, err);
	if (code != ASIDE_OK)
		return code;
	sync = connection_result(connection);
	if (PQresultStatus(sync) != PGRES_PIPELINE_SYNC)
		code = broken(connection, "cannot set up the session", sync, err);
	PQclear(sync);
	return code;
}

/* libpq would print them on stderr. */
static void note(void *user, const PGresult *notice)
{
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	(void)user;
	log_debug("event=database_notice message=\"%s\"", message != NULL ? message : "");
}

/* false: given up, or stopped; the connection is closed. */
static bool wait_for(struct connection *connection, short events, short *ret_events);

/* What the DSN may overrule.  A silent network ends the connection, so that deadlines are kept. */
static const char *const defaults[][2] = { { "keepalives_idle", "10" }, { "keepalives_interval", "5" },
	{ "keepalives_count", "3" }, { "tcp_user_timeout", "15000" }, { "connect_timeout", DSN_CONNECT_TIMEOUT_S } };

/* As PQconnectdbParams(), of one host, but no longer than its time, and not when the lane is stopped. */
static void connect_in_time(struct connection *connection, const struct dsn_params *params)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	short happened;

	connection->pg = PQconnectStartParams(params->keys, params->values, 0);
	while (connection->pg != NULL && PQstatus(connection->pg) != CONNECTION_BAD && next != PGRES_POLLING_OK &&
			next != PGRES_POLLING_FAILED &&
			wait_for(connection, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, &happened))
		next = PQconnectPoll(connection->pg);
}

/* To the first host, from `first` on, that there is. */
static enum aside_code connect_to_one(struct connection *connection, struct aside_status *err)
{
	struct dsn dsn;
	enum aside_code code = dsn_parse(connection->dsn, &dsn, err);
	unsigned first = kinds[connection->kind].any_host ? connection->next_host : 0;

	for (unsigned i = 0; code == ASIDE_OK && i < dsn.n_hosts && connection_lost(connection); i++) {
		struct dsn_params params = { .n = 0 };
		connection_close(connection);
		connection->next_host = (first + i) % dsn.n_hosts + 1;
		connection->give_up_us = clock_monotonic_us() + dsn.connect_timeout_us;
		for (size_t k = 0; k < sizeof defaults / sizeof *defaults; k++)
			dsn_add_param(&params, defaults[k][0], defaults[k][1]);
		dsn_add(&dsn, connection->next_host - 1, &params);
		dsn_add_param(&params, "application_name", "aside-server");
		dsn_add_param(&params, "client_encoding", "UTF8");
		connect_in_time(connection, &params);
	}
	dsn_fini(&dsn);
	return code;
}

static void connect_in_libpqs_way(struct connection *connection)
{
	struct dsn_params params = { .n = 0 };

	for (size_t k = 0; k < sizeof defaults / sizeof *defaults; k++)
		dsn_add_param(&params, defaults[k][0], defaults[k][1]);
	dsn_add_param(&params, "dbname", connection->dsn);
	dsn_add_param(&params, "application_name", "aside-server");
	dsn_add_param(&params, "client_encoding", "UTF8");
	connection->pg = PQconnectdbParams(params.keys, params.values, 1);
}

enum aside_code connection_open(struct connection *connection, bool check, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	if (kinds[connection->kind].waits)
		connect_in_libpqs_way(connection);
	else
		code = connect_to_one(connection, err);
	if (code == ASIDE_OK && connection->pg == NULL)
		code = fail(err, ASIDE_UNAVAILABLE, "DATABASE_UNAVAILABLE", "cannot connect to the database: no answer in time");
	if (code != ASIDE_OK)
		return code;
	PQsetNoticeReceiver(connection->pg, note, NULL);
	code = PQstatus(connection->pg) == CONNECTION_OK ? set_up(connection, check, err) :
							   broken(connection, "cannot connect to the database", NULL, err);
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

void connection_stop(struct connection *connection, int64_t deadline_us)
{
	uint64_t one = 1;

	atomic_store(&connection->stop_by_us, deadline_us > 0 ? deadline_us : 1);
	(void)!write(connection->stop_fd, &one, sizeof one);
}

/* How long to wait, in poll()'s milliseconds. */
static int patience(int64_t stop_by_us, int64_t give_up_us)
{
	int64_t until_us = stop_by_us == 0 || (give_up_us != 0 && give_up_us < stop_by_us) ? give_up_us : stop_by_us;
	int64_t left_us = until_us - clock_monotonic_us();

	if (until_us == 0)
		return -1;
	return left_us <= 0 ? 0 : left_us / 1000 < INT_MAX ? (int)(left_us / 1000) + 1 : INT_MAX;
}

static bool wait_for(struct connection *connection, short events, short *ret_events)
{
	struct pollfd fds[] = { { .fd = PQsocket(connection->pg), .events = events },
		{ .fd = connection->stop_fd, .events = POLLIN } };
	int rc;

	do {
		int64_t stop_by_us = atomic_load(&connection->stop_by_us);
		rc = poll(fds, stop_by_us == 0 ? 2 : 1, patience(stop_by_us, connection->give_up_us));
	} while ((rc < 0 && errno == EINTR) || (rc > 0 && fds[0].revents == 0));
	*ret_events = fds[0].revents;
	if (rc > 0)
		return true;
	connection_close(connection);
	return false;
}

/* false: the connection is lost, or was given up. */
static bool wait_and_read(struct connection *connection, short events)
{
	short happened;

	return wait_for(connection, events, &happened) && ((happened & POLLIN) == 0 || PQconsumeInput(connection->pg) == 1);
}

bool connection_flush(struct connection *connection)
{
	int rc;

	/* Reading while writing: otherwise both sides could wait for the other (libpq, chapter 34.5). */
	while ((rc = PQflush(connection->pg)) == 1)
		if (!wait_and_read(connection, POLLIN | POLLOUT))
			return false;
	return rc == 0;
}

bool connection_send(struct connection *connection, const char *name, const struct bind *bind)
{
	return PQsendQueryPrepared(connection->pg, name, bind->n, bind->values, bind->lengths, bind->formats, 1) == 1;
}

PGresult *connection_result(struct connection *connection)
{
	while (PQisBusy(connection->pg))
		if (connection_lost(connection) || !wait_and_read(connection, POLLIN))
			return NULL;
	return PQgetResult(connection->pg);
}

PGresult *connection_answer(struct connection *connection)
{
	PGresult *result = connection_result(connection), *rest;

	while (result != NULL && (rest = connection_result(connection)) != NULL)
		PQclear(rest);
	return result;
}

void sql_error_note(struct sql_error *error, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (PQresultStatus(result) != PGRES_FATAL_ERROR || result == NULL || error->sqlstate[0] != '\0')
		return;
	(void)snprintf(error->sqlstate, sizeof error->sqlstate, "%s", state != NULL ? state : "XX000");
	(void)snprintf(error->message, sizeof error->message, "%s", message != NULL ? message : "");
}

bool connection_sync(struct connection *connection, struct sql_error *error)
{
	PGresult *sync;

	/* An error of the commit itself comes before the Sync. */
	while ((sync = connection_result(connection)) != NULL || !connection_lost(connection)) {
		ExecStatusType status = PQresultStatus(sync);
		sql_error_note(error, sync);
		PQclear(sync);
		if (status == PGRES_PIPELINE_SYNC)
			return true;
	}
	return false;
}
