/* Sending and reading: P1, P2, P4, P10, P11, P12. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

static void the_person_starts_and_the_page_answers(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_refused(reply_text(MODERATOR, page, JOHNNY, 1, "Buy one, get one!"), "PERSON_MUST_START");
	assert_int_equal(send_text(JOHNNY, page, 1, "Why so sweet?"), 1);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Sugar."), 2);
	assert_int_equal(reply_text(EDITOR, page, JOHNNY, 3, "And love."), 3);
	assert_int_equal(reply_text(ADMIN, page, JOHNNY, 4, "Mostly sugar."), 4);
	assert_counters_right(page);
}

static void the_database_itself_lets_no_page_start(void **state)
{
	int64_t page = new_page();
	(void)state;

	world_sql_refused("person_starts", "INSERT INTO message (page_id, user_id, seq, side, side_no, event_number, sender_id,"
			" client_key, content_hash, settings_version, sent_at, body)"
			" VALUES (%lld, %d, 1, 2, 1, 1, %d, gen_random_uuid(), 1, 1, now(), 'Buy!')", (long long)page, JOHNNY, MODERATOR);
}

static void a_key_gets_its_first_answer(void **state)
{
	int64_t page = new_page(), other_page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	assert_int_equal(send_text(JOHNNY, page, 2, "more"), 2);
	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	via = aside_harness_channel(harness, 1);
	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	assert_refused(send_text(JOHNNY, page, 1, "twice"), "KEY_REUSED");
	assert_int_equal(status.code, ASIDE_ALREADY_EXISTS);
	/* The key is this sender's on this page. */
	assert_int_equal(send_text(FAN, page, 1, "mine"), 1);
	assert_int_equal(send_text(JOHNNY, other_page, 1, "elsewhere"), 1);
	assert_counters_right(page);
	via = NULL;
}

static void a_key_is_remembered_whatever_happens(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	assert_done(switch_messaging(ADMIN, page, false));
	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	world_sql("UPDATE message SET sent_at = sent_at - interval '3 years' WHERE page_id = %lld", (long long)page);
	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	aside_harness_crash(harness, 0);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
	assert_int_equal(send_text(JOHNNY, page, 1, "once"), 1);
	assert_counters_right(page);
}

static void staff_keys_hold_over_both_ways_to_write(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Thanks for sticking with us!"), 2);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Thanks for sticking with us!"), 2);
	assert_refused(private_reply(MODERATOR, page, 1, 2), "KEY_REUSED");
	assert_int_equal(private_reply(MODERATOR, page, 1, 3), 3);
	assert_int_equal(private_reply(MODERATOR, page, 1, 3), 3);
	assert_refused(reply_text(MODERATOR, page, FAN, 3, "Thanks for sticking with us!"), "KEY_REUSED");
}

static void a_refused_send_uses_neither_key_nor_number(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "first"), 1);
	assert_done(switch_messaging(ADMIN, page, false));
	assert_refused(send_text(JOHNNY, page, 2, "refused"), "MESSAGING_DISABLED");
	assert_done(switch_messaging(ADMIN, page, true));
	assert_int_equal(send_text(JOHNNY, page, 2, "other words"), 2);
	assert_counters_right(page);
}

static void a_receipt_says_what_was_accepted(void **state)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	int64_t before = world_now_us(), page = new_page();
	(void)state;

	assert_done(switch_messaging(ADMIN, page, true)); /* version 2 */
	request.page_id = page;
	request.client_key = uuid_of(1);
	request.content = text_content("Hello");
	for (unsigned i = 0; i < 2; i++) {
		Aside__V1__SendMessageResponse *sent =
				ASK(Aside__V1__SendMessageResponse, aside_v1_message_service_send_message, &request, JOHNNY);
		assert_done(sent);
		assert_int_equal(sent->receipt->page_id, page);
		assert_int_equal(sent->receipt->user_id, JOHNNY);
		assert_int_equal(sent->receipt->seq, 1);
		assert_in_range(sent->receipt->sent_at_us, before, world_now_us());
		assert_int_equal(sent->receipt->settings_version, 2); /* P4 */
		assert_int_equal(sent->receipt->repeated_key, i == 1);
		aside_free(sent);
	}
}

/* `n` times a character of three bytes; freed by the caller. */
static char *euros(size_t n)
{
	char *text = malloc(3 * n + 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		memcpy(text + 3 * i, "\xE2\x82\xAC", 3);
	text[3 * n] = '\0';
	return text;
}

static void a_text_has_as_many_characters_as_the_page_allows(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	char *at_default = euros(2000), *beyond = euros(2001), *at_most = euros(10000), *too_long = euros(10001);
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, at_default), 1);
	assert_refused(send_text(JOHNNY, page, 2, beyond), "TEXT_TOO_LONG");
	assert_string_equal(aside_status_fact(&status, "limit"), "2000");
	assert_refused(reply_text(MODERATOR, page, JOHNNY, 2, beyond), "TEXT_TOO_LONG");
	assert_string_equal(aside_status_fact(&status, "limit"), "2000");
	settings.max_text_chars = 10000;
	assert_done(change_settings(ADMIN, page, &settings, "max_text_chars", 0));
	assert_int_equal(send_text(JOHNNY, page, 2, at_most), 2);
	assert_refused(send_text(JOHNNY, page, 3, too_long), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "content.text");
	settings.max_text_chars = 3;
	assert_done(change_settings(ADMIN, page, &settings, "max_text_chars", 0));
	assert_refused(send_text(JOHNNY, page, 3, "four"), "TEXT_TOO_LONG");
	assert_int_equal(send_text(JOHNNY, page, 3, "\xF0\x9F\x98\x80\xF0\x9F\x98\x80\xF0\x9F\x98\x80"), 3); /* three faces */
	free(at_default);
	free(beyond);
	free(at_most);
	free(too_long);
}

