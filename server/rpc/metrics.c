/* See metrics.h. */
#include "metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

#define BUCKETS 12 /* 0.25 ms, each twice (or so) the last, and the rest */

static const uint32_t bounds_us[BUCKETS - 1] = { 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 2500000 };

struct metrics {
	struct counters {
		atomic_ullong codes[METRICS_CODES], buckets[BUCKETS], us;
	} methods[METHODS_MAX];
};

struct metrics *metrics_new(void)
{
	return calloc(1, sizeof(struct metrics));
}

void metrics_free(struct metrics *metrics)
{
	free(metrics);
}

static void add(atomic_ullong *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void metrics_count(struct metrics *metrics, unsigned index, enum aside_code code, int64_t us)
{
	struct counters *counters = &metrics->methods[index];
	unsigned bucket = 0;

	while (bucket < BUCKETS - 1 && us > bounds_us[bucket])
		bucket++;
	add(&counters->codes[(unsigned)code < METRICS_CODES ? code : ASIDE_UNKNOWN], 1);
	add(&counters->buckets[bucket], 1);
	add(&counters->us, us > 0 ? (uint64_t)us : 0);
}

void metrics_count_shed(struct metrics *metrics, unsigned index, enum aside_code code)
{
	add(&metrics->methods[index].codes[code], 1);
}

void metrics_read(const struct metrics *metrics, unsigned index, struct method_metrics *ret)
{
	const struct counters *counters = &metrics->methods[index];

	for (unsigned code = 0; code < METRICS_CODES; code++)
		ret->codes[code] = counters->codes[code];
	ret->took_us = counters->us;
}

static void write_codes(const struct counters *counters, const char *path, FILE *out)
{
	for (unsigned code = 0; code < METRICS_CODES; code++)
		if (counters->codes[code] > 0)
			fprintf(out, "aside_calls_total{method=\"%s\",code=\"%s\"} %llu\n", path,
					aside_code_name((enum aside_code)code), counters->codes[code]);
}

static void write_times(const struct counters *counters, const char *path, FILE *out)
{
	unsigned long long n = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		n += counters->buckets[i];
		if (i < BUCKETS - 1)
			fprintf(out, "aside_call_seconds_bucket{method=\"%s\",le=\"%g\"} %llu\n", path, bounds_us[i] / 1e6, n);
		else
			fprintf(out, "aside_call_seconds_bucket{method=\"%s\",le=\"+Inf\"} %llu\n", path, n);
	}
	fprintf(out, "aside_call_seconds_sum{method=\"%s\"} %.6f\naside_call_seconds_count{method=\"%s\"} %llu\n", path,
			(double)counters->us / 1e6, path, n);
}

void metrics_write(const struct metrics *metrics, const struct route *routes, size_t n, FILE *out)
{
	fputs("# HELP aside_calls_total Calls that have ended, by method and canonical code.\n"
	      "# TYPE aside_calls_total counter\n", out);
	for (size_t i = 0; i < n; i++)
		write_codes(&metrics->methods[routes[i].index], routes[i].method->path, out);
	fputs("# HELP aside_call_seconds How long calls took, from frame to reply.\n"
	      "# TYPE aside_call_seconds histogram\n", out);
	for (size_t i = 0; i < n; i++)
		write_times(&metrics->methods[routes[i].index], routes[i].method->path, out);
}
