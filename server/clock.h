/* The server's two clocks.  Any thread.  A test may stand in for them at link time. */
#pragma once

#include <stdint.h>

/* Microseconds on the monotonic clock: deadlines and ages. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970: what is stored, and what tokens expire by. */
int64_t clock_realtime_us(void);
