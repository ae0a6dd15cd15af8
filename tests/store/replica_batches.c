/* Batches of many pages, of which a replica knows some and is behind on others: each operation is answered as the primary
 * would.  Run by tests/functional/replica.sh, which has a standby:
 *
 *     replica_batches DSN READ-DSN OWNER-DSN      the last is the replica's too, of one who may pause its replay */
#include "fixture.h"

enum { PAGES = 64, PERSON = 42, ROUNDS = 20, LISTS = 4, NEWEST = 5, FIRST_PAGE = 1001 };

static const char *owner_dsn;
static struct fixture fixture;
static unsigned sent[PAGES]; /* messages of each page */

static void command(const char *sql)
{
	PGconn *pg = PQconnectdb(owner_dsn);
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
}

static struct op *list_messages(struct arena *arena, int64_t page_id, int n)
{
	struct op *op = op_new(arena, &sql_list_messages, page_id);

	op_int(op, page_id);
	op_int(op, PERSON);
	op_int(op, PERSON);
	op_int(op, 0);
	op_int(op, INT32_MAX);
	op_int(op, 0);
	op_int(op, n);
	return op;
}

/* Lists all pages' messages at once, several times: as many as were sent, whoever answers. */
static struct replica_stats list_all(void)
{
	struct op *ops[PAGES * LISTS];
	struct replica_stats before, after;
	struct arena arena;

	arena_init(&arena, 4 << 20);
	store_replica_stats(fixture.store, &before);
	for (size_t i = 0; i < N_OF(ops); i++)
		submit(&fixture, ops[i] = list_messages(&arena, FIRST_PAGE + (int64_t)(i % PAGES), NEWEST));
	wait_until_left(0);
	for (size_t i = 0; i < N_OF(ops); i++) {
		unsigned expected = sent[i % PAGES];
		assert_int_equal(ops[i]->outcome, OP_DONE);
		assert_int_equal(ops[i]->n_rows, expected == 0 ? 1 : expected < NEWEST ? expected : NEWEST);
		assert_int_equal(op_is_null(ops[i], 0, 2) ? 0 : op_row_int(ops[i], 0, 2), expected);
		op_release(ops[i]);
	}
	arena_fini(&arena);
	store_replica_stats(fixture.store, &after);
	return (struct replica_stats){ after.lanes, after.connected, after.answered - before.answered,
		after.fallbacks - before.fallbacks };
}

/* To every `step`th page, all at once. */
static void send_some(unsigned round, unsigned step)
{
	struct op *ops[PAGES];
	struct arena arena;
	size_t n = 0;

	arena_init(&arena, 4 << 20);
	for (unsigned page = round % step; page < PAGES; page += step) {
		submit(&fixture, ops[n++] = send_message(&arena, FIRST_PAGE + page, PERSON, key_of(&arena, round * PAGES + page)));
		sent[page]++;
	}
	wait_until_left(0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(ops[i]->outcome, OP_DONE);
		op_release(ops[i]);
	}
	arena_fini(&arena);
}

static void every_page_is_read_as_it_is(void **state)
{
	(void)state;
	for (int64_t page = FIRST_PAGE; page < FIRST_PAGE + PAGES; page++) {
		struct arena arena;
		struct op *op;
		arena_init(&arena, 1 << 20);
		carry_out(&fixture, op = create_page(&arena, page));
		op_release(op);
		arena_fini(&arena);
	}
	for (unsigned round = 1; round <= ROUNDS; round++) {
		struct replica_stats stats;
		do /* it follows */
			stats = list_all();
		while (stats.answered == 0 || stats.fallbacks > 0 || stats.connected < stats.lanes);
		command("SELECT pg_wal_replay_pause()");
		send_some(round, 2 + round % 3);
		do /* it has some of them */
			stats = list_all();
		while (stats.answered == 0 || stats.fallbacks == 0);
		command("SELECT pg_wal_replay_resume()");
		send_some(ROUNDS + round, 1 + round % 2); /* while it catches up */
		(void)list_all();
	}
}

/* Whoever has an answer finds it counted. */
static void an_answer_is_counted_when_it_is_there(void **state)
{
	struct replica_stats before, after;

	(void)state;
	for (unsigned n = 0; n < 1000; n++) {
		struct arena arena;
		struct op *op;
		arena_init(&arena, 1 << 20);
		store_replica_stats(fixture.store, &before);
		carry_out(&fixture, op = list_messages(&arena, FIRST_PAGE, NEWEST));
		store_replica_stats(fixture.store, &after);
		if (before.connected == before.lanes) /* otherwise the primary was asked, perhaps */
			assert_int_equal(after.answered + after.fallbacks - before.answered - before.fallbacks, 1);
		op_release(op);
		arena_fini(&arena);
	}
	assert_int_equal(after.connected, after.lanes);
}

/* It is refused wherever it goes, and says nothing of the replica. */
static void a_statement_that_is_refused_costs_no_replica(void **state)
{
	struct replica_stats before, after;
	struct arena arena;

	(void)state;
	arena_init(&arena, 4 << 20);
	store_replica_stats(fixture.store, &before);
	assert_int_equal(before.connected, before.lanes);
	for (unsigned n = 0; n < 2 * before.lanes; n++) {
		struct op *op = list_messages(&arena, FIRST_PAGE, -1); /* LIMIT must not be negative */
		submit(&fixture, op);
		wait_until_left(0);
		assert_int_equal(op->outcome, OP_FAILED);
		assert_string_equal(op->err.reason, "STORE_ERROR");
	}
	store_replica_stats(fixture.store, &after);
	assert_int_equal(after.fallbacks - before.fallbacks, 2 * before.lanes);
	assert_int_equal(after.connected, before.lanes);
	arena_fini(&arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_is_read_as_it_is),
		cmocka_unit_test(an_answer_is_counted_when_it_is_there),
		cmocka_unit_test(a_statement_that_is_refused_costs_no_replica),
	};
	struct aside_status err = { 0 };

	if (argc != 4)
		return 2;
	owner_dsn = argv[3];
	struct store_options options = { .database = argv[1], .read_database = argv[2] };
	if (store_open(&options, &fixture.store, &err) != ASIDE_OK) {
		print_error("%s\n", err.message);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	store_close(fixture.store, 0);
	return failed;
}
