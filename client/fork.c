/* See fork.h. */
#include "fork.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_uint generation = 1;

static void in_child(void)
{
	atomic_fetch_add(&generation, 1);
}

static void watch(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

unsigned fork_generation(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, watch);
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

bool fork_happened(void)
{
	return fork_generation() > 1;
}
