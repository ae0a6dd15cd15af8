/* Messages as JSON, by protobuf's JSON mapping: 64-bit numbers are strings, bytes base64, enums names, a
 * FieldMask one comma-separated string; field names in lowerCamelCase, the .proto's own accepted too. */
#pragma once

#include <jansson.h>

#include "wire/arena.h"

/* A new message of type `desc` in `arena`; NULL with *why (static text) and the field's name in `where`. */
ProtobufCMessage *json_to_message(const json_t *json, const ProtobufCMessageDescriptor *desc, struct arena *arena,
		char where[128], const char **why);

/* A new reference. */
json_t *json_from_message(const ProtobufCMessage *message);
