/* A chain of blocks, each twice the last; allocation moves a mark.  See arena.h. */
#include "arena.h"

#include <stdint.h>
#include <string.h>

#define BLOCK_BYTES_MIN 960 /* with its head, what glibc keeps at hand for each thread */
#define BLOCK_BYTES_MAX (256 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

static _Thread_local unsigned fail_countdown;

void arena_fail_nth(unsigned nth)
{
	fail_countdown = nth;
}

static void *allocator_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void allocator_free(void *arena, void *pointer)
{
	(void)arena;
	(void)pointer;
}

void arena_init(struct arena *arena, size_t limit_bytes)
{
	*arena = (struct arena){ .limit_bytes = limit_bytes };
	arena->allocator = (ProtobufCAllocator){ allocator_alloc, allocator_free, arena };
}

void arena_fini(struct arena *arena)
{
	while (arena->blocks != NULL) {
		struct arena_block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
	arena->used_bytes = 0;
}

struct arena_mark arena_mark(const struct arena *arena)
{
	return (struct arena_mark){ arena->blocks, arena->blocks != NULL ? arena->blocks->used : 0, arena->used_bytes };
}

void arena_rewind(struct arena *arena, const struct arena_mark *mark)
{
	while (arena->blocks != mark->block) {
		struct arena_block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
	if (mark->block != NULL) { /* what is given out is zeroed */
		memset((char *)mark->block->data + mark->block_used, 0, mark->block->used - mark->block_used);
		mark->block->used = mark->block_used;
	}
	arena->used_bytes = mark->used_bytes;
}

static struct arena_block *block_add(struct arena *arena, size_t need)
{
	size_t size = arena->blocks == NULL ? BLOCK_BYTES_MIN : arena->blocks->size * 2;
	struct arena_block *block;

	if (size > BLOCK_BYTES_MAX)
		size = BLOCK_BYTES_MAX;
	if (size < need)
		size = need;
	block = calloc(1, sizeof *block + size);
	if (block == NULL)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	size_t rounded = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);

	if (fail_countdown > 0 && --fail_countdown == 0)
		return NULL;
	if (rounded == 0)
		rounded = sizeof(max_align_t);
	if (rounded < size || rounded > arena->limit_bytes - arena->used_bytes)
		return NULL;
	if (block == NULL || rounded > block->size - block->used) {
		block = block_add(arena, rounded);
		if (block == NULL)
			return NULL;
	}
	void *pointer = (char *)block->data + block->used;
	block->used += rounded;
	arena->used_bytes += rounded;
	return pointer;
}

char *arena_strndup(struct arena *arena, const char *text, size_t size)
{
	char *copy = size < SIZE_MAX ? arena_alloc(arena, size + 1) : NULL;

	if (copy != NULL && size > 0)
		memcpy(copy, text, size);
	return copy;
}
