/* The services every server has: health and reflection. */
#pragma once

#include "call.h"

struct server;

extern const struct handlers health_handlers;
extern const struct handlers reflection_handlers;

/* What they speak of.  Before server_start(). */
void builtin_init(struct server *server, const struct handlers *const *handlers);
