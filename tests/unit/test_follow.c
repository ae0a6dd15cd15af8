/* Following logs: whatever the order in which reads come back, hints get lost and watchers run out of room, each sees
 * every event that is its to see, once and in order. */
#include "test.h"

#include "following.h"

enum { ROUNDS = 12, STEPS = 4000 };

static void one_read_serves_all_who_watch(void **state)
{
	struct client *page = new_client(WATCH_PAGE, true, STAFF, 0, 1), *thread = new_client(WATCH_THREAD, false, JOHNNY, JOHNNY, 1);
	struct client *person = new_client(WATCH_PERSON, false, JOHNNY, JOHNNY, 0);
	(void)state;

	say(1, JOHNNY);
	begin(page), begin(thread), begin(person);
	assert_int_equal(page->greetings + thread->greetings + person->greetings, 3);
	say(1, JOHNNY);
	say(1, FAN);
	follow_work(follow);
	assert_int_equal(n_reads, 1);
	finish_all();
	assert_int_equal(page->n_seen, 2);
	assert_int_equal(thread->n_seen, 1);
	assert_int_equal(person->n_seen, 1);
	assert_int_equal(person->seen[0].number, 2);
}

static void each_side_sees_its_own_blocks(void **state)
{
	struct client *page = new_client(WATCH_PAGE, true, STAFF, 0, 1), *person = new_client(WATCH_PERSON, false, JOHNNY, JOHNNY, 0);
	(void)state;

	say(1, JOHNNY);
	begin(page), begin(person);
	commit(1, (struct fake_event){ .kind = EVENT_IS_BLOCK, .user_id = JOHNNY, .side = 1, .state = 1 });
	commit(1, (struct fake_event){ .kind = EVENT_IS_BLOCK, .user_id = JOHNNY, .side = 2, .state = 1 });
	commit(1, (struct fake_event){ .kind = EVENT_IS_WALL, .subject_id = 9 });
	finish_all();
	assert_int_equal(person->n_seen, 1);
	assert_int_equal(person->seen[0].number, 2);
	assert_int_equal(page->n_seen, 2);
	assert_int_equal(page->seen[0].number, 3);
}

static void who_reads_slowly_misses_nothing_and_holds_up_nobody(void **state)
{
	struct client *slow = new_client(WATCH_PAGE, true, STAFF, 0, 1), *quick = new_client(WATCH_PAGE, true, OTHER_STAFF, 0, 1);
	(void)state;

	slow->room = 2; /* the greeting and one event */
	begin(slow), begin(quick);
	for (unsigned i = 0; i < 500; i++)
		say(1, JOHNNY), finish_all();
	assert_int_equal(quick->n_seen, 500);
	assert_int_equal(slow->n_seen, 1);
	for (unsigned i = 0; i < 499; i++)
		give_room(slow, 1), finish_all();
	assert_saw_all(slow, from_the_start);
}

static void a_cursor_goes_on_where_it_stands(void **state)
{
	struct client *client = new_client(WATCH_PERSON, false, JOHNNY, JOHNNY, 0);
	(void)state;

	say(1, JOHNNY);
	begin(client);
	leave(client);
	for (unsigned i = 0; i < 1000; i++) {
		say(1, i % 3 == 0 ? JOHNNY : FAN);
		say(2, i % 10 == 0 ? JOHNNY : FAN); /* a thread that it has never heard of */
	}
	begin(client);
	finish_all();
	assert_saw_all(client, (int64_t[FAKE_PAGES]){ 0, 1, 0, 0 });
	assert_int_equal(client->resyncs, 0);
}

static void what_is_no_longer_kept_is_said(void **state)
{
	struct client *old = new_client(WATCH_THREAD, false, JOHNNY, JOHNNY, 1), *live = new_client(WATCH_PAGE, true, STAFF, 0, 1);
	(void)state;

	say(1, JOHNNY);
	begin(old), begin(live);
	leave(old);
	for (unsigned i = 0; i < 300; i++)
		say(1, JOHNNY);
	finish_all();
	fake_logs[1].first_event = 200;
	begin(old);
	finish_all();
	assert_int_equal(old->resyncs, 1);
	assert_int_equal(old->places[1].event, 301);
	say(1, JOHNNY);
	finish_all();
	assert_int_equal(old->seen[old->n_seen - 1].number, 302);
	assert_int_equal(live->resyncs, 0);
	assert_int_equal(live->n_seen, 301);
}

static void a_cursor_of_a_lost_future_is_said(void **state)
{
	struct client *client = new_client(WATCH_PAGE, true, STAFF, 0, 1);
	(void)state;

	say(1, JOHNNY);
	client->places[1] = (struct place){ 1, 50, 0 };
	client->has_cursor = true;
	begin(client);
	finish_all();
	assert_int_equal(client->resyncs, 1);
	assert_int_equal(client->places[1].event, 1);
}

