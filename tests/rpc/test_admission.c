/* Which calls are taken: admission alone, with a clock of the test's. */
#include "../unit/test.h"

#include "rpc/admission.h"
#include "clock.h"

#define PER_WINDOW 2048
#define FULL_US 250000 /* how long a call may have to wait for those before it */

static const struct aside_method plain = { .path = "/x/Plain", .callers = ASIDE_CALLER_SERVICE };
static const struct aside_method costly = { .path = "/x/Costly", .callers = ASIDE_CALLER_SERVICE, .concurrency = 3 };
static const struct aside_method health = { .path = "/x/Health", .callers = ASIDE_CALLER_ANYONE };

static int64_t now_us = 1;
static struct admission *admission;
static struct ticket tickets[100000];
static unsigned n_taken;
static struct aside_status status;

int64_t clock_monotonic_us(void)
{
	return now_us;
}

int64_t clock_realtime_us(void)
{
	return now_us;
}

static int set_up(void **state)
{
	(void)state;
	admission = admission_new(&(struct admission_options){ .calls_max = 20000 });
	n_taken = 0;
	return admission == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	admission_free(admission);
	return 0;
}

static bool enter_within(const struct aside_method *method, const char *service, int64_t left_us)
{
	struct call call = { .method = method, .principal = { .kind = PRINCIPAL_SERVICE, .service = service },
		.deadline_us = now_us + left_us };

	return admission_enter(admission, &call, method == &costly, now_us, &tickets[n_taken], &status) == ASIDE_OK && ++n_taken > 0;
}

static bool sheds(const struct aside_method *method, int64_t left_us)
{
	enum admission_cause cause;

	return admission_sheds(admission, method, NULL, left_us, &cause);
}

/* With services enough that none has too many, and time enough. */
static bool enter(const struct aside_method *method)
{
	static const char *const services[] = { "a", "b", "c", "d" };

	return enter_within(method, services[n_taken % N_OF(services)], 10000000);
}

static void leave(unsigned n, bool executed)
{
	for (; n > 0; n--)
		admission_leave(admission, &tickets[--n_taken], executed);
}

/* How many more are taken. */
static unsigned enter_all(const struct aside_method *method)
{
	unsigned n = 0;

	while (enter(method))
		n++;
	return n;
}

static void enter_many(void)
{
	while (n_taken < 8000)
		assert_true(enter(&plain));
}

/* Always with something to do, calls end at this rate. */
static void work(unsigned per_second, bool executed)
{
	for (unsigned i = 0; i < 4 * PER_WINDOW; i++) {
		now_us += 1000000 / per_second;
		leave(1, executed);
		if (n_taken < 2000)
			(void)enter(&plain); /* or not: there is as much as may be */
	}
}

static void assert_refused(const char *reason)
{
	assert_int_equal(status.code, ASIDE_RESOURCE_EXHAUSTED);
	assert_string_equal(status.reason, reason);
	assert_true(status.not_executed);
	assert_true(status.retry_after_us > 0);
}

static void a_method_has_its_own_limit(void **state)
{
	(void)state;
	assert_int_equal(enter_all(&costly), 3);
	assert_refused("TOO_MANY_CALLS_OF_METHOD");
	assert_true(enter(&plain));
	leave(2, true);
	assert_true(enter(&costly));
}

static void a_principal_does_not_take_all(void **state)
{
	static const struct principal greedy = { .kind = PRINCIPAL_SERVICE, .service = "greedy" },
		modest = { .kind = PRINCIPAL_SERVICE, .service = "modest" };
	enum admission_cause cause;
	(void)state;

	while (enter_within(&plain, "greedy", 10000000))
		;
	assert_int_equal(n_taken, 7501); /* of 10,001 */
	assert_refused("TOO_MANY_CALLS_OF_PRINCIPAL");
	assert_true(admission_sheds(admission, &plain, &greedy, 10000000, &cause));
	assert_int_equal(cause, ADMISSION_PRINCIPAL);
	assert_false(admission_sheds(admission, &plain, &modest, 10000000, &cause));
	assert_false(admission_sheds(admission, &plain, NULL, 10000000, &cause));
	assert_true(enter_within(&plain, "modest", 10000000));
}

