/* What a sender writes: checked, hashed and laid out for the store. */
#pragma once

#include "aside/v1/messages.pb-c.h"
#include "service.h"

#define CONTENT_TEXT_MAX 10000 /* characters; a page may allow fewer */
#define CONTENT_ATTACHMENTS_MAX 10
#define CONTENT_LINK_BYTES_MAX 2048

struct content {
	const char *text;
	int64_t chars;
	const char *items; /* JSON array of {"a": uuid} and {"l": url}; "" without attachments; in the arena */
	bool has_uploads;  /* whether an {"a": …} is among them */
	int64_t hash;      /* of all that makes two sends the same (P10) */
};

/* Checks `in` (P12, P13).  `kind`, `user_id` and `entry_id` go into the hash with it. */
enum aside_code content_check(struct call *call, const Aside__V1__Content *in, char kind, int64_t user_id,
		int64_t entry_id, struct content *ret, struct aside_status *err) MUST_CHECK;
