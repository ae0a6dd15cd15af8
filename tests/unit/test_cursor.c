/* Cursors: what a client hands back is what it was given, and nothing else is taken. */
#include "test.h"

#include "service/cursor.h"

static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static enum aside_code read_back(const char *text, enum watch_kind kind, int64_t user_id, struct place **places, size_t *n)
{
	struct aside_status err = { 0 };
	enum aside_code code = cursor_read(&arena, text, kind, user_id, places, n, &err);

	if (code != ASIDE_OK)
		assert_string_equal(err.reason, "CURSOR_INVALID");
	return code;
}

static void a_cursor_keeps_every_place(void **state)
{
	const struct place in[] = { { 1, 0, 0 }, { 2, 300, 7 }, { INT64_MAX, INT64_MAX, INT32_MAX } };
	struct place *out;
	size_t n;
	(void)state;

	assert_int_equal(read_back(cursor_new(&arena, WATCH_PERSON, 42, in, 3), WATCH_PERSON, 42, &out, &n), ASIDE_OK);
	assert_int_equal(n, 3);
	assert_memory_equal(in, out, sizeof in);
	assert_ptr_equal(place_find(out, n, 2), &out[1]);
	assert_null(place_find(out, n, 3));
	assert_int_equal(read_back(cursor_new(&arena, WATCH_PAGE, 0, &in[1], 1), WATCH_PAGE, 0, &out, &n), ASIDE_OK);
	assert_memory_equal(&in[1], out, sizeof *in);
	assert_int_equal(read_back(cursor_new(&arena, WATCH_PERSON, 42, in, 0), WATCH_PERSON, 42, &out, &n), ASIDE_OK);
	assert_int_equal(n, 0);
}

static void a_cursor_serves_its_own_watch_only(void **state)
{
	const struct place place = { 2, 300, 7 };
	char *text = cursor_new(&arena, WATCH_THREAD, 42, &place, 1);
	struct place *out;
	size_t n;
	(void)state;

	assert_int_equal(read_back(text, WATCH_THREAD, 42, &out, &n), ASIDE_OK);
	assert_int_equal(read_back(text, WATCH_THREAD, 43, &out, &n), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(read_back(text, WATCH_PERSON, 42, &out, &n), ASIDE_INVALID_ARGUMENT);
	assert_int_equal(read_back(text, WATCH_PAGE, 0, &out, &n), ASIDE_INVALID_ARGUMENT);
}

static void what_is_cut_or_made_up_is_refused(void **state)
{
	static const char *const made_up[] = { "p", "!", "cA", "cAA", "cAAAAAA", "AAAA", "dAIBAQ", "äöü" };
	const struct place in[] = { { 5, 300, 7 }, { 6, 1, 1 } };
	char *text = cursor_new(&arena, WATCH_THREAD, 42, in, 1);
	struct place *out;
	size_t n;
	(void)state;

	for (size_t length = strlen(text) - 1; length > 0; length--) {
		text[length] = '\0';
		assert_int_equal(read_back(text, WATCH_THREAD, 42, &out, &n), ASIDE_INVALID_ARGUMENT);
	}
	for (size_t i = 0; i < N_OF(made_up); i++)
		assert_int_equal(read_back(made_up[i], WATCH_PAGE, 0, &out, &n), ASIDE_INVALID_ARGUMENT);
	/* Two pages in the cursor of one. */
	assert_int_equal(read_back(cursor_new(&arena, WATCH_PAGE, 0, in, 2), WATCH_PAGE, 0, &out, &n), ASIDE_INVALID_ARGUMENT);
}

static void a_cursor_has_a_limit(void **state)
{
	struct place *in = calloc(PLACES_MAX + 1, sizeof *in), *out;
	size_t n;
	(void)state;

	for (int64_t i = 0; i <= PLACES_MAX; i++)
		in[i] = (struct place){ i + 1, i, 1 };
	assert_int_equal(read_back(cursor_new(&arena, WATCH_PERSON, 1, in, PLACES_MAX), WATCH_PERSON, 1, &out, &n), ASIDE_OK);
	assert_int_equal(read_back(cursor_new(&arena, WATCH_PERSON, 1, in, PLACES_MAX + 1), WATCH_PERSON, 1, &out, &n),
			ASIDE_INVALID_ARGUMENT);
	free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cursor_keeps_every_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cursor_serves_its_own_watch_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_cut_or_made_up_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cursor_has_a_limit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
