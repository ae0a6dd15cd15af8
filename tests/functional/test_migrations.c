/* aside-server migrate, and what a server says of a schema that is not its own. */
#include "world.h"

#include <stdio.h>
#include <unistd.h>

#include "program.h"

static void migrations_go_up_and_down(void **state)
{
	char said[8192], dsn[512];
	int64_t n;
	(void)state;

	world_sql("CREATE DATABASE migrations");
	(void)snprintf(dsn, sizeof dsn, "'host=%s/data-0/socket user=aside dbname=migrations'", aside_harness_folder(harness));
	/* As in the image: with settings of a server, whose keys are not there. */
	assert_int_equal(run(said, sizeof said, "--database %s --keys /nowhere migrate status", dsn), 0);
	assert_said(said, "0001");
	assert_said(said, "pending");
	assert_null(strstr(said, "applied"));
	assert_int_equal(run(said, sizeof said, "--database %s --data %s/none", dsn, aside_harness_folder(harness)), 1);
	assert_said(said, "migrate up");
	assert_int_equal(run(said, sizeof said, "--database %s migrate up", dsn), 0);
	assert_int_equal(run(said, sizeof said, "--database %s migrate up", dsn), 0);
	assert_int_equal(run(said, sizeof said, "--database %s migrate status", dsn), 0);
	assert_null(strstr(said, "pending"));
	n = world_sql("SELECT count(*) FROM aside_migration");
	for (int64_t i = 0; i < n; i++) {
		assert_int_equal(run(said, sizeof said, "--database %s migrate down", dsn), 0);
		assert_said(said, "event=migrate_undo version=");
	}
	assert_int_equal(run(said, sizeof said, "--database %s migrate status", dsn), 0);
	assert_null(strstr(said, "applied"));
	assert_int_equal(run(said, sizeof said, "--database %s migrate sideways", dsn), 2);
	assert_said(said, "sideways");
}

/* The database is told that it cannot keep every text before it is given one. */
static void a_database_of_another_encoding_is_refused(void **state)
{
	char said[8192], dsn[512];
	(void)state;

	world_sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
	(void)snprintf(dsn, sizeof dsn, "'%s dbname=latin'", aside_harness_database(harness));
	assert_int_equal(run(said, sizeof said, "--database %s migrate up", dsn), 1);
	assert_said(said, "UTF8, not LATIN1");
}

static void a_changed_migration_is_refused(void **state)
{
	char said[8192];
	(void)state;

	world_sql("UPDATE aside_migration SET sha256 = reverse(sha256) WHERE version = 1");
	assert_int_equal(run(said, sizeof said, "--database '%s' migrate up", aside_harness_database(harness)), 1);
	assert_said(said, "migration 1 was applied with other content");
	assert_int_equal(run(said, sizeof said, "--database '%s' --data %s/none", aside_harness_database(harness), aside_harness_folder(harness)), 1);
	assert_said(said, "migration 1 was applied with other content");
	world_sql("UPDATE aside_migration SET sha256 = reverse(sha256) WHERE version = 1");
	world_sql("INSERT INTO aside_migration (version, servers, name, sha256) VALUES (9999, 9999, 'future', '')");
	assert_int_equal(run(said, sizeof said, "--database '%s' migrate up", aside_harness_database(harness)), 1);
	assert_said(said, "newer server");
	world_sql("DELETE FROM aside_migration WHERE version = 9999");
}

/* A question makes no database, and neither does a way back. */
static void without_a_database_there_is_nothing_to_undo(void **state)
{
	char said[8192], none[256];
	(void)state;

	(void)snprintf(none, sizeof none, "%s/forgotten", aside_harness_folder(harness));
	assert_int_equal(run(said, sizeof said, "--data %s migrate status", none), 1);
	assert_said(said, "--database");
	assert_int_equal(run(said, sizeof said, "--data %s migrate down", none), 1);
	assert_said(said, "--database");
	assert_int_not_equal(access(none, F_OK), 0);
	assert_int_equal(run(said, sizeof said, "--data %s migrate --help", none), 0);
	assert_said(said, "migrate up|down|status");
	assert_int_equal(run(said, sizeof said, "migrate up --help"), 0);
	assert_said(said, "migrate up|down|status");
}

static void a_login_of_another_role_is_told_which(void **state)
{
	char said[8192];
	(void)state;

	world_sql("CREATE ROLE passer_by LOGIN");
	assert_int_equal(run(said, sizeof said, "--database '%s user=passer_by' --listen ipc://%s/passer-by.sock",
				aside_harness_database(harness), aside_harness_folder(harness)), 1);
	assert_said(said, "member of aside_app");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrations_go_up_and_down),
		cmocka_unit_test(a_database_of_another_encoding_is_refused),
		cmocka_unit_test(a_changed_migration_is_refused),
		cmocka_unit_test(without_a_database_there_is_nothing_to_undo),
		cmocka_unit_test(a_login_of_another_role_is_told_which),
	};

	return WORLD_RUN("migrations", tests, NULL);
}
