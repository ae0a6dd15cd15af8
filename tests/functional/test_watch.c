/* Watching: what each may see, in order, once, from any cursor (P9, P14, P16, P17, P18). */
#include "watching.h"

#include <stdio.h>

/* ── what is seen ────────────────────────────────────────────────────────────────────────────────── */

static void staff_see_all_of_a_page(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page);
	const Aside__V1__Event *event;
	(void)state;

	watcher_open(&staff);
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(watcher_expect(&staff, "Hello"), 1);
	assert_int_equal(staff.last->event->user_id, JOHNNY);
	assert_int_equal(staff.last->event->message->event_number, world_sql("SELECT last_event FROM page WHERE page_id = %lld",
										   (long long)page));
	assert_int_equal(reply_text(EDITOR, page, JOHNNY, 2, "Hi"), 2);
	assert_int_equal(watcher_expect(&staff, "Hi"), 2);
	assert_int_equal(staff.last->event->message->sender_user_id, EDITOR);

	aside_free(mark_thread(MODERATOR, page, JOHNNY, PAGE, 1, 1));
	event = watcher_next(&staff);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_MARKS_MOVED);
	assert_int_equal(event->marks_moved->side, PAGE);
	assert_int_equal(event->marks_moved->marks->read_seq, 1);
	assert_int_equal(event->marks_moved->marks->unread_count, 0);

	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, true));
	event = watcher_next(&staff);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_BLOCK_SET);
	assert_true(event->block_set->blocked);

	assert_done(switch_messaging(ADMIN, page, false));
	event = watcher_next(&staff);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_SETTINGS_CHANGED);
	assert_false(event->settings_changed->settings->messaging_enabled);
	assert_int_equal(event->settings_changed->changed_by_user_id, ADMIN);
	assert_string_equal(event->settings_changed->changed_fields->paths[0], "messaging_enabled");

	assert_done(set_role(ADMIN, page, FAN, ASIDE__V1__ROLE__ROLE_ANALYST));
	event = watcher_next(&staff);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_STAFF_CHANGED);
	assert_int_equal(event->staff_changed->user_id, FAN);
	assert_int_equal(event->staff_changed->role, ASIDE__V1__ROLE__ROLE_ANALYST);

	assert_done(record_entry(page, 5, FAN, world_now_us()));
	event = watcher_next(&staff);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_WALL_ENTRY_CHANGED);
	assert_int_equal(event->wall_entry_changed->entry_id, 5);
	assert_int_equal(event->wall_entry_changed->entry->author_user_id, FAN);
	assert_done(remove_entry(page, 5));
	event = watcher_next(&staff);
	assert_int_equal(event->wall_entry_changed->entry_id, 5);
	assert_null(event->wall_entry_changed->entry);
	watcher_close(&staff);
}

static void a_person_sees_their_threads_and_no_more(void **state)
{
	int64_t page = new_page(), other = new_page();
	struct watcher own = WATCH_OWN(JOHNNY), thread = WATCH_THREAD_AS(JOHNNY, page, JOHNNY);
	const Aside__V1__Event *event;
	(void)state;

	watcher_open(&own);
	assert_done(send_text(FAN, page, 1, "Not Johnny's"));
	assert_done(send_text(JOHNNY, page, 2, "A first message")); /* a thread that was not there before */
	assert_int_equal(watcher_expect(&own, "A first message"), 1);
	assert_int_equal(own.last->event->message->sender_user_id, JOHNNY);
	watcher_open(&thread);

	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, true)); /* the page's own business */
	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, false));
	assert_done(record_entry(page, 5, JOHNNY, world_now_us()));
	assert_done(switch_messaging(ADMIN, page, false));
	assert_done(reply_text(EDITOR, page, JOHNNY, 3, "An answer"));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(watcher_expect(i == 0 ? &own : &thread, "An answer"), 2);
		event = (i == 0 ? &own : &thread)->last->event;
		assert_int_equal(event->message->sender_user_id, 0); /* which of the staff */
		assert_int_equal(event->message->event_number, 0);
	}
	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	event = watcher_next(&own);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_BLOCK_SET);
	aside_free(mark_thread(MODERATOR, page, JOHNNY, PAGE, 1, 0));
	event = watcher_next(&own);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_MARKS_MOVED);
	assert_int_equal(event->marks_moved->marks->delivered_seq, 1);

	assert_done(send_text(JOHNNY, other, 4, "Elsewhere"));
	assert_int_equal(watcher_expect(&own, "Elsewhere"), 1);
	assert_int_equal(own.last->event->page_id, other);
	watcher_close(&own);
	watcher_close(&thread);
}

