/* Hints: what the servers on one database tell each other at once, over PostgreSQL's NOTIFY.
 *
 *     this server's commits ──▶ hints ── one NOTIFY every HINTS_EVERY_US, of all there is to tell ──▶ the others
 *
 * A hint says where to look and is never the truth: it may be lost, late, or told twice.  One connection of its own
 * both tells and listens; it is no part of any write, since a NOTIFY takes a lock that all notifying commits of the
 * cluster wait for (PostgreSQL's PreCommit_Notify).  What was told while the connection was away is gone:
 * `interrupted` says that anything may have happened.
 *
 * It has a thread, on which the callbacks run: they must only hand over. */
#pragma once

#include "wire/scope.h"

/* While nothing was told for this long, a hint leaves at once; else with the next round. */
#define HINTS_EVERY_US 20000

enum hint_kind {
	HINT_EVENT = 'e',  /* the page has events up to `number` */
	HINT_OPENS = 'o',  /* event `number` of the page opened the thread of `user_id` */
	HINT_TYPING = 't', /* `number` types in the thread of `user_id`, as `side` */
};

struct hint {
	enum hint_kind kind;
	int side;
	int64_t page_id, number, user_id;
};

struct hints_options {
	const char *database; /* libpq connection string; borrowed */
	/* What another server told. */
	void (*heard)(void *user, const struct hint *hint);
	/* The connection is there, for the first time or once more. */
	void (*interrupted)(void *user);
	void *user;
};

struct hints;

/* Does not wait for the connection.  RESOURCE_EXHAUSTED without memory or thread. */
enum aside_code hints_open(const struct hints_options *options, struct hints **ret, struct aside_status *err) MUST_CHECK;

/* Tells the other servers, this one not.  Of a page's events only the last is told.  Any thread; never blocks. */
void hints_tell(struct hints *hints, const struct hint *hint);

/* Waits for the thread: a few seconds where the database does not answer.  NULL is fine. */
void hints_close(struct hints *hints);
