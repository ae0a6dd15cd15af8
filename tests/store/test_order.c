/* A batch answers, and leaves behind, what its operations would have one by one, in the order of arrival: random
 * operations go to one page as a batch and to its twin alone.  ASIDE_ORDER_SEED repeats a run. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/cluster.h"

enum { ROUNDS = 25, STEPS = 100, PAIRS = 2 };
enum { BATCHED = 100, ALONE = 200, PLUG = 99 }; /* first page ids; and the page that holds the lane up */
enum { ADMIN = 1, MODERATOR = 2, ANALYST = 4, FIRST_PERSON = 11, PERSONS = 3, ENTRIES = 6, KEYS = 400, UPLOADS = 3 };

/* What is asked of a page, and of its twin. */
struct step {
	enum { SEND, REPLY, PRIVATE_REPLY, MARK, BLOCK, SETTINGS, ROLE, RECORD, REMOVE, KINDS } kind;
	unsigned pair;
	uint32_t number; /* of the step */
	int64_t person, caller, entry, side, role, now_us;
	uint32_t key, hash, chars, expected, delivered, read;
	int64_t settings[3]; /* switch, budget, longest text; -1: as it is */
	char items[128];
	bool uploads, flag;
};

static unsigned draw(unsigned below)
{
	return (unsigned)rand() % below;
}

static bool one_in(unsigned n)
{
	return draw(n) == 0;
}

static void draw_items(struct step *step)
{
	step->uploads = one_in(4);
	if (step->uploads)
		(void)snprintf(step->items, sizeof step->items, "[{\"a\": \"00000000-0000-0000-0000-%08u%04u\"}]",
				(unsigned)step->caller, draw(UPLOADS + 1));
	else if (one_in(8))
		(void)snprintf(step->items, sizeof step->items, "[{\"l\": \"https://example.com/\"}]");
}

/* Often like the one before: operations that could share an execution are to meet. */
static struct step draw_step(uint32_t number, int64_t now_us, const struct step *before)
{
	static const unsigned kinds[] = { SEND, SEND, SEND, SEND, SEND, SEND, REPLY, REPLY, REPLY, REPLY, PRIVATE_REPLY,
		PRIVATE_REPLY, MARK, MARK, MARK, BLOCK, SETTINGS, ROLE, RECORD, REMOVE };
	struct step step = { .kind = kinds[draw(N_OF(kinds))], .pair = draw(PAIRS), .number = number, .now_us = now_us + number };

	if (before != NULL && !one_in(3)) {
		step.kind = before->kind;
		step.pair = before->pair;
	}
	step.person = FIRST_PERSON + draw(PERSONS);
	step.entry = 1 + draw(ENTRIES);
	step.side = 1 + draw(2);
	step.caller = step.kind == SEND || (step.kind == MARK && step.side == 1) ? step.person :
		one_in(10) ? ANALYST : one_in(3) ? ADMIN : MODERATOR;
	step.key = one_in(3) ? draw(KEYS) : KEYS + number; /* some are used again */
	step.hash = one_in(3) ? 2 : 1;
	step.chars = one_in(10) ? 1500 : 12;
	step.expected = one_in(3) ? draw(12) : 0;
	step.delivered = draw(30);
	step.read = draw(30);
	step.flag = one_in(3);
	step.role = draw(5);
	for (size_t i = 0; i < N_OF(step.settings); i++)
		step.settings[i] = -1;
	step.settings[draw(N_OF(step.settings))] = (const int64_t[]){ 0, 1, 1000, 2000, 3 }[draw(5)];
	if (step.settings[0] > 0)
		step.settings[0] = 1;
	if (step.settings[1] > 100)
		step.settings[1] = 3;
	if (step.settings[2] == 0)
		step.settings[2] = 1;
	draw_items(&step);
	return step;
}

/* ── operations ──────────────────────────────────────────────────────────────────────────────────── */

static void put_content(struct op *op, struct arena *arena, const struct step *step)
{
	op_bytes(op, key_of(arena, step->key));
	op_int(op, step->hash);
	op_text(op, "Good morning");
	op_int(op, step->chars);
	op_text(op, step->items);
	if (step->uploads)
		op_int(op, step->caller);
	else
		op_null(op);
	op_int(op, step->now_us);
}

static struct op *make_send(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, step->items[0] != '\0' ? &sql_send_message : &sql_send_text, page_id);

	op_int(op, page_id);
	op_int(op, step->person);
	put_content(op, arena, step);
	return op;
}

