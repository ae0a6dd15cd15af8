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
#undef fail_msg
#define fail_msg(...)                          \
	do {                                   \
		print_error("" __VA_ARGS__);   \
		print_error("\n");             \
		_fail(__FILE__, __LINE__);     \
	} while (0)

#define N_OF(array) (sizeof(array) / sizeof *(array))
/* Bytes of a string literal, which may hold NULs. */
#define BYTES(literal) ((struct bytes){ (const uint8_t *)(literal), sizeof(literal) - 1 })
