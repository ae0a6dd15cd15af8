/* What happens around every call, in this order: whether it is still worth it, who calls, whether it is taken, and at
 * its end the count and the line of log. */
#pragma once

#include "dispatch.h"
#include "task.h"

/* Before the handler: the first that refuses decides. */
enum aside_code chain_before(struct task *task, const struct frame *frame, const struct route *route,
		struct aside_status *err) MUST_CHECK;

/* After the answer, with what it was; for those, too, that were refused. */
void chain_after(struct task *task, const struct aside_status *status);
