/* What callers and watchers saw, as two files that PostgreSQL's COPY reads: one line an attempt of a call, one line an
 * event watched.  Knows no calls and no database.  Any thread. */
#pragma once

#include <stdint.h>

#include "aside/status.h"

struct history;

#define KEY_BYTES 16

/* A send, or a side's mark moved to `seq`. */
struct call {
	bool mark;
	int side; /* aside.v1.Side: who writes, whose mark */
	int64_t page, person;
	uint8_t key[KEY_BYTES]; /* of a send, and its text: no tab, newline or backslash */
	char text[64];
	uint32_t asked_seq; /* of a mark */
};

/* Attempts of one call have one key; `ended_us` and `began_us` are monotonic, `seq` is what an answer gave. */
struct attempt {
	const struct call *call;
	int64_t began_us, ended_us;
	const struct aside_status *status;
	uint32_t seq;
};

/* An event as a watcher got it.  `number`: the place in what it got, of the page's events. */
struct watched {
	unsigned watcher;
	int64_t page, number, person;
	uint64_t told_number; /* by the event itself: of a message */
	const char *kind;     /* "message", "marks", or another that nobody expects */
	int side;
	uint32_t seq, unread; /* the message; a mark's, and what was left unread */
	const char *text;
};

/* Makes attempts.tsv and watched.tsv in the folder; NULL where it cannot.  Closing NULL is fine. */
struct history *history_open(const char *folder);
void history_close(struct history *history);

void history_add_attempt(struct history *history, const struct attempt *attempt);
void history_add_watched(struct history *history, const struct watched *watched);

/* All lines so far are in the files. */
void history_flush(struct history *history);
