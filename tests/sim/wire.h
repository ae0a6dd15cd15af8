/* What the files of the network share: net.c (events, the wire, what befalls), link.c (the client's side), transport.c
 * (the server's). */
#pragma once

#include <sys/queue.h>

#include "client/transport.h"
#include "net.h"
#include "server/rpc/transport.h"

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
	bool open[2]; /* by side: it knows of no end */
	bool cut; /* nothing leaves any more */
	bool disturbed; /* it was silent for a while */
	bool told; /* its client, of it */
	bool stuck; /* its client makes no other, nor may ever be told of the end */
	int64_t last_arrival_us[2]; /* to each side */
	int64_t silent_until_us;
};

struct request {
	TAILQ_ENTRY(request) entry; /* in its link's list */
	uint64_t id, session;
	struct pipe *pipe; /* NULL: waits for one */
	struct parcel *parcel; /* while it waits */
};

struct link {
	LIST_ENTRY(link) entry;
	struct link_events events;
	char url[ASIDE_ADDRESS_MAX];
	struct pipe *pipe;
	TAILQ_HEAD(, request) requests;
	unsigned failures; /* to connect, in a row */
	uint64_t session; /* of the last request by this pipe; 0: none */
	unsigned running; /* callbacks */
	bool telling; /* `up` runs */
	bool closed;
};

struct transport {
	LIST_ENTRY(transport) entry;
	struct transport_events events;
	char url[ASIDE_ADDRESS_MAX];
	bool listening, stopped, dead;
	int64_t silent_until_us, garbled_since_us, garbled_until_us;
	unsigned garbled_pipes; /* made meanwhile */
	unsigned running, turns;
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

extern struct net {
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

/* Has one of the network's threads run it at that moment; INT64_MAX: only frees it, in the end.  What it holds is taken. */
void at(int64_t due_us, struct event event);

/* The same after what a thread takes to get there. */
void soon(struct event event);

struct parcel *parcel_new(size_t size, uint8_t **ret_body);

/* Sends an event to the other end of the wire. */
void transmit(struct pipe *pipe, enum side to, struct event event);

/* One side closes: the other is told behind what is under way. */
void end_pipe(struct pipe *pipe, enum side by);

/* A side knows that its connection has ended: link.c, transport.c. */
void notice_as_client(struct event *event);
void notice_as_server(struct event *event);

/* A message has come to its end of the wire. */
void arrive_at_client(struct event *event);
void arrive_at_server(struct event *event);

/* Who serves there; NULL: nobody. */
struct transport *find_transport(const char *url);
