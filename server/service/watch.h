/* What the program needs of watching: a hub between the store and the streams. */
#pragma once

#include "hub.h"

/* The hub of the process's WatchService.  Before the server starts. */
void watch_init(struct hub *hub);

/* Streams as the hub sees them. */
extern const struct deliver_sink watch_sink;
