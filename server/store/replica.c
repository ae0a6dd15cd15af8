/* See replica.h. */
#include "replica.h"

#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "watermark.h"
#include "../clock.h"
#include "../log.h"

#define CHECK_PATIENCE_US 5000000
#define WITNESS_PATIENCE_MIN_US 1000000
#define STEADY_US 10000000 /* one that was there so long is looked for soon, others after ever longer rests */
#define REST_MIN_US 1000000
#define REST_MAX_US 30000000
#define WHY_BYTES 176

struct replica {
	struct connection witness;
	struct lane *primary;
	int64_t opened_us, again_us, rest_us; /* since when the replica is there; when to look for what is not */
	char told[WHY_BYTES];                 /* what the log had last of it */
	char why[WHY_BYTES];                  /* a buffer */
};

enum aside_code replica_new(const char *database, struct lane *primary, struct replica **ret, struct aside_status *err)
{
	struct replica *replica = calloc(1, sizeof *replica);
	enum aside_code code;

	if (replica == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	replica->primary = primary;
	code = connection_init(&replica->witness, CONNECTION_WITNESS, database, err);
	if (code == ASIDE_OK)
		*ret = replica;
	else
		replica_free(replica);
	return code;
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
	lane->connection.give_up_us = lane->replica->witness.give_up_us = clock_monotonic_us() + us;
}

/* In the log, once: why there is no replica, or why it did not answer. */
static void tell(struct lane *lane, const char *event, const char *why)
{
	struct replica *replica = lane->replica;

	if (is_stopping(lane) || strncmp(replica->told, why, WHY_BYTES - 1) == 0)
		return;
	log_warning("event=%s message=\"%s\"", event, why);
	(void)snprintf(replica->told, WHY_BYTES, "%s", why);
}

static const char *describe(struct replica *replica, const struct sql_error *error)
{
	if (error->sqlstate[0] == '\0')
		return "the connection is lost, or the answer takes too long";
	(void)snprintf(replica->why, WHY_BYTES, "%s: %s", error->sqlstate, error->message);
	return replica->why;
}

/* From now on nothing comes to the lane; what waits there falls back with the next batches. */
static void leave(struct lane *lane, const char *why)
{
	struct replica *replica = lane->replica;
	int64_t now = clock_monotonic_us();

	lane_set_connected(lane, false);
	connection_close(&lane->connection);
	connection_close(&replica->witness);
	replica->rest_us = now - replica->opened_us >= STEADY_US || replica->rest_us == 0 ? REST_MIN_US :
			replica->rest_us < REST_MAX_US / 2                                ? replica->rest_us * 2 :
										    REST_MAX_US;
	replica->again_us = now + replica->rest_us;
	tell(lane, "replica_away", why);
}

/* The same while the replica stays: only the primary has to be found again, as soon as nothing waits in the lane. */
static void lose_witness(struct lane *lane, const struct sql_error *error)
{
	lane_set_connected(lane, false);
	connection_close(&lane->replica->witness);
	lane->replica->again_us = 0;
	tell(lane, "witness_away", describe(lane->replica, error));
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
		why = describe(lane->replica, &batch->error);
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

/* Connects to what there is no connection to.  NULL, or why the two are not there. */
static const char *open_both(struct lane *lane, struct aside_status *err)
{
	struct replica *replica = lane->replica;
	const char *why;

	if (connection_lost(&lane->connection)) {
		if (connection_open(&lane->connection, false, err) != ASIDE_OK)
			return err->message;
		replica->opened_us = clock_monotonic_us();
	}
	if (connection_lost(&replica->witness) && connection_open(&replica->witness, false, err) != ASIDE_OK)
		return err->message;
	give_up_in(lane, CHECK_PATIENCE_US);
	why = check_standby(lane);
	if (why != NULL)
		connection_close(&lane->connection);
	return why;
}

static void look_for_one(struct lane *lane)
{
	struct replica *replica = lane->replica;
	struct aside_status err = { 0 };
	const char *why = open_both(lane, &err);

	if (why == NULL) {
		log_info("event=replica_used");
		replica->told[0] = '\0';
		lane_set_connected(lane, true);
		return;
	}
	connection_close(&replica->witness);
	replica->again_us = clock_monotonic_us() + REST_MIN_US;
	tell(lane, "replica_away", why);
}

static void look_after(struct lane *lane)
{
	static const struct sql_error lost = { 0 };

	if (lane->connected && !connection_alive(&lane->connection))
		leave(lane, describe(lane->replica, &lost));
	if (lane->connected && !connection_alive(&lane->replica->witness))
		lose_witness(lane, &lost);
	if (!lane->connected && !is_stopping(lane) && clock_monotonic_us() >= lane->replica->again_us) {
		if (!connection_alive(&lane->connection))
			connection_close(&lane->connection);
		look_for_one(lane);
	}
}

/* ── batches ─────────────────────────────────────────────────────────────────────────────────────── */

static void fall_back(struct lane *lane, struct op *op)
{
	op_release(op);
	if (lane_submit(lane->replica->primary, op, &op->err) != ASIDE_OK)
		lane_finish(op, OP_FAILED);
}

/* Answers what is the primary's answer, too: `there` says how far the pages are; NULL: nothing is.  Counts first: who hears
 * of an answer may look. */
static void settle(struct lane *lane, const PGresult *there)
{
	struct batch *batch = lane->batch;
	bool answered[LANE_BATCH_MAX] = { false };
	size_t n_answered = 0;

	for (size_t i = 0; i < batch->n; i++) {
		answered[i] = there != NULL && watermark_same(batch->watermark, there, batch_page(batch, batch->ops[i]->page_id));
		n_answered += answered[i];
	}
	pthread_mutex_lock(&lane->mutex);
	lane->answered += n_answered;
	lane->fallbacks += batch->n - n_answered;
	pthread_mutex_unlock(&lane->mutex);
	for (size_t i = 0; i < batch->n; i++)
		if (answered[i])
			lane_finish(batch->ops[i], OP_DONE);
		else
			fall_back(lane, batch->ops[i]);
}

/* Whether it is the server that cannot, rather than the statement: bad for whatever comes next, too. */
static bool is_servers_fault(const char *sqlstate)
{
	static const char *const classes[] = { "25", "53", "57", "58", "XX" };
	bool is = false;

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		is = is || memcmp(sqlstate, classes[i], 2) == 0;
	return is;
}

/* The replica has no answer.  Class 40: its replay was in the way. */
static void without_answer(struct lane *lane, enum batch_end end)
{
	const struct sql_error *error = &lane->batch->error;

	if (end == BATCH_LOST || is_servers_fault(error->sqlstate))
		leave(lane, describe(lane->replica, error));
	else if (memcmp(error->sqlstate, "40", 2) != 0)
		tell(lane, "replica_refused", describe(lane->replica, error));
	settle(lane, NULL);
}

/* The witness has as long as the operations have: that the primary is slow is no reason to give it more to do. */
static int64_t witness_patience(const struct batch *batch)
{
	int64_t soonest = clock_monotonic_us() + WITNESS_PATIENCE_MIN_US, first = INT64_MAX;

	for (size_t i = 0; i < batch->n; i++)
		if (batch->ops[i]->deadline_us != 0 && batch->ops[i]->deadline_us < first)
			first = batch->ops[i]->deadline_us;
	return first == INT64_MAX ? 0 : first > soonest ? first : soonest;
}

static void serve(struct lane *lane)
{
	struct batch *batch = lane->batch;
	struct connection *witness = &lane->replica->witness;
	struct sql_error error = { 0 };
	PGresult *there = NULL;
	enum batch_end end;

	if (!lane->connected) {
		settle(lane, NULL);
		return;
	}
	lane->connection.give_up_us = clock_monotonic_us() + REPLICA_PATIENCE_US;
	witness->give_up_us = witness_patience(batch);
	batch_set_pages(batch, 0, batch->n);
	bool asked = watermark_send(witness, &batch->bind, batch->pages, batch->n_pages);
	end = batch_run(batch, &lane->connection, 0, batch->n);
	if (end != BATCH_DONE)
		without_answer(lane, end);
	if (asked)
		there = watermark_receive(witness, &error);
	if (there == NULL && lane->connected)
		lose_witness(lane, &error);
	if (there != NULL && end == BATCH_DONE && !watermark_same_cell(batch->watermark, there, 0, WATERMARK_TIMELINE)) {
		leave(lane, "the replica does not follow the primary any more");
		PQclear(there);
		there = NULL;
	}
	if (end == BATCH_DONE)
		settle(lane, there);
	PQclear(there);
}

const struct lane_work replica_work = { serve, look_after };
