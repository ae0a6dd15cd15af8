/* C names from protobuf names: protoc-c's own rules, so that what we emit fits what it emits. */
#pragma once

#include <stddef.h>

#define NAME_MAX_BYTES 512

/* ".aside.v1.SendMessageRequest" → "Aside__V1__SendMessageRequest".  Returns `out`. */
const char *name_type(const char *full, char out[NAME_MAX_BYTES]);

/* ".aside.v1.SendMessageRequest" → "aside__v1__send_message_request". */
const char *name_lower(const char *full, char out[NAME_MAX_BYTES]);

/* "aside.v1.MessageService" → "aside_v1_message_service"; "SendMessage" → "send_message". */
const char *name_symbol(const char *full, char out[NAME_MAX_BYTES]);

/* "aside/v1/messages.proto" → "aside_v1_messages". */
const char *name_file(const char *path, char out[NAME_MAX_BYTES]);
