/* Lanes and batches on a real PostgreSQL: what is acknowledged is there, one bad item costs only itself, and
 * a killed backend costs nothing.  Knows no services. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "lane.h"
#include "store/cluster.h"
#include "store/migrate.h"

#define PAGE 7

/* kill -9; false where it is dead already: its backends live on for a moment. */
static bool kill_postmaster(const struct fixture *fixture)
{
	char path[128];
	int pid = 0;

	(void)snprintf(path, sizeof path, "%s/postgres/postmaster.pid", fixture->folder);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	int n = fscanf(file, "%d", &pid);
	fclose(file);
	return n == 1 && pid > 1 && kill(pid, SIGKILL) == 0;
}

static struct op *list_staff(struct arena *arena, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_list_staff, page_id);

	op_int(op, page_id);
	op_int(op, 0);
	op_int(op, 0);
	op_int(op, 0);
	op_int(op, 10);
	return op;
}

/* ── the tests ───────────────────────────────────────────────────────────────────────────────────── */

static void batches_are_committed(void **state)
{
	enum { N = 1000 };
	struct fixture *fixture = *state;
	struct arena arena;
	struct op *ops[N];

	arena_init(&arena, 4 << 20);
	for (uint32_t i = 0; i < N; i++)
		submit(fixture, ops[i] = send_message(&arena, PAGE, 100 + i % 10, key_of(&arena, i)));
	wait_until_left(0);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(ops[i]->outcome, OP_DONE);
		assert_int_equal(ops[i]->n_rows, 1);
		assert_true(op_is_null(ops[i], 0, 0));
		assert_int_equal(op_row_int(ops[i], 0, 1), i / 10 + 1); /* in the order of submission */
		assert_int_equal(op_row_int(ops[i], 0, 2), NOW_US);
		op_release(ops[i]);
	}
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message WHERE user_id < 200"), N);
	assert_int_equal(query_number(fixture, "SELECT last_event FROM page WHERE page_id = 7"), N);
	arena_fini(&arena);
}

static void one_bad_item_costs_only_itself(void **state)
{
	enum { N = 40, BAD = 17 };
	struct fixture *fixture = *state;
	struct arena arena;
	struct op *ops[N];

	arena_init(&arena, 4 << 20);
	for (uint32_t i = 0; i < N; i++) {
		struct bytes key = key_of(&arena, 5000 + i);
		key.size = i == BAD ? 3 : 16;
		submit(fixture, ops[i] = send_message(&arena, PAGE, 300, key));
	}
	wait_until_left(0);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(ops[i]->outcome, i == BAD ? OP_FAILED : OP_DONE);
		op_release(ops[i]);
	}
	assert_int_equal(ops[BAD]->err.code, ASIDE_INTERNAL);
	assert_string_equal(ops[BAD]->err.reason, "STORE_ERROR");
	assert_string_equal(ops[BAD]->err.message, "the store failed");
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message WHERE user_id = 300"), N - 1);
	arena_fini(&arena);
}

static void a_killed_backend_costs_nothing(void **state)
{
	enum { N = 4000 };
	struct fixture *fixture = *state;
	struct arena arena;
	struct op **ops = calloc(N, sizeof *ops);
	struct store_stats before, after;
	unsigned killed = 0;

	arena_init(&arena, 16 << 20);
	store_stats(fixture->store, &before);
	for (uint32_t i = 0; i < N; i++)
		submit(fixture, ops[i] = send_message(&arena, PAGE, 400, key_of(&arena, 10000 + i)));
	for (size_t left = N - 200; left > N / 2; left -= 600) {
		wait_until_left(left);
		/* A lane that is just connecting again is not there to be killed. */
		killed += query_number(fixture, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
				" WHERE application_name = 'aside-server'") > 0;
	}
	wait_until_left(0);
	assert_true(killed > 0);
	store_stats(fixture->store, &after);
	assert_in_range(after.retries - before.retries, 1, (uint64_t)killed * LANE_BATCH_MAX); /* operations, not attempts to connect */
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(ops[i]->outcome, OP_DONE);
		assert_int_equal(op_row_int(ops[i], 0, 1), i + 1);
		op_release(ops[i]);
	}
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message WHERE user_id = 400"), N);
	assert_int_equal(query_number(fixture, "SELECT last_event - (SELECT count(*) FROM message) FROM page"), 0);
	free(ops);
	arena_fini(&arena);
}

