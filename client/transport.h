/* The client's side of nng, all of it: one REQ socket to one endpoint, and a context for each request that
 * waits.  No resending and no balancing of nng's own.  Contexts, for the reasons server/rpc/transport.h gives. */
#pragma once

#include <stdbool.h>

#include "aside/channel.h"
#include "wire/scope.h"

/* Requests that may wait for their reply: the protocol's limit (proto/README.md). */
#define REQUESTS_MAX 32

struct link;

/* All run on nng's threads, several at once: must not block.  None runs after link_stop(). */
struct link_events {
	/* In turns: of a connection that ends before anybody could be told neither is. */
	void (*up)(void *user);
	void (*down)(void *user);
	/* What link_send() was given, with its `session`, has left, and the next may; not told where the connection was lost. */
	void (*sent)(void *user, uint64_t session);
	/* Each link_send() ends in one of these, with its `session`: the reply, to be given back with
	 * link_release(), or NULL where the connection was lost. */
	void (*replied)(void *user, uint64_t session, void *handle, struct bytes body);
	void *user;
};

/* Starts to connect, again after every loss. */
enum aside_code link_open(const char *url, const struct aside_options *options, const struct link_events *events,
		struct link **ret, struct aside_status *err) MUST_CHECK;

/* A message of `size` bytes to fill in; NULL without memory. */
void *link_message_new(size_t size, uint8_t **ret_body) MUST_CHECK;

/* Sends it: at most REQUESTS_MAX that have not ended.  Takes `message`.  Never blocks. */
void link_send(struct link *link, uint64_t session, void *message);

void link_release(void *handle);

/* Drops the connection; another is made. */
void link_reset(struct link *link);

/* No event runs afterwards, not even of requests that wait: waits for those that run.  Nothing is sent any more.  Not
 * from an event. */
void link_stop(struct link *link);

/* Frees one that has stopped; NULL is fine.  One without a connection has 100 ms to make it; all may take two seconds
 * (wire/socket.h). */
void link_close(struct link *link);
