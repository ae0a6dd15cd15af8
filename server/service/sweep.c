/* See sweep.h; and the sweep of unused uploads (P13): finds some, removes each under its page's lock. */
#include "sweep.h"

#include <pthread.h>
#include <time.h>

#include "attachments.h"
#include "clock.h"
#include "sql.h"

#define SWEEP_BATCH 64  /* uploads looked for at a time */
#define SWEEP_CHUNKS 32 /* chunks removed in one transaction: 8 MiB */
#define SWEEP_ARENA_BYTES (64 * 1024)

/* One operation and who waits for it. */
struct wait {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;
};

static void wake(struct op *op)
{
	struct wait *wait = op->user;

	pthread_mutex_lock(&wait->mutex);
	wait->done = true;
	pthread_cond_signal(&wait->cond);
	pthread_mutex_unlock(&wait->mutex);
}

static void wait_until_done(struct wait *wait)
{
	pthread_mutex_lock(&wait->mutex);
	while (!wait->done)
		pthread_cond_wait(&wait->cond, &wait->mutex);
	pthread_mutex_unlock(&wait->mutex);
	pthread_cond_destroy(&wait->cond);
	pthread_mutex_destroy(&wait->mutex);
}

enum aside_code sweep_execute(struct store *store, struct op *op, struct aside_status *err)
{
	struct wait wait = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	int64_t began_us = clock_monotonic_us(), took_us;

	op->done = wake;
	op->user = &wait;
	op->deadline_us = began_us + SWEEP_TIMEOUT_US;
	enum aside_code code = store_submit(store, op, err);
	if (code != ASIDE_OK)
		return code;
	wait_until_done(&wait);
	took_us = clock_monotonic_us() - began_us;
	if (op->outcome == OP_DONE) {
		took_us = took_us < SWEEP_REST_US_MAX ? took_us : SWEEP_REST_US_MAX;
		nanosleep(&(struct timespec){ took_us / 1000000, took_us % 1000000 * 1000 }, NULL);
		return ASIDE_OK;
	}
	*err = op->err;
	op_release(op);
	return err->code != ASIDE_OK ? err->code : fail(err, ASIDE_INTERNAL, "INTERNAL", "no outcome");
}

/* One transaction's worth of one upload. */
static enum aside_code remove_some(struct store *store, int64_t page_id, struct bytes id,
		int64_t before_us, bool *ret_more, bool *ret_removed, struct aside_status *err)
{
	struct arena arena;
	arena_init(&arena, SWEEP_ARENA_BYTES);
	enum aside_code code = ASIDE_RESOURCE_EXHAUSTED;
	struct op *op = op_new(&arena, &sql_remove_unused_attachments, page_id);

	if (op == NULL) {
		arena_fini(&arena);
		return fail(err, code, "OUT_OF_MEMORY", "out of memory");
	}
	op_int(op, page_id);
	op_bytes(op, id);
	op_int(op, before_us);
	op_int(op, SWEEP_CHUNKS);
	code = sweep_execute(store, op, err);
	if (code == ASIDE_OK) {
		*ret_more = op->n_rows > 0 && op_row_bool(op, 0, 1);
		*ret_removed = op->n_rows > 0 && !*ret_more;
		op_release(op);
	}
	arena_fini(&arena);
	return code;
}

/* All of those found, as far as the time goes; some of the first, however late it is. */
static enum aside_code remove_found(struct store *store, const struct op *found, int64_t before_us,
		int64_t until_us, unsigned *removed, struct aside_status *err)
{
	for (unsigned row = 0; row < found->n_rows && (row == 0 || clock_monotonic_us() < until_us); row++) {
		bool more = true;
		while (more) {
			bool gone = false;
			enum aside_code code = remove_some(store, op_row_int(found, row, 1),
					op_row_bytes(found, row, 2), before_us, &more, &gone, err);
			if (code != ASIDE_OK)
				return code;
			*removed += gone;
			more = more && clock_monotonic_us() < until_us;
		}
	}
	return ASIDE_OK;
}

enum aside_code attachments_sweep(struct store *store, int64_t now_us, int64_t until_us,
		unsigned *ret_removed, struct aside_status *err)
{
	int64_t before_us = now_us - (int64_t)ATTACHMENT_UNUSED_SECONDS * 1000000;
	enum aside_code code = ASIDE_OK;
	bool again = true;

	*ret_removed = 0;
	while (code == ASIDE_OK && again && clock_monotonic_us() < until_us) {
		struct arena arena;
		arena_init(&arena, SWEEP_ARENA_BYTES);
		struct op *found = op_new(&arena, &sql_find_unused_attachments, 0);
		if (found == NULL) {
			arena_fini(&arena);
			return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
		}
		op_int(found, before_us);
		op_int(found, SWEEP_BATCH);
		code = sweep_execute(store, found, err);
		if (code == ASIDE_OK) {
			again = found->n_rows == SWEEP_BATCH;
			code = remove_found(store, found, before_us, until_us, ret_removed, err);
			op_release(found);
		}
		arena_fini(&arena);
	}
	return code;
}
