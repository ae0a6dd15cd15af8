/* What is kept and what goes: messages and events beyond --keep-messages and --keep-events, and all that must not notice
 * (P6, P10, P11, P14, P17).  Time passes by moving what has happened into the past. */
#include "uploads.h"
#include "watching.h"

#include <pthread.h>
#include <stdatomic.h>

#include "service/attachments.h"
#include "service/retention.h"
#include "store/store.h"

enum { MESSAGE_DAYS = 30, EVENT_DAYS = 20, BATCH = 500 };

/* All that has happened to the page, `days` ago. */
static void age(int64_t page, int days)
{
	(void)world_sql("UPDATE message SET sent_at = sent_at - interval '%d days' WHERE page_id = %lld", days, (long long)page);
	(void)world_sql("UPDATE page_event SET at = at - interval '%d days' WHERE page_id = %lld", days, (long long)page);
	(void)world_sql("UPDATE attachment SET created_at = created_at - interval '%d days' WHERE page_id = %lld", days, (long long)page);
}

/* One round over all pages, as the server's own. */
static void sweep(unsigned message_days, unsigned event_days)
{
	struct store_options options = { .database = aside_harness_database(harness) };
	struct retention retention = { .message_days = message_days, .event_days = event_days };
	struct store *store = NULL;
	uint64_t removed = 0;
	unsigned uploads = 0;
	bool more = true;

	assert_int_equal(store_open(&options, &store, &status), ASIDE_OK);
	assert_int_equal(retention_sweep(&retention, store, world_now_us(), INT64_MAX, &more, &removed, &status), ASIDE_OK);
	assert_false(more);
	assert_int_equal(attachments_sweep(store, world_now_us(), INT64_MAX, &uploads, &status), ASIDE_OK);
	store_close(store, INT64_MAX);
}

/* The thread's messages from the newest on are these, and no more. */
static void assert_listed(int64_t reader, int64_t page, uint32_t newest, uint32_t oldest)
{
	Aside__V1__ListMessagesResponse *list = list_messages(reader, page, JOHNNY, 0, 0, 100);

	assert_done(list);
	assert_int_equal(list->n_messages, newest < oldest ? 0 : newest - oldest + 1);
	for (size_t i = 0; i < list->n_messages; i++) {
		assert_int_equal(list->messages[i]->seq, newest - i);
		assert_true(list->messages[i]->content->text[0] != '\0');
	}
	assert_false(list->has_more);
	aside_free(list);
}

static void assert_unread(int64_t page, uint32_t by_person, uint32_t by_page)
{
	Aside__V1__GetThreadResponse *thread = get_thread(MODERATOR, page, JOHNNY);

	assert_done(thread);
	assert_int_equal(thread->thread->person_marks->unread_count, by_person);
	assert_int_equal(thread->thread->page_marks->unread_count, by_page);
	aside_free(thread);
}

