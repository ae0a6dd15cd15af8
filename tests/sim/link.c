/* The client's side of the network: client/transport.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fibers.h"
#include "referee.h"
#include "sim.h"
#include "wire.h"
#include "wire/status.h"

#define RECONNECT_US_MIN 50000
#define RECONNECT_US_MAX 1000000
#define CLOSE_US 2000
#define SLOW_CLOSE_US 2000000
#define SLOW_CLOSE_ONE_IN 10
#define NO_LINK_ONE_IN 4 /* of those that are opened anew */
#define GARBLED_PIPES 10 /* made in vain at once ... */
#define GARBLED_US 500000 /* ... and one more each time */

static bool enter_link(struct link *link)
{
	link->running += !link->closed;
	return !link->closed;
}

static void leave_link(struct link *link)
{
	link->running--;
	fiber_wake(link);
}

static void connect_later(struct link *link, int64_t after_us);

static void run_replied(struct event *event)
{
	struct link *link = event->link;
	struct parcel *parcel = event->parcel;

	if (!enter_link(link))
		return;
	event->parcel = NULL; /* goes by link_release() */
	if (parcel != NULL) {
		struct bytes body = { parcel->bytes, parcel->size };
		uint64_t sequence = referee_client_hears(event->session, body);
		link->events.replied(link->events.user, event->session, parcel, body);
		referee_client_heard(event->session, sequence);
	} else {
		link->events.replied(link->events.user, event->session, NULL, (struct bytes){ NULL, 0 });
	}
	leave_link(link);
}

static void run_sent(struct event *event)
{
	struct link *link = event->link;

	if (!enter_link(link))
		return;
	link->events.sent(link->events.user, event->session);
	leave_link(link);
}

/* The request has ended: its callback runs soon. */
static void end_request(struct link *link, struct request *request, struct parcel *reply)
{
	TAILQ_REMOVE(&link->requests, request, entry);
	soon((struct event){ .run = run_replied, .link = link, .session = request->session, .parcel = reply });
	free(request);
}

static void run_up(struct event *event)
{
	struct link *link = event->link;

	if (!event->pipe->open[CLIENT] || !enter_link(link))
		return;
	event->pipe->told = link->telling = true;
	link->events.up(link->events.user);
	link->telling = false;
	leave_link(link);
}

/* As in nng, the next connection is not tried before this has returned. */
static void run_down(struct event *event)
{
	struct link *link = event->link;

	while (link->telling)
		(void)fiber_wait(link, INT64_MAX);
	if (!enter_link(link))
		return;
	if (event->pipe->told)
		link->events.down(link->events.user);
	if (!event->pipe->stuck)
		connect_later(link, RECONNECT_US_MIN);
	leave_link(link);
}

void notice_as_client(struct event *event)
{
	struct pipe *pipe = event->pipe;
	struct link *link = pipe->link;
	struct request *request, *next;

	if (!pipe->open[CLIENT])
		return;
	sim_trace("connection %u: its client notices the end", pipe->id);
	pipe->open[CLIENT] = false;
	link->pipe = NULL;
	if (link->closed)
		return;
	for (request = TAILQ_FIRST(&link->requests); request != NULL; request = next) {
		next = TAILQ_NEXT(request, entry);
		if (request->pipe == pipe)
			end_request(link, request, NULL);
	}
	if (!pipe->stuck || chance_one_in(2))
		soon((struct event){ .run = run_down, .link = link, .pipe = pipe });
}

static void send_request(struct link *link, struct request *request)
{
	struct event event = { .run = arrive_at_server, .request = request->id, .parcel = request->parcel };

	request->pipe = link->pipe;
	request->parcel = NULL;
	transmit(link->pipe, SERVER, event);
	soon((struct event){ .run = run_sent, .link = link, .session = request->session });
}

void arrive_at_client(struct event *event)
{
	struct pipe *pipe = event->pipe;
	struct request *request;

	if (!pipe->open[CLIENT] || event->due_us == INT64_MAX)
		return;
	TAILQ_FOREACH(request, &pipe->link->requests, entry)
		if (request->id == event->request && request->pipe == pipe)
			break;
	if (request == NULL)
		return;
	net.arrived++;
	end_request(pipe->link, request, TAKE(event->parcel));
}

