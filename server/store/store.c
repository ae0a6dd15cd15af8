/* Lanes, and which of them takes an operation.  See store.h. */
#include "store.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "lane.h"

#define LANES_MAX 32
#define WRITE_LANES_DEFAULT 2
#define READ_LANES_DEFAULT 2

struct store {
	char *database;
	struct lane lanes[LANES_MAX]; /* the write lanes, then the read lanes */
	unsigned n_write, n_read;
	atomic_uint next_read;
};

/* Neighbouring page ids go to different lanes, the same id always to the same. */
static struct lane *lane_of(struct store *store, const struct op *op)
{
	uint64_t hash = (uint64_t)op->page_id * 0x9E3779B97F4A7C15ull >> 32;

	if (op->statement->lane == LANE_WRITE)
		return &store->lanes[hash % store->n_write];
	return &store->lanes[store->n_write + atomic_fetch_add(&store->next_read, 1) % store->n_read];
}

enum aside_code store_submit(struct store *store, struct op *op, struct aside_status *err)
{
	return lane_submit(lane_of(store, op), op, err);
}

enum aside_code store_open(const struct store_options *options, struct store **ret, struct aside_status *err)
{
	struct store *store = calloc(1, sizeof *store);
	unsigned n_write = options->write_lanes > 0 ? options->write_lanes : WRITE_LANES_DEFAULT;
	unsigned n_read = options->read_lanes > 0 ? options->read_lanes : READ_LANES_DEFAULT;
	struct store_options own = *options;
	enum aside_code code = ASIDE_OK;

	if (store != NULL)
		own.database = store->database = strdup(options->database);
	if (store == NULL || store->database == NULL) {
		free(store);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	}
	if (n_write + n_read > LANES_MAX)
		code = fail(err, ASIDE_INVALID_ARGUMENT, "TOO_MANY_LANES", "at most %d lanes", LANES_MAX);
	for (unsigned i = 0; i < n_write + n_read && code == ASIDE_OK; i++) {
		bool write = i < n_write;
		code = lane_start(&store->lanes[i], write ? LANE_WRITE : LANE_READ, &own, i == 0 || i == n_write, err);
		store->n_write += write;
		store->n_read += !write;
	}
	if (code != ASIDE_OK)
		store_close(store, 0);
	else
		*ret = store;
	return code;
}

bool store_ready(struct store *store)
{
	bool ready = true;

	for (unsigned i = 0; i < store->n_write + store->n_read; i++) {
		pthread_mutex_lock(&store->lanes[i].mutex);
		ready = ready && store->lanes[i].connected;
		pthread_mutex_unlock(&store->lanes[i].mutex);
	}
	return ready;
}

bool store_lane_stats(struct store *store, unsigned index, struct store_stats *ret, char *ret_name, size_t size)
{
	bool writes = index < store->n_write;

	if (index >= store->n_write + store->n_read)
		return false;
	struct lane *lane = &store->lanes[index];
	(void)snprintf(ret_name, size, "%s %u", writes ? "write" : "read", (writes ? index : index - store->n_write) + 1);
	pthread_mutex_lock(&lane->mutex);
	*ret = (struct store_stats){ lane->queued, lane->in_flight, lane->batches, lane->operations, lane->retries };
	pthread_mutex_unlock(&lane->mutex);
	return true;
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

void store_stop(struct store *store, int64_t deadline_us)
{
	for (unsigned i = 0; store != NULL && i < store->n_write + store->n_read; i++)
		lane_stop(&store->lanes[i], deadline_us);
}

void store_close(struct store *store, int64_t deadline_us)
{
	if (store == NULL)
		return;
	store_stop(store, deadline_us);
	free(store->database);
	free(store);
}
