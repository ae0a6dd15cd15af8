/* Who watches what: watches, and where each stands in the logs of its pages.
 *
 *     watch (one stream) ──▶ sub (one page or thread of it) ──▶ room (all subs of one page, or of one thread)
 *                                                        └────▶ page (its log, as far as this server has come)
 *
 * Knows no rows, no cursors and no sending: see follow.h.  One thread: the hub's. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "cursor.h"

struct read;
struct watch;
struct beginning;

/* A watch that is not followed yet, for its maker to give a stream; NULL without memory.  Any thread. */
struct watch *watch_new(enum watch_kind kind, bool staff, int64_t caller, int64_t user_id) MUST_CHECK;

/* Where a sub is, and what brings it on:
 *
 *     BEHIND ──own reads──▶ JOINING ──the page's reads reach it──▶ LIVE
 *        ▲                     │                                     │
 *        └───── its watch may send again ◀── PARKED ◀── its watch may not send
 */
enum sub_state {
	SUB_LIVE,    /* where its page is: gets what the page's reads bring */
	SUB_JOINING, /* at `event`, close to where its page is: gets of the page's reads what is new to it */
	SUB_BEHIND,  /* at `event`, far from it: has reads of its own */
	SUB_PARKED,  /* at `event`, until its watch may send */
};

struct sub {
	struct watch *watch;
	struct page *page;
	struct room *room;
	enum sub_state state;
	bool due;           /* in follow's queue of reads to make */
	int64_t event, seq; /* as in struct place; of a LIVE one the event may be older than its page's */
	int64_t since;      /* the page's last event when the caller's role was checked */
	struct read *read;  /* of its own, under way; NULL */
	LIST_ENTRY(sub) in_room, on_page, joining;
	TAILQ_ENTRY(sub) in_queue;
};

enum watch_state {
	WATCH_OPEN,    /* may send */
	WATCH_WAITING, /* for room to send: costs no more than its place */
	WATCH_ENDED,   /* by us; its stream will be gone soon */
};

/* What the hub is to be told of a watch; bits. */
enum watch_news {
	NEWS_BEGINS = 1 << 0,
	NEWS_WRITABLE = 1 << 1,
	NEWS_GONE = 1 << 2,
};

struct watch {
	enum watch_kind kind;
	enum watch_state state;
	bool staff;      /* sees what staff and services see */
	bool greeted;    /* the first response is sent */
	int64_t caller;  /* the person who watches; 0: a service */
	int64_t user_id; /* PERSON, THREAD: the thread's person; 0 otherwise */
	void *stream;
	struct sub **subs; /* ascending by page */
	size_t n_subs, room_for;
	LIST_ENTRY(watch) of_person;
	/* The hub's, with its mutex held. */
	unsigned news; /* enum watch_news; in the mailbox while there is any */
	struct watch *next_news;
	struct beginning *beginnings;
	size_t n_beginnings;
};

struct room {
	int64_t page_id, user_id; /* 0: all of the page */
	LIST_HEAD(, sub) subs;
};

struct page {
	int64_t page_id;
	int64_t position; /* its LIVE subs have all up to here */
	int64_t known;    /* there are events up to here */
	int64_t unchecked; /* from here on the roles of some who began to watch are to be checked; INT64_MAX: of none */
	bool reading, due;
	LIST_HEAD(, sub) subs;
	LIST_HEAD(, sub) joining;
	TAILQ_ENTRY(page) in_queue, in_all;
};

/* A person whose threads are watched: those to come as well. */
struct person {
	int64_t user_id;
	LIST_HEAD(, watch) watches;
	TAILQ_ENTRY(person) in_all;
};

struct watchers {
	void *pages, *rooms, *persons; /* trees of tsearch(3) */
	TAILQ_HEAD(, page) all_pages;
	TAILQ_HEAD(, person) all_persons;
	size_t n_pages, n_persons;
};

void watchers_init(struct watchers *watchers);

struct page *watchers_page(struct watchers *watchers, int64_t page_id);
struct room *watchers_room(struct watchers *watchers, int64_t page_id, int64_t user_id);
struct person *watchers_person(struct watchers *watchers, int64_t user_id);

/* A PERSON watch is told of new threads from now on.  False without memory. */
bool watchers_add_person(struct watchers *watchers, struct watch *watch) MUST_CHECK;

/* Puts the watch at `place`, PARKED; the page has events up to `last_event`.  NULL without memory. */
struct sub *watchers_add(struct watchers *watchers, struct watch *watch, const struct place *place,
		int64_t last_event) MUST_CHECK;

/* Takes the watch out, and what nobody else watches. */
void watchers_remove(struct watchers *watchers, struct watch *watch);

/* Frees a page that nobody watches and nothing reads. */
void watchers_sweep_page(struct watchers *watchers, struct page *page);

/* Ids of up to `n` pages or persons that are watched; further calls go on with the others, round and round.  Returns how
 * many. */
size_t watchers_pages(struct watchers *watchers, int64_t *ret_ids, size_t n);
size_t watchers_persons(struct watchers *watchers, int64_t *ret_ids, size_t n);

/* The watch's sub on this page, or NULL. */
struct sub *watch_sub(const struct watch *watch, int64_t page_id);

void sub_move(struct sub *sub, enum sub_state to);

/* The last event it has seen, or that is none of its. */
int64_t sub_event(const struct sub *sub);
