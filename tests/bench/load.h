/* What every load generator counts: how many calls ended in a span of time, and how long each took. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOAD_SAMPLES_MAX (1u << 22)

struct load {
	int64_t warm_us, end_us; /* monotonic; only what ends between them counts */
	uint32_t *samples;       /* latencies, in µs */
	uint64_t n_samples, n_failed;
};

int64_t load_now_us(void);

/* Half a second to warm up, then `seconds`. */
void load_start(struct load *load, double seconds);

/* A call that began at `began_us` has ended; false: the time is over, start no further one.  One thread at a
 * time. */
bool load_count(struct load *load, int64_t began_us, bool ok);

/* Starts `per_second` calls a second, those that are due every quarter of a millisecond, until the time is over. */
void load_pace(const struct load *load, double per_second, void (*start)(void));

/* Prints "rate=… p50=… p99=… failed=…": calls that ended well a second; microseconds.  Frees the samples. */
void load_print(struct load *load);

/* For what only counts up, on any thread (atomic): prints "rate=…" of a span like the one above. */
void load_print_growth(const uint64_t *counter, double seconds);

/* Prints "ready", and returns when standard input ends. */
void load_hold(void);
