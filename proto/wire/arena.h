/* Memory of one call: allocated piece by piece, freed as a whole, never beyond a limit.  Not
 * thread-safe: a call is in one thread at a time. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "scope.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used_bytes;
	size_t limit_bytes;
	/* For protobuf-c's unpack: takes from this arena; its free does nothing. */
	ProtobufCAllocator allocator;
};

/* Must not move afterwards: `allocator` points into it. */
void arena_init(struct arena *arena, size_t limit_bytes);
void arena_fini(struct arena *arena);

/* Zeroed, aligned for anything; NULL at the limit or without memory. */
void *arena_alloc(struct arena *arena, size_t size) MUST_CHECK;

/* A NUL-terminated copy; NULL as above. */
char *arena_strndup(struct arena *arena, const char *text, size_t size) MUST_CHECK;

/* A point to come back to: arena_rewind() frees what was allocated since. */
struct arena_mark {
	struct arena_block *block;
	size_t block_used, used_bytes;
};
struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, const struct arena_mark *mark);

/* For tests: fail the nth allocation from now of any arena in this thread (1: the next); 0: never. */
void arena_fail_nth(unsigned nth);