/* A client that is not understood does not ask all the time. */
static void check_garbled(struct transport *transport)
{
	int64_t now_us = fiber_now_us();

	if (transport->garbled_until_us > now_us &&
			++transport->garbled_pipes > GARBLED_PIPES + (now_us - transport->garbled_since_us) / GARBLED_US)
		sim_fail("a client connects again and again to a server it does not understand");
}

static void run_connect(struct event *event)
{
	struct link *link = event->link;
	struct transport *transport = find_transport(link->url);
	struct request *request;

	if (link->closed || link->pipe != NULL)
		return;
	if (transport == NULL || transport->silent_until_us > fiber_now_us()) {
		int64_t wait_us = RECONNECT_US_MIN << (link->failures < 5 ? link->failures++ : 5);
		connect_later(link, wait_us < RECONNECT_US_MAX ? wait_us : RECONNECT_US_MAX);
		return;
	}
	struct pipe *pipe = calloc(1, sizeof *pipe);
	*pipe = (struct pipe){ .id = ++net.last_pipe, .link = link, .transport = transport, .open = { true, true } };
	LIST_INSERT_HEAD(&net.pipes, pipe, entry);
	check_garbled(transport);
	link->pipe = pipe;
	link->session = 0;
	link->failures = 0;
	sim_trace("connection %u is made, to %s", pipe->id, link->url);
	TAILQ_FOREACH(request, &link->requests, entry) /* nng sends these before anybody hears of the connection */
		if (request->pipe == NULL)
			send_request(link, request);
	soon((struct event){ .run = run_up, .link = link, .pipe = pipe });
}

static void connect_later(struct link *link, int64_t after_us)
{
	at(fiber_now_us() + after_us + chance_between(0, net.weather.delay_us_max),
			(struct event){ .run = run_connect, .link = link });
}

enum aside_code link_open(const char *url, const struct aside_options *options, const struct link_events *events,
		struct link **ret, struct aside_status *err)
{
	struct link *link;

	(void)options;
	LIST_FOREACH(link, &net.links, entry)
		if (strcmp(link->url, url) == 0)
			break;
	if (link != NULL && chance_one_in(NO_LINK_ONE_IN))
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_SOCKET", "no socket can be opened just now");
	link = calloc(1, sizeof *link);
	link->events = *events;
	(void)snprintf(link->url, sizeof link->url, "%s", url);
	TAILQ_INIT(&link->requests);
	LIST_INSERT_HEAD(&net.links, link, entry);
	connect_later(link, 0);
	*ret = link;
	return ASIDE_OK;
}

void *link_message_new(size_t size, uint8_t **ret_body)
{
	return parcel_new(size, ret_body);
}

void link_send(struct link *link, uint64_t session, void *message)
{
	struct request *request = calloc(1, sizeof *request), *other;
	const struct parcel *parcel = message;
	unsigned n = 0;

	referee_client_says((struct bytes){ parcel->bytes, parcel->size });
	link->session = session;
	*request = (struct request){ .id = ++net.last_request, .session = session, .parcel = message };
	TAILQ_FOREACH(other, &link->requests, entry)
		n++;
	if (n >= REQUESTS_MAX)
		sim_fail("more than %d requests wait at %s", REQUESTS_MAX, link->url);
	TAILQ_INSERT_TAIL(&link->requests, request, entry);
	if (link->pipe != NULL)
		send_request(link, request);
}

void link_release(void *handle)
{
	free(handle);
}

void link_reset(struct link *link)
{
	struct pipe *pipe = link->pipe;

	if (pipe == NULL)
		return;
	if (!pipe->cut && !pipe->disturbed && pipe->open[SERVER])
		referee_client_drops(link->session);
	end_pipe(pipe, CLIENT);
}

void link_stop(struct link *link)
{
	link->closed = true;
	while (link->running > 0)
		(void)fiber_wait(link, INT64_MAX);
}

/* As nng does, at times it takes long. */
void link_close(struct link *link)
{
	if (link == NULL)
		return;
	fiber_sleep(chance_between(0, chance_one_in(SLOW_CLOSE_ONE_IN) ? SLOW_CLOSE_US : CLOSE_US));
	if (link->pipe != NULL)
		end_pipe(link->pipe, CLIENT);
	while (!TAILQ_EMPTY(&link->requests)) {
		struct request *request = TAILQ_FIRST(&link->requests);
		TAILQ_REMOVE(&link->requests, request, entry);
		free(request->parcel);
		free(request);
	}
}
