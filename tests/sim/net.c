/* See net.h. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "client/transport.h"
#include "fibers.h"
#include "server/rpc/transport.h"
#include "sim.h"
#include "wire/status.h"

#define THREADS 4 /* that run callbacks, as nng has at least */
#define RECONNECT_US_MIN 50000
#define RECONNECT_US_MAX 1000000
#define SLOW_US_MAX 80000 /* of one hand-over in so many: longer than it takes to connect again */
#define SLOW_ONE_IN 100
#define NOTICE_US_MAX 20000 /* until a side knows that its connection has ended */

/* Bytes on their way, or arrived. */
struct parcel {
	size_t size;
	uint8_t bytes[];
};

enum side {
	CLIENT,
	SERVER,
};

struct pipe {
	LIST_ENTRY(pipe) entry;
	uint32_t id;
	struct link *link;
	struct transport *transport;
	bool open[2];		    /* by side: it knows of no end */
	bool cut;		    /* nothing leaves any more */
	bool told; /* its client, of it */
	int64_t last_arrival_us[2]; /* to each side */
	int64_t silent_until_us;
};

struct request {
	TAILQ_ENTRY(request) entry; /* in its link's list */
	uint64_t id, session;
	struct pipe *pipe;     /* NULL: waits for one */
	struct parcel *parcel; /* while it waits */
};

struct link {
	LIST_ENTRY(link) entry;
	struct link_events events;
	char url[ASIDE_ADDRESS_MAX];
	struct pipe *pipe;
	TAILQ_HEAD(, request) requests;
	unsigned failures; /* to connect, in a row */
	unsigned running;  /* callbacks */
	bool telling; /* `up` runs */
	bool closed;
};

struct transport {
	LIST_ENTRY(transport) entry;
	struct transport_events events;
	char url[ASIDE_ADDRESS_MAX];
	bool listening, stopped, dead;
	int64_t silent_until_us;
	unsigned running, turns;
};

struct turn {
	struct transport *transport;
	struct pipe *pipe;
	uint64_t request;
};

/* Something to be done at a moment, by one of the network's threads. */
struct event {
	TAILQ_ENTRY(event) entry;
	int64_t due_us;
	void (*run)(struct event *event);
	struct link *link;
	struct transport *transport;
	struct pipe *pipe;
	struct parcel *parcel;
	uint64_t request, session;
	int64_t kept_bytes;
};

static struct {
	struct weather weather;
	TAILQ_HEAD(events, event) events; /* by due_us */
	LIST_HEAD(, pipe) pipes;
	LIST_HEAD(, link) links;
	LIST_HEAD(, transport) transports;
	uint32_t last_pipe;
	uint64_t last_request, arrived;
	unsigned threads;
	bool closing;
} net;

/* ── events
 * ──────────────────────────────────────────────────────────────────────────────────────── */

