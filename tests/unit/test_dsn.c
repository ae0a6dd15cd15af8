/* Connection strings: which hosts they name, and what is told to libpq for each. */
#include "test.h"

#include "store/dsn.h"

static struct dsn parse(const char *text)
{
	struct dsn dsn;
	struct aside_status status;

	assert_int_equal(dsn_parse(text, &dsn, &status), ASIDE_OK);
	return dsn;
}

/* The last there is: it overrules those before. */
static const char *find(const struct dsn_params *params, const char *key)
{
	const char *value = "";

	for (size_t i = 0; i < params->n; i++)
		if (strcmp(params->keys[i], key) == 0)
			value = params->values[i];
	assert_null(params->keys[params->n]);
	return value;
}

/* What is told for one host of `text`. */
static void assert_told(const char *text, unsigned n_hosts, unsigned host, const char *name, const char *address, const char *port)
{
	struct dsn dsn = parse(text);
	struct dsn_params params = { .n = 0 };

	assert_int_equal(dsn.n_hosts, n_hosts);
	dsn_add(&dsn, host, &params);
	assert_string_equal(find(&params, "host"), name);
	assert_string_equal(find(&params, "hostaddr"), address);
	assert_string_equal(find(&params, "port"), port);
	dsn_fini(&dsn);
}

static void hosts_are_told_one_by_one(void **state)
{
	(void)state;
	assert_told("host=db", 1, 0, "db", "", "");
	assert_told("dbname=aside", 1, 0, "", "", "");
	assert_told("host=db1,db2,db3", 3, 0, "db1", "", "");
	assert_told("host=db1,db2,db3", 3, 2, "db3", "", "");
	assert_told("postgresql://db1:5433,db2:5434/aside", 2, 1, "db2", "", "5434");
}

static void a_port_may_be_for_all(void **state)
{
	(void)state;
	assert_told("host=db1,db2 port=5433", 2, 1, "db2", "", "5433");
	assert_told("host=db1,db2 port=5433,5434", 2, 1, "db2", "", "5434");
	assert_told("host=db1,db2 port=5433,", 2, 1, "db2", "", "");
}

/* libpq connects to the address, and checks certificates by the name. */
static void addresses_go_before_names(void **state)
{
	(void)state;
	assert_told("hostaddr=10.0.0.1,10.0.0.2", 2, 1, "", "10.0.0.2", "");
	assert_told("host=db1,db2 hostaddr=10.0.0.1,10.0.0.2 port=1,2", 2, 1, "db2", "10.0.0.2", "2");
}

static void what_comes_later_overrules(void **state)
{
	struct dsn dsn = parse("host=db user=me");
	struct dsn_params params = { .n = 0 };
	(void)state;

	dsn_add_param(&params, "user", "default");
	dsn_add(&dsn, 0, &params);
	assert_string_equal(find(&params, "user"), "me");
	dsn_add_param(&params, "user", "always");
	assert_string_equal(find(&params, "user"), "always");
	dsn_fini(&dsn);
}

static void each_host_has_its_time(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} cases[] = {
		{ "host=db", 5 },
		{ "host=db connect_timeout=2", 2 },
		{ "host=db connect_timeout=0", INT32_MAX }, /* libpq: for ever */
		{ "host=db connect_timeout=-1", INT32_MAX },
	};
	(void)state;

	for (size_t i = 0; i < N_OF(cases); i++) {
		struct dsn dsn = parse(cases[i].text);
		assert_int_equal(dsn.connect_timeout_us, cases[i].seconds * 1000000);
		dsn_fini(&dsn);
	}
}

static void what_libpq_does_not_understand_is_refused(void **state)
{
	struct aside_status status;
	struct dsn dsn;
	(void)state;

	assert_int_equal(dsn_parse("hots=db", &dsn, &status), ASIDE_INVALID_ARGUMENT);
	assert_string_equal(status.reason, "BAD_DSN");
	assert_non_null(strstr(status.message, "hots"));
	dsn_fini(&dsn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_told_one_by_one),
		cmocka_unit_test(a_port_may_be_for_all),
		cmocka_unit_test(addresses_go_before_names),
		cmocka_unit_test(what_comes_later_overrules),
		cmocka_unit_test(each_host_has_its_time),
		cmocka_unit_test(what_libpq_does_not_understand_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
