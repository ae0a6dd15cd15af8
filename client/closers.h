/* Links that are being closed, each by a thread of its own: nng may take two seconds over it (wire/socket.h), in which
 * nobody else need wait.  Under the channel's mutex, but for what is said otherwise. */
#pragma once

#include "transport.h"

struct closer;

/* Zeroed: none. */
struct closers {
	struct closer *first;
};

/* Closes a link (taken; NULL: nothing) that has stopped.  Without memory or a thread it is closed before this returns. */
void closers_add(struct closers *closers, struct link *link);

/* Waits until all are closed.  Without the mutex; nobody adds one any more. */
void closers_wait(struct closers *closers);