static void at(int64_t due_us, struct event event)
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
static void soon(struct event event)
{
	int64_t most_us = chance_one_in(SLOW_ONE_IN) ? SLOW_US_MAX : net.weather.hand_over_us_max;

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

static bool enter_transport(struct transport *transport)
{
	bool serves = !transport->stopped && !transport->dead;

	transport->running += serves;
	return serves;
}

static void leave_transport(struct transport *transport)
{
	transport->running--;
	fiber_wake(transport);
}

/* ── the wire
 * ────────────────────────────────────────────────────────────────────────────────────── */

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

static void transmit(struct pipe *pipe, enum side to, struct event event)
{
	int64_t due_us = pipe->cut || !pipe->open[!to] || (to == CLIENT && pipe->transport->dead)
			? INT64_MAX
			: arrival_at(pipe, to);

	event.pipe = pipe;
	event.link = pipe->link;
	event.transport = pipe->transport;
	at(due_us, event);
}

static void notice_as_client(struct event *event);
static void notice_as_server(struct event *event);

/* One side closes: the other is told behind what is under way. */
static void end_pipe(struct pipe *pipe, enum side by)
{
	struct event notice = { .run = by == CLIENT ? notice_as_server : notice_as_client };

	if (!pipe->open[by])
		return;
	transmit(pipe, !by, notice);
	notice.run = by == CLIENT ? notice_as_client : notice_as_server;
	notice.pipe = pipe;
	notice.run(&notice);
}

/* ── the client's side
 * ───────────────────────────────────────────────────────────────────────────── */

static void connect_later(struct link *link, int64_t after_us);

static void run_replied(struct event *event)
{
	struct link *link = event->link;
	struct parcel *parcel = event->parcel;

	if (!enter_link(link))
		return;
	event->parcel = NULL; /* goes by link_release() */
	if (parcel != NULL)
		link->events.replied(link->events.user, event->session, parcel,
				(struct bytes){ parcel->bytes, parcel->size });
	else
		link->events.replied(
				link->events.user, event->session, NULL, (struct bytes){ NULL, 0 });
	leave_link(link);
}

/* The request has ended: its callback runs soon. */
static void end_request(struct link *link, struct request *request, struct parcel *reply)
{
	TAILQ_REMOVE(&link->requests, request, entry);
	soon((struct event){ .run = run_replied,
			.link = link,
			.session = request->session,
			.parcel = reply });
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
	connect_later(link, RECONNECT_US_MIN);
	leave_link(link);
}

static void notice_as_client(struct event *event)
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
	soon((struct event){ .run = run_down, .link = link, .pipe = pipe });
}

static void arrive_at_server(struct event *event);

static void send_request(struct link *link, struct request *request)
{
	request->pipe = link->pipe;
	transmit(link->pipe, SERVER,
			(struct event){ .run = arrive_at_server,
					.request = request->id,
					.parcel = TAKE(request->parcel) });
}

static void arrive_at_client(struct event *event)
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

static struct transport *find_transport(const char *url)
{
	struct transport *transport;

	LIST_FOREACH(transport, &net.transports, entry)
	if (transport->listening && !transport->stopped && !transport->dead &&
			strcmp(transport->url, url) == 0)
		return transport;
	return NULL;
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
	*pipe = (struct pipe){
		.id = ++net.last_pipe, .link = link, .transport = transport, .open = { true, true }
	};
	LIST_INSERT_HEAD(&net.pipes, pipe, entry);
	link->pipe = pipe;
	link->failures = 0;
	sim_trace("connection %u is made, to %s", pipe->id, link->url);
	TAILQ_FOREACH(request, &link->requests,
			entry) /* nng sends these before anybody hears of the connection */
	if (request->pipe == NULL)
		send_request(link, request);
	soon((struct event){ .run = run_up, .link = link, .pipe = pipe });
}

static void connect_later(struct link *link, int64_t after_us)
{
	at(fiber_now_us() + after_us + chance_between(0, net.weather.delay_us_max),
			(struct event){ .run = run_connect, .link = link });
}

enum aside_code link_open(const char *url, const struct aside_options *options,
		const struct link_events *events, struct link **ret, struct aside_status *err)
{
	struct link *link = calloc(1, sizeof *link);

	(void)options;
	(void)err;
	link->events = *events;
	(void)snprintf(link->url, sizeof link->url, "%s", url);
	TAILQ_INIT(&link->requests);
	LIST_INSERT_HEAD(&net.links, link, entry);
	connect_later(link, 0);
	*ret = link;
	return ASIDE_OK;
}

static struct parcel *parcel_new(size_t size, uint8_t **ret_body)
{
	struct parcel *parcel = malloc(sizeof *parcel + size);

	parcel->size = size;
	*ret_body = parcel->bytes;
	return parcel;
}

void *link_message_new(size_t size, uint8_t **ret_body)
{
	return parcel_new(size, ret_body);
}

void link_send(struct link *link, uint64_t session, void *message)
{
	struct request *request = calloc(1, sizeof *request), *other;
	unsigned n = 0;

	*request = (struct request){
		.id = ++net.last_request, .session = session, .parcel = message
	};
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
	if (link->pipe != NULL)
		end_pipe(link->pipe, CLIENT);
}

