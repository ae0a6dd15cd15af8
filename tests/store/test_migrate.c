/* Migrations while servers write: the present schema is the old one, next/ what a next release could bring.  An old server
 * goes on during and after it, nobody waits long behind it, and what has failed goes on where it was. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "next.h"
#include "store/cluster.h"
#include "store/migrate.h"

enum { PAGE = 7, EXPANDED = 3 };

/* Up to 0003, without the one that contracts. */
static struct migrations expanded(void)
{
	return (struct migrations){ sql_next.list, EXPANDED, sql_next.citus, sql_next.grants };
}

static int64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ── beside the test ─────────────────────────────────────────────────────────────────────────────── */

struct migrator {
	const char *dsn;
	pthread_t thread;
	enum aside_code code;
	struct aside_status err;
	atomic_bool done;
};

static void *migrate(void *user)
{
	struct migrator *migrator = user;
	struct migrations next = expanded();

	migrator->code = migrate_up(migrator->dsn, &next, &migrator->err);
	atomic_store(&migrator->done, true);
	return NULL;
}

static void migrator_start(struct migrator *migrator, const struct fixture *fixture)
{
	*migrator = (struct migrator){ .dsn = cluster_dsn(fixture->cluster) };
	assert_int_equal(pthread_create(&migrator->thread, NULL, migrate, migrator), 0);
}

static void migrator_wait(struct migrator *migrator, enum aside_code expected)
{
	pthread_join(migrator->thread, NULL);
	if (migrator->code != expected)
		print_error("%s\n", migrator->err.message);
	assert_int_equal(migrator->code, expected);
}

/* A transaction that stays open. */
static PGconn *hold(const struct fixture *fixture, const char *sql)
{
	PGconn *pg = PQconnectdb(cluster_dsn(fixture->cluster));
	PGresult *result = PQexec(pg, "BEGIN");

	PQclear(result);
	result = PQexec(pg, sql);
	assert_true(PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK);
	PQclear(result);
	return pg;
}

/* How often the migration's statement was met waiting; a try is known by when it began. */
static long tries_seen(struct fixture *fixture, const char *statement)
{
	return query_number(fixture, "INSERT INTO tries SELECT query_start FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
			" AND query LIKE '%%%s%%' AND pid <> pg_backend_pid() ON CONFLICT DO NOTHING;"
			" SELECT count(*) FROM tries", statement);
}

/* One message and its answer: how long it took. */
static int64_t send_one(struct fixture *fixture, uint32_t n)
{
	int64_t began_us = monotonic_us();
	struct arena arena;

	arena_init(&arena, 65536);
	struct op *op = send_message(&arena, PAGE, 100, key_of(&arena, n));
	carry_out(fixture, op);
	assert_true(op_is_null(op, 0, 0));
	op_release(op);
	arena_fini(&arena);
	return monotonic_us() - began_us;
}

/* Another old server, which starts now. */
static enum aside_code start_old(struct fixture *fixture, struct aside_status *err)
{
	return migrate_check(cluster_server_dsn(fixture->cluster), &sql_migrations, err);
}

/* ── the tests: each begins with the old schema ──────────────────────────────────────────────────── */

static uint32_t sent; /* over all tests */

