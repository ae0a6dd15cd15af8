/* See net.h. */
#include <stdlib.h>
#include <string.h>

#include "fibers.h"
#include "referee.h"
#include "sim.h"
#include "wire.h"

#define THREADS 4 /* that run callbacks, as nng has at least */
#define STUCK_ONE_IN 10 /* connections that are lost */
#define NOTICE_US_MAX 20000 /* until a side knows that its connection has ended */

struct net net;

/* ── events ──────────────────────────────────────────────────────────────────────────────────────────── */

void at(int64_t due_us, struct event event)
{
	struct event *new = malloc(sizeof *new), *before = TAILQ_LAST(&net.events, events);

	*new = event;
	new->due_us = due_us;
	while (before != NULL && before->due_us > due_us)
		before = TAILQ_PREV(before, events, entry);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&net.events, before, new, entry);
	else
		TAILQ_INSERT_HEAD(&net.events, new, entry);
	fiber_wake(&net.events);
}

/* After what a thread takes to get there. */
void soon(struct event event)
{
	int64_t most_us = chance_one_in(net.weather.slow_one_in) ? net.weather.slow_us_max : net.weather.hand_over_us_max;

	at(fiber_now_us() + chance_between(0, most_us), event);
}

static void *run_events(void *arg)
{
	struct event *event;

	(void)arg;
	while (!net.closing) {
		event = TAILQ_FIRST(&net.events);
		if (event == NULL || event->due_us > fiber_now_us()) {
			(void)fiber_wait(&net.events, event != NULL ? event->due_us : INT64_MAX);
			continue;
		}
		TAILQ_REMOVE(&net.events, event, entry);
		event->run(event);
		free(event->parcel);
		free(event);
	}
	net.threads--;
	fiber_wake(&net.threads);
	return NULL;
}

/* ── the wire ────────────────────────────────────────────────────────────────────────────────────────── */

/* When what leaves now arrives: after everything before it. */
static int64_t arrival_at(struct pipe *pipe, enum side side)
{
	int64_t from_us = fiber_now_us(), silent_us = pipe->silent_until_us;

	if (pipe->transport->silent_until_us > silent_us)
		silent_us = pipe->transport->silent_until_us;
	if (silent_us == INT64_MAX)
		return INT64_MAX;
	if (silent_us > from_us)
		from_us = silent_us;
	from_us += 20 + chance_between(0, net.weather.delay_us_max);
	if (from_us < pipe->last_arrival_us[side])
		from_us = pipe->last_arrival_us[side];
	pipe->last_arrival_us[side] = from_us;
	return from_us;
}

void transmit(struct pipe *pipe, enum side to, struct event event)
{
	bool leaves = !pipe->cut && pipe->open[!to] && (to == SERVER || !pipe->transport->dead);

	event.pipe = pipe;
	event.link = pipe->link;
	event.transport = pipe->transport;
	at(leaves ? arrival_at(pipe, to) : INT64_MAX, event);
}

void end_pipe(struct pipe *pipe, enum side by)
{
	struct event notice = { .run = by == CLIENT ? notice_as_server : notice_as_client };

	if (!pipe->open[by])
		return;
	transmit(pipe, !by, notice);
	notice.run = by == CLIENT ? notice_as_client : notice_as_server;
	notice.pipe = pipe;
	notice.run(&notice);
}

struct parcel *parcel_new(size_t size, uint8_t **ret_body)
{
	struct parcel *parcel = malloc(sizeof *parcel + size);

	parcel->size = size;
	*ret_body = parcel->bytes;
	return parcel;
}

/* ── what befalls it ─────────────────────────────────────────────────────────────────────────────────── */

struct transport *find_transport(const char *url)
{
	struct transport *transport;

	LIST_FOREACH(transport, &net.transports, entry)
		if (transport->listening && !transport->stopped && !transport->dead && strcmp(transport->url, url) == 0)
			return transport;
	return NULL;
}

