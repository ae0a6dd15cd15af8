/* What the feed service tells of a wall (P6). */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

static Aside__V1__ListWallEntriesResponse *list_entries(int64_t reader, int64_t page, uint32_t page_size, const char *token)
{
	Aside__V1__ListWallEntriesRequest request = ASIDE__V1__LIST_WALL_ENTRIES_REQUEST__INIT;

	request.page_id = page;
	request.page_size = page_size;
	request.page_token = (char *)(uintptr_t)token;
	return ASK(Aside__V1__ListWallEntriesResponse, aside_v1_wall_service_list_wall_entries, &request, reader);
}

static void entries_are_listed_newest_first(void **state)
{
	int64_t page = new_page(), now = world_now_us(), expected = 7;
	char token[128] = "";
	(void)state;

	for (int64_t entry = 1; entry <= 7; entry++) /* two at a time: the id decides among equals */
		assert_done(record_entry(page, entry, JOHNNY, now - (7 - entry) / 2));
	do {
		Aside__V1__ListWallEntriesResponse *list = list_entries(MODERATOR, page, 3, token);
		assert_done(list);
		for (size_t i = 0; i < list->n_entries; i++, expected--) {
			assert_int_equal(list->entries[i]->entry_id, expected);
			assert_int_equal(list->entries[i]->author_user_id, JOHNNY);
			assert_string_equal(list->entries[i]->text, "Because nothing tastes as good as a Coke!");
		}
		(void)snprintf(token, sizeof token, "%s", list->next_page_token);
		aside_free(list);
		assert_done(record_entry(page, 100 + expected, JOHNNY, now + 1)); /* what is new does not move what is old */
	} while (token[0] != '\0');
	assert_int_equal(expected, 0);
}

static void recording_again_changes_nothing(void **state)
{
	int64_t page = new_page(), now = world_now_us();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, now));
	assert_done(record_entry(page, 1, JOHNNY, now));
	assert_refused(record_entry(page, 1, FAN, now), "WALL_ENTRY_EXISTS");
	assert_int_equal(status.code, ASIDE_ALREADY_EXISTS);
	assert_refused(record_entry(page, 1, JOHNNY, now + 1), "WALL_ENTRY_EXISTS");
	assert_refused(record_entry(1, 1, JOHNNY, now), "PAGE_NOT_FOUND");
	assert_counters_right(page);
}

static void a_removed_entry_stays_removed(void **state)
{
	int64_t page = new_page(), now = world_now_us();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, now));
	assert_done(record_entry(page, 2, JOHNNY, now));
	assert_done(remove_entry(page, 2));
	assert_done(remove_entry(page, 2));
	assert_done(record_entry(page, 2, JOHNNY, now)); /* a late repeat */
	Aside__V1__ListWallEntriesResponse *list = list_entries(EDITOR, page, 0, "");
	assert_done(list);
	assert_int_equal(list->n_entries, 1);
	assert_int_equal(list->entries[0]->entry_id, 1);
	aside_free(list);
	assert_refused(remove_entry(page, 3), "WALL_ENTRY_NOT_FOUND");
	assert_refused(private_reply(MODERATOR, page, 2, 1), "WALL_ENTRY_NOT_FOUND");
	assert_counters_right(page);
}

static void the_list_says_what_was_answered(void **state)
{
	int64_t page = new_page(), now = world_now_us();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, now));
	assert_done(record_entry(page, 2, FAN, now));
	assert_int_equal(private_reply(MODERATOR, page, 1, 1), 1);
	Aside__V1__ListWallEntriesResponse *list = list_entries(MODERATOR, page, 0, "");
	assert_done(list);
	assert_int_equal(list->n_entries, 2);
	assert_false(list->entries[0]->privately_replied);
	assert_true(list->entries[1]->privately_replied);
	aside_free(list);
}

/* The author of an entry is the feed service's word: staff cannot invent one. */
static void nobody_but_the_feed_service_writes(void **state)
{
	Aside__V1__RecordWallEntryRequest record = ASIDE__V1__RECORD_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__RemoveWallEntryRequest removal = ASIDE__V1__REMOVE_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__WallEntry entry = ASIDE__V1__WALL_ENTRY__INIT;
	(void)state;

	entry.page_id = removal.page_id = new_page();
	entry.entry_id = removal.entry_id = 1;
	entry.kind = ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_POST;
	entry.author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	entry.author_user_id = JOHNNY;
	entry.text = (char *)"I never said that";
	entry.posted_at_us = world_now_us();
	record.entry = &entry;
	assert_refused(ASK(Aside__V1__RecordWallEntryResponse, aside_v1_wall_service_record_wall_entry, &record, ADMIN),
			"CALLER_NOT_ALLOWED");
	assert_int_equal(status.code, ASIDE_PERMISSION_DENIED);
	assert_refused(ASK(Aside__V1__RemoveWallEntryResponse, aside_v1_wall_service_remove_wall_entry, &removal, JOHNNY),
			"CALLER_NOT_ALLOWED");
}

static void staff_who_answer_may_read_the_wall(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_refused(list_entries(ANALYST, page, 0, ""), "ROLE_REQUIRED");
	assert_refused(list_entries(JOHNNY, page, 0, ""), "PAGE_NOT_FOUND");
	Aside__V1__ListWallEntriesResponse *list = list_entries(SERVICE, page, 0, "");
	assert_done(list);
	aside_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_listed_newest_first),
		cmocka_unit_test(recording_again_changes_nothing),
		cmocka_unit_test(a_removed_entry_stays_removed),
		cmocka_unit_test(the_list_says_what_was_answered),
		cmocka_unit_test(nobody_but_the_feed_service_writes),
		cmocka_unit_test(staff_who_answer_may_read_the_wall),
	};

	return WORLD_RUN("wall", tests, NULL);
}
