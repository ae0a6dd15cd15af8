/* Watching through one server what happens on another: with hints, without any, and while servers are killed (P17).
 *
 *     test_watch_servers [--no-hints]
 */
#include "watching.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { HERE = 0, THERE = 1, SERVERS = 2 };

static void through(unsigned server)
{
	via = aside_harness_channel(harness, server);
}

static void what_happens_there_is_seen_here(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page), own = WATCH_OWN(JOHNNY);
	(void)state;

	through(HERE);
	watcher_open(&staff), watcher_open(&own);
	through(THERE);
	assert_int_equal(send_text(JOHNNY, page, 1, "A thread that opens there"), 1);
	assert_int_equal(send_text(JOHNNY, page, 2, "and goes on"), 2);
	for (unsigned i = 0; i < 2; i++) {
		(void)watcher_expect(i == 0 ? &staff : &own, "A thread that opens there");
		(void)watcher_expect(i == 0 ? &staff : &own, "and goes on");
	}
	assert_done(set_role(ADMIN, page, MODERATOR, ASIDE__V1__ROLE__ROLE_UNSPECIFIED));
	assert_refused(watcher_next(&staff), "PAGE_NOT_FOUND");
	watcher_close(&staff), watcher_close(&own);
	via = NULL;
}

static void typing_there_is_seen_here(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page), own = WATCH_OWN(JOHNNY);
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	through(HERE);
	watcher_open(&staff), watcher_open(&own);
	through(THERE);
	assert_done(send_typing(JOHNNY, page, JOHNNY, PERSON));
	assert_int_equal(watcher_next(&staff)->typing->typing_user_id, JOHNNY);
	assert_int_equal(watcher_next(&own)->kind_case, ASIDE__V1__EVENT__KIND_TYPING);
	assert_done(send_typing(EDITOR, page, JOHNNY, PAGE));
	assert_int_equal(watcher_next(&own)->typing->typing_user_id, 0);
	watcher_close(&staff), watcher_close(&own);
	via = NULL;
}

static void hints_are_heard_again_after_their_connection_was_lost(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page);
	(void)state;

	through(HERE);
	watcher_open(&staff);
	through(THERE);
	for (uint64_t i = 1; i <= 3; i++) {
		(void)world_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'aside-hints'");
		assert_done(send_text(JOHNNY, page, i, "Hello"));
		assert_int_equal(watcher_expect(&staff, "Hello"), i);
	}
	watcher_close(&staff);
	via = NULL;
}

/* ── under crashes ───────────────────────────────────────────────────────────────────────────────── */

enum { MESSAGES = 1200 };

struct follower {
	struct watcher watcher;
	unsigned server;
	pthread_t thread;
	atomic_uint seen; /* messages 1, 2, 3 … up to this */
	unsigned wrong, begun;
};

/* Sees all of Johnny's messages, beginning again from its cursor whenever the stream ends. */
static void *follow_all(void *arg)
{
	struct follower *follower = arg;
	const Aside__V1__Event *event;

	through(follower->server);
	while (atomic_load(&follower->seen) < MESSAGES && follower->wrong == 0) {
		if (!watcher_try_open(&follower->watcher))
			continue; /* the server is not there yet */
		follower->begun++;
		while (atomic_load(&follower->seen) < MESSAGES && follower->wrong == 0 &&
				(event = watcher_next(&follower->watcher)) != NULL)
			if (event->kind_case == ASIDE__V1__EVENT__KIND_MESSAGE && event->user_id == JOHNNY)
				follower->wrong += event->message->seq != atomic_fetch_add(&follower->seen, 1) + 1;
			else
				follower->wrong += event->kind_case == ASIDE__V1__EVENT__KIND_RESYNC;
		watcher_close(&follower->watcher);
	}
	return NULL;
}

/* Writes them all, through both servers in turn; what was not acknowledged once more with its key. */
static void *write_all(void *arg)
{
	int64_t page = *(int64_t *)arg;
	uint64_t key = 1;

	for (unsigned turn = 0; key <= MESSAGES; turn++) {
		through(turn % SERVERS);
		key += send_text(JOHNNY, page, key, "Johnny's") != 0;
		(void)send_text(FAN, page, turn, "Noise");
	}
	return NULL;
}

static void crash_and_restart(unsigned server)
{
	aside_harness_crash(harness, server);
	assert_int_equal(aside_harness_restart(harness, server, &status), ASIDE_OK);
}

static void nothing_is_missed_nor_seen_twice_over_crashes(void **state)
{
	enum { CRASHES = 4 };
	int64_t page = new_page();
	struct follower followers[] = {
		{ .watcher = WATCH_PAGE_AS(MODERATOR, page), .server = 0 }, { .watcher = WATCH_PAGE_AS(EDITOR, page), .server = 1 },
		{ .watcher = WATCH_OWN(JOHNNY), .server = 0 },		    { .watcher = WATCH_OWN(JOHNNY), .server = 1 },
	};
	pthread_t writer;
	(void)state;

	for (size_t i = 0; i < N_OF(followers); i++) {
		through(followers[i].server);
		watcher_open(&followers[i].watcher); /* from before the first message */
		watcher_close(&followers[i].watcher);
		assert_int_equal(pthread_create(&followers[i].thread, NULL, follow_all, &followers[i]), 0);
	}
	assert_int_equal(pthread_create(&writer, NULL, write_all, &page), 0);
	for (unsigned crash = 1; crash <= CRASHES; crash++) {
		while (atomic_load(&followers[crash % SERVERS].seen) < crash * MESSAGES / (CRASHES + 1))
			sched_yield();
		crash_and_restart(crash % SERVERS); /* 0: with the database */
	}
	pthread_join(writer, NULL);
	for (size_t i = 0; i < N_OF(followers); i++) {
		pthread_join(followers[i].thread, NULL);
		assert_int_equal(followers[i].wrong, 0);
		assert_int_equal(atomic_load(&followers[i].seen), MESSAGES);
		assert_true(followers[i].begun > 1);
	}
	via = NULL;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest with_hints[] = {
		cmocka_unit_test(what_happens_there_is_seen_here),
		cmocka_unit_test(typing_there_is_seen_here),
		cmocka_unit_test(hints_are_heard_again_after_their_connection_was_lost),
		cmocka_unit_test(nothing_is_missed_nor_seen_twice_over_crashes),
	};
	const struct CMUnitTest without[] = {
		cmocka_unit_test(what_happens_there_is_seen_here),
		cmocka_unit_test(nothing_is_missed_nor_seen_twice_over_crashes),
	};
	const char *flags[] = { "--log-level", "warning", argc > 1 ? argv[1] : NULL, NULL };
	const struct aside_harness_options options = { .servers = SERVERS, .flags = flags };

	return argc > 1 ? WORLD_RUN("watch without hints", without, &options) : WORLD_RUN("watch over servers", with_hints, &options);
}
