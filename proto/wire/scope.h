/* Scope-bound ownership: a local frees itself unless it is TAKE()n. */
#pragma once

#include <stdlib.h>

#include "aside/status.h"

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define MUST_CHECK ASIDE_MUST_CHECK

/* Define fn##p() for CLEANUP() from a destructor that accepts NULL. */
#define DEFINE_CLEANUP(T, fn)           \
	static inline void fn##p(T **p) \
	{                               \
		fn(*p);                 \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Give the pointer away: the local no longer owns it. */
#define TAKE(p)                             \
	__extension__({                     \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

/* Borrowed bytes. */
struct bytes {
	const uint8_t *data;
	size_t size;
};