static struct op *make_page_write(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_page_write, page_id);

	op_int(op, page_id);
	op_int(op, step->caller);
	op_int(op, 2);
	if (step->kind == REPLY)
		op_int(op, step->person);
	else
		op_null(op);
	if (step->kind == REPLY)
		op_null(op);
	else
		op_int(op, step->entry);
	op_int(op, step->kind == REPLY ? step->expected : 0);
	put_content(op, arena, step);
	return op;
}

static struct op *make_mark(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_mark_thread, page_id);

	op_int(op, page_id);
	op_int(op, step->person);
	op_int(op, step->caller);
	op_int(op, 2);
	op_int(op, step->side);
	op_int(op, step->delivered);
	op_int(op, step->read);
	op_int(op, step->now_us);
	return op;
}

static struct op *make_block(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_set_block, page_id);

	op_int(op, page_id);
	op_int(op, step->person);
	op_int(op, step->side == 1 ? step->person : step->caller);
	op_int(op, 2);
	op_int(op, step->side);
	op_bool(op, step->flag);
	op_int(op, step->now_us);
	return op;
}

static struct op *make_settings(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_update_page_settings, page_id);
	static const int order[] = { 0, 2, -1, -1, 1, -1 };

	op_int(op, page_id);
	op_int(op, ADMIN);
	op_int(op, 4);
	op_bytes(op, key_of(arena, step->number));
	op_int(op, step->expected);
	for (size_t i = 0; i < N_OF(order); i++)
		if (order[i] < 0 || step->settings[order[i]] < 0)
			op_null(op);
		else if (i == 0)
			op_bool(op, step->settings[0] != 0);
		else
			op_int(op, step->settings[order[i]]);
	op_text(op, "");
	op_text(op, "why not");
	op_int(op, step->now_us);
	return op;
}

static struct op *make_role(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_set_staff_role, page_id);

	op_int(op, page_id);
	op_int(op, ADMIN);
	op_int(op, 4);
	op_int(op, step->flag ? MODERATOR : ADMIN); /* who is the last admin, and stays */
	op_int(op, step->role);
	op_int(op, step->now_us);
	return op;
}

static struct op *make_record(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_record_wall_entry, page_id);
	bool by_page = step->entry == ENTRIES;

	op_int(op, page_id);
	op_int(op, step->entry);
	op_int(op, 2);
	if (by_page)
		op_null(op);
	else
		op_int(op, FIRST_PERSON + step->entry % PERSONS);
	if (by_page)
		op_int(op, 7);
	else
		op_null(op);
	op_text(op, "Nothing tastes as good");
	op_int(op, step->flag ? NOW_US : step->now_us);
	op_int(op, step->now_us);
	return op;
}

static struct op *make_remove(struct arena *arena, const struct step *step, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_remove_wall_entry, page_id);

	op_int(op, page_id);
	op_int(op, step->entry);
	op_int(op, step->now_us);
	return op;
}

static struct op *make(struct arena *arena, const struct step *step, int64_t page_id)
{
	switch (step->kind) {
	case SEND: return make_send(arena, step, page_id);
	case REPLY:
	case PRIVATE_REPLY: return make_page_write(arena, step, page_id);
	case MARK: return make_mark(arena, step, page_id);
	case BLOCK: return make_block(arena, step, page_id);
	case SETTINGS: return make_settings(arena, step, page_id);
	case ROLE: return make_role(arena, step, page_id);
	case RECORD: return make_record(arena, step, page_id);
	case REMOVE:
	case KINDS: break;
	}
	return make_remove(arena, step, page_id);
}

/* ── comparing ───────────────────────────────────────────────────────────────────────────────────── */

static bool same_cell(const struct op *a, const struct op *b, unsigned row, unsigned column)
{
	struct bytes x = op_row_bytes(a, row, column), y = op_row_bytes(b, row, column);

	return op_is_null(a, row, column) == op_is_null(b, row, column) && x.size == y.size &&
			(x.size == 0 || memcmp(x.data, y.data, x.size) == 0);
}

static void assert_same_answer(const struct op *batched, const struct op *alone, const struct step *step)
{
	const struct statement *statement = batched->statement;
	const char *differs = batched->n_rows == alone->n_rows ? NULL : "number of rows";

	assert_int_equal(batched->outcome, OP_DONE);
	for (unsigned row = 0; differs == NULL && row < batched->n_rows; row++)
		for (unsigned column = 0; differs == NULL && column < statement->n_columns; column++)
			if ((int)column != statement->event_number && !same_cell(batched, alone, row, column))
				differs = statement->columns[column].name;
	if (differs != NULL)
		print_error("step %u: another %s of %s for %lld: reason \"%s\" in a batch, \"%s\" alone\n", step->number, differs,
				statement->name, (long long)step->person, batched->n_rows > 0 ? op_row_text(batched, 0, 0) : "-",
				alone->n_rows > 0 ? op_row_text(alone, 0, 0) : "-");
	assert_null(differs);
}

