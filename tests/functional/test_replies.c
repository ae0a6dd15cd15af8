/* When a page may answer: the window, the budget (P7), the reply guard (P20), and private replies (P6). */
#include "world.h"

#include <stdlib.h>

/* CanSend is asked the very question that a send then answers. */
static void assert_can_send(int64_t page, int64_t entry, const char *refusal, bool limited, uint32_t left, int64_t until_us)
{
	Aside__V1__CanSendResponse *answer = can_send(MODERATOR, page, entry != 0 ? 0 : JOHNNY, PAGE, entry);

	assert_done(answer);
	assert_string_equal(answer->refusal_reason, refusal);
	assert_int_equal(answer->allowed, refusal[0] == '\0');
	assert_int_equal(answer->limited, limited);
	assert_int_equal(answer->messages_left, left);
	assert_int_equal(answer->allowed_until_us, until_us);
	aside_free(answer);
}

static int64_t last_person_at(int64_t page)
{
	return world_sql("SELECT extract(epoch FROM last_person_at) * 1000000 FROM thread WHERE page_id = %lld", (long long)page);
}

static void the_budget_is_five_in_a_row(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_can_send(page, 0, "PERSON_MUST_START", true, 5, 0);
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	for (uint32_t i = 0; i < 5; i++) {
		assert_can_send(page, 0, "", true, 5 - i, last_person_at(page) + 7 * DAY_US);
		assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2 + i, "Hello"), 2 + i);
	}
	assert_can_send(page, 0, "REPLY_BUDGET_SPENT", true, 0, last_person_at(page) + 7 * DAY_US);
	assert_refused(reply_text(ADMIN, page, JOHNNY, 20, "Hello?"), "REPLY_BUDGET_SPENT");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_int_equal(send_text(JOHNNY, page, 21, "Yes?"), 7);
	assert_can_send(page, 0, "", true, 5, last_person_at(page) + 7 * DAY_US);
	assert_int_equal(reply_text(ADMIN, page, JOHNNY, 20, "Hello?"), 8);
}

static void the_budget_is_a_setting(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	settings.reply_budget = 1;
	assert_done(change_settings(ADMIN, page, &settings, "reply_budget", 0));
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Hello"), 2);
	assert_refused(reply_text(MODERATOR, page, JOHNNY, 3, "Hello"), "REPLY_BUDGET_SPENT");
	settings.reply_budget = 0;
	assert_done(change_settings(ADMIN, page, &settings, "reply_budget", 0));
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 10 + i, "Hello"), 3 + i);
	assert_can_send(page, 0, "", false, 0, last_person_at(page) + 7 * DAY_US);
}

/* The person's last message becomes this much older. */
static void pass_time(int64_t page, const char *interval)
{
	world_sql("UPDATE thread SET last_person_at = last_person_at - interval '%s' WHERE page_id = %lld", interval, (long long)page);
}

static void the_window_is_seven_days(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	pass_time(page, "6 days 23 hours 59 minutes");
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "In time"), 2);
	pass_time(page, "1 minute");
	assert_refused(reply_text(MODERATOR, page, JOHNNY, 3, "Late"), "REPLY_WINDOW_CLOSED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_can_send(page, 0, "REPLY_WINDOW_CLOSED", true, 4, last_person_at(page) + 7 * DAY_US);
	settings.reply_window_seconds = 8 * 86400;
	assert_done(change_settings(ADMIN, page, &settings, "reply_window_seconds", 0));
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 3, "In time again"), 3);
	settings.reply_window_seconds = 0;
	assert_done(change_settings(ADMIN, page, &settings, "reply_window_seconds", 0));
	pass_time(page, "10 years");
	assert_can_send(page, 0, "", true, 3, 0);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 4, "Long after"), 4);
}

static void the_person_opens_the_window_again(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	pass_time(page, "8 days");
	assert_refused(reply_text(MODERATOR, page, JOHNNY, 2, "Late"), "REPLY_WINDOW_CLOSED");
	assert_int_equal(send_text(JOHNNY, page, 2, "Still there?"), 2);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 3, "Sure"), 3);
}

static void a_guarded_reply_sees_what_is_new(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(reply_content(MODERATOR, page, JOHNNY, 2, text_content("Hello"), 1), 2);
	assert_refused(reply_content(EDITOR, page, JOHNNY, 3, text_content("Hello"), 1), "THREAD_MOVED_ON");
	assert_int_equal(status.code, ASIDE_ABORTED);
	assert_string_equal(aside_status_fact(&status, "last_seq"), "2");
	assert_refused(reply_content(EDITOR, page, JOHNNY, 3, text_content("Hello"), 7), "THREAD_MOVED_ON");
	assert_int_equal(reply_content(EDITOR, page, JOHNNY, 3, text_content("Hello"), 2), 3);
}

/* ── private replies ─────────────────────────────────────────────────────────────────────────────── */

static void an_entry_is_answered_once(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_done(record_entry(page, 2, JOHNNY, world_now_us()));
	assert_refused(private_reply(MODERATOR, page, 3, 1), "WALL_ENTRY_NOT_FOUND");
	assert_int_equal(private_reply(MODERATOR, page, 1, 1), 1);
	assert_refused(private_reply(EDITOR, page, 1, 2), "ALREADY_REPLIED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_can_send(page, 1, "ALREADY_REPLIED", true, 4, world_sql("SELECT extract(epoch FROM posted_at) * 1000000 FROM"
			" wall_entry WHERE page_id = %lld AND entry_id = 1", (long long)page) + 7 * DAY_US);
	/* Until the person has answered the page may not write again, by no way. */
	assert_refused(private_reply(MODERATOR, page, 2, 3), "AWAITING_PERSON");
	assert_refused(reply_text(MODERATOR, page, JOHNNY, 4, "Hello?"), "AWAITING_PERSON");
	assert_int_equal(send_text(JOHNNY, page, 1, "You're welcome"), 2);
	assert_int_equal(private_reply(MODERATOR, page, 2, 3), 3);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 4, "Hello!"), 4);
	assert_counters_right(page);
}

