/* Checks serialized bytes against a descriptor *before* protobuf-c unpacks them: protobuf-c itself
 * checks neither depth nor UTF-8, and cuts strings at a NUL. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "scope.h"

#define VALIDATE_DEPTH_MAX 32
#define VALIDATE_FIELDS_MAX 20000 /* fields in all, sub-messages and unknown ones included */

/* ASIDE_OK if unpacking `body` as `desc` is safe: well-formed, bounded, strings UTF-8 without NUL, at
 * most one value of each non-repeated message field.  Otherwise INVALID_ARGUMENT, reason
 * MALFORMED_REQUEST, with the field's path.  Allocates nothing.  Any thread. */
enum aside_code validate(const ProtobufCMessageDescriptor *desc, struct bytes body,
		struct aside_status *err) MUST_CHECK;
