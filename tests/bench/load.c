/* See load.h. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARM_US 500000

int64_t load_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void load_start(struct load *load, double seconds)
{
	*load = (struct load){ .began_us = load_now_us(), .samples = calloc(LOAD_SAMPLES_MAX, sizeof *load->samples) };
	load->warm_us = load->began_us + WARM_US;
	load->end_us = load->warm_us + (int64_t)(seconds * 1e6);
}

bool load_count(struct load *load, int64_t began_us, bool ok)
{
	int64_t now = load_now_us();

	load->n_failed += !ok;
	if (now >= load->end_us)
		return false;
	if (now >= load->warm_us)
		load->samples[load->n_samples++ % LOAD_SAMPLES_MAX] = (uint32_t)(now - began_us);
	return true;
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
	printf("%.0f p50=%u p99=%u failed=%" PRIu64 "\n", (double)load->n_samples * 1e6 / (double)(load->end_us - load->warm_us),
			kept > 0 ? load->samples[kept / 2] : 0, kept > 0 ? load->samples[kept * 99 / 100] : 0, load->n_failed);
	free(load->samples);
}
