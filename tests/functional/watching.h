/* Watchers of a functional test: streams of WatchService, one line each. */
#pragma once

#include "aside/v1/watch.stub.h"
#include "world.h"

#define CURSOR_CHARS_MAX 4096

enum watch_what { ALL_OF_PAGE, OWN_THREADS, ONE_THREAD };

/* Who watches what; `cursor` is where it stands. */
struct watcher {
	enum watch_what what;
	int64_t caller, page, person; /* caller 0: the service */
	struct aside_stream *stream;
	char cursor[CURSOR_CHARS_MAX]; /* "": begins now */
	Aside__V1__WatchPageResponse *last; /* the last response, until the next */
};

/* Begins to watch, through the thread's `via`, and waits until it stands.  The test fails where it does not. */
void watcher_open(struct watcher *watcher);

/* The same, to be refused: false, with `status`. */
bool watcher_try_open(struct watcher *watcher);

/* The next event; NULL when the stream has ended, with `status`.  Borrowed until the next call. */
const Aside__V1__Event *watcher_next(struct watcher *watcher);

/* The next event, which must be a message of this text; its number in the thread. */
uint32_t watcher_expect(struct watcher *watcher, const char *text);

/* Leaves; the cursor stays. */
void watcher_close(struct watcher *watcher);

/* As a person or, with caller 0, as the service. */
#define WATCH_PAGE_AS(caller_, page_) { .what = ALL_OF_PAGE, .caller = (caller_), .page = (page_) }
#define WATCH_OWN(person_) { .what = OWN_THREADS, .caller = (person_), .person = (person_) }
#define WATCH_THREAD_AS(caller_, page_, person_) \
	{ .what = ONE_THREAD, .caller = (caller_), .page = (page_), .person = (person_) }

bool send_typing(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side);