/* As nng's: what waits ends first. */
void link_close(struct link *link)
{
	bool was_up;

	if (link == NULL)
		return;
	was_up = link->pipe != NULL;
	link->closed = true;
	while (link->running > 0)
		(void)fiber_wait(link, INT64_MAX);
	if (was_up && link->pipe != NULL)
		end_pipe(link->pipe, CLIENT);
	while (!TAILQ_EMPTY(&link->requests)) {
		struct request *request = TAILQ_FIRST(&link->requests);
		TAILQ_REMOVE(&link->requests, request, entry);
		link->events.replied(link->events.user, request->session, NULL,
				(struct bytes){ NULL, 0 });
		free(request->parcel);
		free(request);
	}
	if (was_up)
		link->events.down(link->events.user);
}

/* ── the server's side
 * ───────────────────────────────────────────────────────────────────────────── */

static void keep(struct transport *transport, const struct pipe *pipe, int64_t bytes)
{
	transport->events.kept(transport->events.user, pipe->id, bytes);
}

static int64_t count_bytes(size_t size)
{
	return size > TURN_BYTES ? (int64_t)size : 0;
}

static void run_received(struct event *event)
{
	struct transport *transport = event->transport;
	struct parcel *parcel = event->parcel;

	if (!enter_transport(transport))
		return;
	struct turn *turn = malloc(sizeof *turn);
	struct message *message = calloc(1, sizeof *message);
	*turn = (struct turn){ transport, event->pipe, event->request };
	transport->turns++;
	keep(transport, event->pipe, TURN_BYTES + count_bytes(parcel->size));
	message->turn = turn;
	message->connection = event->pipe->id;
	message->body = (struct bytes){ parcel->bytes, parcel->size };
	message->handle = TAKE(event->parcel);
	transport->events.received(transport->events.user, message);
	leave_transport(transport);
}

static void run_left(struct event *event)
{
	if (!enter_transport(event->transport))
		return;
	event->transport->events.left(event->transport->events.user, event->pipe->id);
	leave_transport(event->transport);
}

static void arrive_at_server(struct event *event)
{
	struct pipe *pipe = event->pipe;

	if (!pipe->open[SERVER] || event->due_us == INT64_MAX)
		return;
	net.arrived++;
	soon((struct event){ .run = run_received,
			.pipe = pipe,
			.transport = pipe->transport,
			.request = event->request,
			.parcel = TAKE(event->parcel) });
}

static void notice_as_server(struct event *event)
{
	struct pipe *pipe = event->pipe;

	if (!pipe->open[SERVER])
		return;
	sim_trace("connection %u: its server notices the end", pipe->id);
	pipe->open[SERVER] = false;
	soon((struct event){ .run = run_left, .pipe = pipe, .transport = pipe->transport });
}

enum aside_code transport_open(const struct transport_events *events, struct transport **ret,
		struct aside_status *err)
{
	struct transport *transport = calloc(1, sizeof *transport);

	(void)err;
	transport->events = *events;
	LIST_INSERT_HEAD(&net.transports, transport, entry);
	*ret = transport;
	return ASIDE_OK;
}

void transport_allow_origins(struct transport *transport, const char *const *origins)
{
	(void)transport;
	(void)origins;
}

enum aside_code transport_listen(struct transport *transport, const char *url,
		const struct listen_options *options, char *ret_url, size_t size,
		struct aside_status *err)
{
	(void)options;
	(void)err;
	(void)snprintf(transport->url, sizeof transport->url, "%s", url);
	(void)snprintf(ret_url, size, "%s", url);
	return ASIDE_OK;
}

enum aside_code transport_start(struct transport *transport, struct aside_status *err)
{
	(void)err;
	transport->listening = true;
	return ASIDE_OK;
}

int64_t message_peer_uid(const struct message *message)
{
	(void)message;
	return 0;
}

void *transport_reply_new(size_t size, uint8_t **ret_body)
{
	return parcel_new(size, ret_body);
}