static int64_t rows(const char *table, int64_t page)
{
	return world_sql("SELECT count(*) FROM %s WHERE page_id = %lld", table, (long long)page);
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

static void old_messages_can_be_read_no_more(void **state)
{
	int64_t page = new_page();
	Aside__V1__ListMessagesResponse *list;
	(void)state;

	for (uint32_t i = 1; i <= 6; i++)
		assert_int_equal(send_text(JOHNNY, page, i, "Long ago"), i);
	age(page, MESSAGE_DAYS + 1);
	for (uint32_t i = 7; i <= 9; i++)
		assert_int_equal(send_text(JOHNNY, page, i, "Just now"), i);
	sweep(0, 0);
	assert_listed(JOHNNY, page, 9, 1);
	sweep(MESSAGE_DAYS, 0);
	assert_listed(JOHNNY, page, 9, 7);
	assert_listed(MODERATOR, page, 9, 7);
	assert_done(list = list_messages(JOHNNY, page, JOHNNY, 7, 0, 10)); /* a page back that has been removed */
	assert_int_equal(list->n_messages, 0);
	assert_false(list->has_more);
	aside_free(list);
	assert_done(list = list_messages(JOHNNY, page, JOHNNY, 0, 2, 2)); /* forward from one */
	assert_int_equal(list->n_messages, 2);
	assert_int_equal(list->messages[0]->seq, 7);
	assert_true(list->has_more);
	aside_free(list);
	assert_int_equal(world_sql("SELECT count(*) FROM message WHERE page_id = %lld AND body = 'Long ago'", (long long)page), 0);
	age(page, MESSAGE_DAYS + 1);
	sweep(MESSAGE_DAYS, 0);
	assert_listed(JOHNNY, page, 9, 10);
	assert_int_equal(send_text(JOHNNY, page, 10, "Still here"), 10);
	assert_listed(JOHNNY, page, 10, 10);
	assert_counters_right(page);
}

/* P10 has no limit in time. */
static void keys_are_known_for_ever(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(send_text(JOHNNY, page, 2, "Hello?"), 2);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 3, "Hi"), 3);
	age(page, 365);
	sweep(MESSAGE_DAYS, 0);
	assert_listed(JOHNNY, page, 3, 4);
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 3, "Hi"), 3);
	assert_refused(send_text(JOHNNY, page, 2, "Hallo?"), "KEY_REUSED");
	assert_int_equal(send_text(JOHNNY, page, 4, "New"), 4);
	assert_listed(JOHNNY, page, 4, 4);
}

/* P6: one for ever, though nobody can read it; what it said of the entry has gone with it. */
static void an_entry_is_answered_once_for_ever(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 5, JOHNNY, world_now_us()));
	assert_int_equal(private_reply(MODERATOR, page, 5, 1), 1);
	age(page, MESSAGE_DAYS + 1);
	sweep(MESSAGE_DAYS, 0);
	assert_int_equal(world_sql("SELECT count(wall_body) FROM message WHERE page_id = %lld", (long long)page), 0);
	assert_refused(private_reply(MODERATOR, page, 5, 2), "ALREADY_REPLIED");
}

static void their_photos_and_links_go_too(void **state)
{
	int64_t page = new_page();
	struct upload old = upload_new(page, JOHNNY, PERSON, VIDEO, NULL, 600000), kept = upload_new(page, JOHNNY, PERSON, PHOTO, NULL, 1000);
	Aside__V1__Attachment link, *links[] = { &link };
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
	(void)state;

	aside__v1__attachment__init(&link);
	link.content_case = ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL;
	link.link_url = (char *)"https://example.com/mine";
	content.n_attachments = 1;
	content.attachments = links;
	assert_done(upload_all(&old));
	assert_int_equal(send_content(JOHNNY, page, 1, upload_content(&old, "Look")), 1);
	assert_int_equal(send_content(JOHNNY, page, 2, &content), 2);
	age(page, MESSAGE_DAYS + 1);
	assert_done(upload_all(&kept));
	assert_int_equal(send_content(JOHNNY, page, 3, upload_content(&kept, "Look")), 3);
	sweep(MESSAGE_DAYS, 0);
	assert_refused(upload_read(&old, MODERATOR, 0, 10), "ATTACHMENT_NOT_FOUND");
	assert_refused(upload_read(&old, JOHNNY, 0, 10), "ATTACHMENT_NOT_FOUND");
	assert_int_equal(rows("message_attachment", page), 1);
	assert_int_equal(rows("attachment", page), 1);
	assert_int_equal(rows("attachment_chunk", page), 1);
	Aside__V1__ReadAttachmentResponse *part = upload_read(&kept, MODERATOR, 0, 10);
	assert_done(part);
	aside_free(part);
	upload_free(&old), upload_free(&kept);
}

