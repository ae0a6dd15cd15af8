/* The checker finds what it is there for: a sound history passes, and each defect is found by its rule.
 *
 * A defect is brought into what the checker has taken over, as a server that has it would have left things. */
#include <stdio.h>
#include <string.h>

#include "scene.h"

#define ANSWERED 2000

static PGconn *checker;

/* A thread in which both sides have written and read, and its page. */
#define CHOOSE "CREATE TEMP TABLE chosen AS SELECT page_id, user_id FROM thread" \
	" WHERE person_read_count > 0 AND page_read_count > 0 ORDER BY last_seq DESC LIMIT 1"
#define PAGE_1 "(SELECT page_id FROM chosen)"
#define THREAD_1 "page_id = " PAGE_1 " AND user_id = (SELECT user_id FROM chosen)"
/* Its newest message, and the page's. */
#define NEWEST_1 THREAD_1 " AND seq = (SELECT max(seq) FROM message WHERE " THREAD_1 ")"

static const struct defect {
	const char *name, *sql, *rule;
} defects[] = {
	{ "acknowledged before the commit, which then did not come",
		"UPDATE attempt SET client_key = gen_random_uuid(), body = 'gone', seq = 9999, ended = began + 1"
		" WHERE ctid = (SELECT min(ctid) FROM attempt WHERE kind = 'send');"
		"INSERT INTO attempt SELECT kind, side, page_id, user_id, gen_random_uuid(), 'gone', 0, began, ended, 0, '', 9999"
		" FROM attempt WHERE kind = 'send' LIMIT 1", "lost" },
	{ "the newest message of a thread is lost, and all counters agree", "CREATE TEMP TABLE old AS SELECT * FROM message WHERE " NEWEST_1 ";"
		"DELETE FROM message m USING old o WHERE m.page_id = o.page_id AND m.client_key = o.client_key;"
		"UPDATE thread t SET last_seq = o.seq - 1 FROM old o WHERE t.page_id = o.page_id AND t.user_id = o.user_id", "lost" },
	{ "no unique key: sent again, written again", "INSERT INTO message SELECT (m).* FROM (SELECT m FROM message m WHERE " NEWEST_1 ") m;"
		"UPDATE message m SET seq = seq + 1, event_number = (SELECT last_event + 1 FROM page WHERE page_id = m.page_id)"
		" WHERE ctid = (SELECT max(ctid) FROM message WHERE " NEWEST_1 ")", "twice" },
	{ "a message that nobody sent", "UPDATE message SET client_key = gen_random_uuid() WHERE " NEWEST_1, "thin_air" },
	{ "another text than the one that was sent", "UPDATE message SET body = body || '!' WHERE " NEWEST_1, "thin_air" },
	{ "a text in somebody else's thread", "UPDATE message SET user_id = user_id + 1 WHERE " NEWEST_1, "thin_air" },
	{ "numbers from a sequence, which rolls nothing back", "UPDATE message SET seq = seq + 1 WHERE " NEWEST_1 ";"
		"UPDATE thread SET last_seq = last_seq + 1 WHERE " THREAD_1, "seq" },
	{ "two messages of one number", "UPDATE message SET seq = seq - 1 WHERE " NEWEST_1, "seq" },
	{ "event numbers with a gap", "UPDATE message SET event_number = event_number + 1 WHERE page_id = " PAGE_1
		" AND event_number = (SELECT last_event FROM page WHERE page_id = " PAGE_1 ");"
		"UPDATE page_event SET event_number = event_number + 1 WHERE page_id = " PAGE_1
		" AND event_number = (SELECT last_event FROM page WHERE page_id = " PAGE_1 ");"
		"UPDATE page SET last_event = last_event + 1 WHERE page_id = " PAGE_1, "event" },
	{ "a page behind its events", "UPDATE page SET last_event = last_event - 1 WHERE page_id = " PAGE_1, "event" },
	{ "two messages in each other's place", "UPDATE message m SET seq = 3 - seq WHERE seq < 3 AND " THREAD_1, "commit_order" },
	{ "sent again after newer ones: a resend that came too late",
		"UPDATE attempt SET began = 0, ended = 1 WHERE kind = 'send' AND client_key = (SELECT client_key FROM message WHERE " NEWEST_1 ")",
		"real_time" },
	{ "two answers for one key", "UPDATE attempt SET seq = seq + 1 WHERE ctid = (SELECT max(ctid) FROM attempt WHERE kind = 'send' AND code = 0)", "answer" },
	{ "a total that is one short", "UPDATE thread SET person_count = person_count - 1 WHERE " THREAD_1, "counter" },
	{ "an unread count that is one too many", "UPDATE thread SET page_read_count = page_read_count - 1 WHERE " THREAD_1, "counter" },
	{ "a place in the inbox that is not the newest message's", "UPDATE thread SET last_event = last_event - 1 WHERE " THREAD_1, "counter" },
	{ "a thread that is missing in the person's list", "DELETE FROM person_thread WHERE " THREAD_1, "counter" },
	{ "a mark that went back", "UPDATE thread SET page_read_seq = 0, page_read_count = 0 WHERE " THREAD_1, "mark" },
	{ "a mark that nobody set", "UPDATE thread SET page_read_seq = page_read_seq + 100000 WHERE " THREAD_1, "mark" },
	{ "a mark that left more unread than it said",
		"UPDATE page_event SET unread = unread - 1 WHERE kind = 2 AND event_number = (SELECT min(event_number) FROM page_event WHERE kind = 2)", "unread" },
	{ "an event that a watcher missed", "DELETE FROM watched WHERE page_id = " PAGE_1
		" AND event_number = (SELECT max(event_number) FROM watched WHERE page_id = " PAGE_1 ")", "watch" },
	{ "an event that a watcher got twice", "UPDATE watched SET event_number = event_number + 1 WHERE page_id = " PAGE_1
		" AND event_number > (SELECT min(event_number) + 5 FROM watched WHERE page_id = " PAGE_1 ");"
		"INSERT INTO watched SELECT watcher, page_id, event_number + 1, told_number, kind, user_id, side, seq, unread, body FROM watched"
		" WHERE page_id = " PAGE_1 " AND event_number = (SELECT min(event_number) + 5 FROM watched WHERE page_id = " PAGE_1 ")", "watch" },
	{ "events that a watcher got in another order", "UPDATE watched w SET event_number = 2 * f + 1 - event_number"
		" FROM (SELECT min(event_number) + 5 AS f FROM watched WHERE page_id = " PAGE_1 ") x"
		" WHERE page_id = " PAGE_1 " AND event_number BETWEEN f AND f + 1", "watch" },
	{ "a refusal that no rule explains", "UPDATE attempt SET code = 13, reason = 'STORE_ERROR' WHERE ctid = (SELECT min(ctid) FROM attempt)", "refused" },
	{ "a call that nobody answered", "UPDATE attempt SET code = 14 WHERE kind = 'send' AND client_key ="
		" (SELECT client_key FROM attempt WHERE kind = 'send' LIMIT 1)", "unanswered" },
};

