/* See replica.h. */
#include "replica.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "watermark.h"
#include "../log.h"

#define CONNECT_PATIENCE_US 5000000
#define STEADY_US 10000000 /* one that was there so long is looked for soon, others after ever longer rests */
#define REST_MIN_US 1000000
#define REST_MAX_US 30000000
#define WHY_BYTES 160

struct replica {
	struct connection witness;
	struct lane *primary;
	int64_t opened_us, again_us, rest_us; /* since when it is there; when to look for one, if it is not */
	char told[WHY_BYTES];                 /* why it is away, as the log has it; "": it is there */
};

static int64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

enum aside_code replica_new(const char *database, struct lane *primary, struct replica **ret, struct aside_status *err)
{
	struct replica *replica = calloc(1, sizeof *replica);

	if (replica == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	replica->primary = primary;
	*ret = replica;
	return connection_init(&replica->witness, CONNECTION_WITNESS, database, err);
}

void replica_stop(struct replica *replica, int64_t deadline_us)
{
	if (replica != NULL)
		connection_stop(&replica->witness, deadline_us);
}

void replica_free(struct replica *replica)
{
	if (replica == NULL)
		return;
	connection_fini(&replica->witness);
	free(replica);
}

/* ── with it and without ─────────────────────────────────────────────────────────────────────────── */

static bool is_stopping(struct lane *lane)
{
	bool stopping;

	pthread_mutex_lock(&lane->mutex);
	stopping = lane->stopping;
	pthread_mutex_unlock(&lane->mutex);
	return stopping;
}

static void give_up_in(struct lane *lane, int64_t us)
{
	lane->connection.give_up_us = lane->replica->witness.give_up_us = monotonic_us() + us;
}

/* Why there is no replica: in the log, once. */
static void tell(struct lane *lane, const char *why)
{
	struct replica *replica = lane->replica;

	if (is_stopping(lane) || strncmp(replica->told, why, WHY_BYTES - 1) == 0)
		return;
	log_warning("event=replica_away message=\"%s\"", why);
	(void)snprintf(replica->told, WHY_BYTES, "%s", why);
}

/* From now on nothing comes to the lane; what waits there is falls back with the next batches. */
static void leave(struct lane *lane, const char *why)
{
	struct replica *replica = lane->replica;
	int64_t now = monotonic_us();

	lane_set_connected(lane, false);
	connection_close(&lane->connection);
	connection_close(&replica->witness);
	replica->rest_us = now - replica->opened_us >= STEADY_US || replica->rest_us == 0 ? REST_MIN_US :
			replica->rest_us < REST_MAX_US / 2                                ? replica->rest_us * 2 :
										    REST_MAX_US;
	replica->again_us = now + replica->rest_us;
	tell(lane, why);
}

/* NULL, or why the host that was connected to is no standby of the primary. */
static const char *check_standby(struct lane *lane)
{
	static const int64_t no_page = WATERMARK_NO_PAGE;
	struct connection *witness = &lane->replica->witness;
	struct batch *batch = lane->batch;
	PGresult *here = NULL, *there = NULL;
	const char *why = NULL;

	batch->error = (struct sql_error){ 0 };
	if (watermark_send(&lane->connection, &batch->bind, &no_page, 1))
		here = watermark_receive(&lane->connection, &batch->error);
	if (watermark_send(witness, &batch->bind, &no_page, 1))
		there = watermark_receive(witness, &batch->error);
	if (here == NULL || there == NULL)
		why = batch->error.message[0] != '\0' ? batch->error.message : "the connection is lost";
	else if (PQgetisnull(here, 0, WATERMARK_TIMELINE))
		why = "the host of --read-database is no standby";
	else if (!watermark_same_cell(here, there, 0, WATERMARK_TIMELINE))
		why = "the replica is on another timeline than the primary, or was until its last restart point";
	else if (!watermark_same(here, there, 0))
		why = "the replica is of another cluster than the primary";
	PQclear(here);
	PQclear(there);
	return why;
}

static void look_for_one(struct lane *lane)
{
	struct replica *replica = lane->replica;
	struct aside_status err = { 0 };
	const char *why = NULL;

	give_up_in(lane, CONNECT_PATIENCE_US);
	if (connection_open(&lane->connection, false, &err) != ASIDE_OK || connection_open(&replica->witness, false, &err) != ASIDE_OK)
		why = err.message;
	else
		why = check_standby(lane);
	if (why == NULL) {
		log_info("event=replica_used");
		replica->opened_us = monotonic_us();
		replica->told[0] = '\0';
		lane_set_connected(lane, true);
		return;
	}
	connection_close(&lane->connection);
	connection_close(&replica->witness);
	replica->again_us = monotonic_us() + REST_MIN_US;
	tell(lane, why);
}

static void look_after(struct lane *lane)
{
	if (lane->connected && !(connection_alive(&lane->connection) && connection_alive(&lane->replica->witness)))
		leave(lane, "the connection is lost");
	if (!lane->connected && !is_stopping(lane) && monotonic_us() >= lane->replica->again_us)
		look_for_one(lane);
}

/* ── batches ─────────────────────────────────────────────────────────────────────────────────────── */

static void fall_back(struct lane *lane, struct op *op)
{
	op_release(op);
	if (lane_submit(lane->replica->primary, op, &op->err) != ASIDE_OK)
		lane_finish(op, OP_FAILED);
}

/* `there`: how far the pages are; NULL: all fall back. */
static void settle(struct lane *lane, const PGresult *there)
{
	struct batch *batch = lane->batch;
	size_t answered = 0;

	for (size_t i = 0; i < batch->n; i++)
		if (there != NULL && watermark_same(batch->watermark, there, batch_page(batch, batch->ops[i]->page_id))) {
			lane_finish(batch->ops[i], OP_DONE);
			answered++;
		} else {
			fall_back(lane, batch->ops[i]);
		}
	pthread_mutex_lock(&lane->mutex);
	lane->operations -= batch->n - answered; /* they are the other lane's */
	lane->fallbacks += batch->n - answered;
	pthread_mutex_unlock(&lane->mutex);
}

/* NULL, or why the replica is to be left, after the batch has ended so. */
static const char *why_leave(const struct batch *batch, enum batch_end end, const PGresult *there)
{
	if (end == BATCH_LOST)
		return "the connection is lost, or the answer takes too long";
	if (end == BATCH_ABORTED) /* class 40: its replay was in the way */
		return memcmp(batch->error.sqlstate, "40", 2) == 0 && there != NULL ? NULL : batch->error.message;
	if (there == NULL)
		return "the primary does not say how far its pages are";
	return watermark_same_cell(batch->watermark, there, 0, WATERMARK_TIMELINE) ? NULL : "the replica does not follow the primary any more";
}

static void serve(struct lane *lane)
{
	struct batch *batch = lane->batch;
	PGresult *there = NULL;
	enum batch_end end;
	const char *why;
	bool asked;

	if (!lane->connected) {
		settle(lane, NULL);
		return;
	}
	give_up_in(lane, REPLICA_PATIENCE_US);
	batch_set_pages(batch, 0, batch->n);
	asked = watermark_send(&lane->replica->witness, &batch->bind, batch->pages, batch->n_pages);
	end = batch_run(batch, &lane->connection, 0, batch->n);
	if (asked)
		there = watermark_receive(&lane->replica->witness, &batch->error);
	why = why_leave(batch, end, there);
	if (why != NULL)
		leave(lane, why);
	settle(lane, end == BATCH_DONE && why == NULL ? there : NULL);
	PQclear(there);
}

const struct lane_work replica_work = { serve, look_after };
