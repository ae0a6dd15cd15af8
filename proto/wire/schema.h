/* The layout of a method's messages as text, its fingerprint, and whether two layouts agree: how two
 * peers of different age find out at HELLO that one would misread the other. */
#pragma once

#include "aside/method.h"
#include "scope.h"

#define SCHEMA_LAYOUT_MAX 16384

/* Writes the layout, NUL-terminated: "{1:int64,2:bytes,3:{1:string,2:[{...}]}}>{1:{...}}".  Returns its length;
 * more than `size` - 1: cut. */
size_t schema_layout(const struct aside_method *method, char *out, size_t size);

/* FNV-1a of the layout. */
uint64_t schema_fingerprint(const char *layout);

/* ASIDE_OK when neither side can misread the other: a field number both know has the same type in both.
 * Otherwise FAILED_PRECONDITION, reason SCHEMA_CONFLICT, naming the field. */
enum aside_code schema_compare(const char *ours, const char *theirs, struct aside_status *err) MUST_CHECK;
