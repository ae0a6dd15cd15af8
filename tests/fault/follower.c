/* See follower.h.  A thread each; a stream lasts for a second at most, so that its cursor is used all the time. */
#include "follower.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "aside/v1/watch.stub.h"
#include "history.h"
#include "load.h"

#define STREAM_MS 1000
#define CURSOR_CHARS 4096

struct follower {
	struct aside_channel *channel;
	struct history *history;
	unsigned number;
	int64_t page, place; /* how many of the page's events it has or never wanted */
	char cursor[CURSOR_CHARS];
	atomic_int_least64_t last_place, until_us; /* ends at either */
	pthread_t thread;
};

static void write_down(struct follower *follower, const Aside__V1__Event *event)
{
	struct watched watched = { follower->number, follower->page, ++follower->place, event->user_id, .kind = "other", .text = "" };

	if (event->kind_case == ASIDE__V1__EVENT__KIND_MESSAGE) {
		watched.kind = "message";
		watched.told_number = event->message->event_number;
		watched.side = (int)event->message->side;
		watched.seq = event->message->seq;
		watched.text = event->message->content->text;
	} else if (event->kind_case == ASIDE__V1__EVENT__KIND_MARKS_MOVED) {
		watched.kind = "marks";
		watched.side = (int)event->marks_moved->side;
		watched.seq = event->marks_moved->marks->read_seq;
		watched.unread = event->marks_moved->marks->unread_count;
	}
	history_add_watched(follower->history, &watched);
}

static enum aside_code open_stream(struct follower *follower, struct aside_stream **ret_stream)
{
	Aside__V1__WatchPageRequest request = ASIDE__V1__WATCH_PAGE_REQUEST__INIT;
	struct aside_call_options options = { .timeout_ms = STREAM_MS };

	request.page_id = follower->page;
	request.cursor = follower->cursor;
	return aside_v1_watch_service_watch_page_open(follower->channel, &request, &options, ret_stream, NULL);
}

/* False: the stream has ended. */
static bool receive(struct follower *follower, struct aside_stream *stream)
{
	Aside__V1__WatchPageResponse *response = NULL;

	if (aside_v1_watch_service_watch_page_receive(stream, &response, NULL) != ASIDE_OK || response == NULL)
		return false;
	(void)snprintf(follower->cursor, sizeof follower->cursor, "%s", response->cursor);
	if (response->event != NULL)
		write_down(follower, response->event);
	aside_free(response);
	return true;
}

static bool goes_on(struct follower *follower)
{
	return follower->place < atomic_load(&follower->last_place) && load_now_us() < atomic_load(&follower->until_us);
}

static void *follow(void *arg)
{
	struct follower *follower = arg;

	while (goes_on(follower)) {
		struct aside_stream *stream = NULL;
		if (open_stream(follower, &stream) == ASIDE_OK)
			while (receive(follower, stream) && goes_on(follower))
				;
		aside_stream_close(stream);
	}
	return NULL;
}

/* The first cursor. */
static bool begin(struct follower *follower)
{
	struct aside_stream *stream = NULL;
	bool stands = open_stream(follower, &stream) == ASIDE_OK && receive(follower, stream);

	aside_stream_close(stream);
	return stands;
}

struct follower *follower_start(struct aside_channel *channel, struct history *history, unsigned number, int64_t page,
		int64_t last_event)
{
	struct follower *follower = calloc(1, sizeof *follower);

	if (follower == NULL)
		return NULL;
	follower->channel = channel;
	follower->history = history;
	follower->number = number;
	follower->page = page;
	follower->place = last_event;
	atomic_store(&follower->last_place, INT64_MAX);
	atomic_store(&follower->until_us, INT64_MAX);
	if (begin(follower) && pthread_create(&follower->thread, NULL, follow, follower) == 0)
		return follower;
	free(follower);
	return NULL;
}

bool follower_stop(struct follower *follower, int64_t last_event, int64_t until_us)
{
	atomic_store(&follower->until_us, until_us);
	atomic_store(&follower->last_place, last_event);
	pthread_join(follower->thread, NULL);
	bool reached = follower->place == last_event;
	free(follower);
	return reached;
}
