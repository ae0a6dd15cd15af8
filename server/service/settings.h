/* What the rest of the service needs of the settings. */
#pragma once

#include "google/protobuf/field_mask.pb-c.h"
#include "wire/arena.h"

/* The fields named in page_settings.changed_fields, comma-separated.  In `arena`; NULL when that is full. */
Google__Protobuf__FieldMask *settings_mask(struct arena *arena, const char *text) MUST_CHECK;
