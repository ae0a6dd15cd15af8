/* Blocks, both ways (P8). */
#include "world.h"

static void assert_reads(int64_t reader, int64_t page, size_t n)
{
	Aside__V1__ListMessagesResponse *list = list_messages(reader, page, JOHNNY, 0, 0, 0);

	assert_done(list);
	assert_int_equal(list->n_messages, n);
	aside_free(list);
}

static void assert_blocked(int64_t page)
{
	Aside__V1__CanSendResponse *answer;
	static const Aside__V1__Side sides[] = { PERSON, PAGE };

	assert_refused(send_text(JOHNNY, page, 100, "Hello?"), "BLOCKED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_refused(reply_text(ADMIN, page, JOHNNY, 101, "Hello?"), "BLOCKED");
	assert_refused(private_reply(ADMIN, page, 1, 102), "BLOCKED");
	for (size_t i = 0; i < N_OF(sides); i++) {
		assert_done(answer = can_send(sides[i] == PAGE ? MODERATOR : JOHNNY, page, JOHNNY, sides[i], 0));
		assert_false(answer->allowed);
		assert_string_equal(answer->refusal_reason, "BLOCKED");
		aside_free(answer);
	}
	assert_reads(JOHNNY, page, 2);
	assert_reads(MODERATOR, page, 2);
}

static void assert_open(int64_t page, uint64_t key)
{
	assert_done(send_text(JOHNNY, page, key, "Hello again"));
	assert_done(reply_text(MODERATOR, page, JOHNNY, key + 1, "Hello again"));
}

static int64_t page_with_a_thread(void)
{
	int64_t page = new_page();

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Hello"), 2);
	return page;
}

static void a_person_blocks_a_page(void **state)
{
	int64_t page = page_with_a_thread();
	(void)state;

	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	assert_blocked(page);
	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, false));
	assert_open(page, 10);
	assert_counters_right(page);
}

static void a_page_blocks_a_person(void **state)
{
	int64_t page = page_with_a_thread();
	(void)state;

	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, true));
	assert_blocked(page);
	assert_done(send_text(FAN, page, 1, "I may still")); /* nobody else is meant */
	assert_done(set_block(EDITOR, page, JOHNNY, PAGE, false));
	assert_open(page, 10);
	assert_counters_right(page);
}

static void each_side_takes_back_its_own_block(void **state)
{
	int64_t page = page_with_a_thread();
	(void)state;

	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, true));
	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, false));
	assert_blocked(page);
	assert_refused(set_block(JOHNNY, page, JOHNNY, PAGE, false), "PAGE_NOT_FOUND"); /* he is not its staff */
	assert_refused(set_block(MODERATOR, page, JOHNNY, PERSON, false), "THREAD_NOT_FOUND");
	assert_blocked(page);
	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, false));
	assert_open(page, 10);
}

static void a_block_is_seen_by_the_side_that_set_it(void **state)
{
	static const int64_t readers[] = { JOHNNY, MODERATOR };
	int64_t page = page_with_a_thread();
	(void)state;

	assert_done(set_block(JOHNNY, page, JOHNNY, PERSON, true));
	for (size_t i = 0; i < N_OF(readers); i++) {
		Aside__V1__GetThreadResponse *thread = get_thread(readers[i], page, JOHNNY);
		assert_done(thread);
		assert_int_equal(thread->thread->blocked_by_me, readers[i] == JOHNNY);
		aside_free(thread);
	}
}

static void a_block_works_before_there_is_a_thread(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(set_block(MODERATOR, page, JOHNNY, PAGE, true));
	assert_refused(send_text(JOHNNY, page, 1, "Hello"), "BLOCKED");
	assert_done(record_entry(page, 1, FAN, world_now_us()));
	assert_done(set_block(FAN, page, FAN, PERSON, true));
	assert_refused(private_reply(MODERATOR, page, 1, 1), "BLOCKED");
	assert_refused(get_thread(JOHNNY, page, JOHNNY), "THREAD_NOT_FOUND");
	assert_refused(get_thread(MODERATOR, page, FAN), "THREAD_NOT_FOUND");
}

static void staff_who_answer_may_block(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_refused(set_block(ANALYST, page, JOHNNY, PAGE, true), "ROLE_REQUIRED");
	assert_refused(set_block(STRANGER, page, JOHNNY, PAGE, true), "PAGE_NOT_FOUND");
	assert_refused(set_block(JOHNNY, page, FAN, PERSON, true), "THREAD_NOT_FOUND");
	assert_refused(set_block(JOHNNY, 1, JOHNNY, PERSON, true), "PAGE_NOT_FOUND");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_person_blocks_a_page),
		cmocka_unit_test(a_page_blocks_a_person),
		cmocka_unit_test(each_side_takes_back_its_own_block),
		cmocka_unit_test(a_block_is_seen_by_the_side_that_set_it),
		cmocka_unit_test(a_block_works_before_there_is_a_thread),
		cmocka_unit_test(staff_who_answer_may_block),
	};

	return WORLD_RUN("blocks", tests, NULL);
}
