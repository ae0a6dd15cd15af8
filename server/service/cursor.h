/* Where a watch stands, as the client keeps it: opaque text, good for ever and on every server.
 *
 * A page's events are numbered without gaps in the order of their commit (P17), so a page and a number say exactly
 * what was seen.  A thread adds the number of its last message, by which the log finds the next one.  A person's
 * threads have a place each: there is no order between pages to keep, nothing to write with each message, and
 * nothing to forget on the server; a person with ten pages has a cursor of about 150 characters. */
#pragma once

#include "wire/arena.h"
#include "wire/status.h"

/* Most threads of one person that can be watched at once. */
#define PLACES_MAX 2000

enum watch_kind {
	WATCH_PAGE = 'p',
	WATCH_PERSON = 'u',
	WATCH_THREAD = 't',
};

struct place {
	int64_t page_id;
	int64_t event; /* the last that was seen; 0: none yet */
	int64_t seq;   /* PERSON, THREAD: the thread's last message up to there */
};

/* `user_id`: PERSON, THREAD: the person; PAGE: 0.  `places` ascend by page_id; PAGE and THREAD have one.  NULL when
 * the arena is full. */
char *cursor_new(struct arena *arena, enum watch_kind kind, int64_t user_id, const struct place *places,
		size_t n) MUST_CHECK;

/* The reverse; CURSOR_INVALID for what cursor_new() has not made of this kind and person.  In `arena`. */
enum aside_code cursor_read(struct arena *arena, const char *text, enum watch_kind kind, int64_t user_id,
		struct place **ret_places, size_t *ret_n, struct aside_status *err) MUST_CHECK;

/* The place on this page, or NULL. */
const struct place *place_find(const struct place *places, size_t n, int64_t page_id);
