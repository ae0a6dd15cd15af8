/* The frame that opens a session: who we are, and what we make of each method. */
#pragma once

#include "wire/scope.h"

/* The serialized frame, malloc()ed.  The layouts in it are made once in a process.  `token` may be NULL. */
enum aside_code hello_make(const char *token, uint8_t **ret, size_t *ret_size, struct aside_status *err) MUST_CHECK;