/* The turn is over, whatever becomes of its reply. */
static void give_back(struct turn *turn)
{
	turn->transport->turns--;
	free(turn);
}

/* The socket has taken the reply, or the connection has ended. */
static void run_sent(struct event *event)
{
	if (!enter_transport(event->transport))
		return;
	keep(event->transport, event->pipe, -event->kept_bytes);
	leave_transport(event->transport);
}

void transport_send(struct turn *turn, void *reply)
{
	struct transport *transport = turn->transport;
	struct pipe *pipe = turn->pipe;
	struct parcel *parcel = reply;
	int64_t bytes = count_bytes(parcel->size);

	keep(transport, pipe, bytes);
	transmit(pipe, CLIENT,
			(struct event){ .run = arrive_at_client,
					.request = turn->request,
					.parcel = parcel });
	soon((struct event){ .run = run_sent,
			.pipe = pipe,
			.transport = transport,
			.kept_bytes = bytes + TURN_BYTES });
	give_back(turn);
}

void turn_drop(struct turn *turn)
{
	keep(turn->transport, turn->pipe, -TURN_BYTES);
	give_back(turn);
}

bool message_has_peer(const struct message *message)
{
	return message->turn->pipe->open[SERVER];
}

void message_free(struct message *message)
{
	struct parcel *parcel = message->handle;
	struct pipe *pipe;

	LIST_FOREACH(pipe, &net.pipes, entry)
	if (pipe->id == message->connection)
		keep(pipe->transport, pipe, -count_bytes(parcel->size));
	free(parcel);
	free(message);
}

void transport_cut(struct transport *transport, uint32_t connection)
{
	struct pipe *pipe;

	LIST_FOREACH(pipe, &net.pipes, entry)
	if (pipe->id == connection && pipe->transport == transport)
		end_pipe(pipe, SERVER);
}

void transport_stop(struct transport *transport)
{
	struct pipe *pipe;

	transport->stopped = true;
	while (transport->running > 0)
		(void)fiber_wait(transport, INT64_MAX);
	LIST_FOREACH(pipe, &net.pipes, entry)
	if (pipe->transport == transport)
		end_pipe(pipe, SERVER);
}

void transport_close(struct transport *transport)
{
	(void)transport; /* net_close() frees it: messages under way may still name it */
}

/* ── what befalls it
 * ─────────────────────────────────────────────────────────────────────────────── */

void net_lose_one(void)
{
	struct pipe *pipe, *drawn = NULL;
	unsigned n = 0;

	LIST_FOREACH(pipe, &net.pipes, entry)
	if (pipe->open[CLIENT] && !pipe->cut && chance_one_in(++n))
		drawn = pipe;
	if (drawn == NULL)
		return;
	sim_trace("connection %u is lost", drawn->id);
	drawn->cut = true;
	at(fiber_now_us() + chance_between(0, NOTICE_US_MAX),
			(struct event){ .run = notice_as_client, .pipe = drawn });
	at(fiber_now_us() + chance_between(0, NOTICE_US_MAX),
			(struct event){ .run = notice_as_server, .pipe = drawn });
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
	LIST_FOREACH(pipe, &net.pipes, entry)
	if (pipe->transport == transport && chance_one_in(2))
		pipe->silent_until_us = INT64_MAX;
}

void net_heal(void)
{
	struct transport *transport;

	LIST_FOREACH(transport, &net.transports, entry)
		transport->silent_until_us = 0;
}

void net_crash(const char *url, bool quietly)
{
	struct transport *transport = find_transport(url);
	struct pipe *pipe;

	if (transport == NULL)
		return;
	sim_trace("%s dies%s", url, quietly ? ", and nobody hears of it" : "");
	LIST_FOREACH(pipe, &net.pipes, entry)
	{
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

/* ── life
 * ────────────────────────────────────────────────────────────────────────────────────────── */

void net_open(const struct weather *weather)
{
	net.weather = *weather;
	TAILQ_INIT(&net.events);
	net.closing = false;
	net.last_pipe = 0;
	net.last_request = net.arrived = 0;
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
