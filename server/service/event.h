/* An event of a page's log, as read_page_events.sql and read_thread_events.sql give it, and as a watcher may see it. */
#pragma once

#include "cursor.h"
#include "message.h"

/* The columns of both statements. */
enum event_column {
	EVENT_LAST,       /* the page's last event */
	EVENT_FIRST,      /* its oldest that is still kept */
	EVENT_LAST_SEQ,   /* read_thread_events: the thread's last message */
	EVENT_KIND,       /* NULL: there is no event in this row */
	EVENT_USER,
	EVENT_DELIVERED,
	EVENT_UNREAD,
	EVENT_STATE,
	EVENT_MESSAGE, /* those of message.h; other kinds than messages use some of them, as the statements say */
};

enum event_kind {
	EVENT_IS_MESSAGE = 0,
	EVENT_IS_SETTINGS = 1,
	EVENT_IS_MARKS = 2,
	EVENT_IS_BLOCK = 3,
	EVENT_IS_STAFF = 4,
	EVENT_IS_WALL = 5,
	EVENT_IS_UNSENT = 6,
};

/* A row, borrowed from its operation. */
struct event {
	const struct op *op;
	unsigned row;
	enum event_kind kind;
	int64_t page_id, number;
	int64_t user_id;    /* the thread's person; 0: in no thread */
	int64_t subject_id; /* of STAFF: who */
	int64_t state;      /* of STAFF: the role */
	int64_t seq;        /* of a message: its number */
};

/* False: the row has none. */
bool event_read(const struct op *op, unsigned row, int64_t page_id, struct event *ret);

/* What is sent of it to staff and services, or to the thread's person: the field `event` of a WatchPageResponse and its
 * like, tag and all, in `arena`; no bytes where it is not theirs to see (P9).  False when the arena is full. */
bool event_show(struct arena *arena, const struct event *event, bool for_staff, struct bytes *ret) MUST_CHECK;

/* Somebody is typing (P16): no log has it. */
struct typing {
	int64_t page_id, user_id; /* the thread */
	int64_t typist;
	int side;
	int64_t at_us;
};

/* The same of what is in no log. */
bool event_show_typing(struct arena *arena, const struct typing *typing, bool for_staff, struct bytes *ret) MUST_CHECK;
bool event_show_resync(struct arena *arena, int64_t page_id, int64_t user_id, struct bytes *ret) MUST_CHECK;

/* The whole response: this cursor, and this event or none.  False when the arena is full. */
bool event_response(struct arena *arena, const char *cursor, struct bytes event, struct bytes *ret) MUST_CHECK;
