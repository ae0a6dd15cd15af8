/* What cmocka's header needs before it, and the few words every unit test uses. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* cmocka's macro; ours is a function of wire/status.h. */
#undef fail

#define N_OF(array) (sizeof(array) / sizeof *(array))
/* Bytes of a string literal, which may hold NULs. */
#define BYTES(literal) ((struct bytes){ (const uint8_t *)(literal), sizeof(literal) - 1 })
