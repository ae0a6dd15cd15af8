/* Threads, their lists and the marks of both sides: P5, P14. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

static Aside__V1__OpenThreadResponse *open_thread(int64_t person, int64_t page)
{
	Aside__V1__OpenThreadRequest request = ASIDE__V1__OPEN_THREAD_REQUEST__INIT;

	request.page_id = page;
	return ASK(Aside__V1__OpenThreadResponse, aside_v1_thread_service_open_thread, &request, person);
}

static void the_box_opens_before_there_is_a_thread(void **state)
{
	int64_t page = new_page();
	(void)state;

	Aside__V1__OpenThreadResponse *box = open_thread(JOHNNY, page);
	assert_done(box);
	assert_int_equal(box->thread->last_seq, 0);
	assert_int_equal(box->thread->user_id, JOHNNY);
	assert_string_equal(box->thread->page_name, "Coke");
	assert_true(box->can_send);
	aside_free(box);
	assert_int_equal(world_sql("SELECT count(*) FROM thread WHERE page_id = %lld", (long long)page), 0);
	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "Hello"), 2);
	assert_done(box = open_thread(JOHNNY, page));
	assert_int_equal(box->thread->last_seq, 2);
	assert_int_equal(box->thread->person_marks->unread_count, 1);
	aside_free(box);
	assert_refused(open_thread(JOHNNY, 1), "PAGE_NOT_FOUND");
}

/* ── lists ───────────────────────────────────────────────────────────────────────────────────────── */

static Aside__V1__ListPageThreadsResponse *list_page(int64_t reader, int64_t page, uint32_t page_size, const char *token)
{
	Aside__V1__ListPageThreadsRequest request = ASIDE__V1__LIST_PAGE_THREADS_REQUEST__INIT;

	request.page_id = page;
	request.page_size = page_size;
	request.page_token = (char *)(uintptr_t)token;
	return ASK(Aside__V1__ListPageThreadsResponse, aside_v1_thread_service_list_page_threads, &request, reader);
}

static Aside__V1__ListMyThreadsResponse *list_mine(int64_t person, uint32_t page_size, const char *token)
{
	Aside__V1__ListMyThreadsRequest request = ASIDE__V1__LIST_MY_THREADS_REQUEST__INIT;

	request.page_size = page_size;
	request.page_token = (char *)(uintptr_t)token;
	return ASK(Aside__V1__ListMyThreadsResponse, aside_v1_thread_service_list_my_threads, &request, person);
}

static void the_inbox_is_newest_first_while_it_moves(void **state)
{
	enum { PEOPLE = 25, FIRST = 500 };
	int64_t page = new_page(), expected = FIRST + PEOPLE - 1;
	char token[128] = "";
	(void)state;

	for (int64_t person = FIRST; person < FIRST + PEOPLE; person++)
		assert_done(send_text(person, page, 1, "Hello"));
	do {
		Aside__V1__ListPageThreadsResponse *list = list_page(MODERATOR, page, 7, token);
		assert_done(list);
		for (size_t i = 0; i < list->n_threads; i++)
			assert_int_equal(list->threads[i]->user_id, expected--);
		(void)snprintf(token, sizeof token, "%s", list->next_page_token);
		aside_free(list);
		/* Somebody who was listed writes again, and somebody new: neither moves what is still to come. */
		assert_done(send_text(FIRST + PEOPLE - 1, page, (uint64_t)expected + 1000, "Hello?"));
		assert_done(send_text(FIRST + PEOPLE + expected, page, 1, "Hello"));
	} while (token[0] != '\0');
	assert_int_equal(expected, FIRST - 1);
}

static void my_threads_are_newest_first_over_all_pages(void **state)
{
	enum { PAGES = 9, PERSON_ID = 4242 };
	int64_t pages[PAGES];
	size_t seen = 0;
	char token[128] = "";
	(void)state;

	for (size_t i = 0; i < PAGES; i++)
		assert_done(send_text(PERSON_ID, pages[i] = new_page(), 1, "Hello"));
	do {
		Aside__V1__ListMyThreadsResponse *list = list_mine(PERSON_ID, 4, token);
		assert_done(list);
		for (size_t i = 0; i < list->n_threads; i++, seen++) {
			assert_true(seen < PAGES);
			assert_int_equal(list->threads[i]->page_id, pages[PAGES - 1 - seen]);
			assert_int_equal(list->threads[i]->user_id, PERSON_ID);
		}
		(void)snprintf(token, sizeof token, "%s", list->next_page_token);
		aside_free(list);
	} while (token[0] != '\0');
	assert_int_equal(seen, PAGES);
	Aside__V1__ListMyThreadsResponse *none = list_mine(4243, 0, "");
	assert_done(none);
	assert_int_equal(none->n_threads, 0);
	aside_free(none);
}

