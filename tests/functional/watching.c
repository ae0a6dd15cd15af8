/* See watching.h. */
#include "watching.h"

#include <stdio.h>

#define PATIENCE_MS 60000 /* of a test that waits in vain */

static enum aside_code open_stream(struct watcher *watcher, const struct aside_call_options *options)
{
	Aside__V1__WatchPageRequest page = ASIDE__V1__WATCH_PAGE_REQUEST__INIT;
	Aside__V1__WatchPersonRequest own = ASIDE__V1__WATCH_PERSON_REQUEST__INIT;
	Aside__V1__WatchThreadRequest thread = ASIDE__V1__WATCH_THREAD_REQUEST__INIT;

	page.cursor = own.cursor = thread.cursor = watcher->cursor;
	page.page_id = thread.page_id = watcher->page;
	thread.user_id = watcher->person;
	switch (watcher->what) {
	case ALL_OF_PAGE:
		return aside_v1_watch_service_watch_page_open(world_via(), &page, options, &watcher->stream, &status);
	case OWN_THREADS:
		return aside_v1_watch_service_watch_person_open(world_via(), &own, options, &watcher->stream, &status);
	case ONE_THREAD:
		break;
	}
	return aside_v1_watch_service_watch_thread_open(world_via(), &thread, options, &watcher->stream, &status);
}

/* The next response, whose three types are laid out alike; false: the stream has ended. */
static bool receive(struct watcher *watcher)
{
	ProtobufCMessage *item = NULL;

	aside_free(watcher->last);
	watcher->last = NULL;
	if (aside_stream_receive(watcher->stream, &item, &status) != ASIDE_OK || item == NULL)
		return false;
	watcher->last = (Aside__V1__WatchPageResponse *)item;
	(void)snprintf(watcher->cursor, sizeof watcher->cursor, "%s", watcher->last->cursor);
	return true;
}

bool watcher_try_open(struct watcher *watcher)
{
	const struct aside_call_options *as = aside_harness_as(watcher->caller);
	struct aside_call_options options = as != NULL ? *as : (struct aside_call_options){ 0 };

	options.timeout_ms = PATIENCE_MS;
	if (open_stream(watcher, &options) != ASIDE_OK)
		return false;
	if (receive(watcher) && watcher->last->event == NULL && watcher->last->cursor[0] != '\0')
		return true;
	watcher_close(watcher);
	return false;
}

void watcher_open(struct watcher *watcher)
{
	assert_done(watcher_try_open(watcher));
}

const Aside__V1__Event *watcher_next(struct watcher *watcher)
{
	return receive(watcher) ? watcher->last->event : NULL;
}

uint32_t watcher_expect(struct watcher *watcher, const char *text)
{
	const Aside__V1__Event *event = watcher_next(watcher);

	assert_done(event);
	assert_int_equal(event->kind_case, ASIDE__V1__EVENT__KIND_MESSAGE);
	assert_string_equal(event->message->content->text, text);
	return event->message->seq;
}

void watcher_close(struct watcher *watcher)
{
	aside_stream_close(watcher->stream);
	aside_free(watcher->last);
	watcher->stream = NULL;
	watcher->last = NULL;
}

bool send_typing(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side)
{
	Aside__V1__SendTypingRequest request = ASIDE__V1__SEND_TYPING_REQUEST__INIT;
	Aside__V1__SendTypingResponse *response;

	request.page_id = page;
	request.user_id = person;
	request.side = side;
	response = ASK(Aside__V1__SendTypingResponse, aside_v1_watch_service_send_typing, &request, caller);
	aside_free(response);
	return response != NULL;
}
