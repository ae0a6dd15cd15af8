/* kill -9 under load, round after round: what was answered stays, once and in order, and watchers miss nothing.
 *
 *     test_rounds [ROUNDS [SEED]] */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "scene.h"

#define ROUNDS 5
#define PATIENCE_US 60000000
#define LEAST_BETWEEN 500 /* answered calls between two faults: so many, and up to as many more */

static unsigned n_rounds = ROUNDS, seed = 1;

/* ── the faults ──────────────────────────────────────────────────────────────────────────────────── */

static pid_t postmaster_pid(void)
{
	char path[256];
	long pid = 0;

	(void)snprintf(path, sizeof path, "%s/data-0/postgres/postmaster.pid", aside_harness_folder(harness));
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld", &pid), 1);
	fclose(file);
	return (pid_t)pid;
}

static void restart(unsigned server)
{
	assert_int_equal(aside_harness_restart(harness, server, &status), ASIDE_OK);
}

/* One that has no database of its own. */
static void kill_server(void)
{
	aside_harness_crash(harness, 1);
	restart(1);
}

static void kill_postmaster(void)
{
	assert_int_equal(kill(postmaster_pid(), SIGKILL), 0);
}

/* One that writes just now, if there is one: PostgreSQL then ends all of them. */
static void kill_backend(void)
{
	pid_t pid = (pid_t)world_sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'aside-server'"
				     " ORDER BY state = 'active' DESC, random() LIMIT 1");

	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
}

static void kill_all(void)
{
	assert_int_equal(kill(postmaster_pid(), SIGKILL), 0);
	aside_harness_crash(harness, 0);
	aside_harness_crash(harness, 1);
	restart(0);
	restart(1);
}

static const struct {
	const char *name;
	void (*bring)(void);
} faults[] = {
	{ "server", kill_server },
	{ "postmaster", kill_postmaster },
	{ "backend", kill_backend },
	{ "both", kill_all },
};

/* ── the rounds ──────────────────────────────────────────────────────────────────────────────────── */

/* Tells of what happens in PostgreSQL's folder; of its readiness, too, which it notes in postmaster.pid. */
static int watch_folder(void)
{
	char path[256];
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	(void)snprintf(path, sizeof path, "%s/data-0/postgres", aside_harness_folder(harness));
	assert_true(inotify_add_watch(fd, path, IN_CREATE | IN_MODIFY | IN_MOVED_TO) >= 0);
	return fd;
}

/* Waits until something has happened there; false: nothing has, until then. */
static bool wait_for_news(int folder, int64_t until_us)
{
	struct pollfd news = { folder, POLLIN, 0 };
	int64_t left_us = until_us - load_now_us();
	char events[4096];

	if (left_us <= 0 || poll(&news, 1, (int)(left_us / 1000) + 1) <= 0)
		return false;
	while (read(folder, events, sizeof events) > 0)
		;
	return true;
}

/* PostgreSQL takes connections: what the fault has ended is back. */
static void wait_for_database(int folder, unsigned round)
{
	int64_t until_us = load_now_us() + PATIENCE_US;

	while (PQping(aside_harness_database(harness)) != PQPING_OK)
		if (!wait_for_news(folder, until_us))
			fail_msg("round %u (%s): PostgreSQL is not back", round, faults[round % N_OF(faults)].name);
}

static void wait_for_answers(struct scene *scene, unsigned round)
{
	if (!load_wait(scene->load, LEAST_BETWEEN + (uint64_t)rand() % LEAST_BETWEEN))
		fail_msg("round %u (%s): no more calls are answered", round, faults[round % N_OF(faults)].name);
}

static void nothing_is_lost_nor_twice(void **state)
{
	static struct scene scene; /* outlives a test that fails: the load goes on */
	(void)state;

	srand(seed);
	scene_begin(&scene, seed);
	wait_for_answers(&scene, 0);
	int folder = watch_folder();
	for (unsigned round = 0; round < n_rounds; round++) {
		faults[round % N_OF(faults)].bring();
		wait_for_database(folder, round);
		wait_for_answers(&scene, round);
	}
	close(folder);
	unsigned long long answered = load_answered(scene.load), unknown = load_unknown(scene.load);
	PGconn *checker = scene_end(&scene);
	int violations = checker_run(checker);
	PQfinish(checker);
	printf("# rounds=%u answered=%llu unknown=%llu violations=%d\n", n_rounds, answered, unknown, violations);
	assert_int_equal(violations, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_lost_nor_twice) };
	const struct aside_harness_options options = { .servers = SCENE_SERVERS, .flags = (const char *[]){ "--log-level", "warning", NULL } };

	if (argc > 1)
		n_rounds = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = (unsigned)strtoul(argv[2], NULL, 10);
	return WORLD_RUN("rounds", tests, &options);
}
