/* Lanes, and which of them takes an operation.  See store.h. */
#include "store.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../clock.h"
#include "../log.h"
#include "lane.h"

#define LANES_MAX 48
#define WRITE_LANES_DEFAULT 2
#define READ_LANES_DEFAULT 2

struct store {
	char *database, *read_database;
	struct lane lanes[LANES_MAX]; /* the write lanes, the read lanes, then as many of replicas, or none */
	unsigned n_write, n_read, n_replica;
	atomic_uint next_read;
	atomic_bool silent; /* and the log says so */
};

/* Neighbouring page ids go to different lanes, the same id always to the same. */
static struct lane *write_lane(struct store *store, const struct op *op)
{
	uint64_t hash = (uint64_t)op->page_id * 0x9E3779B97F4A7C15ull >> 32;

	return &store->lanes[hash % store->n_write];
}

enum aside_code store_submit(struct store *store, struct op *op, struct aside_status *err)
{
	struct lane *lane;

	assert(op->statement->lane != LANE_REPLICA || op->page_id == op->params[0].number); /* whose watermark decides */
	if (op->statement->lane == LANE_WRITE)
		return lane_submit(write_lane(store, op), op, err);
	lane = &store->lanes[store->n_write + atomic_fetch_add(&store->next_read, 1) % store->n_read];
	if (store->n_replica > 0 && op->statement->lane == LANE_REPLICA && lane_offer(lane + store->n_read, op))
		return ASIDE_OK;
	return lane_submit(lane, op, err);
}

static unsigned n_lanes(const struct store *store)
{
	return store->n_write + store->n_read + store->n_replica;
}

static enum aside_code start_lanes(struct store *store, const struct store_options *options, unsigned n_write, unsigned n_read,
		struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (; store->n_write < n_write && code == ASIDE_OK; store->n_write++)
		code = lane_start(&store->lanes[n_lanes(store)], LANE_WRITE, store->n_write, options, NULL, store->n_write == 0, err);
	for (; store->n_read < n_read && code == ASIDE_OK; store->n_read++)
		code = lane_start(&store->lanes[n_lanes(store)], LANE_READ, store->n_read, options, NULL, store->n_read == 0, err);
	for (; options->read_database != NULL && store->n_replica < n_read && code == ASIDE_OK; store->n_replica++)
		code = lane_start(&store->lanes[n_lanes(store)], LANE_REPLICA, store->n_replica, options,
				&store->lanes[n_write + store->n_replica], false, err);
	return code;
}

enum aside_code store_open(const struct store_options *options, struct store **ret, struct aside_status *err)
{
	struct store *store = calloc(1, sizeof *store);
	unsigned n_write = options->write_lanes > 0 ? options->write_lanes : WRITE_LANES_DEFAULT;
	unsigned n_read = options->read_lanes > 0 ? options->read_lanes : READ_LANES_DEFAULT;
	struct store_options own = *options;
	enum aside_code code;

	if (store != NULL) {
		own.database = store->database = strdup(options->database);
		if (options->read_database != NULL)
			own.read_database = store->read_database = strdup(options->read_database);
	}
	if (store == NULL || own.database == NULL || (options->read_database != NULL && own.read_database == NULL))
		code = fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	else if (n_write + 2 * n_read > LANES_MAX)
		code = fail(err, ASIDE_INVALID_ARGUMENT, "TOO_MANY_LANES", "at most %d lanes", LANES_MAX);
	else
		code = start_lanes(store, &own, n_write, n_read, err);
	if (code != ASIDE_OK)
		store_close(store, 0);
	else
		*ret = store;
	return code;
}

/* Whether the lane has a connection; and whether that has left a batch without an answer for too long. */
static bool is_connected(struct lane *lane, int64_t now_us, bool *ret_silent)
{
	bool connected;

	pthread_mutex_lock(&lane->mutex);
	connected = lane->connected;
	*ret_silent = connected && lane->in_flight > 0 && now_us - lane->begun_us >= STORE_SILENT_SECONDS * 1000000ll;
	pthread_mutex_unlock(&lane->mutex);
	return connected;
}

bool store_ready(struct store *store)
{
	int64_t now_us = clock_monotonic_us();
	bool ready = true, any_silent = false, silent;

	for (unsigned i = 0; i < store->n_write + store->n_read; i++) {
		ready = is_connected(&store->lanes[i], now_us, &silent) && ready;
		any_silent = any_silent || silent;
	}
	if (atomic_exchange(&store->silent, any_silent) != any_silent) {
		if (any_silent)
			log_warning("event=database_silent seconds=%d", STORE_SILENT_SECONDS);
		else
			log_info("event=database_answers");
	}
	return ready && !any_silent;
}

bool store_lane_stats(struct store *store, unsigned index, struct store_stats *ret, char *ret_name, size_t size)
{
	static const char *const names[] = { [CONNECTION_READ] = "read", [CONNECTION_WRITE] = "write",
		[CONNECTION_REPLICA] = "replica" };
	unsigned reads = store->n_write, replicas = reads + store->n_read;

	if (index >= n_lanes(store))
		return false;
	struct lane *lane = &store->lanes[index];
	(void)snprintf(ret_name, size, "%s %u", names[lane->connection.kind],
			index - (index >= replicas ? replicas : index >= reads ? reads : 0) + 1);
	pthread_mutex_lock(&lane->mutex);
	*ret = (struct store_stats){ lane->queued, lane->in_flight, lane->batches, lane->operations, lane->retries };
	pthread_mutex_unlock(&lane->mutex);
	return true;
}

void store_replica_stats(struct store *store, struct replica_stats *ret)
{
	*ret = (struct replica_stats){ .lanes = store->n_replica };
	for (unsigned i = n_lanes(store) - store->n_replica; i < n_lanes(store); i++) {
		struct lane *lane = &store->lanes[i];
		pthread_mutex_lock(&lane->mutex);
		ret->connected += lane->connected;
		ret->answered += lane->answered;
		ret->fallbacks += lane->fallbacks;
		pthread_mutex_unlock(&lane->mutex);
	}
}

void store_stats(struct store *store, struct store_stats *ret)
{
	struct store_stats lane;
	char name[16];

	*ret = (struct store_stats){ 0 };
	for (unsigned i = 0; store_lane_stats(store, i, &lane, name, sizeof name); i++) {
		ret->queued += lane.queued;
		ret->in_flight += lane.in_flight;
		ret->batches += lane.batches;
		ret->operations += lane.operations;
		ret->retries += lane.retries;
	}
}

static void close_lanes(struct store *store, unsigned first, unsigned n, int64_t deadline_us)
{
	for (unsigned i = first; i < first + n; i++)
		lane_close(&store->lanes[i], deadline_us);
}

static void wait_for_lanes(struct store *store, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++)
		lane_stop(&store->lanes[i]);
}

/* The replicas' lanes at once: what they have goes to the read lanes, which end after them. */
void store_stop(struct store *store, int64_t deadline_us)
{
	if (store == NULL)
		return;
	close_lanes(store, 0, store->n_write, deadline_us);
	close_lanes(store, store->n_write + store->n_read, store->n_replica, 0);
	wait_for_lanes(store, store->n_write + store->n_read, store->n_replica);
	close_lanes(store, store->n_write, store->n_read, deadline_us);
	wait_for_lanes(store, 0, store->n_write + store->n_read);
}

void store_close(struct store *store, int64_t deadline_us)
{
	if (store == NULL)
		return;
	store_stop(store, deadline_us);
	free(store->database);
	free(store->read_database);
	free(store);
}
