/* What every call leaves behind: a count by method and code, and how long it took.  Any thread, without locks. */
#pragma once

#include <stdio.h>

#include "dispatch.h"

#define METRICS_CODES 17 /* the canonical ones */

struct metrics;

struct metrics *metrics_new(void) MUST_CHECK;
void metrics_free(struct metrics *metrics);

/* A call of the method with this index has ended. */
void metrics_count(struct metrics *metrics, unsigned index, enum aside_code code, int64_t us);

/* One that was refused before it began: it took no time, which would but flatter those that do. */
void metrics_count_shed(struct metrics *metrics, unsigned index, enum aside_code code);

/* What has been counted of one. */
struct method_metrics {
	uint64_t codes[METRICS_CODES], took_us;
};
void metrics_read(const struct metrics *metrics, unsigned index, struct method_metrics *ret);

/* In Prometheus' text format (0.0.4): aside_calls_total, aside_call_seconds. */
void metrics_write(const struct metrics *metrics, const struct route *routes, size_t n, FILE *out);
