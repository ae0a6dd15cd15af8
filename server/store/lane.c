/* See lane.h. */
#include "lane.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "replica.h"
#include "../clock.h"
#include "../log.h"

#define ABORT_RETRIES_MAX 5
#define LOSSES_MAX 3 /* of one batch, before it is split */
#define RECONNECT_MIN_US 50000
#define RECONNECT_MAX_US 1000000
#define LOOK_SECONDS 1 /* how often an idle lane looks after its connection */

void lane_finish(struct op *op, enum op_outcome outcome)
{
	op->outcome = outcome;
	op->done(op);
}

static void refuse(struct op *op, enum op_outcome outcome, enum aside_code code, const char *reason,
		const char *message)
{
	(void)fail(&op->err, code, reason, "%s", message);
	op->err.not_executed = outcome == OP_FAILED && code == ASIDE_UNAVAILABLE;
	lane_finish(op, outcome);
}

static void lose(struct op *op)
{
	refuse(op, OP_UNKNOWN, ASIDE_UNAVAILABLE, "OUTCOME_UNKNOWN",
			"the database was lost; repeat with the same key to learn the outcome");
}

/* ── the queue ───────────────────────────────────────────────────────────────────────────────────── */

static void append(struct lane *lane, struct op *op)
{
	op->next = NULL;
	*lane->tail = op;
	lane->tail = &op->next;
	if (lane->queued++ == 0)
		pthread_cond_signal(&lane->wake);
}

bool lane_offer(struct lane *lane, struct op *op)
{
	bool taken;

	pthread_mutex_lock(&lane->mutex);
	taken = lane->connected && !lane->stopping && lane->queued < LANE_BATCH_MAX;
	if (taken)
		append(lane, op);
	pthread_mutex_unlock(&lane->mutex);
	return taken;
}

enum aside_code lane_submit(struct lane *lane, struct op *op, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	pthread_mutex_lock(&lane->mutex);
	if (lane->queued >= LANE_QUEUE_MAX || lane->stopping) {
		code = fail(err, ASIDE_RESOURCE_EXHAUSTED, "QUEUE_FULL", "the store's queue is full");
		if (err != NULL) {
			err->retry_after_us = 100000;
			err->not_executed = true;
		}
	} else {
		append(lane, op);
	}
	pthread_mutex_unlock(&lane->mutex);
	return code;
}