static void a_token_is_its_methods_and_its_pages(void **state)
{
	enum { ME = 777 };
	int64_t page = new_page(), other = new_page();
	char of_page[128], of_mine[128];
	(void)state;

	for (int64_t person = 100; person < 103; person++)
		assert_done(send_text(person, page, 1, "Hello"));
	assert_done(send_text(ME, page, 1, "Hello"));
	assert_done(send_text(ME, other, 1, "Hello"));
	Aside__V1__ListPageThreadsResponse *list = list_page(ADMIN, page, 1, "");
	assert_done(list);
	(void)snprintf(of_page, sizeof of_page, "%s", list->next_page_token);
	aside_free(list);
	Aside__V1__ListMyThreadsResponse *mine = list_mine(ME, 1, "");
	assert_done(mine);
	(void)snprintf(of_mine, sizeof of_mine, "%s", mine->next_page_token);
	aside_free(mine);

	assert_refused(list_page(ADMIN, page, 1, of_mine), "PAGE_TOKEN_INVALID");
	assert_int_equal(status.code, ASIDE_INVALID_ARGUMENT);
	assert_refused(list_page(ADMIN, other, 1, of_page), "PAGE_TOKEN_INVALID");
	assert_refused(list_mine(ME, 1, of_page), "PAGE_TOKEN_INVALID");
	assert_refused(list_mine(JOHNNY, 1, of_mine), "PAGE_TOKEN_INVALID");
	of_page[3] ^= 1;
	assert_refused(list_page(ADMIN, page, 1, of_page), "PAGE_TOKEN_INVALID");
	assert_refused(list_page(ADMIN, page, 1, "no token"), "PAGE_TOKEN_INVALID");
}

/* ── marks ───────────────────────────────────────────────────────────────────────────────────────── */

static void assert_marks(Aside__V1__MarkThreadResponse *response, uint32_t delivered, uint32_t read, uint32_t unread)
{
	assert_done(response);
	assert_int_equal(response->marks->delivered_seq, delivered);
	assert_int_equal(response->marks->read_seq, read);
	assert_int_equal(response->marks->unread_count, unread);
	aside_free(response);
}

static void marks_only_move_forward(void **state)
{
	int64_t page = new_page();
	(void)state;

	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(send_text(JOHNNY, page, i, "Hello"), i);
	assert_marks(mark_thread(MODERATOR, page, JOHNNY, PAGE, 4, 0), 4, 0, 5);
	assert_marks(mark_thread(EDITOR, page, JOHNNY, PAGE, 2, 3), 4, 3, 2); /* staff read together */
	assert_marks(mark_thread(MODERATOR, page, JOHNNY, PAGE, 1, 1), 4, 3, 2);
	assert_marks(mark_thread(MODERATOR, page, JOHNNY, PAGE, 0, 5), 5, 5, 0); /* reading implies delivery */
	assert_marks(mark_thread(MODERATOR, page, JOHNNY, PAGE, 0, 5), 5, 5, 0);
	assert_refused(mark_thread(MODERATOR, page, JOHNNY, PAGE, 0, 6), "FIELD_INVALID");
	assert_refused(mark_thread(MODERATOR, page, JOHNNY, PAGE, 6, 0), "FIELD_INVALID");
	assert_marks(mark_thread(JOHNNY, page, JOHNNY, PERSON, 5, 5), 5, 5, 0); /* one's own are never unread */
	assert_counters_right(page);
}

static void each_side_moves_its_own_marks(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_refused(mark_thread(JOHNNY, page, JOHNNY, PAGE, 1, 1), "THREAD_NOT_FOUND");
	assert_refused(mark_thread(MODERATOR, page, JOHNNY, PERSON, 1, 1), "THREAD_NOT_FOUND");
	assert_refused(mark_thread(FAN, page, JOHNNY, PERSON, 1, 1), "THREAD_NOT_FOUND");
	assert_refused(mark_thread(ANALYST, page, JOHNNY, PAGE, 1, 1), "THREAD_NOT_FOUND");
	Aside__V1__GetThreadResponse *thread = get_thread(JOHNNY, page, JOHNNY);
	assert_done(thread);
	assert_int_equal(thread->thread->page_marks->read_seq, 0);
	aside_free(thread);
}

