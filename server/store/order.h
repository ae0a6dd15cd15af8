/* The order of a batch: which operations share an execution, and which execution comes first.
 *
 * Operations of one batch are concurrent, yet each is answered as if they had come one by one in the order of
 * arrival.  An execution may hold operations of many pages and threads, since those do not see each other; what
 * does comes in a later execution of the same transaction, where it sees what was done before:
 *
 *     arrival      send A1   reply B   send A2   mark A   settings   send B
 *     executions   [send A1, send A2] [reply B] [mark A] [settings] [send B]
 *
 * - An operation on a thread comes after those on the same thread; of the same statement they may share an
 *   execution, in their order.
 * - An operation on a whole page comes after, and before, all others on it; of the same set statement as above.
 * - Operations of a page that agree in a parameter the head names `apart` never share one.
 *
 * A statement may rely on this; if it is wrong, unique keys refuse the batch and lane.c takes it apart. */
#pragma once

#include "op.h"

#define ORDER_CLAIMS 4096 /* a power of two, well over six for each operation of a batch */

/* Who was the last to touch something: a page, a thread, a value that keeps operations apart. */
struct claim {
	uint64_t tag;
	unsigned generation; /* of another batch: free */
	unsigned execution;
	const struct statement *by;
};

struct order {
	unsigned generation;
	struct claim claims[ORDER_CLAIMS];
};

/* Gives each of up to LANE_BATCH_MAX operations its execution and sorts them by it.  `order` starts as { 0 } and
 * is used again and again. */
void order_set(struct order *order, struct op **ops, size_t n);
