/* The client's side of nng, all of it: one raw REQ socket to one endpoint.  Raw: no resending, no balancing,
 * no contexts of nng's own. */
#pragma once

#include <stdbool.h>

#include "aside/channel.h"
#include "wire/scope.h"

struct link;

/* All run on nng's threads and must only hand over. */
struct link_events {
	void (*up)(void *user);
	void (*down)(void *user);
	void (*sent)(void *user, bool ok);                            /* the message given to link_send() */
	void (*received)(void *user, void *handle, struct bytes body); /* give back with link_release() */
	void *user;
};

/* Starts to connect, again after every loss. */
enum aside_code link_open(const char *url, const struct aside_options *options, const struct link_events *events,
		struct link **ret, struct aside_status *err) MUST_CHECK;

/* A message of `size` bytes to fill in; NULL without memory. */
void *link_message_new(size_t size, uint8_t **ret_body) MUST_CHECK;

/* Sends it; one at a time: the next after `sent`.  Takes `message`. */
void link_send(struct link *link, void *message);

void link_release(void *handle);

/* No event runs afterwards.  Not from an event. */
void link_close(struct link *link);