static void an_old_server_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct store_options options = { .database = cluster_server_dsn(fixture->cluster) };
	struct migrator migrator;
	struct store *second = NULL;
	struct aside_status err;
	uint32_t before = sent;

	for (; sent < before + 20; sent++)
		(void)send_one(fixture, sent);
	migrator_start(&migrator, fixture);
	for (; !atomic_load(&migrator.done) || sent < before + 100; sent++)
		(void)send_one(fixture, sent);
	migrator_wait(&migrator, ASIDE_OK);
	for (before = sent; sent < before + 20; sent++)
		(void)send_one(fixture, sent);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message"), sent);
	assert_int_equal(start_old(fixture, &err), ASIDE_OK);
	assert_int_equal(store_open(&options, &second, &err), ASIDE_OK);
	store_close(second, 0);
	assert_int_equal(migrate_up(cluster_dsn(fixture->cluster), &sql_migrations, &err), ASIDE_OK); /* nothing to do */

	/* The one that contracts shuts it out. */
	assert_int_equal(migrate_up(cluster_dsn(fixture->cluster), &sql_next, &err), ASIDE_OK);
	assert_int_equal(start_old(fixture, &err), ASIDE_FAILED_PRECONDITION);
	assert_string_equal(err.reason, "SCHEMA_NEWER");
	assert_int_equal(migrate_up(cluster_dsn(fixture->cluster), &sql_migrations, &err), ASIDE_FAILED_PRECONDITION);
	assert_int_equal(migrate_down(cluster_dsn(fixture->cluster), &sql_migrations, &err), ASIDE_FAILED_PRECONDITION);
}

/* Somebody reads for a long time.  An ALTER TABLE has to wait for him, and who comes after has to wait for it: but
 * not for long, and not for ever. */
static void nobody_waits_long_behind_a_migration(void **state)
{
	enum { TRIES = 3, PATIENCE_US = 10000000 };
	struct fixture *fixture = *state;
	PGconn *reader = hold(fixture, "SELECT count(*) FROM message");
	int64_t longest_us = 0;
	struct migrator migrator;

	(void)query_number(fixture, "CREATE UNLOGGED TABLE tries (at timestamptz PRIMARY KEY)");
	migrator_start(&migrator, fixture);
	while (tries_seen(fixture, "ALTER TABLE message") < TRIES) {
		int64_t took_us = send_one(fixture, sent++);
		longest_us = took_us > longest_us ? took_us : longest_us;
	}
	assert_false(atomic_load(&migrator.done));
	assert_in_range(longest_us, 1, PATIENCE_US);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM aside_migration"), 1);
	PQfinish(reader);
	migrator_wait(&migrator, ASIDE_OK);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM aside_migration"), EXPANDED);
	(void)query_number(fixture, "DROP TABLE tries");
}

/* CREATE INDEX CONCURRENTLY waits for a writer, without being in anybody's way; killed, it leaves an index that is
 * not valid. */
static void a_build_that_failed_is_begun_again(void **state)
{
	const struct migrations first = { sql_next.list, EXPANDED - 1, sql_next.citus, sql_next.grants };
	struct fixture *fixture = *state;
	struct migrator migrator;
	char said[4096] = "";

	assert_int_equal(migrate_up(cluster_dsn(fixture->cluster), &first, &migrator.err), ASIDE_OK);
	PGconn *writer = hold(fixture, "UPDATE message SET body = body WHERE seq = 1");
	migrator_start(&migrator, fixture);
	while (query_number(fixture, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
			" AND query LIKE 'CREATE INDEX%%'") == 0)
		;
	(void)send_one(fixture, sent++);

	FILE *out = fmemopen(said, sizeof said, "w");
	assert_int_equal(migrate_status(cluster_dsn(fixture->cluster), &sql_next, out, &migrator.err), ASIDE_OK);
	fclose(out);
	assert_non_null(strstr(said, "0002 labels"));
	assert_non_null(strstr(said, "0003 message_sent             pending, outside a transaction, older servers go on\n"));
	assert_non_null(strstr(said, "0004 contract                 pending\n"));
	assert_non_null(strstr(said, " migrates, waits for process "));

	(void)query_number(fixture, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%%'");
	migrator_wait(&migrator, ASIDE_FAILED_PRECONDITION);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 1);
	PQfinish(writer);
	migrator_start(&migrator, fixture);
	migrator_wait(&migrator, ASIDE_OK);
	assert_int_equal(query_number(fixture, "SELECT indisvalid::int FROM pg_index WHERE indexrelid = 'message_sent'::regclass"), 1);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM aside_migration"), EXPANDED);
}