void net_lose_one(void)
{
	struct pipe *pipe, *drawn = NULL;
	unsigned n = 0;

	LIST_FOREACH(pipe, &net.pipes, entry)
		if (pipe->open[CLIENT] && !pipe->cut && chance_one_in(++n))
			drawn = pipe;
	if (drawn == NULL)
		return;
	drawn->stuck = drawn->told && chance_one_in(STUCK_ONE_IN);
	sim_trace("connection %u is lost%s", drawn->id, drawn->stuck ? ", and stuck" : "");
	drawn->cut = true;
	at(fiber_now_us() + chance_between(0, NOTICE_US_MAX), (struct event){ .run = notice_as_client, .pipe = drawn });
	at(fiber_now_us() + chance_between(0, NOTICE_US_MAX), (struct event){ .run = notice_as_server, .pipe = drawn });
}

/* Of the connections there are, some outlive it, and some are never heard of again. */
void net_cut_off(const char *url, int64_t until_us)
{
	struct transport *transport = find_transport(url);
	struct pipe *pipe;

	if (transport == NULL)
		return;
	sim_trace("%s is cut off for %lld us", url, (long long)(until_us - fiber_now_us()));
	transport->silent_until_us = until_us;
	LIST_FOREACH(pipe, &net.pipes, entry) {
		if (pipe->transport != transport)
			continue;
		pipe->disturbed = true;
		if (chance_one_in(2))
			pipe->silent_until_us = INT64_MAX;
	}
}

void net_garble(const char *url, int64_t until_us)
{
	struct transport *transport = find_transport(url);

	if (transport == NULL || transport->garbled_until_us > fiber_now_us())
		return;
	sim_trace("%s cannot be understood for %lld us", url, (long long)(until_us - fiber_now_us()));
	transport->garbled_since_us = fiber_now_us();
	transport->garbled_until_us = until_us;
	transport->garbled_pipes = 0;
}

void net_heal(void)
{
	struct transport *transport;

	LIST_FOREACH(transport, &net.transports, entry)
		transport->silent_until_us = transport->garbled_until_us = 0;
}

void net_crash(const char *url, bool quietly)
{
	struct transport *transport = find_transport(url);
	struct pipe *pipe;

	if (transport == NULL)
		return;
	sim_trace("%s dies%s", url, quietly ? ", and nobody hears of it" : "");
	LIST_FOREACH(pipe, &net.pipes, entry) {
		if (pipe->transport != transport || !pipe->open[SERVER])
			continue;
		pipe->cut = true;
		pipe->open[SERVER] = false;
		if (!quietly)
			at(fiber_now_us() + chance_between(0, NOTICE_US_MAX),
					(struct event){ .run = notice_as_client, .pipe = pipe });
	}
	transport->dead = true;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────────── */

void net_open(const struct weather *weather)
{
	net.weather = *weather;
	TAILQ_INIT(&net.events);
	net.closing = false;
	net.last_pipe = 0;
	net.last_request = net.arrived = 0;
	referee_open();
	for (net.threads = 0; net.threads < THREADS; net.threads++)
		fiber_start("the network", run_events, NULL);
}

void net_close(void)
{
	struct event *event;
	struct pipe *pipe;
	struct link *link;
	struct transport *transport;

	net.closing = true;
	fiber_wake(&net.events);
	while (net.threads > 0)
		(void)fiber_wait(&net.threads, INT64_MAX);
	referee_close();
	while ((event = TAILQ_FIRST(&net.events)) != NULL) {
		TAILQ_REMOVE(&net.events, event, entry);
		free(event->parcel);
		free(event);
	}
	while ((pipe = LIST_FIRST(&net.pipes)) != NULL) {
		LIST_REMOVE(pipe, entry);
		free(pipe);
	}
	while ((link = LIST_FIRST(&net.links)) != NULL) {
		LIST_REMOVE(link, entry);
		free(link);
	}
	while ((transport = LIST_FIRST(&net.transports)) != NULL) {
		LIST_REMOVE(transport, entry);
		free(transport);
	}
}

unsigned net_turns(void)
{
	struct transport *transport;
	unsigned n = 0;

	LIST_FOREACH(transport, &net.transports, entry)
		n += transport->turns;
	return n;
}

uint64_t net_arrived(void)
{
	return net.arrived;
}
