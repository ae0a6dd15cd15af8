/* The service's refusals: a reason of aside/v1/reason.proto to the status a peer sees.  Any thread. */
#pragma once

#include "wire/status.h"

/* Fill *err with the code and message that belong to `reason` ("PAGE_NOT_FOUND"), domain aside.v1, and
 * return the code.  Clears what *err held; facts are added afterwards with status_add_fact().  A reason
 * that is none of ours is our own bug: INTERNAL. */
enum aside_code refuse(struct aside_status *err, const char *reason);