/* The cluster starts PostgreSQL again; what is under way waits for it. */
static void a_killed_postgres_costs_nothing(void **state)
{
	enum { N = 3000 };
	struct fixture *fixture = *state;
	struct arena arena;
	struct op **ops = calloc(N, sizeof *ops);
	unsigned killed = 0;

	arena_init(&arena, 16 << 20);
	for (uint32_t i = 0; i < N; i++)
		submit(fixture, ops[i] = send_message(&arena, PAGE, 450, key_of(&arena, 30000 + i)));
	for (size_t left = N - 300; left > 300; left -= 1200) {
		wait_until_left(left);
		killed += kill_postmaster(fixture);
	}
	wait_until_left(0);
	assert_true(killed > 0);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(ops[i]->outcome, OP_DONE);
		assert_int_equal(op_row_int(ops[i], 0, 1), i + 1);
		op_release(ops[i]);
	}
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message WHERE user_id = 450"), N);
	free(ops);
	arena_fini(&arena);
}

/* Unlike a message a change has no key of its caller's. */
static void a_change_sent_again_is_made_once(void **state)
{
	enum { N = 400 };
	struct fixture *fixture = *state;
	struct arena arena;
	struct op *ops[N];
	long first = query_number(fixture, "SELECT settings_version FROM page WHERE page_id = 7");

	arena_init(&arena, 4 << 20);
	for (uint32_t i = 0; i < N; i++)
		submit(fixture, ops[i] = change_settings(&arena, PAGE, key_of(&arena, i)));
	for (size_t left = N; left > 0; left = left > 60 ? left - 60 : 0) {
		wait_until_left(left);
		(void)query_number(fixture, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
				" WHERE application_name = 'aside-server'");
	}
	wait_until_left(0);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(ops[i]->outcome, OP_DONE);
		assert_true(op_is_null(ops[i], 0, 0));
		assert_int_equal(op_row_int(ops[i], 0, 1), first + 1 + i);
		op_release(ops[i]);
	}
	assert_int_equal(query_number(fixture, "SELECT settings_version FROM page WHERE page_id = 7"), first + N);
	/* Again after all of it: still the first answer. */
	submit(fixture, ops[0] = change_settings(&arena, PAGE, key_of(&arena, 0)));
	wait_until_left(0);
	assert_int_equal(op_row_int(ops[0], 0, 1), first + 1);
	op_release(ops[0]);
	arena_fini(&arena);
}

static void what_is_late_is_not_sent(void **state)
{
	struct fixture *fixture = *state;
	struct store_stats before, after;
	struct arena arena;
	struct op *op;

	arena_init(&arena, 1 << 20);
	store_stats(fixture->store, &before);
	op = send_message(&arena, PAGE, 500, key_of(&arena, 1));
	op->deadline_us = 1;
	submit(fixture, op);
	wait_until_left(0);
	assert_int_equal(op->outcome, OP_FAILED);
	assert_int_equal(op->err.code, ASIDE_DEADLINE_EXCEEDED);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message WHERE user_id = 500"), 0);
	store_stats(fixture->store, &after);
	assert_int_equal(after.operations, before.operations);
	arena_fini(&arena);
}

/* That it can do all it has to, every other test shows: they run in its role. */
static void the_servers_role_can_do_nothing_else(void **state)
{
	static const char *const beyond[] = {
		"DELETE FROM message", "UPDATE message SET client_key = NULL", "UPDATE message SET seq = 1", "TRUNCATE message",
		"UPDATE page_event SET kind = 1", "DELETE FROM thread", "UPDATE thread SET user_id = 1",
		"DELETE FROM page", "UPDATE page SET name = ''", "UPDATE page_settings SET changed_by = 1",
		"DELETE FROM page_settings", "UPDATE wall_entry SET author_user_id = 1", "UPDATE attachment SET sha256 = ''",
		"UPDATE attachment_chunk SET data = ''", "UPDATE message_attachment SET link_url = ''", "DELETE FROM person_thread",
		"INSERT INTO aside_migration VALUES (9, 9, '', '')", "UPDATE aside_migration SET sha256 = ''",
		"CREATE TABLE public.mine (a int)", "CREATE SCHEMA mine", "ALTER TABLE message ADD mine int", "DROP TABLE message",
		"CREATE INDEX ON message (sent_at)", "DROP FUNCTION inbox_lag",
		"SET ROLE aside", "CREATE ROLE mine", "COPY message TO PROGRAM 'cat'", "SELECT pg_read_file('postgresql.conf')",
		"ALTER SYSTEM SET fsync = off", "SET session_replication_role = replica",
		"BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE", /* last: it leaves its transaction open */
	};
	struct fixture *fixture = *state;
	PGconn *pg = PQconnectdb(cluster_server_dsn(fixture->cluster));

	for (size_t i = 0; i < N_OF(beyond); i++) {
		PGresult *result = PQexec(pg, beyond[i]);
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		if (sqlstate == NULL || strcmp(sqlstate, "42501") != 0)
			print_error("%s\n", beyond[i]);
		assert_non_null(sqlstate);
		assert_string_equal(sqlstate, "42501"); /* insufficient_privilege */
		PQclear(result);
	}
	PQfinish(pg);
}

