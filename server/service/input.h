/* Checks of request fields that many methods share.  Every limit a peer can reach is named here.
 *
 * A check returns ASIDE_OK or INVALID_ARGUMENT with a violation added to *err, so that several can be
 * or-ed and all faults are told at once:
 *
 *     if (check_id(in->page_id, "page_id", err) | check_uuid(in->client_key, "client_key", err))
 *             return ASIDE_INVALID_ARGUMENT;
 *
 * Any thread; nothing is kept. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "wire/arena.h"
#include "wire/scope.h"
#include "wire/status.h"

#define PAGE_SIZE_DEFAULT 50
#define PAGE_SIZE_MAX 200
#define PAGE_TOKEN_KEYS_MAX 4
#define UUID_BYTES 16
/* The end of the year 9999, in microseconds since 1970: no moment a peer names is later. */
#define TIME_US_MAX INT64_C(253402300799999999)

/* A page, user or entry id: greater than 0. */
enum aside_code check_id(int64_t id, const char *field, struct aside_status *err) MUST_CHECK;

/* 16 bytes, not all of them 0. */
enum aside_code check_uuid(ProtobufCBinaryData uuid, const char *field, struct aside_status *err) MUST_CHECK;

/* A text of `min` to `max` characters; the bytes are valid UTF-8 already (validate.h). */
enum aside_code check_text(const char *text, const char *field, size_t min, size_t max,
		struct aside_status *err) MUST_CHECK;

/* A number from `min` to `max`. */
enum aside_code check_range(uint64_t value, const char *field, uint64_t min, uint64_t max,
		struct aside_status *err) MUST_CHECK;

/* Rows to answer with: 0 is PAGE_SIZE_DEFAULT, more than PAGE_SIZE_MAX is refused. */
enum aside_code check_page_size(uint32_t asked, unsigned *ret, struct aside_status *err) MUST_CHECK;

/* Characters of valid UTF-8. */
size_t utf8_chars(const char *text);

/* A protobuf bytes field as the store wants it; borrowed. */
static inline struct bytes bytes_of(ProtobufCBinaryData data)
{
	return (struct bytes){ data.data, data.len };
}

/* Base64url without padding (RFC 4648, section 5).  BASE64URL_CHARS() are enough for `size` bytes and a NUL.
 * Encoding returns the characters written without the NUL; decoding the bytes written, 0 for what is no
 * base64url or is longer than `size`. */
#define BASE64URL_CHARS(size) (((size) + 2) / 3 * 4 + 1)
size_t base64url_encode(const uint8_t *data, size_t size, char *out);
size_t base64url_decode(const char *text, uint8_t *out, size_t size);

/* Opaque tokens: base64url of a tag, one letter per method, and `n` numbers: the page the list is of,
 * then the last row's keys.  NULL when the arena is full. */
char *page_token_new(struct arena *arena, char tag, const int64_t *keys, size_t n) MUST_CHECK;

/* The reverse: PAGE_TOKEN_INVALID unless it was made with this tag, this many keys and `page_id` as the
 * first.  An empty token is ASIDE_OK and leaves *ret_keys alone. */
enum aside_code page_token_read(const char *token, char tag, int64_t page_id, int64_t *ret_keys, size_t n,
		struct aside_status *err) MUST_CHECK;
