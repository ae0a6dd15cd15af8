/* Following logs: whatever the order in which reads come back, hints get lost and watchers run out of room, each sees
 * every event that is its to see, once and in order. */
#include "test.h"

#include "aside/v1/watch.pb-c.h"
#include "fake_log.h"
#include "service/follow.h"

enum { STAFF = 7, OTHER_STAFF = 8, JOHNNY = 42, FAN = 43, WATCHERS = 24, SEEN_MAX = FAKE_EVENTS * FAKE_PAGES, ROUNDS = 12, STEPS = 4000 };

/* A client and its stream. */
struct client {
	enum watch_kind kind;
	bool staff;
	int64_t caller, user_id, page_id;
	struct watch *watch;
	unsigned room;           /* responses it still takes */
	bool wants_room, ended;  /* it was refused some; it was ended */
	struct aside_status why;
	struct place places[FAKE_PAGES]; /* where its last cursor stands, by page */
	bool has_cursor;
	unsigned greetings, typings, resyncs;
	struct {
		int64_t page_id, number;
	} seen[SEEN_MAX];
	size_t n_seen;
};

static struct follow *follow;
static struct client clients[WATCHERS];
static struct op *reads[4096]; /* under way */
static size_t n_reads;
static bool refuse_reads;

/* ── what the machine calls ──────────────────────────────────────────────────────────────────────── */

static bool submit(void *user, struct op *op)
{
	(void)user;
	if (refuse_reads)
		return false;
	assert_true(n_reads < N_OF(reads));
	reads[n_reads++] = op;
	return true;
}

static void keep_cursor(struct client *client, const char *cursor)
{
	struct place *places;
	struct arena arena;
	size_t n;

	arena_init(&arena, 65536);
	assert_int_equal(cursor_read(&arena, cursor, client->kind, client->user_id, &places, &n, NULL), ASIDE_OK);
	memset(client->places, 0, sizeof client->places);
	for (size_t i = 0; i < n; i++)
		client->places[places[i].page_id] = places[i];
	client->has_cursor = true;
	arena_fini(&arena);
}

static void take(struct client *client, const Aside__V1__Event *event)
{
	int64_t number = client->places[event->page_id].event;

	if (event->kind_case == ASIDE__V1__EVENT__KIND_TYPING) {
		client->typings++;
		return;
	}
	if (event->kind_case == ASIDE__V1__EVENT__KIND_RESYNC) {
		client->resyncs++;
		client->n_seen = 0; /* it reads everything again, and goes on from there */
		for (int64_t page = 1; page < FAKE_PAGES; page++)
			for (int64_t n = 1; n <= client->places[page].event; n++)
				client->seen[client->n_seen].page_id = page, client->seen[client->n_seen++].number = n;
		return;
	}
	client->seen[client->n_seen].page_id = event->page_id;
	client->seen[client->n_seen++].number = number;
}

static bool send(void *stream, struct bytes response)
{
	struct client *client = stream;
	Aside__V1__WatchPageResponse *message; /* all three have the same fields */

	assert_false(client->ended);
	client->wants_room = client->room == 0;
	if (client->room == 0)
		return false;
	client->room--;
	message = aside__v1__watch_page_response__unpack(NULL, response.size, response.data);
	assert_non_null(message);
	keep_cursor(client, message->cursor);
	if (message->event != NULL)
		take(client, message->event);
	else
		client->greetings++;
	aside__v1__watch_page_response__free_unpacked(message, NULL);
	return true;
}

static void end(void *stream, const struct aside_status *why)
{
	struct client *client = stream;

	client->ended = true;
	client->why = *why;
}

static void forget(void *stream)
{
	(void)stream;
}

/* ── what tests do ───────────────────────────────────────────────────────────────────────────────── */

static struct beginning beginning_on(const struct client *client, int64_t page_id)
{
	int64_t last = fake_logs[page_id].last_event;
	struct beginning beginning = { { page_id, last, 0 }, last };

	if (client->kind != WATCH_PAGE)
		beginning.place.seq = fake_last_seq(page_id, client->user_id, last);
	if (client->has_cursor)
		beginning.place = (struct place){ page_id, client->places[page_id].event, client->places[page_id].seq };
	return beginning;
}

