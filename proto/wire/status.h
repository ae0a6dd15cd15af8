/* Making a status, and its way over the wire (aside.rpc.v1.Status). */
#pragma once

#include "scope.h"
#include "aside/rpc/v1/status.pb-c.h"
#include "arena.h"

#define DOMAIN_SERVICE "aside.v1"
#define DOMAIN_RUNTIME "aside.rpc.v1"

/* Fill *err and return `code`, so that a function can `return fail(...)`.  Clears what *err held.  `err`
 * may be NULL.  `reason` is UPPER_SNAKE_CASE; the domain is the runtime's.  Any thread; never allocates. */
enum aside_code fail(struct aside_status *err, enum aside_code code, const char *reason, const char *fmt,
		...) ASIDE_PRINTF(4, 5);

/* INVALID_ARGUMENT, reason FIELD_INVALID of the service, with one violation.  More are added by calling
 * again with the same *err. */
enum aside_code fail_field(struct aside_status *err, const char *field, const char *fmt, ...)
		ASIDE_PRINTF(3, 4);

/* Add a fact to a failed status.  Dropped when there are ASIDE_FACTS_MAX already. */
void status_add_fact(struct aside_status *err, const char *key, const char *fmt, ...) ASIDE_PRINTF(3, 4);

/* The status as a message, allocated in `arena`; NULL when the arena is full. */
Aside__Rpc__V1__Status *status_to_proto(const struct aside_status *status, struct arena *arena);

/* The reverse.  Never fails: unknown details are skipped, long texts cut, a code that is none is UNKNOWN.
 * `wire` may be NULL. */
void status_from_proto(const Aside__Rpc__V1__Status *wire, uint32_t code, struct aside_status *ret);
