/* Messages as JSON, by protobuf's JSON mapping (https://protobuf.dev/programming-guides/json/): names in
 * lowerCamelCase, the .proto's own accepted too; 64-bit numbers are strings, bytes base64, enums names, a FieldMask
 * one comma-separated string.  Beyond the mapping's letter: a NUL is in no string, nothing is given twice, and
 * messages are at most VALIDATE_DEPTH_MAX deep, for the server would refuse them.  Knows descriptors only, not
 * which messages there are; descriptors of proto3, without maps. */
#pragma once

#include <jansson.h>

#include "wire/arena.h"

/* Longest field name with its NUL. */
#define JSON_NAME_BYTES 128

/* What is wrong with a JSON text: `why` goes on after `where`, "content.attachments[2].linkUrl" "is no string".
 * `where` may be empty. */
struct json_fault {
	char where[256];
	char why[256];
};

/* `text` as JSON, whatever its type; a new reference, or NULL with *ret_fault.  Nothing but space may follow. */
json_t *json_parse(const char *text, size_t size, struct json_fault *ret_fault) MUST_CHECK;

/* A new message of type `desc` in `arena`; NULL with *ret_fault.  Borrows `json`. */
ProtobufCMessage *json_to_message(const json_t *json, const ProtobufCMessageDescriptor *desc, struct arena *arena,
		struct json_fault *ret_fault) MUST_CHECK;

/* A new reference; NULL without memory.  With `defaults`, fields that are zero, empty or without elements are
 * there as well, but for messages and members of a oneof: those say by their absence that they are not set. */
json_t *json_from_message(const ProtobufCMessage *message, bool defaults) MUST_CHECK;

/* "client_key" → "clientKey".  Returns `out`; a longer name is cut. */
const char *json_name(const char *field, char out[JSON_NAME_BYTES]);

/* Bytes of one value of this type in protobuf-c's structs. */
size_t json_value_bytes(ProtobufCType type);
