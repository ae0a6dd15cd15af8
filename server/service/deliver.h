/* Making responses of events and sending them: packed once for each side of a thread, whoever and how many watch. */
#pragma once

#include "event.h"
#include "watchers.h"

/* Where responses go: streams, outside tests. */
struct deliver_sink {
	/* False: there is no room, or the stream has ended; the response is not taken. */
	bool (*send)(void *stream, struct bytes response);
	/* Ends the stream, which will be gone soon. */
	void (*end)(void *stream, const struct aside_status *why);
	/* It will not be named again. */
	void (*forget)(void *stream);
};

enum delivery {
	DELIVERED, /* or nothing there that the watch may see */
	NO_ROOM,   /* the sub is where it was before */
	NO_MEMORY,
};

/* One event, and what was made of it so far. */
struct showing {
	const struct event *event;
	struct arena arena;
	struct {
		bool made;
		struct bytes event, response;
	} sides[2]; /* the person's, staff's */
	const struct room *room; /* that the responses are for: all of one side in a room stand at the same place */
};

void showing_init(struct showing *showing, const struct event *event);
void showing_fini(struct showing *showing);

/* Moves the sub to the event. */
enum delivery deliver_event(const struct deliver_sink *sink, struct showing *showing, struct sub *sub) MUST_CHECK;

/* What is the same for all of a side and moves nobody. */
enum delivery deliver_typing(const struct deliver_sink *sink, struct showing *showing, struct sub *sub) MUST_CHECK;

/* Says that the log is cut, and moves the sub to this place. */
enum delivery deliver_resync(const struct deliver_sink *sink, struct sub *sub, int64_t event, int64_t seq) MUST_CHECK;

/* The first response: where the watch stands. */
enum delivery deliver_greeting(const struct deliver_sink *sink, struct watch *watch) MUST_CHECK;