/* Begins to watch, from its last cursor if it has one. */
static void begin(struct client *client)
{
	struct beginning beginnings[FAKE_PAGES];
	size_t n = 0;

	client->ended = client->wants_room = false;
	for (int64_t page = 1; page < FAKE_PAGES; page++)
		if (client->kind == WATCH_PERSON ? fake_last_seq(page, client->user_id, fake_logs[page].last_event) > 0 :
						   page == client->page_id)
			beginnings[n++] = beginning_on(client, page);
	client->watch = watch_new(client->kind, client->staff, client->caller, client->user_id);
	client->watch->stream = client;
	follow_begin(follow, client->watch, beginnings, n);
}

static void leave(struct client *client)
{
	follow_end(follow, client->watch);
	client->watch = NULL;
}

static void give_room(struct client *client, unsigned room)
{
	client->room += room;
	if (!client->wants_room || client->ended)
		return;
	client->wants_room = false;
	follow_writable(follow, client->watch);
}

/* Brings back one of the reads under way. */
static void finish_read(size_t which)
{
	struct op *op = reads[which];

	reads[which] = reads[--n_reads];
	fake_execute(op);
	follow_done(follow, op);
}

static void finish_all(void)
{
	do {
		follow_work(follow);
		while (n_reads > 0)
			finish_read(0);
		follow_work(follow);
	} while (n_reads > 0);
}

/* What hints did not tell. */
static void sweep(void)
{
	for (int64_t page = 1; page < FAKE_PAGES; page++) {
		static const int64_t persons[] = { JOHNNY, FAN };
		for (size_t i = 0; i < N_OF(persons); i++)
			if (fake_last_seq(page, persons[i], fake_logs[page].last_event) > 0)
				follow_opens(follow, page, fake_logs[page].last_event, persons[i]);
		follow_event(follow, page, fake_logs[page].last_event);
	}
	follow_retry(follow);
}

static int64_t commit(int64_t page_id, struct fake_event event)
{
	int64_t number = fake_commit(page_id, event);

	if (event.kind == EVENT_IS_MESSAGE && fake_last_seq(page_id, event.user_id, number) == 1)
		follow_opens(follow, page_id, number, event.user_id);
	follow_event(follow, page_id, number);
	return number;
}

static int64_t say(int64_t page_id, int64_t user_id)
{
	return commit(page_id, (struct fake_event){ .kind = EVENT_IS_MESSAGE, .user_id = user_id, .side = 1 });
}

static struct client *new_client(enum watch_kind kind, bool staff, int64_t caller, int64_t user_id, int64_t page_id)
{
	size_t i = 0;

	while (clients[i].kind != 0)
		i++;
	clients[i] = (struct client){ .kind = kind, .staff = staff, .caller = caller, .user_id = user_id, .page_id = page_id,
		.room = 1000000 };
	return &clients[i];
}

static bool is_its(const struct client *client, int64_t page_id, const struct fake_event *event)
{
	if (client->kind != WATCH_PERSON && page_id != client->page_id)
		return false;
	return (client->kind == WATCH_PAGE || event->user_id == client->user_id) && fake_visible(event, client->staff);
}

/* It has seen what is its to see of each page after `from`, in order, and nothing twice. */
static void assert_saw_all(const struct client *client, const int64_t from[FAKE_PAGES])
{
	for (int64_t page = 1; page < FAKE_PAGES; page++) {
		size_t at = 0;
		for (int64_t number = from[page] + 1; number <= fake_logs[page].last_event; number++) {
			if (!is_its(client, page, &fake_logs[page].events[number - 1]))
				continue;
			while (at < client->n_seen && (client->seen[at].page_id != page || client->seen[at].number <= from[page]))
				at++;
			assert_true(at < client->n_seen);
			assert_int_equal(client->seen[at++].number, number);
		}
		for (; at < client->n_seen; at++)
			assert_true(client->seen[at].page_id != page || client->seen[at].number <= from[page]);
	}
}

static const int64_t from_the_start[FAKE_PAGES];

static int set_up(void **state)
{
	(void)state;
	fake_reset();
	memset(clients, 0, sizeof clients);
	n_reads = 0;
	refuse_reads = false;
	follow = follow_new(&(struct follow_options){ .submit = submit, .sink = { send, end, forget } });
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < WATCHERS; i++)
		if (clients[i].watch != NULL)
			leave(&clients[i]);
	finish_all();
	follow_free(follow);
	return 0;
}

/* ── tests ───────────────────────────────────────────────────────────────────────────────────────── */

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