/* A thread as a test remembers it. */
struct model {
	enum { BY_PERSON = 1, BY_PAGE = 2 } sides[512];
	uint32_t last, read[3]; /* per side */
};

static uint32_t unread_of(const struct model *model, int side)
{
	uint32_t n = 0;

	for (uint32_t seq = model->read[side] + 1; seq <= model->last; seq++)
		n += (int)model->sides[seq] != side;
	return n;
}

static void counters_are_exact_after_anything(void **state)
{
	enum { PEOPLE = 5, STEPS = 600, FIRST = 600 };
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	struct model models[PEOPLE] = { 0 };
	int64_t page = new_page();
	(void)state;

	srand(20130917);
	assert_done(change_settings(ADMIN, page, &settings, "reply_budget", 0)); /* none */
	for (uint64_t step = 0; step < STEPS; step++) {
		struct model *model = &models[rand() % PEOPLE];
		int64_t person = FIRST + (model - models);
		int what = rand() % 4, side = 1 + rand() % 2;
		uint32_t seq = 0, mark = model->last > 0 ? (uint32_t)rand() % model->last + 1 : 0;
		if (what == 0 || model->last == 0)
			seq = send_text(person, page, step, "Hello");
		else if (what == 1)
			seq = reply_text(MODERATOR, page, person, step, "Hello");
		else
			aside_free(mark_thread(side == 1 ? person : EDITOR, page, person, side == 1 ? PERSON : PAGE,
					0, mark));
		if (seq != 0) {
			assert_int_equal(seq, ++model->last);
			model->sides[seq] = what == 1 ? BY_PAGE : BY_PERSON;
		} else if (mark > model->read[side]) {
			model->read[side] = mark;
		}
	}
	for (size_t i = 0; i < PEOPLE; i++) {
		Aside__V1__GetThreadResponse *thread = get_thread(MODERATOR, page, FIRST + (int64_t)i);
		assert_done(thread);
		assert_int_equal(thread->thread->last_seq, models[i].last);
		assert_int_equal(thread->thread->person_marks->unread_count, unread_of(&models[i], BY_PERSON));
		assert_int_equal(thread->thread->page_marks->unread_count, unread_of(&models[i], BY_PAGE));
		assert_int_equal(thread->thread->person_marks->read_seq, models[i].read[BY_PERSON]);
		assert_int_equal(thread->thread->page_marks->read_seq, models[i].read[BY_PAGE]);
		aside_free(thread);
	}
	assert_counters_right(page);
}

static void a_wrong_counter_is_found(void **state)
{
	Aside__V1__VerifyCountersRequest request = ASIDE__V1__VERIFY_COUNTERS_REQUEST__INIT;
	Aside__V1__VerifyCountersResponse *response;
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	world_sql("UPDATE thread SET page_read_count = 1 WHERE page_id = %lld", (long long)page);
	request.page_id = page;
	assert_done(response = ASK(Aside__V1__VerifyCountersResponse, aside_v1_thread_service_verify_counters, &request, ANALYST));
	assert_int_equal(response->threads_counted, 1);
	assert_int_equal(response->n_differences, 1);
	assert_int_equal(response->differences[0]->user_id, JOHNNY);
	assert_string_equal(response->differences[0]->counter, "page_read_count");
	assert_int_equal(response->differences[0]->stored, 1);
	assert_int_equal(response->differences[0]->counted, 0);
	aside_free(response);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_box_opens_before_there_is_a_thread),
		cmocka_unit_test(the_inbox_is_newest_first_while_it_moves),
		cmocka_unit_test(my_threads_are_newest_first_over_all_pages),
		cmocka_unit_test(a_token_is_its_methods_and_its_pages),
		cmocka_unit_test(marks_only_move_forward),
		cmocka_unit_test(each_side_moves_its_own_marks),
		cmocka_unit_test(counters_are_exact_after_anything),
		cmocka_unit_test(a_wrong_counter_is_found),
	};

	return WORLD_RUN("threads", tests, NULL);
}
