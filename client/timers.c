/* See timers.h. */
#include "timers.h"

static void put(struct timers *timers, size_t at, struct timer timer)
{
	timers->heap[at] = timer;
	timer.call->timer = at;
}

static void rise(struct timers *timers, size_t at)
{
	struct timer timer = timers->heap[at];

	for (; at > 1 && timer.due_us < timers->heap[at / 2].due_us; at /= 2)
		put(timers, at, timers->heap[at / 2]);
	put(timers, at, timer);
}

static void sink(struct timers *timers, size_t at)
{
	struct timer timer = timers->heap[at];
	size_t child;

	for (; (child = at * 2) <= timers->n; at = child) {
		if (child < timers->n && timers->heap[child + 1].due_us < timers->heap[child].due_us)
			child++;
		if (timers->heap[child].due_us >= timer.due_us)
			break;
		put(timers, at, timers->heap[child]);
	}
	put(timers, at, timer);
}

bool timers_set(struct timers *timers, struct pending *call, int64_t due_us)
{
	if (call->timer == 0) {
		if (timers->n + 2 > timers->room) {
			size_t room = timers->room > 0 ? timers->room * 2 : 64;
			struct timer *grown = realloc(timers->heap, room * sizeof *grown);
			if (grown == NULL)
				return false;
			timers->heap = grown;
			timers->room = room;
		}
		put(timers, ++timers->n, (struct timer){ due_us, call });
	} else {
		timers->heap[call->timer].due_us = due_us;
	}
	rise(timers, call->timer);
	sink(timers, call->timer);
	return true;
}

void timers_remove(struct timers *timers, struct pending *call)
{
	size_t at = call->timer;

	if (at == 0)
		return;
	call->timer = 0;
	struct timer last = timers->heap[timers->n--];
	if (at > timers->n)
		return;
	put(timers, at, last);
	rise(timers, at);
	sink(timers, last.call->timer);
}

int64_t timers_first(const struct timers *timers)
{
	return timers->n > 0 ? timers->heap[1].due_us : INT64_MAX;
}

struct pending *timers_take(struct timers *timers)
{
	struct pending *call = timers->heap[1].call;

	timers_remove(timers, call);
	return call;
}

void timers_fini(struct timers *timers)
{
	free(timers->heap);
}