/* Waits for work, for LOOK_SECONDS, and takes up to a batch of it; false: the lane ends. */
static bool take(struct lane *lane, struct batch *batch)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOOK_SECONDS;
	pthread_mutex_lock(&lane->mutex);
	lane->in_flight = 0;
	while (lane->head == NULL && !lane->stopping &&
			pthread_cond_clockwait(&lane->wake, &lane->mutex, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
	for (batch->n = 0; lane->head != NULL && batch->n < LANE_BATCH_MAX; batch->n++) {
		batch->ops[batch->n] = lane->head;
		lane->head = lane->head->next;
		lane->queued--;
	}
	if (lane->head == NULL)
		lane->tail = &lane->head;
	bool more = batch->n > 0 || !lane->stopping;
	pthread_mutex_unlock(&lane->mutex);
	return more;
}

/* Ends what is past its deadline before it is sent. */
static void drop_expired(struct batch *batch)
{
	int64_t now = clock_monotonic_us();
	size_t kept = 0;

	for (size_t i = 0; i < batch->n; i++) {
		struct op *op = batch->ops[i];
		if (atomic_load(&op->abandoned))
			refuse(op, OP_FAILED, ASIDE_CANCELLED, "CANCELLED", "the caller cancelled the call");
		else if (op->deadline_us != 0 && op->deadline_us <= now)
			refuse(op, OP_FAILED, ASIDE_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
					"the deadline passed before the statement was sent");
		else
			batch->ops[kept++] = op;
	}
	batch->n = kept;
}

/* What is about to be sent. */
static void count(struct lane *lane, size_t n)
{
	pthread_mutex_lock(&lane->mutex);
	lane->in_flight = n;
	lane->begun_us = clock_monotonic_us();
	lane->batches += n > 0;
	lane->operations += n;
	pthread_mutex_unlock(&lane->mutex);
}

/* ── the connection ──────────────────────────────────────────────────────────────────────────────── */

void lane_set_connected(struct lane *lane, bool connected)
{
	pthread_mutex_lock(&lane->mutex);
	lane->connected = connected;
	pthread_mutex_unlock(&lane->mutex);
}

static bool past_stop(struct lane *lane, int64_t now)
{
	bool past;

	pthread_mutex_lock(&lane->mutex);
	past = lane->stopping && now >= lane->stop_by_us;
	pthread_mutex_unlock(&lane->mutex);
	return past;
}

/* Ends those of [first, first + n) that are out of time; the others move together.  Returns how many are
 * left.  Operations outside the range may be answered already, and their memory gone: they are not touched. */
static size_t settle_expired(struct lane *lane, struct batch *batch, size_t first, size_t n, bool unsettled)
{
	int64_t now = clock_monotonic_us();
	bool past = past_stop(lane, now);
	size_t kept = 0;

	for (size_t i = first; i < first + n; i++) {
		struct op *op = batch->ops[i];
		if (!past && (op->deadline_us == 0 || op->deadline_us > now))
			batch->ops[first + kept++] = op;
		else if (unsettled)
			lose(op);
		else
			refuse(op, OP_FAILED, ASIDE_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is away");
	}
	return kept;
}

/* Returns how many of [first, first + n) are still to be sent; 0: maybe without a connection. */
static size_t reconnect(struct lane *lane, struct batch *batch, size_t first, size_t n, bool unsettled)
{
	struct aside_status err = { 0 };
	int64_t pause_us = RECONNECT_MIN_US;

	lane_set_connected(lane, false);
	connection_close(&lane->connection);
	while ((n = settle_expired(lane, batch, first, n, unsettled)) > 0) {
		struct timespec pause = { pause_us / 1000000, pause_us % 1000000 * 1000 };
		if (connection_open(&lane->connection, false, &err) == ASIDE_OK) {
			lane_set_connected(lane, true);
			return n;
		}
		log_warning("event=database_lost message=\"%s\"", err.message);
		nanosleep(&pause, NULL);
		pause_us = pause_us * 2 < RECONNECT_MAX_US ? pause_us * 2 : RECONNECT_MAX_US;
	}
	return 0;
}

/* Without work nothing else would notice that the database is away, or back, and health would not tell. */
static void look_after(struct lane *lane)
{
	struct aside_status err;
	bool was_connected = lane->connected;

	if (connection_alive(&lane->connection))
		return;
	lane_set_connected(lane, false);
	connection_close(&lane->connection);
	if (connection_open(&lane->connection, false, &err) == ASIDE_OK)
		lane_set_connected(lane, true);
	else if (was_connected)
		log_warning("event=database_lost message=\"%s\"", err.message);
}

/* ── batches ─────────────────────────────────────────────────────────────────────────────────────── */

/* Tells of the events of [first, first + n).  Before anyone hears that their operations are done, and frees them. */
static void tell(const struct lane *lane, const struct batch *batch, size_t first, size_t n)
{
	struct committed events[LANE_BATCH_MAX];
	size_t n_events = 0;

	for (size_t i = first; i < first + n; i++) {
		const struct op *op = batch->ops[i];
		int number = op->statement->event_number, opens = op->statement->opens_thread_of;
		if (number < 0 || op->n_rows == 0 || op_is_null(op, 0, (unsigned)number))
			continue;
		events[n_events++] = (struct committed){ op->page_id, op_row_int(op, 0, (unsigned)number),
			opens >= 0 ? op_row_int(op, 0, (unsigned)opens) : 0 };
	}
	if (n_events > 0)
		lane->committed(lane->committed_user, events, n_events);
}

static void finish_range(const struct lane *lane, struct batch *batch, size_t first, size_t n)
{
	if (lane->committed != NULL)
		tell(lane, batch, first, n);
	for (size_t i = first; i < first + n; i++)
		lane_finish(batch->ops[i], OP_DONE);
}

/* `unsettled`: these were sent before on a connection that died, and may be committed. */
static void execute(struct lane *lane, struct batch *batch, size_t first, size_t n, unsigned attempt, bool unsettled);

static void execute_halves(struct lane *lane, struct batch *batch, size_t first, size_t n, bool unsettled)
{
	execute(lane, batch, first, n / 2, 0, unsettled);
	execute(lane, batch, first + n / 2, n - n / 2, 0, unsettled);
}

/* By a host that only reads: a primary that was demoted, whose connection lives on.  The next batch looks for another. */
static void read_only(struct lane *lane, struct batch *batch, size_t first, size_t n, bool unsettled)
{
	log_warning("event=database_reads_only");
	connection_close(&lane->connection);
	for (size_t i = first; i < first + n; i++)
		if (unsettled)
			lose(batch->ops[i]);
		else
			refuse(batch->ops[i], OP_FAILED, ASIDE_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database only reads just now");
}

static void aborted(struct lane *lane, struct batch *batch, size_t first, size_t n, unsigned attempt, bool unsettled)
{
	bool transient = (memcmp(batch->error.sqlstate, "40", 2) == 0 && attempt < ABORT_RETRIES_MAX) ||
			(memcmp(batch->error.sqlstate, "23", 2) == 0 && attempt == 0); /* a page's birth: see connection.c */

	if (transient) {
		execute(lane, batch, first, n, attempt + 1, unsettled);
		return;
	}
	if (strcmp(batch->error.sqlstate, "25006") == 0) {
		read_only(lane, batch, first, n, unsettled);
		return;
	}
	if (n > 1) {
		execute_halves(lane, batch, first, n, unsettled);
		return;
	}
	log_error("event=statement_failed statement=%s sqlstate=%s message=\"%s\"",
			batch->ops[first]->statement->name, batch->error.sqlstate, batch->error.message);
	if (unsettled)
		lose(batch->ops[first]);
	else
		refuse(batch->ops[first], OP_FAILED, ASIDE_INTERNAL, "STORE_ERROR", "the store failed");
}

/* Each of these took the connection with it, again and again: perhaps one of them is the cause. */
static void lost_often(struct lane *lane, struct batch *batch, size_t first, size_t n)
{
	if (n > 1) {
		execute_halves(lane, batch, first, n, true);
		return;
	}
	log_error("event=statement_lost statement=%s times=%d", batch->ops[first]->statement->name, LOSSES_MAX);
	lose(batch->ops[first]);
}

static void count_retries(struct lane *lane, size_t n)
{
	pthread_mutex_lock(&lane->mutex);
	lane->retries += n;
	pthread_mutex_unlock(&lane->mutex);
}

static void execute(struct lane *lane, struct batch *batch, size_t first, size_t n, unsigned attempt, bool unsettled)
{
	enum batch_end end = BATCH_LOST;
	unsigned losses = 0;

	/* After a loss the same operations with the same keys, before anything newer: whether they were
	 * committed the first time, their rows tell. */
	do {
		if (connection_lost(&lane->connection))
			n = reconnect(lane, batch, first, n, unsettled);
		if (n == 0)
			return;
		if (unsettled)
			count_retries(lane, n);
		end = batch_run(batch, &lane->connection, first, n);
		if (end == BATCH_LOST) {
			connection_close(&lane->connection);
			unsettled = true;
		}
	} while (end == BATCH_LOST && ++losses < LOSSES_MAX);
	if (end == BATCH_DONE)
		finish_range(lane, batch, first, n);
	else if (end == BATCH_LOST)
		lost_often(lane, batch, first, n);
	else
		aborted(lane, batch, first, n, attempt, unsettled);
}

static void serve(struct lane *lane)
{
	execute(lane, lane->batch, 0, lane->batch->n, 0, false);
}

static void *run(void *arg)
{
	struct lane *lane = arg;
	struct batch *batch = lane->batch;

	lane->work->look_after(lane);
	while (take(lane, batch)) {
		drop_expired(batch);
		count(lane, batch->n);
		order_set(&batch->order, batch->ops, batch->n);
		if (batch->n == 0)
			lane->work->look_after(lane);
		else
			lane->work->serve(lane);
	}
	return NULL;
}

static const struct lane_work work = { serve, look_after };

/* What it needs before its thread runs. */
static enum aside_code prepare(struct lane *lane, const struct store_options *options, struct lane *primary, bool check,
		struct aside_status *err)
{
	enum aside_code code;

	lane->batch = calloc(1, sizeof *lane->batch);
	if (lane->batch == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	if (primary != NULL)
		return replica_new(options->database, primary, &lane->replica, err);
	code = connection_open(&lane->connection, check, err);
	lane->connected = code == ASIDE_OK;
	return code;
}

enum aside_code lane_start(struct lane *lane, enum lane_kind kind, unsigned number, const struct store_options *options,
		struct lane *primary, bool check, struct aside_status *err)
{
	static const enum connection_kind connections[LANE_KINDS] = { [LANE_READ] = CONNECTION_READ, [LANE_WRITE] = CONNECTION_WRITE,
		[LANE_REPLICA] = CONNECTION_REPLICA };
	enum aside_code code;

	*lane = (struct lane){ .work = kind == LANE_REPLICA ? &replica_work : &work, .committed = kind == LANE_WRITE ? options->committed : NULL,
		.committed_user = options->committed_user };
	lane->tail = &lane->head;
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->wake, NULL);
	code = connection_init(&lane->connection, connections[kind], kind == LANE_REPLICA ? options->read_database : options->database, err);
	lane->connection.next_host = number;
	if (code == ASIDE_OK)
		code = prepare(lane, options, primary, check, err);
	if (code != ASIDE_OK)
		return code;
	if (pthread_create(&lane->thread, NULL, run, lane) != 0)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	lane->started = true;
	return ASIDE_OK;
}

void lane_close(struct lane *lane, int64_t deadline_us)
{
	if (!lane->started)
		return;
	pthread_mutex_lock(&lane->mutex);
	lane->stopping = true;
	lane->stop_by_us = deadline_us;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->mutex);
	connection_stop(&lane->connection, deadline_us);
	replica_stop(lane->replica, deadline_us);
}

void lane_stop(struct lane *lane)
{
	if (lane->started)
		pthread_join(lane->thread, NULL);
	lane->started = false;
	connection_fini(&lane->connection);
	replica_free(lane->replica);
	lane->replica = NULL;
	if (lane->batch != NULL)
		batch_fini(lane->batch);
	free(lane->batch);
	lane->batch = NULL;
}