/* Marks are numbers of messages, kept or not (P14). */
static void counters_stay_right(void **state)
{
	int64_t page = new_page();
	(void)state;

	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(send_text(JOHNNY, page, i, "Hello"), i);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 5, "Hi"), 5);
	age(page, MESSAGE_DAYS + 1);
	sweep(MESSAGE_DAYS, 0);
	assert_unread(page, 1, 4);
	assert_counters_right(page);
	aside_free(mark_thread(MODERATOR, page, JOHNNY, PAGE, 3, 3)); /* up to one that is gone */
	assert_unread(page, 1, 1);
	assert_int_equal(send_text(JOHNNY, page, 6, "Again"), 6);
	aside_free(mark_thread(JOHNNY, page, JOHNNY, PERSON, 6, 6));
	assert_unread(page, 0, 2);
	assert_counters_right(page);
}

/* ── events ──────────────────────────────────────────────────────────────────────────────────────── */

static void events_may_go_before_messages(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	aside_free(mark_thread(MODERATOR, page, JOHNNY, PAGE, 1, 1));
	assert_done(switch_messaging(ADMIN, page, false));
	assert_done(switch_messaging(ADMIN, page, true));
	age(page, EVENT_DAYS + 1);
	assert_int_equal(send_text(JOHNNY, page, 2, "Again"), 2);
	assert_true(rows("page_event", page) > 0);
	sweep(MESSAGE_DAYS, EVENT_DAYS);
	assert_int_equal(rows("page_event", page), 0);
	assert_int_equal(rows("page_settings", page), 3); /* their history is for ever (P4) */
	assert_listed(JOHNNY, page, 2, 1);
	assert_counters_right(page);
}

static void who_is_up_to_date_notices_nothing(void **state)
{
	int64_t page = new_page();
	struct watcher live = WATCH_PAGE_AS(MODERATOR, page), back = WATCH_PAGE_AS(EDITOR, page), own = WATCH_OWN(JOHNNY);
	struct watcher thread = WATCH_THREAD_AS(MODERATOR, page, JOHNNY), others = WATCH_OWN(FAN);
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	watcher_open(&live), watcher_open(&back), watcher_open(&own), watcher_open(&thread), watcher_open(&others);
	assert_int_equal(send_text(JOHNNY, page, 2, "Again"), 2);
	assert_int_equal(watcher_expect(&live, "Again"), 2);
	assert_int_equal(watcher_expect(&back, "Again"), 2);
	assert_int_equal(watcher_expect(&own, "Again"), 2);
	assert_int_equal(watcher_expect(&thread, "Again"), 2);
	watcher_close(&back);
	age(page, MESSAGE_DAYS + 1);
	sweep(MESSAGE_DAYS, EVENT_DAYS);
	watcher_open(&back);
	assert_int_equal(send_text(JOHNNY, page, 3, "New"), 3);
	assert_int_equal(watcher_expect(&live, "New"), 3);
	assert_int_equal(watcher_expect(&back, "New"), 3);
	assert_int_equal(watcher_expect(&own, "New"), 3);
	assert_int_equal(watcher_expect(&thread, "New"), 3);
	assert_int_equal(send_text(FAN, page, 4, "First"), 1); /* all of a new thread is kept */
	assert_int_equal(watcher_expect(&others, "First"), 1);
	watcher_close(&live), watcher_close(&back), watcher_close(&own), watcher_close(&thread), watcher_close(&others);
}

static void who_is_further_behind_is_told(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page), own = WATCH_OWN(JOHNNY), thread = WATCH_THREAD_AS(JOHNNY, page, JOHNNY);
	struct watcher *const all[] = { &staff, &own, &thread };
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	for (size_t i = 0; i < N_OF(all); i++)
		watcher_open(all[i]), watcher_close(all[i]);
	assert_int_equal(send_text(JOHNNY, page, 2, "Missed"), 2);
	age(page, EVENT_DAYS + 1);
	assert_int_equal(send_text(JOHNNY, page, 3, "Kept"), 3);
	sweep(0, EVENT_DAYS);
	for (size_t i = 0; i < N_OF(all); i++) {
		watcher_open(all[i]);
		assert_int_equal(watcher_next(all[i])->kind_case, ASIDE__V1__EVENT__KIND_RESYNC);
	}
	assert_listed(JOHNNY, page, 3, 1);
	assert_int_equal(send_text(JOHNNY, page, 4, "After"), 4);
	for (size_t i = 0; i < N_OF(all); i++) {
		assert_int_equal(watcher_expect(all[i], "After"), 4);
		watcher_close(all[i]);
	}
}

