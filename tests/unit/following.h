/* A follow.c without its server: clients that watch, their rooms and cursors, and reads that a test brings back when it
 * likes. */
#pragma once

#include "fake_log.h"
#include "service/follow.h"

enum { STAFF = 7, OTHER_STAFF = 8, JOHNNY = 42, FAN = 43 };
enum { WATCHERS = 24, SEEN_MAX = FAKE_EVENTS * FAKE_PAGES, READS_MAX = 4096 };

/* A client and its stream. */
struct client {
	enum watch_kind kind;
	bool staff;
	int64_t caller, user_id, page_id;
	struct watch *watch;
	unsigned room;           /* responses it still takes */
	bool wants_room, ended;  /* it was refused some; it was ended */
	struct aside_status why;
	struct place places[FAKE_PAGES]; /* where its last cursor stands, by page */
	bool has_cursor;
	unsigned greetings, typings, resyncs;
	struct {
		int64_t page_id, number;
	} seen[SEEN_MAX];
	size_t n_seen;
};

extern struct follow *follow;
extern struct client clients[WATCHERS];
extern struct op *reads[READS_MAX]; /* under way */
extern size_t n_reads;
extern bool refuse_reads;
extern const int64_t from_the_start[FAKE_PAGES]; /* zeros */

/* For cmocka. */
int set_up(void **state);
int tear_down(void **state);

/* ── clients ─────────────────────────────────────────────────────────────────────────────────────── */

/* One that takes everything; it does not watch yet. */
struct client *new_client(enum watch_kind kind, bool staff, int64_t caller, int64_t user_id, int64_t page_id);

/* Begins to watch, from its last cursor if it has one. */
void begin(struct client *client);
void leave(struct client *client);
void give_room(struct client *client, unsigned room);

/* It has seen what is its to see of each page after `from`, in order, and nothing twice. */
void assert_saw_all(const struct client *client, const int64_t from[FAKE_PAGES]);

/* ── the store ───────────────────────────────────────────────────────────────────────────────────── */

/* Commits an event, or a message of a person's, and says so: its number. */
int64_t commit(int64_t page_id, struct fake_event event);
int64_t say(int64_t page_id, int64_t user_id);

/* Brings back one of the reads under way, or all, until none follows. */
void finish_read(size_t which);
void finish_all(void);

/* What hints did not tell. */
void sweep(void);
