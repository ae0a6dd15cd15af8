/* The server's side of the network: server/rpc/transport.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fibers.h"
#include "referee.h"
#include "sim.h"
#include "wire.h"
#include "wire/status.h"

struct turn {
	struct transport *transport;
	struct pipe *pipe;
	uint64_t request, session;
};

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
	*turn = (struct turn){ transport, event->pipe, event->request,
		referee_session((struct bytes){ parcel->bytes, parcel->size }) };
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

void arrive_at_server(struct event *event)
{
	struct pipe *pipe = event->pipe;
	struct event received = { .run = run_received, .pipe = pipe, .transport = pipe->transport, .request = event->request,
		.parcel = event->parcel };

	if (!pipe->open[SERVER] || event->due_us == INT64_MAX)
		return;
	event->parcel = NULL;
	net.arrived++;
	soon(received);
}

void notice_as_server(struct event *event)
{
	struct pipe *pipe = event->pipe;

	if (!pipe->open[SERVER])
		return;
	sim_trace("connection %u: its server notices the end", pipe->id);
	pipe->open[SERVER] = false;
	soon((struct event){ .run = run_left, .pipe = pipe, .transport = pipe->transport });
}

enum aside_code transport_open(const struct transport_events *events, const char *const *origins, struct transport **ret,
		struct aside_status *err)
{
	struct transport *transport = calloc(1, sizeof *transport);

	(void)origins;
	(void)err;
	transport->events = *events;
	LIST_INSERT_HEAD(&net.transports, transport, entry);
	*ret = transport;
	return ASIDE_OK;
}

enum aside_code transport_listen(struct transport *transport, const char *url, const struct listen_options *options,
		char *ret_url, size_t size, struct aside_status *err)
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

/* Nobody can make anything of it. */
static void garble(struct turn *turn, struct parcel *parcel)
{
	turn->pipe->disturbed = true;
	memset(parcel->bytes, 0xFF, parcel->size);
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

	referee_server_says(turn->session, (struct bytes){ parcel->bytes, parcel->size });
	if (transport->garbled_until_us > fiber_now_us())
		garble(turn, parcel);
	keep(transport, pipe, bytes);
	transmit(pipe, CLIENT, (struct event){ .run = arrive_at_client, .request = turn->request, .parcel = parcel });
	soon((struct event){ .run = run_sent, .pipe = pipe, .transport = transport, .kept_bytes = bytes + TURN_BYTES });
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
