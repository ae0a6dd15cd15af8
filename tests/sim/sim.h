/* What every part of the simulation uses: the trace of a run, and its failure. */
#pragma once

#include <stdnoreturn.h>

/* One line more, with the time. */
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints seed, trace and what is wrong, and ends the program. */
noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