static void who_loses_the_role_is_cut_off_at_that_event(void **state)
{
	struct client *page = new_client(WATCH_PAGE, true, STAFF, 0, 1), *thread = new_client(WATCH_THREAD, true, STAFF, JOHNNY, 1);
	struct client *waiting = new_client(WATCH_PAGE, true, STAFF, 0, 1), *other = new_client(WATCH_PAGE, true, OTHER_STAFF, 0, 1);
	(void)state;

	say(1, JOHNNY);
	waiting->room = 1;
	begin(page), begin(thread), begin(waiting), begin(other);
	say(1, JOHNNY);
	commit(1, (struct fake_event){ .kind = EVENT_IS_STAFF, .subject_id = STAFF, .state = 1 });
	say(1, JOHNNY);
	finish_all();
	assert_true(page->ended && thread->ended && waiting->ended && !other->ended);
	assert_string_equal(page->why.reason, "ROLE_REQUIRED");
	assert_string_equal(thread->why.reason, "THREAD_NOT_FOUND");
	assert_int_equal(page->n_seen, 1);
	assert_int_equal(thread->n_seen, 1);
	assert_int_equal(waiting->n_seen, 0);
	assert_int_equal(other->n_seen, 3);
}

static void a_role_that_went_while_the_watch_began_is_noticed(void **state)
{
	struct client *other = new_client(WATCH_PAGE, true, OTHER_STAFF, 0, 1), *late = new_client(WATCH_THREAD, true, STAFF, JOHNNY, 1);
	struct beginning beginning;
	(void)state;

	say(1, JOHNNY);
	late->places[1] = (struct place){ 1, 1, 1 };
	for (unsigned i = 0; i < 1000; i++)
		say(1, FAN);
	begin(other);
	beginning = (struct beginning){ late->places[1], fake_logs[1].last_event }; /* the role was there */
	commit(1, (struct fake_event){ .kind = EVENT_IS_STAFF, .subject_id = STAFF });
	finish_all(); /* and is gone before the watch begins */
	late->watch = watch_new(WATCH_THREAD, true, STAFF, JOHNNY);
	late->watch->stream = late;
	follow_begin(follow, late->watch, &beginning, 1);
	finish_all();
	assert_true(late->ended);
	assert_string_equal(late->why.reason, "THREAD_NOT_FOUND");
}

static void a_read_of_its_own_does_not_run_ahead(void **state)
{
	struct client *late = new_client(WATCH_THREAD, true, STAFF, JOHNNY, 1);
	(void)state;

	say(1, JOHNNY);
	begin(late);
	leave(late);
	for (unsigned i = 0; i < 300; i++)
		say(1, FAN);
	begin(late);
	follow_work(follow);
	assert_int_equal(n_reads, 1); /* what it has missed; and now nobody tells that the role is gone */
	(void)fake_commit(1, (struct fake_event){ .kind = EVENT_IS_STAFF, .subject_id = STAFF });
	(void)fake_commit(1, (struct fake_event){ .kind = EVENT_IS_MESSAGE, .user_id = JOHNNY });
	finish_all();
	sweep();
	finish_all();
	assert_true(late->ended);
	assert_int_equal(late->n_seen, 0);
}

static void a_read_from_before_a_pause_counts_no_more(void **state)
{
	struct client *person = new_client(WATCH_PERSON, false, JOHNNY, JOHNNY, 0);
	(void)state;

	say(1, JOHNNY), say(2, JOHNNY);
	begin(person);
	leave(person);
	for (unsigned i = 0; i < 200; i++)
		say(1, JOHNNY);
	begin(person);
	follow_work(follow); /* a read of page 1 is under way */
	person->room = 0;
	say(2, JOHNNY);
	follow_work(follow);
	finish_read(1); /* there is no room for what page 2 brings */
	give_room(person, 1000);
	finish_all();
	assert_saw_all(person, (int64_t[FAKE_PAGES]){ 0, 1, 1, 0 });
}

static void a_role_that_came_back_long_ago_does_not_count(void **state)
{
	struct client *page = new_client(WATCH_PAGE, true, STAFF, 0, 1);
	(void)state;

	begin(page);
	leave(page);
	commit(1, (struct fake_event){ .kind = EVENT_IS_STAFF, .subject_id = STAFF, .state = 0 });
	commit(1, (struct fake_event){ .kind = EVENT_IS_STAFF, .subject_id = STAFF, .state = 3 });
	begin(page);
	finish_all();
	assert_false(page->ended);
	assert_int_equal(page->n_seen, 2);
}

static void typing_reaches_those_who_are_up_to_date(void **state)
{
	struct client *page = new_client(WATCH_PAGE, true, STAFF, 0, 1), *person = new_client(WATCH_PERSON, false, JOHNNY, JOHNNY, 0);
	struct client *fan = new_client(WATCH_PERSON, false, FAN, FAN, 0);
	const struct typing typing = { 1, JOHNNY, JOHNNY, 1, 5 };
	(void)state;

	say(1, JOHNNY), say(1, FAN);
	begin(page), begin(person), begin(fan);
	follow_typing(follow, &typing);
	assert_int_equal(page->typings, 1);
	assert_int_equal(person->typings, 1);
	assert_int_equal(fan->typings, 0);
	page->room = 0;
	follow_typing(follow, &typing);
	give_room(page, 10);
	finish_all();
	assert_int_equal(page->typings, 1);
	say(1, JOHNNY);
	finish_all();
	assert_int_equal(page->n_seen, 1);
}