/* Citus is not here: what stands in for its functions, with their signatures, writes down what it is asked for. */
static void where_citus_is_tables_are_distributed(void **state)
{
	struct fixture *fixture = *state;
	struct migrations next = expanded();
	struct aside_status err;

	(void)query_number(fixture, "CREATE SCHEMA stand_in;"
			" CREATE TABLE stand_in.pg_dist_partition (logicalrelid regclass PRIMARY KEY, n serial, key text, next_to text);"
			" CREATE TABLE stand_in.functions (name regprocedure PRIMARY KEY);"
			" CREATE FUNCTION stand_in.create_distributed_table(table_name regclass, distribution_column text,"
			" distribution_type text DEFAULT 'hash', colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL)"
			" RETURNS void LANGUAGE sql AS 'INSERT INTO stand_in.pg_dist_partition (logicalrelid, key, next_to) VALUES ($1, $2, $4)';"
			" CREATE FUNCTION stand_in.create_distributed_function(function_name regprocedure, distribution_arg_name text DEFAULT NULL,"
			" colocate_with text DEFAULT 'default', force_delegation bool DEFAULT NULL)"
			" RETURNS void LANGUAGE sql AS 'INSERT INTO stand_in.functions VALUES ($1) ON CONFLICT DO NOTHING';"
			" ALTER DATABASE postgres SET search_path = public, stand_in");
	assert_int_equal(migrate_up(cluster_dsn(fixture->cluster), &sql_migrations, &err), ASIDE_OK);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
			" AND (relname = 'aside_migration') = EXISTS (SELECT FROM pg_dist_partition d WHERE d.logicalrelid = c.oid)"), 0);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM pg_dist_partition WHERE NOT CASE logicalrelid::text"
			" WHEN 'page' THEN n = 1 AND key = 'page_id' AND next_to = 'none'"
			" WHEN 'person_thread' THEN key = 'user_id' AND next_to = 'none'"
			" ELSE key = 'page_id' AND next_to = 'public.page' END"), 0);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM functions"), query_number(fixture, "SELECT count(*) FROM pg_proc"
			" WHERE pronamespace = 'public'::regnamespace"));

	/* Once; and what a later migration brings, too. */
	assert_int_equal(migrate_up(cluster_dsn(fixture->cluster), &next, &err), ASIDE_OK);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = 'thread_label'::regclass"
			" AND n = (SELECT count(*) FROM pg_dist_partition)"), 1);
	(void)query_number(fixture, "DROP SCHEMA stand_in CASCADE; ALTER DATABASE postgres RESET search_path");
}

/* ── set-up ──────────────────────────────────────────────────────────────────────────────────────── */

static int set_up(void **state)
{
	struct arena arena;
	struct op *page;

	if (fixture_start(state, 1) != 0)
		return -1;
	arena_init(&arena, 1 << 20);
	carry_out(*state, page = create_page(&arena, PAGE));
	op_release(page);
	arena_fini(&arena);
	return 0;
}

/* Back to the old schema. */
static int undo(void **state)
{
	struct fixture *fixture = *state;
	struct aside_status err;

	for (long n; (n = query_number(fixture, "SELECT count(*) FROM aside_migration")) > 1;) {
		const struct migrations next = { sql_next.list, (unsigned)n, sql_next.citus, sql_next.grants };
		if (migrate_down(cluster_dsn(fixture->cluster), &next, &err) != ASIDE_OK)
			return -1;
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nobody_waits_long_behind_a_migration, undo),
		cmocka_unit_test_teardown(a_build_that_failed_is_begun_again, undo),
		cmocka_unit_test_teardown(an_old_server_goes_on, undo),
		cmocka_unit_test_teardown(where_citus_is_tables_are_distributed, undo),
	};

	return cmocka_run_group_tests(tests, set_up, fixture_stop);
}