static void limits_can_be_set(void **state)
{
	(void)state;
	admission_free(admission);
	admission = admission_new(&(struct admission_options){ .calls_max = 100, .principal_max = 30 });
	while (enter_within(&plain, "greedy", 10000000))
		;
	assert_int_equal(n_taken, 30);
	(void)enter_all(&plain);
	assert_int_equal(n_taken, 100);
	assert_refused("TOO_MANY_CALLS");
}

static void a_flood_finds_half_the_room_and_health_a_little_more(void **state)
{
	struct admission_stats stats;
	(void)state;

	assert_false(sheds(&plain, 10000000));
	assert_int_equal(enter_all(&plain), 10001);
	assert_refused("TOO_MANY_CALLS");
	assert_true(sheds(&plain, 10000000));
	assert_false(sheds(&health, 1000000));
	assert_int_equal(enter_all(&health), 512);
	admission_stats(admission, &stats);
	assert_int_equal(stats.calls, 10513);
	assert_int_equal(stats.refused, 3);
}

static void so_many_are_taken_as_end_in_time(void **state)
{
	(void)state;
	enter_many();
	work(10000, true);
	(void)enter_all(&plain);
	assert_in_range(n_taken, 2400, 2600); /* 10,000 a second, a quarter of it */
	assert_true(sheds(&plain, FULL_US));
}

/* Who has less time finds the queue too long earlier. */
static void a_short_deadline_finds_less_room(void **state)
{
	(void)state;
	enter_many();
	work(10000, true);
	assert_true(enter_within(&plain, "a", FULL_US));
	assert_false(enter_within(&plain, "a", FULL_US / 2));
	assert_refused("TOO_MANY_CALLS");
	assert_true(sheds(&plain, FULL_US / 2));
	assert_false(sheds(&plain, FULL_US));
}

static void what_is_refused_further_on_is_no_work(void **state)
{
	(void)state;
	enter_many();
	work(10000, true);
	work(1000000, false);
	(void)enter_all(&plain);
	assert_in_range(n_taken, 512, 2600);
}

static void without_load_the_room_is_as_before(void **state)
{
	(void)state;
	enter_many();
	work(1000, true);
	assert_int_equal(enter_all(&plain), 0);
	leave(n_taken, true);
	assert_int_equal(enter_all(&plain), 10001);
	leave(n_taken, true);
	for (unsigned i = 0; i < 10; i++) /* nothing happens */
		admission_tick(admission, now_us += 1000000);
	assert_int_equal(enter_all(&plain), 10001);
}

/* Also where what was taken before fills more than there would be room for now. */
static void health_is_answered_whatever_is_under_way(void **state)
{
	(void)state;
	(void)enter_all(&plain);
	for (unsigned i = 0; i < 5; i++) /* nothing ends */
		admission_tick(admission, now_us += 1000000);
	assert_true(sheds(&plain, 10000000));
	assert_false(sheds(&health, 1000000));
	assert_true(enter_within(&health, "a", 1000000));
	assert_true(enter_within(&health, "a", 1000));
}

/* Where calls end so slowly that a window would take minutes. */
static void slow_work_is_noticed_within_seconds(void **state)
{
	(void)state;
	enter_many();
	admission_tick(admission, now_us += 1000000);
	for (unsigned i = 0; i < 3; i++) {
		leave(100, true);
		admission_tick(admission, now_us += 1000000);
	}
	assert_true(sheds(&plain, 10000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_method_has_its_own_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_principal_does_not_take_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits_can_be_set, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_finds_half_the_room_and_health_a_little_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_are_taken_as_end_in_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_short_deadline_finds_less_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_refused_further_on_is_no_work, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_load_the_room_is_as_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(health_is_answered_whatever_is_under_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(slow_work_is_noticed_within_seconds, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