/* What two twins have in common: everything but the numbers of their events. */
static void assert_same_state(struct fixture *fixture, unsigned pair)
{
	static const struct {
		const char *table, *columns;
	} parts[] = {
		{ "thread", "user_id, last_sent_at, last_person_at, last_seq, first_seq, person_count, page_count, page_run,"
			"person_delivered_seq, person_read_seq, person_read_count, page_delivered_seq, page_read_seq,"
			"page_read_count, by_private_reply, blocked_by_person, blocked_by_page" },
		{ "message", "user_id, sender_id, sent_at, content_hash, client_key, seq, side_no, settings_version, side,"
			"n_attachments, unsent, body, wall_entry_id, wall_kind, wall_body, wall_posted_at" },
		{ "person_thread", "user_id" },
		{ "page", "last_event, settings_version, messaging_enabled, max_text_chars, reply_budget" },
		{ "page_settings", "version, messaging_enabled, max_text_chars, reply_budget, changed_at, changed_by" },
		{ "page_staff", "user_id, role" },
		{ "page_event", "user_id, subject_id, at, seq, delivered_seq, unread, kind, side, state" },
		{ "wall_entry", "entry_id, author_user_id, author_page_id, posted_at, removed_at, kind, body" },
		{ "attachment", "attachment_id, user_id, seq" },
		{ "message_attachment", "user_id, seq, position, kind, attachment_id, link_url" },
	};
	unsigned a = BATCHED + pair, b = ALONE + pair;

	for (size_t i = 0; i < N_OF(parts); i++) {
		const char *table = parts[i].table, *columns = parts[i].columns;
		long n = query_number(fixture, "WITH a AS (SELECT %s FROM %s WHERE page_id = %u), b AS (SELECT %s FROM %s WHERE page_id = %u)"
				" SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d",
				columns, table, a, columns, table, b);
		if (n != 0)
			print_error("%s differs in %ld rows\n", table, n);
		assert_int_equal(n, 0);
	}
}

/* Events are 1, 2, 3… without a gap, and a thread's place in the inbox is behind by little. */
static void assert_events_whole(struct fixture *fixture)
{
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM page p JOIN (SELECT page_id, count(*) AS n, max(event_number) AS top"
			" FROM (SELECT page_id, event_number FROM message UNION SELECT page_id, event_number FROM page_event) e"
			" GROUP BY page_id) e USING (page_id) WHERE e.n <> p.last_event OR e.top <> p.last_event"), 0);
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM thread t WHERE last_seq > 0 AND (last_event - inbox_event"
			" NOT BETWEEN 0 AND inbox_lag() - 1 OR last_event <> (SELECT max(event_number) FROM message m"
			" WHERE m.page_id = t.page_id AND m.user_id = t.user_id))"), 0);
}

/* ── the test ────────────────────────────────────────────────────────────────────────────────────── */

