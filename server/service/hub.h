/* The hub: brings what happens, here and on other servers, to those who watch.
 *
 *     lanes: events that were committed ──┐                            ┌──▶ streams: responses
 *     hints: what other servers tell ─────┼──▶ mailbox ──▶ follow.h ───┼──▶ store: reads of the log
 *     handlers, streams: watches, typing ─┘                            └──▶ hints: what others are told
 *
 * One thread, which never waits but for its mailbox.  Every HUB_SWEEP_US it looks at the tables for what hints have
 * not told: a lost hint is a delay, never a loss. */
#pragma once

#include "follow.h"
#include "store/store.h"

#define HUB_SWEEP_US 3000000

struct hub;

struct hub_options {
	const char *database; /* for hints, a libpq connection string, borrowed; NULL: none, the sweep has to do */
	struct deliver_sink sink;
};

enum aside_code hub_open(const struct hub_options *options, struct hub **ret, struct aside_status *err) MUST_CHECK;

/* Begins to read: with the store that was opened with hub_committed(). */
enum aside_code hub_start(struct hub *hub, struct store *store, struct aside_status *err) MUST_CHECK;

/* A store_committed of store.h. */
void hub_committed(void *hub, const struct committed *events, size_t n);

/* All of these: any thread; never block. */

/* Begins to follow.  Takes the watch and `beginnings`, allocated with malloc(). */
void hub_watch(struct hub *hub, struct watch *watch, struct beginning *beginnings, size_t n);
/* The stream of a watch has room again. */
void hub_writable(struct hub *hub, struct watch *watch);
/* It is gone: after this the watch must not be named again. */
void hub_unwatch(struct hub *hub, struct watch *watch);
/* Somebody is typing: to watchers here and elsewhere. */
void hub_typing(struct hub *hub, const struct typing *typing);

/* Stops the thread: nothing more is sent.  Before the store closes. */
void hub_stop(struct hub *hub);
/* After the store and all streams have closed.  NULL is fine. */
void hub_close(struct hub *hub);
