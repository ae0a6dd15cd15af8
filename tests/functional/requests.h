/* A valid request of every unary method, and what can be done to its bytes. */
#pragma once

#include "aside/method.h"
#include "wire/arena.h"

/* A method, who may call it, and a request without a fault in its fields. */
struct request {
	const struct aside_method *method;
	int64_t caller; /* a person, or 0: the service */
	struct bytes body;
};

#define REQUESTS_MAX 128

/* One for each method of every service, about `page`; a method without one fails the test.  In `arena`.
 * Returns how many. */
size_t requests_make(struct arena *arena, int64_t page, struct request ret[REQUESTS_MAX]);

/* A copy of `body` in which the field at `path` (numbers, outermost first) is `raw`, tag and all, instead of
 * what it was; `raw` without bytes takes it out.  In `arena`. */
struct bytes request_with(struct arena *arena, struct bytes body, const uint32_t *path, size_t depth, struct bytes raw);

/* Whole fields to put there. */
struct bytes raw_number(struct arena *arena, uint32_t field, uint64_t value);
struct bytes raw_bytes(struct arena *arena, uint32_t field, const void *data, size_t size);
struct bytes raw_fixed(struct arena *arena, uint32_t field, size_t size); /* 4 or 8 zero bytes */