/* Reads the log, from stderr, to a line with `text` in it.  Begin with log_catch(), which returns the stderr there was. */
static int log_catch(int *ret_reader)
{
	int ends[2], before = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	*ret_reader = ends[0];
	return before;
}

static void log_wait_for(int reader, int before, const char *text)
{
	FILE *log = fdopen(reader, "r");
	char line[1024] = "";

	while (strstr(line, text) == NULL)
		assert_non_null(fgets(line, sizeof line, log));
	dup2(before, STDERR_FILENO);
	close(before);
	fclose(log);
}

/* A replica that is none, by a mistake, or that is not there: the store opens, and its primary answers. */
static void a_replica_that_is_none_is_not_asked(void **state)
{
	struct fixture *fixture = *state;
	struct store *own = fixture->store;
	const char *dsn = cluster_server_dsn(fixture->cluster);
	const char *const replicas[][2] = { { dsn, "event=replica_away message=\"the host of --read-database is no standby\"" },
		{ "host=/nowhere", "event=replica_away message=\"cannot connect to the database: " } };

	for (size_t i = 0; i < N_OF(replicas); i++) {
		struct store_options options = { .database = dsn, .read_database = replicas[i][0], .read_lanes = 1 };
		struct replica_stats stats;
		struct store_stats lane;
		struct aside_status err;
		struct arena arena;
		char name[16];
		int reader, before = log_catch(&reader);

		assert_int_equal(store_open(&options, &fixture->store, &err), ASIDE_OK);
		assert_true(store_ready(fixture->store));
		log_wait_for(reader, before, replicas[i][1]);
		arena_init(&arena, 4 << 20);
		for (unsigned n = 0; n < 10; n++) {
			struct op *op = list_staff(&arena, PAGE);
			carry_out(fixture, op);
			assert_int_equal(op->n_rows, 1);
			op_release(op);
		}
		arena_fini(&arena);
		store_replica_stats(fixture->store, &stats);
		assert_int_equal(stats.lanes, 1);
		assert_int_equal(stats.connected, 0);
		assert_int_equal(stats.answered, 0);
		assert_true(store_lane_stats(fixture->store, 3, &lane, name, sizeof name));
		assert_string_equal(name, "replica 1");
		assert_false(store_lane_stats(fixture->store, 4, &lane, name, sizeof name));
		store_close(fixture->store, 0);
	}
	fixture->store = own;
}

static void migrations_go_down_and_up(void **state)
{
	struct fixture *fixture = *state;
	const char *dsn = cluster_dsn(fixture->cluster);
	struct aside_status err;

	store_close(fixture->store, 0);
	fixture->store = NULL;
	for (size_t i = 0; i < sql_migrations.n; i++)
		assert_int_equal(migrate_down(dsn, &sql_migrations, &err), ASIDE_OK);
	assert_int_equal(migrate_check(dsn, &sql_migrations, &err), ASIDE_FAILED_PRECONDITION);
	assert_int_equal(migrate_up(dsn, &sql_migrations, &err), ASIDE_OK);
	assert_int_equal(migrate_check(dsn, &sql_migrations, &err), ASIDE_OK);
	assert_int_equal(query_number(fixture, "UPDATE aside_migration SET sha256 = '0' WHERE version = 1"
			" RETURNING version"), 1);
	assert_int_equal(migrate_up(dsn, &sql_migrations, &err), ASIDE_FAILED_PRECONDITION);
	assert_string_equal(err.reason, "MIGRATION_CHANGED");
}

static int set_up(void **state)
{
	struct arena arena;
	struct op *page;

	if (fixture_start(state, 0) != 0)
		return -1;
	arena_init(&arena, 1 << 20);
	carry_out(*state, page = create_page(&arena, PAGE));
	op_release(page);
	arena_fini(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_are_committed),
		cmocka_unit_test(one_bad_item_costs_only_itself),
		cmocka_unit_test(a_killed_backend_costs_nothing),
		cmocka_unit_test(a_killed_postgres_costs_nothing),
		cmocka_unit_test(a_change_sent_again_is_made_once),
		cmocka_unit_test(what_is_late_is_not_sent),
		cmocka_unit_test(a_replica_that_is_none_is_not_asked),
		cmocka_unit_test(the_servers_role_can_do_nothing_else),
		cmocka_unit_test(migrations_go_down_and_up),
	};

	return cmocka_run_group_tests(tests, set_up, fixture_stop);
}