static void reads_that_fail_are_made_again(void **state)
{
	struct client *page = new_client(WATCH_PAGE, true, STAFF, 0, 1);
	(void)state;

	begin(page);
	refuse_reads = true;
	say(1, JOHNNY);
	follow_work(follow);
	assert_int_equal(n_reads, 0);
	refuse_reads = false;
	sweep();
	assert_int_equal(n_reads, 1);
	reads[0]->outcome = OP_FAILED;
	n_reads = 0;
	follow_done(follow, reads[0]);
	follow_work(follow);
	assert_int_equal(n_reads, 0); /* not at once */
	sweep();
	finish_all();
	assert_int_equal(page->n_seen, 1);
}

/* ── any order ───────────────────────────────────────────────────────────────────────────────────── */

static uint64_t seed;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % below;
}

static struct fake_event any_event(void)
{
	static const enum event_kind kinds[] = { EVENT_IS_MARKS, EVENT_IS_BLOCK, EVENT_IS_UNSENT };
	int64_t user_id = draw(2) == 0 ? JOHNNY : FAN;

	if (draw(3) > 0)
		return (struct fake_event){ .kind = EVENT_IS_MESSAGE, .user_id = user_id, .side = 1 };
	if (draw(4) == 0)
		return (struct fake_event){ .kind = draw(2) == 0 ? EVENT_IS_SETTINGS : EVENT_IS_WALL, .subject_id = 3 };
	return (struct fake_event){ .kind = kinds[draw(3)], .user_id = user_id, .side = 1 + (int)draw(2), .state = 1 };
}

static void step(void)
{
	struct client *client = &clients[draw(WATCHERS)];
	int64_t page = 1 + draw(FAKE_PAGES - 1);

	switch (draw(10)) {
	case 0:
		for (unsigned n = draw(40) == 0 ? 300 : 1; n > 0; n--)
			commit(page, any_event());
		break;
	case 1: case 2: commit(page, any_event()); break;
	case 3: (void)fake_commit(page, any_event()); break; /* its hint is lost */
	case 4: case 5: if (n_reads > 0) finish_read(draw((unsigned)n_reads)); break;
	case 6: give_room(client, draw(20)); break;
	case 7: client->room = 0; break;
	case 8: if (draw(4) == 0) leave(client), begin(client); break;
	default: if (draw(20) == 0) sweep(); break;
	}
	follow_work(follow);
}

static void in_any_order_everything_arrives_once(void **state)
{
	static int64_t from[WATCHERS][FAKE_PAGES];
	(void)state;

	for (unsigned round = 0; round < ROUNDS; round++) {
		set_up(NULL);
		seed = round;
		for (int64_t page = 1; page < FAKE_PAGES - 1; page++) /* the last has no threads yet */
			(void)fake_commit(page, (struct fake_event){ .user_id = JOHNNY }), (void)fake_commit(page, (struct fake_event){ .user_id = FAN });
		for (unsigned i = 0; i < WATCHERS; i++) {
			bool page = i % 3 == 0, staff = page || i % 6 == 1;
			clients[i] = (struct client){ .kind = page ? WATCH_PAGE : i % 3 == 1 ? WATCH_THREAD : WATCH_PERSON,
				.staff = staff, .caller = staff ? STAFF : JOHNNY, .user_id = page ? 0 : i % 2 == 0 ? JOHNNY : FAN,
				.page_id = 1 + i % (FAKE_PAGES - 2), .room = 1 + draw(10) };
			for (int64_t p = 1; p < FAKE_PAGES; p++)
				from[i][p] = fake_logs[p].last_event;
			begin(&clients[i]);
		}
		for (unsigned i = 0; i < STEPS; i++)
			step();
		for (unsigned i = 0; i < WATCHERS; i++)
			give_room(&clients[i], 1000000);
		sweep();
		finish_all();
		for (unsigned i = 0; i < WATCHERS; i++)
			assert_saw_all(&clients[i], from[i]);
		tear_down(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_read_serves_all_who_watch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_side_sees_its_own_blocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_reads_slowly_misses_nothing_and_holds_up_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cursor_goes_on_where_it_stands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_longer_kept_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cursor_of_a_lost_future_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_loses_the_role_is_cut_off_at_that_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_role_that_went_while_the_watch_began_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_read_of_its_own_does_not_run_ahead, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_read_from_before_a_pause_counts_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_role_that_came_back_long_ago_does_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(typing_reaches_those_who_are_up_to_date, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reads_that_fail_are_made_again, set_up, tear_down),
		cmocka_unit_test(in_any_order_everything_arrives_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