static void an_existing_thread_takes_the_reply(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_int_equal(private_reply(MODERATOR, page, 1, 1), 2);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "And"), 3);
	Aside__V1__GetThreadResponse *thread = get_thread(JOHNNY, page, JOHNNY);
	assert_done(thread);
	assert_false(thread->thread->opened_by_private_reply);
	aside_free(thread);
}

static void an_entry_can_be_answered_for_seven_days(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page(), now = world_now_us();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, now - 7 * DAY_US - 1000000));
	assert_done(record_entry(page, 2, FAN, now - 7 * DAY_US + 60000000));
	assert_can_send(page, 1, "PRIVATE_REPLY_EXPIRED", true, 5, now - 1000000);
	assert_refused(private_reply(MODERATOR, page, 1, 1), "PRIVATE_REPLY_EXPIRED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_can_send(page, 2, "", true, 5, now + 60000000);
	assert_int_equal(private_reply(MODERATOR, page, 2, 1), 1);
	settings.private_reply_window_seconds = 8 * 86400;
	assert_done(change_settings(ADMIN, page, &settings, "private_reply_window_seconds", 0));
	assert_int_equal(private_reply(MODERATOR, page, 1, 2), 1);
}

static void only_what_stands_can_be_answered(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_done(remove_entry(page, 1));
	assert_can_send(page, 1, "WALL_ENTRY_NOT_FOUND", false, 0, 0);
	assert_refused(private_reply(MODERATOR, page, 1, 1), "WALL_ENTRY_NOT_FOUND");
	assert_int_equal(status.code, ASIDE_NOT_FOUND);
}

static void a_page_is_never_answered_privately(void **state)
{
	Aside__V1__RecordWallEntryRequest request = ASIDE__V1__RECORD_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__WallEntry entry = ASIDE__V1__WALL_ENTRY__INIT;
	int64_t page = new_page();
	(void)state;

	entry.page_id = page;
	entry.entry_id = 1;
	entry.kind = ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_POST;
	entry.author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_PAGE_ID;
	entry.author_page_id = new_page();
	entry.text = (char *)"We are Pepsi";
	entry.posted_at_us = world_now_us();
	request.entry = &entry;
	aside_free(ASK(Aside__V1__RecordWallEntryResponse, aside_v1_wall_service_record_wall_entry, &request, SERVICE));
	assert_can_send(page, 1, "AUTHOR_IS_PAGE", false, 0, 0);
	assert_refused(private_reply(MODERATOR, page, 1, 1), "AUTHOR_IS_PAGE");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
}

static void the_message_keeps_the_entry_it_answers(void **state)
{
	int64_t page = new_page(), posted = world_now_us() - DAY_US;
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, posted));
	assert_int_equal(private_reply(MODERATOR, page, 1, 1), 1);
	assert_done(remove_entry(page, 1));
	Aside__V1__ListMessagesResponse *list = list_messages(JOHNNY, page, JOHNNY, 0, 0, 0);
	assert_done(list);
	const Aside__V1__WallEntry *kept = list->messages[0]->wall_entry;
	assert_non_null(kept);
	assert_string_equal(kept->text, "Because nothing tastes as good as a Coke!");
	assert_int_equal(kept->entry_id, 1);
	assert_int_equal(kept->kind, ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_COMMENT);
	assert_int_equal(kept->author_user_id, JOHNNY);
	assert_int_equal(kept->posted_at_us, posted);
	aside_free(list);
	Aside__V1__GetThreadResponse *thread = get_thread(JOHNNY, page, JOHNNY);
	assert_done(thread);
	assert_true(thread->thread->opened_by_private_reply);
	aside_free(thread);
}

static void the_database_itself_lets_no_second_reply_in(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_int_equal(private_reply(MODERATOR, page, 1, 1), 1);
	world_sql_refused("message_private_reply", "INSERT INTO message (page_id, user_id, seq, side, side_no, event_number,"
			" sender_id, client_key, content_hash, settings_version, sent_at, body, wall_entry_id)"
			" VALUES (%lld, %d, 2, 2, 2, 1000, %d, gen_random_uuid(), 1, 1, now(), 'Buy!', 1)",
			(long long)page, JOHNNY, MODERATOR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_budget_is_five_in_a_row),
		cmocka_unit_test(the_budget_is_a_setting),
		cmocka_unit_test(the_window_is_seven_days),
		cmocka_unit_test(the_person_opens_the_window_again),
		cmocka_unit_test(a_guarded_reply_sees_what_is_new),
		cmocka_unit_test(an_entry_is_answered_once),
		cmocka_unit_test(an_existing_thread_takes_the_reply),
		cmocka_unit_test(an_entry_can_be_answered_for_seven_days),
		cmocka_unit_test(only_what_stands_can_be_answered),
		cmocka_unit_test(a_page_is_never_answered_privately),
		cmocka_unit_test(the_message_keeps_the_entry_it_answers),
		cmocka_unit_test(the_database_itself_lets_no_second_reply_in),
	};

	return WORLD_RUN("replies", tests, NULL);
}
