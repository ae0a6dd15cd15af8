/* Load on real servers: hundreds of calls under way, each repeated with its key until it is answered, and every attempt
 * in a history.  Persons write, staff answer, both sides' marks move.  Some that were answered are sent once more. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "aside/channel.h"

struct history;
struct load;

struct load_options {
	struct aside_channel *channel;
	struct history *history;
	const int64_t *pages;
	size_t n_pages;
	int64_t staff; /* who answers on all of them */
	unsigned n_persons, under_way;
	unsigned seed;
};

/* What the options point to is borrowed until load_stop().  NULL without memory or threads. */
struct load *load_start(const struct load_options *options);

/* Waits until `n` more calls than now are answered; false after a minute without. */
bool load_wait(struct load *load, uint64_t n);

/* So far: calls answered, and attempts whose outcome nobody knows. */
uint64_t load_answered(struct load *load);
uint64_t load_unknown(struct load *load);

/* Begins no further calls, waits until all are answered, frees; false, and the rest of them cancelled with the channel's
 * end, when two minutes were not enough. */
bool load_stop(struct load *load);

/* On CLOCK_MONOTONIC. */
int64_t load_now_us(void);