static void a_private_reply_is_followed(void **state)
{
	int64_t page = new_page();
	struct watcher own = WATCH_OWN(FAN);
	(void)state;

	watcher_open(&own);
	assert_done(record_entry(page, 9, FAN, world_now_us()));
	assert_int_equal(private_reply(MODERATOR, page, 9, 1), 1);
	assert_done(watcher_next(&own));
	assert_int_equal(own.last->event->message->wall_entry->entry_id, 9);
	assert_int_equal(own.last->event->message->side, PAGE);
	watcher_close(&own);
}

static void outsiders_are_told_nothing(void **state)
{
	int64_t page = new_page();
	struct watcher page_by_stranger = WATCH_PAGE_AS(STRANGER, page), page_by_analyst = WATCH_PAGE_AS(ANALYST, page);
	struct watcher thread = WATCH_THREAD_AS(STRANGER, page, JOHNNY), unbegun = WATCH_THREAD_AS(FAN, page, FAN);
	struct watcher no_page = WATCH_PAGE_AS(MODERATOR, page + 1000000), service = WATCH_PAGE_AS(SERVICE, page);
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	assert_refused(watcher_try_open(&page_by_stranger), "PAGE_NOT_FOUND");
	assert_refused(watcher_try_open(&no_page), "PAGE_NOT_FOUND");
	assert_refused(watcher_try_open(&page_by_analyst), "ROLE_REQUIRED");
	assert_refused(watcher_try_open(&thread), "THREAD_NOT_FOUND");
	assert_refused(watcher_try_open(&unbegun), "THREAD_NOT_FOUND");
	watcher_open(&service);
	watcher_close(&service);
}

static void who_loses_the_role_is_cut_off(void **state)
{
	int64_t page = new_page();
	struct watcher watchers[] = { WATCH_PAGE_AS(MODERATOR, page), WATCH_THREAD_AS(MODERATOR, page, JOHNNY) };
	struct watcher other = WATCH_PAGE_AS(EDITOR, page), own = WATCH_OWN(JOHNNY);
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Before"));
	for (size_t i = 0; i < N_OF(watchers); i++)
		watcher_open(&watchers[i]);
	watcher_open(&other);
	watcher_open(&own);
	assert_done(send_text(JOHNNY, page, 2, "Still"));
	assert_done(set_role(ADMIN, page, MODERATOR, ASIDE__V1__ROLE__ROLE_ANALYST));
	assert_done(send_text(JOHNNY, page, 3, "No longer"));
	for (size_t i = 0; i < N_OF(watchers); i++) {
		assert_int_equal(watcher_expect(&watchers[i], "Still"), 2);
		assert_refused(watcher_next(&watchers[i]), i == 0 ? "ROLE_REQUIRED" : "THREAD_NOT_FOUND");
		watcher_close(&watchers[i]);
	}
	(void)watcher_expect(&other, "Still");
	assert_int_equal(watcher_next(&other)->kind_case, ASIDE__V1__EVENT__KIND_STAFF_CHANGED);
	(void)watcher_expect(&other, "No longer");
	(void)watcher_expect(&own, "Still");
	(void)watcher_expect(&own, "No longer");
	watcher_close(&other);
	watcher_close(&own);
}

/* ── cursors ─────────────────────────────────────────────────────────────────────────────────────── */

static void a_watch_goes_on_from_its_cursor(void **state)
{
	enum { MISSED = 300 };
	int64_t page = new_page(), fresh = new_page();
	struct watcher watchers[] = { WATCH_PAGE_AS(MODERATOR, page), WATCH_THREAD_AS(JOHNNY, page, JOHNNY), WATCH_OWN(JOHNNY) };
	char text[16];
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "1"));
	for (size_t i = 0; i < N_OF(watchers); i++) {
		watcher_open(&watchers[i]);
		watcher_close(&watchers[i]);
	}
	for (unsigned i = 2; i <= MISSED; i++) {
		(void)snprintf(text, sizeof text, "%u", i);
		assert_int_equal(send_text(JOHNNY, page, i, text), i);
	}
	assert_done(send_text(JOHNNY, fresh, 1, "fresh"));
	for (size_t i = 0; i < N_OF(watchers); i++) {
		unsigned seen = 1, fresh_seen = 0;
		watcher_open(&watchers[i]);
		while (seen < MISSED || (watchers[i].what == OWN_THREADS && fresh_seen == 0)) {
			const Aside__V1__Event *event = watcher_next(&watchers[i]);
			assert_done(event);
			if (event->page_id == fresh)
				fresh_seen++;
			else
				assert_int_equal(event->message->seq, ++seen);
			if (seen == MISSED / 2) { /* and once more from there */
				watcher_close(&watchers[i]);
				watcher_open(&watchers[i]);
			}
		}
		assert_int_equal(seen, MISSED);
		assert_int_equal(fresh_seen, watchers[i].what == OWN_THREADS);
		watcher_close(&watchers[i]);
	}
}