static int start(void **state)
{
	static struct scene scene;
	(void)state;

	scene_begin(&scene, 1);
	assert_true(load_wait(scene.load, ANSWERED));
	checker = scene_end(&scene);
	return checker_execute(checker, CHOOSE) ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	PQfinish(checker);
	return 0;
}

static void a_sound_history_passes(void **state)
{
	(void)state;
	assert_int_equal(checker_run(checker), 0);
}

static bool found(const char *rule)
{
	PGresult *result = PQexecParams(checker, "SELECT FROM violation WHERE rule = $1", 1, NULL, &rule, NULL, NULL, 0);
	int n = PQntuples(result);

	PQclear(result);
	return n > 0;
}

static void every_defect_is_found(void **state)
{
	unsigned missed = 0;
	(void)state;

	for (size_t i = 0; i < N_OF(defects); i++) {
		assert_true(checker_execute(checker, "BEGIN"));
		assert_true(checker_execute(checker, defects[i].sql));
		if (!found(defects[i].rule)) {
			print_error("not found: %s\n", defects[i].name);
			missed++;
		}
		assert_true(checker_execute(checker, "ROLLBACK"));
	}
	assert_int_equal(missed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_sound_history_passes, start),
		cmocka_unit_test_teardown(every_defect_is_found, stop),
	};
	const struct aside_harness_options options = { .servers = SCENE_SERVERS };

	return WORLD_RUN("checker", tests, &options);
}
