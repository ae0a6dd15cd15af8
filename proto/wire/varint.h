/* Protobuf's base-128 integers and field tags, as the codec and the validator read and write them. */
#pragma once

#include <stdbool.h>

#include "scope.h"

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

/* One field of a serialized message. */
struct field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;     /* VARINT, FIXED64, FIXED32 */
	struct bytes bytes; /* BYTES */
};

/* Takes a varint off the front; false when it is cut short or longer than 10 bytes. */
static inline bool varint_take(struct bytes *rest, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < rest->size && i < 10; i++) {
		value |= (uint64_t)(rest->data[i] & 0x7F) << (7 * i);
		if (rest->data[i] < 0x80) {
			*ret = value;
			rest->data += i + 1;
			rest->size -= i + 1;
			return true;
		}
	}
	return false;
}

static inline size_t varint_size(uint64_t value)
{
	size_t size = 1;

	while (value >= 0x80) {
		value >>= 7;
		size++;
	}
	return size;
}

static inline uint8_t *varint_write(uint8_t *out, uint64_t value)
{
	while (value >= 0x80) {
		*out++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*out++ = (uint8_t)value;
	return out;
}

/* Takes one field off the front; false for anything malformed, groups included. */
static inline bool field_take(struct bytes *rest, struct field *ret)
{
	uint64_t tag, size = 0;

	if (!varint_take(rest, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
		return false;
	*ret = (struct field){ .number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7) };
	switch (tag & 7) {
	case WIRE_VARINT: return varint_take(rest, &ret->value);
	case WIRE_FIXED64: size = 8; break;
	case WIRE_FIXED32: size = 4; break;
	case WIRE_BYTES:
		if (!varint_take(rest, &size))
			return false;
		break;
	default: return false;
	}
	if (size > rest->size)
		return false;
	ret->bytes = (struct bytes){ rest->data, (size_t)size };
	if (ret->type != WIRE_BYTES)
		for (unsigned i = 0; i < size; i++)
			ret->value |= (uint64_t)rest->data[i] << (8 * i);
	rest->data += size;
	rest->size -= (size_t)size;
	return true;
}
