/* What sweeps share: one operation after the other, and after each a rest as long as it took (a second at most), so that the store is busy with
 * them half of the time at most and calls go in between.  A housekeeping thread, not a worker. */
#pragma once

#include "store/store.h"

#define SWEEP_TIMEOUT_US 10000000ll /* of one operation */
#define SWEEP_REST_US_MAX 1000000ll

/* Has `op` executed, waits for it, and rests.  On success it is the caller's to release. */
enum aside_code sweep_execute(struct store *store, struct op *op, struct aside_status *err) MUST_CHECK;
