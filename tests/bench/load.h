/* What every load generator counts: how many calls ended in a span of time, and how long each took. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOAD_SAMPLES_MAX (1u << 22)

struct load {
	int64_t began_us, warm_us, end_us; /* monotonic; calls that end before warm_us or after end_us do not count */
	uint32_t *samples;                 /* latencies, in µs */
	uint64_t n_samples, n_failed;
};

int64_t load_now_us(void);

/* Half a second to warm up, then `seconds`. */
void load_start(struct load *load, double seconds);

/* A call that began at `began_us` has ended; false: the time is over, start no further one. */
bool load_count(struct load *load, int64_t began_us, bool ok);

/* Prints "RATE p50=… p99=… failed=…": calls a second, microseconds.  Frees the samples. */
void load_print(struct load *load);
