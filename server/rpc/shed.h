/* Calls there is no room for, refused with nothing made of them: a flood leaves time for no more.  Neither are they
 * logged, nor is it looked at whether they may be made at all. */
#pragma once

#include "admission.h"

struct frame;
struct route;
struct session;
struct shed; /* the refusals, made once */

struct shed *shed_new(void) MUST_CHECK;
void shed_free(struct shed *shed);

/* Refuses the call of `frame`, with so much time left, if admission is sure to; false: nothing is done.  The visitor. */
bool shed_call(const struct shed *shed, struct session *session, const struct frame *frame, const struct route *route,
		int64_t left_us) MUST_CHECK;
