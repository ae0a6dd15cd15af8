/* What bytes really are, and whether that is what they were announced as (P13). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/scope.h"

/* The media type of a file that begins with `head`: "image/jpeg"; NULL when it cannot be told.  Borrowed
 * until the thread's next call.  Any thread. */
const char *sniff(struct bytes head);

/* Whether a photo (kind 1) or video (kind 2), as of aside.v1.AttachmentKind, may have this type. */
bool sniff_fits(int64_t kind, const char *media_type);
