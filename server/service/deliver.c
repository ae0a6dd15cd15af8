/* See deliver.h. */
#include "deliver.h"

#define SHOW_ARENA_BYTES (4u << 20)

void showing_init(struct showing *showing, const struct event *event)
{
	*showing = (struct showing){ .event = event };
	arena_init(&showing->arena, SHOW_ARENA_BYTES);
}

void showing_fini(struct showing *showing)
{
	arena_fini(&showing->arena);
}

/* The response that brings a watch to where its subs stand. */
static bool make_response(struct arena *arena, const struct watch *watch, struct bytes event, struct bytes *ret)
{
	struct place *places = arena_alloc(arena, watch->n_subs * sizeof *places);
	const char *cursor;

	if (places == NULL)
		return false;
	for (size_t i = 0; i < watch->n_subs; i++)
		places[i] = (struct place){ watch->subs[i]->page->page_id, sub_event(watch->subs[i]), watch->subs[i]->seq };
	cursor = cursor_new(arena, watch->kind, watch->user_id, places, watch->n_subs);
	return cursor != NULL && event_response(arena, cursor, event, ret);
}

static enum delivery send_now(const struct deliver_sink *sink, struct arena *arena, const struct watch *watch,
		struct bytes event)
{
	struct bytes response;

	if (!make_response(arena, watch, event, &response))
		return NO_MEMORY;
	return sink->send(watch->stream, response) ? DELIVERED : NO_ROOM;
}

/* A person's threads have a cursor of their own; whoever else is in a room stands where the others do. */
static enum delivery send_shared(const struct deliver_sink *sink, struct showing *showing, const struct sub *sub)
{
	const struct watch *watch = sub->watch;
	struct bytes *response = &showing->sides[watch->staff].response;

	if (watch->kind == WATCH_PERSON)
		return send_now(sink, &showing->arena, watch, showing->sides[watch->staff].event);
	if (showing->room != sub->room) {
		showing->room = sub->room;
		showing->sides[false].response.size = 0;
		showing->sides[true].response.size = 0;
	}
	if (response->size == 0 && !make_response(&showing->arena, watch, showing->sides[watch->staff].event, response))
		return NO_MEMORY;
	return sink->send(watch->stream, *response) ? DELIVERED : NO_ROOM;
}

enum delivery deliver_event(const struct deliver_sink *sink, struct showing *showing, struct sub *sub)
{
	const struct event *event = showing->event;
	int64_t before = sub->event, seq_before = sub->seq;
	bool staff = sub->watch->staff;
	enum delivery end = DELIVERED;

	if (!showing->sides[staff].made && !event_show(&showing->arena, event, staff, &showing->sides[staff].event))
		return NO_MEMORY;
	showing->sides[staff].made = true;
	sub->event = event->number;
	if (event->kind == EVENT_IS_MESSAGE && sub->watch->kind != WATCH_PAGE)
		sub->seq = event->seq;
	if (showing->sides[staff].event.size > 0)
		end = send_shared(sink, showing, sub);
	if (end == DELIVERED)
		return end;
	sub->event = before;
	sub->seq = seq_before;
	return end;
}

enum delivery deliver_typing(const struct deliver_sink *sink, struct showing *showing, struct sub *sub)
{
	return send_shared(sink, showing, sub);
}

enum delivery deliver_resync(const struct deliver_sink *sink, struct sub *sub, int64_t event, int64_t seq)
{
	int64_t event_before = sub->event, seq_before = sub->seq;
	enum delivery end = NO_MEMORY;
	struct arena arena;
	struct bytes bytes;

	sub->event = event;
	sub->seq = seq;
	arena_init(&arena, SHOW_ARENA_BYTES);
	if (event_show_resync(&arena, sub->page->page_id, sub->watch->user_id, &bytes))
		end = send_now(sink, &arena, sub->watch, bytes);
	arena_fini(&arena);
	if (end == DELIVERED)
		return end;
	sub->event = event_before;
	sub->seq = seq_before;
	return end;
}

enum delivery deliver_greeting(const struct deliver_sink *sink, struct watch *watch)
{
	enum delivery end;
	struct arena arena;

	arena_init(&arena, SHOW_ARENA_BYTES);
	end = send_now(sink, &arena, watch, (struct bytes){ NULL, 0 });
	arena_fini(&arena);
	watch->greeted = end == DELIVERED;
	return end;
}
