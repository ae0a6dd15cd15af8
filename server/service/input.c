/* Request fields: ids, keys, texts, sizes, page tokens.  Knows neither calls nor methods.  Any thread. */
#include "input.h"

#include <inttypes.h>
#include <string.h>

#include "reason.h"

#define TOKEN_BYTES_MAX (1 + PAGE_TOKEN_KEYS_MAX * sizeof(int64_t))
#define TOKEN_CHARS_MAX BASE64URL_CHARS(TOKEN_BYTES_MAX)

enum aside_code check_id(int64_t id, const char *field, struct aside_status *err)
{
	return id > 0 ? ASIDE_OK : fail_field(err, field, "must be greater than 0");
}

enum aside_code check_uuid(ProtobufCBinaryData uuid, const char *field, struct aside_status *err)
{
	static const uint8_t nil[UUID_BYTES];

	if (uuid.len != UUID_BYTES)
		return fail_field(err, field, "must be a UUID as 16 bytes (in JSON: base64 of them), has %zu", uuid.len);
	if (memcmp(uuid.data, nil, UUID_BYTES) == 0)
		return fail_field(err, field, "must not be the nil UUID");
	return ASIDE_OK;
}

enum aside_code check_text(
		const char *text, const char *field, size_t min, size_t max, struct aside_status *err)
{
	size_t chars = utf8_chars(text);

	if (chars < min || chars > max)
		return fail_field(err, field, "must have %zu to %zu characters, has %zu", min, max, chars);
	return ASIDE_OK;
}

enum aside_code check_range(
		uint64_t value, const char *field, uint64_t min, uint64_t max, struct aside_status *err)
{
	if (value < min || value > max)
		return fail_field(err, field, "must be %" PRIu64 " to %" PRIu64, min, max);
	return ASIDE_OK;
}

enum aside_code check_page_size(uint32_t asked, unsigned *ret, struct aside_status *err)
{
	if (asked > PAGE_SIZE_MAX)
		return fail_field(err, "page_size", "must be at most %d", PAGE_SIZE_MAX);
	*ret = asked == 0 ? PAGE_SIZE_DEFAULT : asked;
	return ASIDE_OK;
}

size_t utf8_chars(const char *text)
{
	size_t chars = 0;

	for (; *text != '\0'; text++)
		chars += ((unsigned char)*text & 0xc0) != 0x80;
	return chars;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(const uint8_t *data, size_t size, char *out)
{
	char *start = out;
	uint32_t bits = 0;
	unsigned n_bits = 0;

	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | data[i];
		for (n_bits += 8; n_bits >= 6; n_bits -= 6)
			*out++ = alphabet[bits >> (n_bits - 6) & 63];
	}
	if (n_bits > 0)
		*out++ = alphabet[bits << (6 - n_bits) & 63];
	*out = '\0';
	return (size_t)(out - start);
}

size_t base64url_decode(const char *text, uint8_t *out, size_t size)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t n = 0;

	for (; *text != '\0'; text++) {
		const char *at = strchr(alphabet, *text);
		if (at == NULL)
			return 0;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		n_bits += 6;
		if (n_bits < 8)
			continue;
		if (n == size)
			return 0;
		n_bits -= 8;
		out[n++] = (uint8_t)(bits >> n_bits);
	}
	return n;
}

char *page_token_new(struct arena *arena, char tag, const int64_t *keys, size_t n)
{
	uint8_t raw[TOKEN_BYTES_MAX] = { (uint8_t)tag };
	char text[TOKEN_CHARS_MAX];
	size_t size = 1;

	for (size_t i = 0; i < n && i < PAGE_TOKEN_KEYS_MAX; i++)
		for (int shift = 56; shift >= 0; shift -= 8)
			raw[size++] = (uint8_t)((uint64_t)keys[i] >> shift);
	return arena_strndup(arena, text, base64url_encode(raw, size, text));
}

enum aside_code page_token_read(const char *token, char tag, int64_t page_id, int64_t *ret_keys,
		size_t n, struct aside_status *err)
{
	uint8_t raw[TOKEN_BYTES_MAX] = { 0 };
	int64_t keys[PAGE_TOKEN_KEYS_MAX] = { 0 };

	if (*token == '\0')
		return ASIDE_OK;
	if (n == 0 || n > PAGE_TOKEN_KEYS_MAX ||
			base64url_decode(token, raw, sizeof raw) != 1 + n * sizeof *keys ||
			raw[0] != (uint8_t)tag)
		return refuse(err, "PAGE_TOKEN_INVALID");

	for (size_t i = 0; i < n; i++) {
		uint64_t key = 0;
		for (size_t byte = 0; byte < sizeof key; byte++)
			key = key << 8 | raw[1 + i * sizeof key + byte];
		keys[i] = (int64_t)key;
	}
	if (keys[0] != page_id)
		return refuse(err, "PAGE_TOKEN_INVALID");
	memcpy(ret_keys, keys, n * sizeof *keys);
	return ASIDE_OK;
}
