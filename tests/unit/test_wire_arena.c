/* The arena: what it hands out, where it ends, and that a decode survives each allocation's failure. */
#include "test.h"

#include "aside/rpc/v1/envelope.pb-c.h"
#include "wire/arena.h"

static void memory_is_zeroed_and_aligned(void **state)
{
	struct arena arena;
	(void)state;

	arena_init(&arena, 1 << 20);
	for (size_t size = 0; size < 3000; size += 7) {
		uint8_t *p = arena_alloc(&arena, size);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xAA, size);
	}
	arena_fini(&arena);
}

static void the_limit_is_kept(void **state)
{
	struct arena arena;
	(void)state;

	arena_init(&arena, 4096);
	assert_null(arena_alloc(&arena, 4097));
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_non_null(arena_alloc(&arena, 4096));
	assert_null(arena_alloc(&arena, 1));
	arena_fini(&arena);
}

static void text_is_copied(void **state)
{
	struct arena arena;
	(void)state;

	arena_init(&arena, 4096);
	assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(&arena, NULL, 0), "");
	assert_null(arena_strndup(&arena, "x", SIZE_MAX));
	arena_fini(&arena);
}

static void a_finished_arena_may_be_finished_again(void **state)
{
	struct arena arena;
	(void)state;

	arena_init(&arena, 4096);
	assert_non_null(arena_alloc(&arena, 100));
	arena_fini(&arena);
	arena_fini(&arena);
	assert_non_null(arena_alloc(&arena, 4096));
	arena_fini(&arena);
}

static size_t pack_hello(uint8_t *out)
{
	Aside__Rpc__V1__Hello hello = ASIDE__RPC__V1__HELLO__INIT;
	Aside__Rpc__V1__Limits limits = ASIDE__RPC__V1__LIMITS__INIT;
	Aside__Rpc__V1__Metadata entry = ASIDE__RPC__V1__METADATA__INIT, *entries[] = { &entry, &entry };

	hello.protocol_version = 1;
	hello.peer_name = (char *)"libaside/0.1.0";
	hello.limits = &limits;
	entry.key = (char *)"authorization";
	entry.value = (ProtobufCBinaryData){ 1, (uint8_t *)"x" };
	hello.n_metadata = N_OF(entries);
	hello.metadata = entries;
	return aside__rpc__v1__hello__pack(&hello, out);
}

static void every_allocation_of_a_decode_may_fail(void **state)
{
	uint8_t packed[256];
	size_t size = pack_hello(packed);
	unsigned nth = 0;
	bool done = false;
	(void)state;

	while (!done) {
		struct arena arena;
		arena_init(&arena, 1 << 16);
		arena_fail_nth(++nth);
		done = aside__rpc__v1__hello__unpack(&arena.allocator, size, packed) != NULL;
		arena_fail_nth(0);
		arena_fini(&arena);
		assert_true(nth < 100);
	}
	/* The message, its name, the limits, the array, two entries with two values each. */
	assert_true(nth > 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_aligned),
		cmocka_unit_test(the_limit_is_kept),
		cmocka_unit_test(text_is_copied),
		cmocka_unit_test(a_finished_arena_may_be_finished_again),
		cmocka_unit_test(every_allocation_of_a_decode_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
