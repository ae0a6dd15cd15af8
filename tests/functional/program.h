/* The server as a program that runs to its end. */
#pragma once

#include <stddef.h>

#include "aside/status.h"

/* Runs the server ($ASIDE_SERVER_PROGRAM) with `arguments`, a shell's, to its end: its exit status, and what it said on
 * both outputs. */
int run(char *ret_said, size_t size, const char *fmt, ...) ASIDE_PRINTF(3, 4);

void assert_said(const char *said, const char *words);
