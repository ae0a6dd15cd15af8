/* Rows are made as libpq has them: the code under test reads them by its own accessors.  See fake_log.h. */
#include "fake_log.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "sql.h"
#include "store/result.h"
#include "store/statement.h"

struct fake_log fake_logs[FAKE_PAGES];

void fake_reset(void)
{
	memset(fake_logs, 0, sizeof fake_logs);
	for (size_t i = 0; i < FAKE_PAGES; i++)
		fake_logs[i].first_event = 1;
}

int64_t fake_last_seq(int64_t page_id, int64_t user_id, int64_t up_to_event)
{
	for (int64_t number = up_to_event; number > 0; number--) {
		const struct fake_event *event = &fake_logs[page_id].events[number - 1];
		if (event->kind == EVENT_IS_MESSAGE && event->user_id == user_id)
			return event->seq;
	}
	return 0;
}

int64_t fake_commit(int64_t page_id, struct fake_event event)
{
	struct fake_log *log = &fake_logs[page_id];

	if (log->last_event == FAKE_EVENTS)
		abort();
	if (event.kind == EVENT_IS_MESSAGE)
		event.seq = fake_last_seq(page_id, event.user_id, log->last_event) + 1;
	log->events[log->last_event] = event;
	return ++log->last_event;
}

bool fake_visible(const struct fake_event *event, bool for_staff)
{
	switch (event->kind) {
	case EVENT_IS_MESSAGE:
	case EVENT_IS_MARKS:
	case EVENT_IS_UNSENT: return true;
	case EVENT_IS_BLOCK: return event->side == (for_staff ? 2 : 1);
	case EVENT_IS_SETTINGS:
	case EVENT_IS_STAFF:
	case EVENT_IS_WALL: break;
	}
	return for_staff;
}

/* ── rows ────────────────────────────────────────────────────────────────────────────────────────── */

static PGresult *empty_rows(const struct statement *statement)
{
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	static char ord[] = "ord";
	PGresAttDesc columns[OP_PARAMS_MAX + 1] = { { .name = ord, .format = 1 } };

	for (size_t i = 0; i < statement->n_columns; i++)
		columns[i + 1] = (PGresAttDesc){ .name = (char *)(uintptr_t)statement->columns[i].name, .format = 1 };
	if (rows == NULL || PQsetResultAttrs(rows, (int)statement->n_columns + 1, columns) != 1)
		abort();
	return rows;
}

static void set(PGresult *rows, int row, unsigned column, int64_t value)
{
	uint64_t big = htobe64((uint64_t)value);

	if (PQsetvalue(rows, row, (int)column + 1, (char *)&big, sizeof big) != 1)
		abort();
}

static void set_null(PGresult *rows, int row, unsigned column)
{
	if (PQsetvalue(rows, row, (int)column + 1, NULL, -1) != 1)
		abort();
}

static void add_row(PGresult *rows, const struct fake_log *log, int64_t last_seq, int64_t number)
{
	const struct fake_event *event = number > 0 ? &log->events[number - 1] : NULL;
	int row = PQntuples(rows);

	for (unsigned column = EVENT_LAST; column < EVENT_MESSAGE + MESSAGE_COLUMNS; column++)
		set_null(rows, row, column);
	set(rows, row, EVENT_LAST, log->last_event);
	set(rows, row, EVENT_FIRST, log->first_event);
	set(rows, row, EVENT_LAST_SEQ, last_seq);
	if (event == NULL)
		return;
	set(rows, row, EVENT_KIND, event->kind);
	if (event->user_id != 0)
		set(rows, row, EVENT_USER, event->user_id);
	set(rows, row, EVENT_STATE, event->state);
	set(rows, row, EVENT_MESSAGE + MESSAGE_SEQ, event->seq);
	set(rows, row, EVENT_MESSAGE + MESSAGE_SIDE, event->side);
	set(rows, row, EVENT_MESSAGE + MESSAGE_SENDER, event->subject_id);
	set(rows, row, EVENT_MESSAGE + MESSAGE_EVENT, number);
}

void fake_execute(struct op *op)
{
	bool of_thread = op->statement == &sql_read_thread_events;
	unsigned at = 0;
	int64_t page_id = op->params[at++].number, user_id = of_thread ? op->params[at++].number : 0;
	int64_t after = op->params[at++].number, after_seq = of_thread ? op->params[at++].number : 0;
	int64_t up_to = op->params[at++].number, most = op->params[at++].number, n = 0;
	const struct fake_log *log = &fake_logs[page_id];
	int64_t last_seq = of_thread ? fake_last_seq(page_id, user_id, log->last_event) : 0;
	PGresult *rows = empty_rows(op->statement);
	struct op_result *result = result_new(rows, 1);

	if (after < log->first_event - 1)
		after = log->first_event - 1; /* what is older is gone */
	for (int64_t number = after + 1; number <= log->last_event && number <= up_to && n < most; number++) {
		const struct fake_event *event = &log->events[number - 1];
		if (of_thread && (event->user_id != user_id || (event->kind == EVENT_IS_MESSAGE && event->seq <= after_seq)))
			continue;
		add_row(rows, log, last_seq, number);
		n++;
	}
	if (n == 0)
		add_row(rows, log, last_seq, 0);
	if (result == NULL)
		abort();
	op->result = result;
	op->n_rows = (unsigned)PQntuples(rows);
	op->outcome = OP_DONE;
}
