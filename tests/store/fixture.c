/* See fixture.h.  `done` runs on the lanes' threads. */
#include "fixture.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/cluster.h"
#include "store/migrate.h"

#define PAGE_OF_NO_TEST 1000000007

/* Counts what is still to be answered. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	size_t left;
} waiter = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static void done(struct op *op)
{
	(void)op;
	pthread_mutex_lock(&waiter.mutex);
	waiter.left--;
	pthread_cond_signal(&waiter.changed);
	pthread_mutex_unlock(&waiter.mutex);
}

void wait_until_left(size_t left)
{
	pthread_mutex_lock(&waiter.mutex);
	while (waiter.left > left)
		pthread_cond_wait(&waiter.changed, &waiter.mutex);
	pthread_mutex_unlock(&waiter.mutex);
}

static int64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void submit(struct fixture *fixture, struct op *op)
{
	struct aside_status err = { 0 };

	op->done = done;
	pthread_mutex_lock(&waiter.mutex);
	waiter.left++;
	pthread_mutex_unlock(&waiter.mutex);
	if (op->deadline_us == 0)
		op->deadline_us = monotonic_us() + 30000000;
	assert_int_equal(store_submit(fixture->store, op, &err), ASIDE_OK);
}

void carry_out(struct fixture *fixture, struct op *op)
{
	submit(fixture, op);
	wait_until_left(0);
	assert_int_equal(op->outcome, OP_DONE);
}

/* A database that was killed answers again when the store, which waits for it, has an answer. */
static PGconn *connect_in_time(struct fixture *fixture)
{
	PGconn *pg = PQconnectdb(cluster_dsn(fixture->cluster));
	struct arena arena;

	while (PQstatus(pg) != CONNECTION_OK) {
		arena_init(&arena, 65536);
		struct op *op = create_page(&arena, PAGE_OF_NO_TEST);
		carry_out(fixture, op);
		op_release(op);
		arena_fini(&arena);
		PQreset(pg);
	}
	return pg;
}

long query_number(struct fixture *fixture, const char *fmt, ...)
{
	PGconn *pg = connect_in_time(fixture);
	long number = -1;
	char sql[4096];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(sql, sizeof sql, fmt, ap);
	va_end(ap);
	assert_in_range(n, 1, sizeof sql - 1);
	PGresult *result = PQexec(pg, sql);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		number = strtol(PQgetvalue(result, 0, 0), NULL, 10);
	else if (PQresultStatus(result) != PGRES_COMMAND_OK)
		print_error("%s: %s\n", sql, PQresultErrorMessage(result));
	PQclear(result);
	PQfinish(pg);
	return number;
}

/* ── operations ──────────────────────────────────────────────────────────────────────────────────── */

struct bytes key_of(struct arena *arena, uint32_t number)
{
	uint8_t *key = arena_alloc(arena, 16);

	memcpy(key, &number, sizeof number);
	return (struct bytes){ key, 16 };
}

struct op *create_page(struct arena *arena, int64_t page_id)
{
	struct op *op = op_new(arena, &sql_create_page, page_id);

	op_int(op, page_id);
	op_text(op, "Bakery");
	op_int(op, 1);
	op_int(op, NOW_US);
	return op;
}

struct op *send_message(struct arena *arena, int64_t page_id, int64_t user_id, struct bytes key)
{
	struct op *op = op_new(arena, &sql_send_text, page_id);

	op_int(op, page_id);
	op_int(op, user_id);
	op_bytes(op, key);
	op_int(op, 1);
	op_text(op, "Good morning");
	op_int(op, 12);
	op_text(op, "");
	op_null(op);
	op_int(op, NOW_US);
	return op;
}

struct op *change_settings(struct arena *arena, int64_t page_id, struct bytes change_id)
{
	struct op *op = op_new(arena, &sql_update_page_settings, page_id);

	op_int(op, page_id);
	op_int(op, 1);
	op_int(op, 4);
	op_bytes(op, change_id);
	op_int(op, 0);
	for (size_t i = 0; i < 6; i++)
		op_null(op);
	op_text(op, "");
	op_text(op, "");
	op_int(op, NOW_US);
	return op;
}

/* ── the cluster ─────────────────────────────────────────────────────────────────────────────────── */

int fixture_start(void **state, unsigned write_lanes)
{
	static struct fixture fixture = { .folder = "/tmp/aside-store-XXXXXX" };
	struct store_options options = { .write_lanes = write_lanes };
	struct aside_status err = { 0 };
	enum aside_code code;

	if (mkdtemp(fixture.folder) == NULL || chmod(fixture.folder, 0755) != 0)
		return -1;
	*state = &fixture;
	code = cluster_start(fixture.folder, "postgres", &fixture.cluster, &err);
	if (code == ASIDE_OK)
		code = migrate_up(cluster_dsn(fixture.cluster), &sql_migrations, &err);
	if (code == ASIDE_OK) {
		options.database = cluster_server_dsn(fixture.cluster);
		code = store_open(&options, &fixture.store, &err);
	}
	if (code != ASIDE_OK)
		print_error("%s\n", err.message);
	return code == ASIDE_OK ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *entry, int kind, struct FTW *ftw)
{
	(void)entry;
	(void)kind;
	(void)ftw;
	return remove(path);
}

int fixture_stop(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store, monotonic_us() + 1000000);
	cluster_stop(fixture->cluster);
	return nftw(fixture->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
