/* See retention.h.  Two numbers of a page say how far its removal has come: first_event, and behind it first_message.  The
 * order of events is that of their commit, so what is older than a moment is a beginning of it; a clock that was fast
 * only delays what comes after it.  Knows the store's operations, no SQL. */
#include "retention.h"

#include "clock.h"
#include "sql.h"
#include "sweep.h"

#define RETENTION_BATCH 500 /* events or messages of one transaction: a page is locked for some milliseconds */
#define RETENTION_PAGES 500 /* looked at by one statement */
#define RETENTION_ARENA_BYTES 4096
#define DAY_US 86400000000ll

/* From when on something is kept; 0: for ever. */
struct horizon {
	int64_t events_us, messages_us;
};

/* A message that goes is no event any more. */
static struct horizon horizon_at(const struct retention *retention, int64_t now_us)
{
	struct horizon horizon = { 0 };

	if (retention->message_days > 0)
		horizon.events_us = horizon.messages_us = now_us - retention->message_days * DAY_US;
	if (retention->event_days > 0 && now_us - retention->event_days * DAY_US > horizon.events_us)
		horizon.events_us = now_us - retention->event_days * DAY_US;
	return horizon;
}

static void op_time(struct op *op, int64_t time_us)
{
	if (time_us != 0)
		op_int(op, time_us);
	else
		op_null(op);
}

static enum aside_code out_of_memory(struct aside_status *err)
{
	return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

/* Has `statement` remove from the page what is from before, batch after batch; one at least, however late it is. */
static enum aside_code remove_old(struct store *store, const struct statement *statement, int64_t page_id, int64_t before_us,
		int64_t until_us, uint64_t *removed, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;
	bool more = before_us != 0;

	while (code == ASIDE_OK && more) {
		struct arena arena;
		arena_init(&arena, RETENTION_ARENA_BYTES);
		struct op *op = op_new(&arena, statement, page_id);
		if (op == NULL) {
			arena_fini(&arena);
			return out_of_memory(err);
		}
		op_int(op, page_id);
		op_int(op, before_us);
		op_int(op, RETENTION_BATCH);
		code = sweep_execute(store, op, err);
		if (code == ASIDE_OK) {
			int64_t n = op_row_int(op, 0, 1);
			more = n == RETENTION_BATCH && clock_monotonic_us() < until_us;
			*removed += (uint64_t)n;
			op_release(op);
		}
		arena_fini(&arena);
	}
	return code;
}

/* The pages of one look.  A page that is not done by `until_us` is the first of the next; one that fails waits until
 * all others have had their turn. */
static enum aside_code sweep_found(struct retention *retention, struct store *store, const struct op *found,
		const struct horizon *horizon, int64_t until_us, bool *ret_more, uint64_t *removed, struct aside_status *err)
{
	*ret_more = true;
	for (unsigned row = 0; row < found->n_rows; row++) {
		int64_t page_id = op_row_int(found, row, 1);
		enum aside_code code = ASIDE_OK;
		if (op_row_bool(found, row, 2)) {
			code = remove_old(store, &sql_remove_old_events, page_id, horizon->events_us, until_us, removed, err);
			if (code == ASIDE_OK)
				code = remove_old(store, &sql_remove_old_messages, page_id, horizon->messages_us, until_us, removed, err);
			if (code == ASIDE_OK && clock_monotonic_us() >= until_us)
				return code;
		}
		retention->after_page_id = page_id;
		if (code != ASIDE_OK)
			return code;
	}
	*ret_more = found->n_rows == RETENTION_PAGES;
	if (!*ret_more)
		retention->after_page_id = 0;
	return ASIDE_OK;
}

static enum aside_code sweep_some(struct retention *retention, struct store *store, const struct horizon *horizon,
		int64_t until_us, bool *ret_more, uint64_t *removed, struct aside_status *err)
{
	struct arena arena;
	enum aside_code code;

	arena_init(&arena, RETENTION_ARENA_BYTES);
	struct op *found = op_new(&arena, &sql_find_old_pages, 0);
	if (found == NULL) {
		arena_fini(&arena);
		return out_of_memory(err);
	}
	op_int(found, retention->after_page_id);
	op_time(found, horizon->events_us);
	op_time(found, horizon->messages_us);
	op_int(found, RETENTION_PAGES);
	code = sweep_execute(store, found, err);
	if (code == ASIDE_OK) {
		code = sweep_found(retention, store, found, horizon, until_us, ret_more, removed, err);
		op_release(found);
	}
	arena_fini(&arena);
	return code;
}

enum aside_code retention_sweep(struct retention *retention, struct store *store, int64_t now_us, int64_t until_us,
		bool *ret_more, uint64_t *ret_removed, struct aside_status *err)
{
	struct horizon horizon = horizon_at(retention, now_us);
	enum aside_code code = ASIDE_OK;

	*ret_more = horizon.events_us != 0;
	*ret_removed = 0;
	while (code == ASIDE_OK && *ret_more && clock_monotonic_us() < until_us)
		code = sweep_some(retention, store, &horizon, until_us, ret_more, ret_removed, err);
	return code;
}
