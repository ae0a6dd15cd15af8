/* What the schema and its statements promise (migrations/README.md): every key starts with the column it could be
 * distributed by, every row is found by an index, and nothing on the data path belongs to one machine only. */
#include "fixture.h"

#include <stdio.h>

#include "connection.h"
#include "statement.h"
#include "store/cluster.h"
#include "watermark.h"

enum { SQL_BYTES = 16384 };

static void every_key_starts_with_its_page_or_person(void **state)
{
	/* The migrations' own table is no part of the data. */
	assert_int_equal(query_number(*state, "SELECT count(*) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
			" JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]"
			" WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'aside_migration' AND i.indisunique"
			" AND a.attname <> CASE t.relname WHEN 'person_thread' THEN 'user_id' ELSE 'page_id' END"), 0);
}

static void nothing_is_one_machines_only(void **state)
{
	static const char *const banned[] = { "now()", "clock_timestamp", "random", "nextval", "pg_advisory", "pg_notify", "NOTIFY",
		"SERIALIZABLE", "xmin", "ctid" };

	assert_int_equal(query_number(*state, "SELECT (SELECT count(*) FROM pg_trigger) + (SELECT count(*) FROM pg_class"
			" WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace)"), 0);
	/* What a statement calls is the same on every machine; these two are known, see README.md of the migrations. */
	assert_int_equal(query_number(*state, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
			" AND (provolatile <> 'i') <> (proname IN ('message_items', 'reply_until'))"), 0);
	for (const struct statement *const *s = sql_statements; *s != NULL; s++)
		for (size_t i = 0; i < N_OF(banned); i++)
			if (strstr((*s)->sql, banned[i]) != NULL) {
				print_error("%s.sql: %s\n", (*s)->name, banned[i]);
				assert_null(strstr((*s)->sql, banned[i]));
			}
}

/* ── plans ───────────────────────────────────────────────────────────────────────────────────────── */

/* Over all pages, once in a while: the order is the index's. */
static bool may_scan(const struct statement *statement)
{
	return strcmp(statement->name, "find_unused_attachments") == 0;
}

static const char *type_name(enum value_type type)
{
	static const char *const names[] = { "int8", "int4", "int2", "bool", "text", "bytea", "uuid", "timestamptz" };

	return names[type];
}

/* Statements of connections, not of operations. */
static const struct value_def pages[] = { { "pages", VALUE_INT8 } };
static const struct statement watermarks[] = {
	{ .name = "watermark_of_primary", .sql = watermark_of_primary, .form = FORM_SET, .params = pages, .n_params = 1 },
	{ .name = "watermark_of_replica", .sql = watermark_of_replica, .form = FORM_SET, .params = pages, .n_params = 1 },
};

