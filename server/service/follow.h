/* Following the logs of pages, and passing on what they bring: each watch every event that is its to see, once, in
 * the order of the log.
 *
 *     an event was committed ──▶ the page is due ──▶ one read from `position` on ──▶ all its LIVE and JOINING subs
 *     a watch is far behind  ──▶ a read of its own from its place up to `position` ──▶ that sub alone
 *
 * A page is read once for however many watch it.  The log is the truth: nothing is kept here but numbers, a watch that
 * may not send costs its place, and what hints say is only where to look.  A read of a sub's own never goes beyond its
 * page's `position`, so that all watches of staff who lose their role end at the same event.
 *
 * A state machine without threads, sockets and clocks: the hub drives it, on one thread. */
#pragma once

#include "deliver.h"
#include "store/op.h"

/* Events of one read. */
#define FOLLOW_READ_MAX 128
/* So close to the page's position a sub joins the page's reads. */
#define FOLLOW_JOIN_MAX 128
/* Reads under way at once. */
#define FOLLOW_READS_MAX 256

struct follow;

struct follow_options {
	/* Has an operation executed; follow_done() when it is back.  False: not now. */
	bool (*submit)(void *user, struct op *op);
	void *user;
	/* A stream without room: follow_writable() when it has some; one that is gone: follow_end(). */
	struct deliver_sink sink;
};

/* Where a watch begins on a page, and how far that page was when the caller was found to be allowed to. */
struct beginning {
	struct place place;
	int64_t last_event;
};

/* NULL without memory. */
struct follow *follow_new(const struct follow_options *options) MUST_CHECK;
/* After the last watch has ended and the last read is back. */
void follow_free(struct follow *follow);
struct watchers *follow_watchers(struct follow *follow);

/* Takes the watch, a new one.  `beginnings`, at most one a page, are borrowed. */
void follow_begin(struct follow *follow, struct watch *watch, const struct beginning *beginnings, size_t n);
/* There is room to send again. */
void follow_writable(struct follow *follow, struct watch *watch);
/* The stream is gone, whoever ended it: frees the watch. */
void follow_end(struct follow *follow, struct watch *watch);

/* The page has events up to `last_event`. */
void follow_event(struct follow *follow, int64_t page_id, int64_t last_event);
/* The person has a thread with the page, by its event `number` at the latest. */
void follow_opens(struct follow *follow, int64_t page_id, int64_t number, int64_t user_id);
/* Shown to those who are up to date, and forgotten (P16). */
void follow_typing(struct follow *follow, const struct typing *typing);

/* Whose `user` has submitted this read.  Any thread. */
void *follow_user(const struct op *op);
/* A read is back.  Takes the operation. */
void follow_done(struct follow *follow, struct op *op);

/* Submits the reads that are due.  After the calls above. */
void follow_work(struct follow *follow);
/* Tries again what could not be read. */
void follow_retry(struct follow *follow);