static void a_cursor_serves_its_own_watch_only(void **state)
{
	int64_t page = new_page(), other = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page), elsewhere = WATCH_PAGE_AS(MODERATOR, other);
	struct watcher person = WATCH_OWN(JOHNNY);
	(void)state;

	watcher_open(&staff);
	watcher_close(&staff);
	memcpy(elsewhere.cursor, staff.cursor, sizeof staff.cursor);
	memcpy(person.cursor, staff.cursor, sizeof staff.cursor);
	assert_refused(watcher_try_open(&elsewhere), "CURSOR_INVALID");
	assert_refused(watcher_try_open(&person), "CURSOR_INVALID");
	assert_int_equal(status.code, ASIDE_INVALID_ARGUMENT);
}

static void what_is_no_longer_kept_is_said(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page), own = WATCH_OWN(JOHNNY);
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	watcher_open(&staff), watcher_open(&own);
	watcher_close(&staff), watcher_close(&own);
	for (unsigned i = 2; i < 10; i++)
		assert_done(send_text(JOHNNY, page, i, "More"));
	(void)world_sql("UPDATE page SET first_event = last_event - 2 WHERE page_id = %lld", (long long)page);
	watcher_open(&staff), watcher_open(&own);
	assert_int_equal(watcher_next(&staff)->kind_case, ASIDE__V1__EVENT__KIND_RESYNC);
	assert_int_equal(watcher_next(&own)->kind_case, ASIDE__V1__EVENT__KIND_RESYNC);
	assert_int_equal(own.last->event->page_id, page);
	assert_done(send_text(JOHNNY, page, 20, "After"));
	assert_int_equal(watcher_expect(&staff, "After"), 10);
	assert_int_equal(watcher_expect(&own, "After"), 10);
	watcher_close(&staff), watcher_close(&own);
}

/* ── typing ──────────────────────────────────────────────────────────────────────────────────────── */

static void typing_is_seen_and_forgotten(void **state)
{
	int64_t page = new_page();
	struct watcher staff = WATCH_PAGE_AS(MODERATOR, page), own = WATCH_OWN(JOHNNY), late = WATCH_OWN(JOHNNY);
	const Aside__V1__Event *event;
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "Hello"));
	watcher_open(&staff), watcher_open(&own), watcher_open(&late);
	watcher_close(&late);
	assert_done(send_typing(JOHNNY, page, JOHNNY, PERSON));
	event = watcher_next(&staff);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_TYPING);
	assert_int_equal(event->typing->typing_user_id, JOHNNY);
	assert_int_equal(watcher_next(&own)->typing->side, PERSON);
	assert_done(send_typing(EDITOR, page, JOHNNY, PAGE));
	assert_int_equal(watcher_next(&staff)->typing->typing_user_id, EDITOR);
	event = watcher_next(&own);
	assert_int_equal(event->typing->side, PAGE);
	assert_int_equal(event->typing->typing_user_id, 0);

	assert_refused(send_typing(STRANGER, page, JOHNNY, PAGE), "PAGE_NOT_FOUND");
	assert_refused(send_typing(FAN, page, JOHNNY, PERSON), "THREAD_NOT_FOUND");
	assert_refused(send_typing(EDITOR, page, FAN, PAGE), "PERSON_MUST_START");
	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	assert_refused(send_typing(EDITOR, page, JOHNNY, PAGE), "BLOCKED");

	watcher_open(&late);
	assert_int_equal(watcher_next(&late)->kind_case, ASIDE__V1__EVENT__KIND_BLOCK_SET);
	watcher_close(&staff), watcher_close(&own), watcher_close(&late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(staff_see_all_of_a_page),
		cmocka_unit_test(a_person_sees_their_threads_and_no_more),
		cmocka_unit_test(a_private_reply_is_followed),
		cmocka_unit_test(outsiders_are_told_nothing),
		cmocka_unit_test(who_loses_the_role_is_cut_off),
		cmocka_unit_test(a_watch_goes_on_from_its_cursor),
		cmocka_unit_test(a_cursor_serves_its_own_watch_only),
		cmocka_unit_test(what_is_no_longer_kept_is_said),
		cmocka_unit_test(typing_is_seen_and_forgotten),
	};

	return WORLD_RUN("watch", tests, NULL);
}
