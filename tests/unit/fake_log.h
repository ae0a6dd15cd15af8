/* Logs of pages in memory, and reads of them as server/store/sql/read_page_events.sql and read_thread_events.sql would
 * answer: for tests of whoever follows logs. */
#pragma once

#include "service/event.h"

#define FAKE_PAGES 4 /* ids 1 to FAKE_PAGES - 1 */
#define FAKE_EVENTS 8192

struct fake_event {
	enum event_kind kind;
	int64_t user_id; /* of the thread; 0: of none */
	int side;        /* MARKS, BLOCK */
	int64_t seq, subject_id, state;
};

struct fake_log {
	struct fake_event events[FAKE_EVENTS]; /* number n is at n - 1 */
	int64_t last_event, first_event;
};

extern struct fake_log fake_logs[FAKE_PAGES];

/* Empties them. */
void fake_reset(void);

/* Commits an event; messages get their seq.  Returns its number. */
int64_t fake_commit(int64_t page_id, struct fake_event event);

/* The thread's last message up to this event. */
int64_t fake_last_seq(int64_t page_id, int64_t user_id, int64_t up_to_event);

/* Answers a read with what is committed now. */
void fake_execute(struct op *op);

/* Whether staff, or the thread's person, see it. */
bool fake_visible(const struct fake_event *event, bool for_staff);
