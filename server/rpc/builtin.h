/* The services every server has: health, introspection and reflection. */
#pragma once

#include "aside/rpc/v1/health.pb-c.h"
#include "call.h"

struct server;

extern const struct handlers health_handlers;
extern const struct handlers introspection_handlers;
extern const struct handlers reflection_handlers;

/* What they speak of.  Before server_start(). */
void builtin_init(struct server *server, const struct handlers *const *handlers);

/* Whether a method of theirs asks for the scope.  After builtin_init(). */
bool builtin_asks_for(const char *scope, size_t length);

/* ── for their own files ─────────────────────────────────────────────────────────────────────────── */

struct server *builtin_server(void);

/* NULL where there is none such. */
const struct aside_service *builtin_find_service(const char *name, size_t length);

/* As Check says it. */
Aside__Rpc__V1__CheckResponse__ServingStatus health_status(struct server *server);

/* Tells those who watch health what has changed.  Once a second. */
void health_tick(struct server *server);
