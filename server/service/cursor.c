/* Base64url of a kind, a person and places, as varints; page ids as steps from the last.  See cursor.h. */
#include "cursor.h"

#include <string.h>

#include "input.h"
#include "reason.h"
#include "wire/varint.h"

#define VARINT_BYTES_MAX 10
#define HEAD_BYTES_MAX (1 + VARINT_BYTES_MAX)
#define PLACE_BYTES_MAX (3 * VARINT_BYTES_MAX)

char *cursor_new(struct arena *arena, enum watch_kind kind, int64_t user_id, const struct place *places, size_t n)
{
	size_t room = HEAD_BYTES_MAX + n * PLACE_BYTES_MAX;
	uint8_t small[HEAD_BYTES_MAX + PLACE_BYTES_MAX], *raw = n > 1 ? arena_alloc(arena, room) : small, *end = raw;
	int64_t last = 0;
	char *text;

	if (raw == NULL)
		return NULL;
	*end++ = (uint8_t)kind;
	end = varint_write(end, (uint64_t)user_id);
	for (size_t i = 0; i < n; i++) {
		end = varint_write(end, (uint64_t)(places[i].page_id - last));
		end = varint_write(end, (uint64_t)places[i].event);
		end = varint_write(end, (uint64_t)places[i].seq);
		last = places[i].page_id;
	}
	text = arena_alloc(arena, BASE64URL_CHARS((size_t)(end - raw)));
	if (text != NULL)
		(void)base64url_encode(raw, (size_t)(end - raw), text);
	return text;
}

static bool take_number(struct bytes *rest, int64_t *ret)
{
	uint64_t number;

	if (!varint_take(rest, &number) || number > INT64_MAX)
		return false;
	*ret = (int64_t)number;
	return true;
}

/* The next place, on a higher page than `last`. */
static bool take_place(struct bytes *rest, int64_t last, struct place *ret)
{
	int64_t step;

	if (!take_number(rest, &step) || step == 0 || step > INT64_MAX - last)
		return false;
	ret->page_id = last + step;
	return take_number(rest, &ret->event) && take_number(rest, &ret->seq) && ret->seq <= INT32_MAX;
}

enum aside_code cursor_read(struct arena *arena, const char *text, enum watch_kind kind, int64_t user_id,
		struct place **ret_places, size_t *ret_n, struct aside_status *err)
{
	size_t size = strlen(text), n = 0;
	uint8_t *raw = arena_alloc(arena, size);
	struct place *places = arena_alloc(arena, (size / 4 + 1) * sizeof *places); /* three bytes are the least */
	struct bytes rest = { raw, 0 };
	int64_t user, last = 0;

	if (raw == NULL || places == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE", "the cursor is too long");
	rest.size = base64url_decode(text, raw, size);
	if (rest.size == 0 || raw[0] != (uint8_t)kind)
		return refuse(err, "CURSOR_INVALID");
	rest.data++;
	rest.size--;
	if (!take_number(&rest, &user) || user != user_id)
		return refuse(err, "CURSOR_INVALID");
	for (; rest.size > 0; n++) {
		if (n == PLACES_MAX || !take_place(&rest, last, &places[n]))
			return refuse(err, "CURSOR_INVALID");
		last = places[n].page_id;
	}
	if (kind != WATCH_PERSON && n != 1)
		return refuse(err, "CURSOR_INVALID");
	*ret_places = places;
	*ret_n = n;
	return ASIDE_OK;
}

const struct place *place_find(const struct place *places, size_t n, int64_t page_id)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (places[middle].page_id < page_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && places[low].page_id == page_id ? &places[low] : NULL;
}
