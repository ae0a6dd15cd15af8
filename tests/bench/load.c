/* See load.h. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARM_US 500000
#define TICK_US 250

int64_t load_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void sleep_until(int64_t us)
{
	struct timespec at = { us / 1000000, us % 1000000 * 1000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		continue;
}

void load_start(struct load *load, double seconds)
{
	*load = (struct load){ .warm_us = load_now_us() + WARM_US };
	load->samples = calloc(LOAD_SAMPLES_MAX, sizeof *load->samples);
	load->end_us = load->warm_us + (int64_t)(seconds * 1e6);
}

bool load_count(struct load *load, int64_t began_us, bool ok)
{
	int64_t now = load_now_us();

	load->n_failed += !ok;
	if (now >= load->end_us)
		return false;
	if (ok && now >= load->warm_us)
		load->samples[load->n_samples++ % LOAD_SAMPLES_MAX] = (uint32_t)(now - began_us);
	return true;
}

void load_pace(const struct load *load, double per_second, void (*start)(void))
{
	int64_t began = load_now_us();
	double started = 0;

	for (int64_t now = began; now < load->end_us; now = load_now_us()) {
		for (; started < per_second * (double)(now - began) / 1e6; started++)
			start();
		sleep_until(now + TICK_US);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void load_print(struct load *load)
{
	uint64_t kept = load->n_samples < LOAD_SAMPLES_MAX ? load->n_samples : LOAD_SAMPLES_MAX;

	qsort(load->samples, kept, sizeof *load->samples, compare);
	printf("rate=%.1f p50=%u p99=%u failed=%" PRIu64 "\n",
			(double)load->n_samples * 1e6 / (double)(load->end_us - load->warm_us),
			kept > 0 ? load->samples[kept / 2] : 0, kept > 0 ? load->samples[kept * 99 / 100] : 0, load->n_failed);
	free(load->samples);
}

void load_print_growth(const uint64_t *counter, double seconds)
{
	int64_t warm = load_now_us() + WARM_US;

	sleep_until(warm);
	uint64_t before = __atomic_load_n(counter, __ATOMIC_RELAXED);
	sleep_until(warm + (int64_t)(seconds * 1e6));
	printf("rate=%.1f\n", (double)(__atomic_load_n(counter, __ATOMIC_RELAXED) - before) / seconds);
}

void load_hold(void)
{
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		continue;
}
