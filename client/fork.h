/* Which process this is: a number that a fork changes in the child, for far less than getpid() costs. */
#pragma once

#include <stdbool.h>

unsigned fork_generation(void);

/* Whether this is the child of a process that has used the library: nng would end it with abort(). */
bool fork_happened(void);