static void a_message_says_something(void **state)
{
	Aside__V1__Content nothing = ASIDE__V1__CONTENT__INIT;
	int64_t page = new_page();
	(void)state;

	assert_refused(send_content(JOHNNY, page, 1, &nothing), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "content");
	assert_refused(send_content(JOHNNY, page, 1, NULL), "FIELD_INVALID");
	assert_int_equal(send_text(JOHNNY, page, 1, "."), 1);
}

static void a_text_comes_back_as_it_was_written(void **state)
{
	static const char words[] = "'; DROP TABLE message; --\n\"\\ \t%s \xC3\xBC \xF0\x9F\x98\x80 \xE2\x80\xAE";
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, words), 1);
	Aside__V1__ListMessagesResponse *list = list_messages(JOHNNY, page, JOHNNY, 0, 0, 0);
	assert_done(list);
	assert_string_equal(list->messages[0]->content->text, words);
	aside_free(list);
}

static void each_side_sees_what_is_its_to_see(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Hello, too"), 2);
	Aside__V1__ListMessagesResponse *staff = list_messages(EDITOR, page, JOHNNY, 0, 0, 0);
	assert_done(staff);
	assert_int_equal(staff->n_messages, 2);
	assert_int_equal(staff->messages[0]->sender_user_id, MODERATOR);
	assert_int_equal(staff->messages[1]->sender_user_id, JOHNNY);
	assert_true(staff->messages[0]->event_number > staff->messages[1]->event_number);
	Aside__V1__ListMessagesResponse *person = list_messages(JOHNNY, page, JOHNNY, 0, 0, 0);
	assert_done(person);
	assert_int_equal(person->n_messages, 2);
	assert_int_equal(person->messages[0]->side, PAGE);
	assert_int_equal(person->messages[0]->sender_user_id, 0); /* who of the staff it was is theirs to know */
	assert_int_equal(person->messages[0]->event_number, 0);
	assert_int_equal(person->messages[1]->sender_user_id, JOHNNY);
	aside_free(staff);
	aside_free(person);
}

static void assert_seqs(Aside__V1__ListMessagesResponse *list, uint32_t first, int step, size_t n, bool more)
{
	assert_done(list);
	assert_int_equal(list->n_messages, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(list->messages[i]->seq, (int64_t)first + step * (int64_t)i);
	assert_int_equal(list->has_more, more);
	aside_free(list);
}

static void messages_are_read_both_ways(void **state)
{
	int64_t page = new_page();
	(void)state;

	for (uint64_t i = 1; i <= 60; i++)
		assert_int_equal(send_text(JOHNNY, page, i, "word"), i);
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 0, 0, 0), 60, -1, 50, true); /* 50 by default */
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 11, 0, 0), 10, -1, 10, false);
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 0, 0, 60), 60, -1, 60, false);
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 0, 10, 20), 11, 1, 20, true);
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 0, 40, 20), 41, 1, 20, false);
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 0, 60, 20), 0, 1, 0, false);
	assert_seqs(list_messages(JOHNNY, page, JOHNNY, 1, 0, 20), 0, 1, 0, false);
	assert_refused(list_messages(JOHNNY, page, JOHNNY, 5, 5, 0), "FIELD_INVALID");
	assert_refused(list_messages(JOHNNY, page, JOHNNY, 0, 0, 201), "FIELD_INVALID");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_person_starts_and_the_page_answers),
		cmocka_unit_test(the_database_itself_lets_no_page_start),
		cmocka_unit_test(a_key_gets_its_first_answer),
		cmocka_unit_test(a_key_is_remembered_whatever_happens),
		cmocka_unit_test(staff_keys_hold_over_both_ways_to_write),
		cmocka_unit_test(a_refused_send_uses_neither_key_nor_number),
		cmocka_unit_test(a_receipt_says_what_was_accepted),
		cmocka_unit_test(a_text_has_as_many_characters_as_the_page_allows),
		cmocka_unit_test(a_message_says_something),
		cmocka_unit_test(a_text_comes_back_as_it_was_written),
		cmocka_unit_test(each_side_sees_what_is_its_to_see),
		cmocka_unit_test(messages_are_read_both_ways),
	};
	const struct aside_harness_options options = { .servers = 2 };

	return WORLD_RUN("messages", tests, &options);
}