/* Holds the only lane up while a batch gathers behind it. */
static PGconn *hold_up(struct fixture *fixture, struct op *plug)
{
	PGconn *pg = PQconnectdb(cluster_dsn(fixture->cluster));

	PQclear(PQexec(pg, "BEGIN"));
	PQclear(PQexec(pg, "SELECT FROM page WHERE page_id = 99 FOR UPDATE"));
	submit(fixture, plug);
	while (query_number(fixture, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 0)
		;
	return pg;
}

static void run_round(struct fixture *fixture, uint32_t round)
{
	struct step steps[STEPS];
	struct op *batched[STEPS], *alone[STEPS], *plug;
	struct store_stats before, after;
	struct arena arena;

	arena_init(&arena, 4 << 20);
	for (uint32_t i = 0; i < STEPS; i++)
		steps[i] = draw_step(round * STEPS + i, NOW_US + round * 40000000000ll /* half a day */, i > 0 ? &steps[i - 1] : NULL);
	plug = send_message(&arena, PLUG, 1, key_of(&arena, round));
	PGconn *holder = hold_up(fixture, plug);
	store_stats(fixture->store, &before);
	for (size_t i = 0; i < STEPS; i++)
		submit(fixture, batched[i] = make(&arena, &steps[i], BATCHED + steps[i].pair));
	PQfinish(holder);
	wait_until_left(0);
	store_stats(fixture->store, &after);
	assert_int_equal(after.batches - before.batches, 1);
	for (size_t i = 0; i < STEPS; i++)
		carry_out(fixture, alone[i] = make(&arena, &steps[i], ALONE + steps[i].pair));
	for (size_t i = 0; i < STEPS; i++)
		assert_same_answer(batched[i], alone[i], &steps[i]);
	for (unsigned pair = 0; pair < PAIRS; pair++)
		assert_same_state(fixture, pair);
	assert_events_whole(fixture);
	for (size_t i = 0; i < STEPS; i++) {
		op_release(batched[i]);
		op_release(alone[i]);
	}
	op_release(plug);
	arena_fini(&arena);
}

static void a_batch_is_as_if_each_had_come_alone(void **state)
{
	const char *given = getenv("ASIDE_ORDER_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

	print_message("# ASIDE_ORDER_SEED=%u\n", seed);
	srand(seed);
	for (uint32_t round = 0; round < ROUNDS; round++)
		run_round(*state, round);
}

/* Both find no thread; the first makes it, and the page waits for the person then (P6). */
static void of_two_private_replies_one_opens_the_thread(void **state)
{
	struct step steps[2] = { { .kind = PRIVATE_REPLY }, { .kind = PRIVATE_REPLY } };
	struct fixture *fixture = *state;
	struct op *ops[2], *plug;
	struct arena arena;

	arena_init(&arena, 1 << 20);
	(void)query_number(fixture, "INSERT INTO wall_entry (page_id, entry_id, author_user_id, posted_at, kind, body)"
			" SELECT %d, 50 + n, 77, to_timestamp(%lld), 2, '' FROM generate_series(0, 1) n", PLUG, NOW_US / 1000000);
	plug = send_message(&arena, PLUG, 1, key_of(&arena, UINT32_MAX));
	PGconn *holder = hold_up(fixture, plug);
	for (uint32_t i = 0; i < 2; i++) {
		steps[i].caller = ADMIN;
		steps[i].entry = 50 + i;
		steps[i].key = 70 + i;
		steps[i].now_us = NOW_US;
		submit(fixture, ops[i] = make(&arena, &steps[i], PLUG));
	}
	PQfinish(holder);
	wait_until_left(0);
	assert_true(op_is_null(ops[0], 0, 0));
	assert_string_equal(op_row_text(ops[1], 0, 0), "AWAITING_PERSON");
	assert_int_equal(query_number(fixture, "SELECT count(*) FROM message WHERE user_id = 77"), 1);
	for (size_t i = 0; i < 2; i++)
		op_release(ops[i]);
	op_release(plug);
	arena_fini(&arena);
}

static int set_up(void **state)
{
	struct fixture *fixture;
	struct arena arena;
	struct op *page;

	if (fixture_start(state, 1) != 0)
		return -1;
	fixture = *state;
	for (int64_t pair = 0; pair < 2 * PAIRS + 1; pair++) {
		arena_init(&arena, 1 << 20);
		carry_out(fixture, page = create_page(&arena, pair == 2 * PAIRS ? PLUG : (pair % 2 == 0 ? BATCHED : ALONE) + pair / 2));
		op_release(page);
		arena_fini(&arena);
	}
	(void)query_number(fixture, "INSERT INTO page_staff SELECT page_id, role, role FROM page, generate_series(%d, 3) role"
			" UNION ALL SELECT page_id, %d, 1 FROM page", MODERATOR, ANALYST);
	(void)query_number(fixture, "INSERT INTO attachment (page_id, attachment_id, uploader_id, size_bytes, created_at, completed_at,"
			" side, kind, sha256) SELECT page_id, ('00000000-0000-0000-0000-' || lpad(u::text, 8, '0') || lpad(n::text, 4, '0'))::uuid,"
			" u, 1, now(), CASE WHEN n > 0 THEN now() END, CASE WHEN u < %d THEN 2 ELSE 1 END, 1, sha256('')"
			" FROM page, generate_series(1, %d) u, generate_series(0, %d) n", FIRST_PERSON, FIRST_PERSON + PERSONS, UPLOADS - 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_two_private_replies_one_opens_the_thread),
		cmocka_unit_test(a_batch_is_as_if_each_had_come_alone),
	};

	return cmocka_run_group_tests(tests, set_up, fixture_stop);
}