/* "EXPLAIN EXECUTE …" of a generic plan, in which the values do not matter. */
static PGresult *explain(PGconn *pg, const struct statement *statement)
{
	static char sql[SQL_BYTES];
	int n = snprintf(sql, sizeof sql, "PREPARE %s(", statement->name);

	for (size_t i = 0; i < statement->n_params; i++)
		n += snprintf(sql + n, sizeof sql - (size_t)n, "%s%s%s", i > 0 ? ", " : "", type_name(statement->params[i].type),
				statement->form == FORM_SET ? "[]" : "");
	n += snprintf(sql + n, sizeof sql - (size_t)n, ") AS %s", statement->sql);
	assert_in_range(n, 1, sizeof sql - 1);
	PGresult *result = PQexec(pg, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		print_error("%s: %s\n", statement->name, PQresultErrorMessage(result));
	assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
	PQclear(result);
	n = snprintf(sql, sizeof sql, "EXPLAIN EXECUTE %s(", statement->name);
	for (size_t i = 0; i < statement->n_params; i++)
		n += snprintf(sql + n, sizeof sql - (size_t)n, "%sNULL", i > 0 ? ", " : "");
	(void)snprintf(sql + n, sizeof sql - (size_t)n, ")");
	return PQexec(pg, sql);
}

/* What a join filters afterwards was read in vain: a page's every message to find one key.  Pages alone are the same on
 * both sides already. */
static bool filters_late(const char *line)
{
	const char *filter = strstr(line, "Join Filter");

	if (filter == NULL || strstr(filter, "(a_1.attachment_id = i_1.attachment_id)") != NULL) /* found by ANY, all wanted */
		return false;
	return strstr(filter, " AND ") != NULL || strstr(filter, "page_id = ") == NULL;
}

/* A scan of a table goes through an index, and by a condition: the line after it. */
static bool uses_indexes(const PGresult *plan, const struct statement *statement)
{
	bool good = PQntuples(plan) > 0;

	for (int row = 0; row < PQntuples(plan); row++) {
		const char *line = PQgetvalue(plan, row, 0), *next = row + 1 < PQntuples(plan) ? PQgetvalue(plan, row + 1, 0) : "";
		bool by_index = strstr(line, "Index Scan") != NULL || strstr(line, "Index Only Scan") != NULL;
		if (strstr(line, "Seq Scan") == NULL && !filters_late(line) &&
				(!by_index || strstr(next, "Index Cond") != NULL))
			continue;
		print_error("%s.sql: %s\n", statement->name, line);
		good = false;
	}
	return good;
}

static bool is_plan_good(PGconn *pg, const struct statement *statement)
{
	PGresult *plan = explain(pg, statement);
	bool good = uses_indexes(plan, statement);

	PQclear(plan);
	return good;
}

static void assert_plans_good(const struct fixture *fixture)
{
	PGconn *pg = PQconnectdb(cluster_dsn(fixture->cluster));
	bool good = true;

	PQclear(PQexec(pg, connection_plan_settings));
	for (const struct statement *const *s = sql_statements; *s != NULL; s++)
		good = (may_scan(*s) || is_plan_good(pg, *s)) && good;
	for (size_t i = 0; i < N_OF(watermarks); i++)
		good = is_plan_good(pg, &watermarks[i]) && good;
	PQfinish(pg);
	assert_true(good);
}

static void every_row_is_found_by_an_index(void **state)
{
	struct fixture *fixture = *state;

	assert_plans_good(fixture); /* on empty tables, as a new server plans */
	(void)query_number(fixture, "INSERT INTO page (page_id, created_at, admin_user_id, max_attachment_bytes, settings_version,"
			" max_text_chars, reply_window_seconds, reply_budget, private_reply_window_seconds, messaging_enabled, name)"
			" SELECT p, now(), 1, 1, 1, 2000, 604800, 5, 604800, true, 'Coke' FROM generate_series(1, 100) p");
	(void)query_number(fixture, "INSERT INTO thread (page_id, user_id, last_event, inbox_event, last_seq, last_sent_at, person_count)"
			" SELECT 1 + t %% 100, 1 + t / 100, 1 + t / 100, 1 + t / 100, 1, now(), 1 FROM generate_series(0, 99999) t");
	(void)query_number(fixture, "INSERT INTO message (page_id, user_id, seq, side, side_no, event_number, sender_id, client_key,"
			" content_hash, settings_version, sent_at, body) SELECT page_id, user_id, 1, 1, 1, user_id, user_id,"
			" gen_random_uuid(), 1, 1, now(), 'Hello' FROM thread");
	(void)query_number(fixture, "ANALYZE");
	assert_plans_good(fixture);
}

/* ── machines ────────────────────────────────────────────────────────────────────────────────────── */

/* With tables distributed as in citus.sql: whether one machine has all that the statement touches, and its parameters say
 * which.  Then it can be sent there as it is. */
static bool is_of_one_page(const PGresult *plan, const struct statement *statement)
{
	bool one = statement->form == FORM_SINGLE;

	for (int row = 0; row < PQntuples(plan) && one; row++) {
		const char *line = PQgetvalue(plan, row, 0), *next = row + 1 < PQntuples(plan) ? PQgetvalue(plan, row + 1, 0) : "";
		bool by_index = strstr(line, "Index Scan") != NULL || strstr(line, "Index Only Scan") != NULL;
		one = strstr(line, " on person_thread") == NULL && (!by_index || strstr(next, "(page_id = $") != NULL);
	}
	return one;
}

/* What a lane would have to do for the others: see README.md of the migrations. */
static void it_is_known_what_many_machines_need(void **state)
{
	static const char *const of_many[] = {
		/* Sets: a lane's batch is of many pages. */
		"create_page", "list_messages", "mark_thread", "page_write", "read_page_events", "read_thread_events", "send_message",
		"send_text",
		/* Of a person, or of all pages. */
		"find_news", "find_old_pages", "find_unused_attachments", "list_my_threads", "watch_person",
	};
	struct fixture *fixture = *state;
	PGconn *pg = PQconnectdb(cluster_dsn(fixture->cluster));
	bool known = true;

	PQclear(PQexec(pg, connection_plan_settings));
	for (const struct statement *const *s = sql_statements; *s != NULL; s++) {
		PGresult *plan = explain(pg, *s);
		bool listed = false;
		for (size_t i = 0; i < N_OF(of_many); i++)
			listed = listed || strcmp(of_many[i], (*s)->name) == 0;
		if (is_of_one_page(plan, *s) == listed) {
			print_error("%s.sql is %s\n", (*s)->name, listed ? "of one page now" : "not of one page");
			known = false;
		}
		PQclear(plan);
	}
	PQfinish(pg);
	assert_true(known);
}

static int set_up(void **state)
{
	return fixture_start(state, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_starts_with_its_page_or_person),
		cmocka_unit_test(nothing_is_one_machines_only),
		cmocka_unit_test(every_row_is_found_by_an_index),
		cmocka_unit_test(it_is_known_what_many_machines_need),
	};

	return cmocka_run_group_tests(tests, set_up, fixture_stop);
}