/* ── while the service runs ──────────────────────────────────────────────────────────────────────── */

struct sender {
	int64_t page;
	atomic_bool enough;
	uint32_t sent; /* numbers 1 … sent of the fan's thread */
};

static void *keep_sending(void *user)
{
	struct sender *sender = user;

	while (!atomic_load(&sender->enough) || sender->sent == 0) {
		if (send_text(FAN, sender->page, 100000 + sender->sent, "Meanwhile") != sender->sent + 1)
			return sender;
		sender->sent++;
	}
	return NULL;
}

/* A transaction of the sweep leaves its mark in the page: how many messages one of them has taken at most. */
static void large_pages_go_in_batches_between_sends(void **state)
{
	enum { OLD = 4 * BATCH + 100 };
	struct sender sender = { .page = new_page() };
	long long page = sender.page;
	void *failed = NULL;
	pthread_t thread;
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	(void)world_sql("INSERT INTO message (page_id, user_id, seq, side, side_no, event_number, sender_id, client_key, content_hash,"
			" settings_version, sent_at, body) SELECT page_id, user_id, n, 1, n, event_number + n - 1, user_id, gen_random_uuid(),"
			" 1, 1, sent_at, 'Hello' FROM message, generate_series(2, %d) n WHERE page_id = %lld", OLD, page);
	(void)world_sql("UPDATE thread SET last_seq = %d, person_count = %d, last_event = last_event + %d - 1 WHERE page_id = %lld", OLD, OLD,
			OLD, page);
	(void)world_sql("UPDATE page SET last_event = last_event + %d - 1 WHERE page_id = %lld", OLD, page);
	age(page, MESSAGE_DAYS + 1);
	assert_int_equal(pthread_create(&thread, NULL, keep_sending, &sender), 0);
	sweep(MESSAGE_DAYS, 0);
	atomic_store(&sender.enough, true);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	assert_int_equal(world_sql("SELECT count(*) FROM message WHERE page_id = %lld AND body = 'Hello'", page), 0);
	assert_int_equal(world_sql("SELECT count(*) FROM message WHERE page_id = %lld AND body = 'Meanwhile'", page), sender.sent);
	assert_int_equal(world_sql("SELECT max(n) FROM (SELECT count(*) AS n FROM message WHERE page_id = %lld AND body = ''"
				   " GROUP BY xmin) t", page), BATCH);
	assert_listed(JOHNNY, page, OLD, OLD + 1);
	assert_counters_right(page);
}

/* The server itself, with its flags: at its start, and then every hour. */
static void a_server_sweeps_by_itself(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Long ago"), 1);
	age(page, MESSAGE_DAYS + 1);
	assert_int_equal(send_text(JOHNNY, page, 2, "Just now"), 2);
	assert_int_equal(aside_harness_terminate(harness, 0), 0);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
	while (world_sql("SELECT count(*) FROM message WHERE page_id = %lld AND body = 'Long ago'", (long long)page) != 0)
		;
	assert_listed(JOHNNY, page, 2, 2);
}

int main(void)
{
	static const char *const flags[] = { "--keep-messages", "30", "--keep-events", "20", NULL };
	const struct aside_harness_options options = { .flags = flags };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_messages_can_be_read_no_more),
		cmocka_unit_test(keys_are_known_for_ever),
		cmocka_unit_test(an_entry_is_answered_once_for_ever),
		cmocka_unit_test(their_photos_and_links_go_too),
		cmocka_unit_test(counters_stay_right),
		cmocka_unit_test(events_may_go_before_messages),
		cmocka_unit_test(who_is_up_to_date_notices_nothing),
		cmocka_unit_test(who_is_further_behind_is_told),
		cmocka_unit_test(large_pages_go_in_batches_between_sends),
		cmocka_unit_test(a_server_sweeps_by_itself),
	};

	return WORLD_RUN("retention", tests, &options);
}
