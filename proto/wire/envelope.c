/* Envelope = { session, sequence, repeated Frame frames }, read in place and written in one pass.  See envelope.h. */
#include "envelope.h"

#include <string.h>

#include "status.h"
#include "varint.h"

enum { FIELD_SESSION = 1, FIELD_SEQUENCE = 2, FIELD_FRAMES = 3, FIELD_CALL_ID = 1 };

static enum aside_code malformed(struct aside_status *err, const char *what)
{
	return fail(err, ASIDE_INVALID_ARGUMENT, "MALFORMED_ENVELOPE", "not an envelope: %s", what);
}

struct envelope_head envelope_read(struct envelope_reader *reader, struct bytes message)
{
	struct envelope_head head = { 0 };
	struct bytes rest = message;
	struct field field;

	*reader = (struct envelope_reader){ .rest = message };
	while (field_take(&rest, &field) && field.number < FIELD_FRAMES) {
		if (field.number == FIELD_SESSION && field.type == WIRE_FIXED64)
			head.session = field.value;
		else if (field.number == FIELD_SEQUENCE && field.type == WIRE_VARINT)
			head.sequence = field.value;
		reader->rest = rest;
	}
	return head;
}

/* ── reading ─────────────────────────────────────────────────────────────────────────────────────── */

static const char *read_metadata(struct bytes body, struct frame *frame, size_t *used)
{
	struct metadata *metadata = &frame->metadata[frame->n_metadata];
	struct field field;

	if (frame->n_metadata == METADATA_MAX)
		return "too many metadata entries";
	*metadata = (struct metadata){ 0 };
	while (body.size > 0) {
		if (!field_take(&body, &field))
			return "metadata is cut short";
		if (field.type == WIRE_BYTES && field.number == 1)
			metadata->key = field.bytes;
		else if (field.type == WIRE_BYTES && field.number == 2)
			metadata->value = field.bytes;
	}
	*used += metadata->key.size + metadata->value.size;
	if (*used > METADATA_BYTES_MAX)
		return "more than 8 KiB of metadata";
	frame->n_metadata++;
	return NULL;
}

/* Where field `number` of a frame's body belongs; false for one this version does not know. */
static bool store_field(struct frame *frame, const struct field *field)
{
	switch ((unsigned)frame->kind << 8 | field->number) {
	case FRAME_CALL << 8 | 1: frame->method = field->bytes; return field->type == WIRE_BYTES;
	case FRAME_CALL << 8 | 2: frame->payload = field->bytes; return field->type == WIRE_BYTES;
	case FRAME_CALL << 8 | 3: frame->timeout_us = field->value; return field->type == WIRE_VARINT;
	case FRAME_REPLY << 8 | 1: frame->code = (uint32_t)field->value; return field->type == WIRE_VARINT;
	case FRAME_REPLY << 8 | 2: frame->payload = field->bytes; return field->type == WIRE_BYTES;
	case FRAME_REPLY << 8 | 3: frame->status = field->bytes; return field->type == WIRE_BYTES;
	case FRAME_ITEM << 8 | 1: frame->payload = field->bytes; return field->type == WIRE_BYTES;
	case FRAME_ITEM << 8 | 2: frame->end = field->value != 0; return field->type == WIRE_VARINT;
	case FRAME_CREDIT << 8 | 1: frame->items = (uint32_t)field->value; return field->type == WIRE_VARINT;
	case FRAME_CREDIT << 8 | 2: frame->payload_bytes = field->value; return field->type == WIRE_VARINT;
	case FRAME_GOAWAY << 8 | 1: frame->last_call_id = field->value; return field->type == WIRE_VARINT;
	case FRAME_GOAWAY << 8 | 2: frame->reason = field->bytes; return field->type == WIRE_BYTES;
	default: return true;
	}
}

static const char *read_body(struct bytes body, struct frame *frame)
{
	size_t metadata_bytes = 0;
	struct field field;
	const char *why;

	if (frame->kind == FRAME_HELLO) {
		frame->payload = body;
		return NULL;
	}
	while (body.size > 0) {
		if (!field_take(&body, &field))
			return "a frame is cut short";
		if (field.number == 4 && field.type == WIRE_BYTES &&
				(frame->kind == FRAME_CALL || frame->kind == FRAME_REPLY)) {
			why = read_metadata(field.bytes, frame, &metadata_bytes);
			if (why != NULL)
				return why;
		} else if (!store_field(frame, &field)) {
			return "a field has another type";
		}
	}
	return frame->method.size > METHOD_PATH_MAX ? "a method's name is too long" : NULL;
}

static const char *read_frame(struct bytes rest, struct frame *frame)
{
	struct bytes body = { 0 };
	struct field field;

	frame->kind = FRAME_NONE;
	frame->call_id = 0;
	while (rest.size > 0) {
		if (!field_take(&rest, &field))
			return "a frame is cut short";
		if (field.number == FIELD_CALL_ID && field.type == WIRE_VARINT) {
			frame->call_id = field.value;
		} else if (field.number >= FRAME_HELLO && field.number <= FRAME_GOAWAY) {
			if (field.type != WIRE_BYTES || frame->kind != FRAME_NONE)
				return "a frame has two kinds";
			frame->kind = (enum frame_kind)field.number;
			body = field.bytes;
		}
	}
	return read_body(body, frame);
}

enum aside_code envelope_next(struct envelope_reader *reader, struct frame *ret, bool *ret_more,
		struct aside_status *err)
{
	struct field field;
	const char *why;

	*ret_more = false;
	while (reader->rest.size > 0) {
		if (!field_take(&reader->rest, &field))
			return malformed(err, "it is cut short");
		if (field.number != FIELD_FRAMES || field.type != WIRE_BYTES)
			continue;
		if (++reader->n_frames > ENVELOPE_FRAMES_MAX)
			return malformed(err, "too many frames");
		/* All but the metadata, of which n_metadata says how much is there. */
		frame_init(ret, 0, 0);
		why = read_frame(field.bytes, ret);
		if (why != NULL)
			return malformed(err, why);
		*ret_more = true;
		return ASIDE_OK;
	}
	return ASIDE_OK;
}

/* ── writing: the fields of each kind in the order of their numbers, zeros left out, as proto3 does ── */

static size_t number_size(uint64_t value)
{
	return value != 0 ? 1 + varint_size(value) : 0;
}

static size_t bytes_size(struct bytes value)
{
	return value.size > 0 ? 1 + varint_size(value.size) + value.size : 0;
}

static uint8_t *number_write(uint8_t *out, unsigned number, uint64_t value)
{
	if (value == 0)
		return out;
	*out++ = (uint8_t)(number << 3 | WIRE_VARINT);
	return varint_write(out, value);
}

static uint8_t *head_write(uint8_t *out, unsigned number, size_t size)
{
	*out++ = (uint8_t)(number << 3 | WIRE_BYTES);
	return varint_write(out, size);
}

static uint8_t *bytes_write(uint8_t *out, unsigned number, struct bytes value)
{
	if (value.size == 0)
		return out;
	out = head_write(out, number, value.size);
	memcpy(out, value.data, value.size);
	return out + value.size;
}

static size_t entry_size(const struct metadata *metadata)
{
	return bytes_size(metadata->key) + bytes_size(metadata->value);
}

static size_t metadata_size(const struct frame *frame)
{
	size_t size = 0;

	for (size_t i = 0; i < frame->n_metadata; i++)
		size += 1 + varint_size(entry_size(&frame->metadata[i])) + entry_size(&frame->metadata[i]);
	return size;
}

static uint8_t *metadata_write(uint8_t *out, const struct frame *frame)
{
	for (size_t i = 0; i < frame->n_metadata; i++) {
		out = head_write(out, 4, entry_size(&frame->metadata[i]));
		out = bytes_write(out, 1, frame->metadata[i].key);
		out = bytes_write(out, 2, frame->metadata[i].value);
	}
	return out;
}

static size_t body_size(const struct frame *frame)
{
	switch (frame->kind) {
	case FRAME_HELLO: return frame->payload.size;
	case FRAME_CALL:
		return bytes_size(frame->method) + bytes_size(frame->payload) +
				number_size(frame->timeout_us) + metadata_size(frame);
	case FRAME_REPLY:
		return number_size(frame->code) + bytes_size(frame->payload) + bytes_size(frame->status) +
				metadata_size(frame);
	case FRAME_ITEM: return bytes_size(frame->payload) + number_size(frame->end);
	case FRAME_CREDIT: return number_size(frame->items) + number_size(frame->payload_bytes);
	case FRAME_GOAWAY: return number_size(frame->last_call_id) + bytes_size(frame->reason);
	case FRAME_CANCEL:
	case FRAME_NONE: break;
	}
	return 0;
}

static uint8_t *body_write(const struct frame *frame, uint8_t *out)
{
	switch (frame->kind) {
	case FRAME_HELLO:
		if (frame->payload.size > 0)
			memcpy(out, frame->payload.data, frame->payload.size);
		return out + frame->payload.size;
	case FRAME_CALL:
		out = bytes_write(out, 1, frame->method);
		out = bytes_write(out, 2, frame->payload);
		out = number_write(out, 3, frame->timeout_us);
		return metadata_write(out, frame);
	case FRAME_REPLY:
		out = number_write(out, 1, frame->code);
		out = bytes_write(out, 2, frame->payload);
		out = bytes_write(out, 3, frame->status);
		return metadata_write(out, frame);
	case FRAME_ITEM: return number_write(bytes_write(out, 1, frame->payload), 2, frame->end);
	case FRAME_CREDIT: return number_write(number_write(out, 1, frame->items), 2, frame->payload_bytes);
	case FRAME_GOAWAY: return bytes_write(number_write(out, 1, frame->last_call_id), 2, frame->reason);
	case FRAME_CANCEL:
	case FRAME_NONE: break;
	}
	return out;
}

uint8_t *envelope_head_write(const struct envelope_head *head, uint8_t *out)
{
	if (head->session != 0) {
		*out++ = FIELD_SESSION << 3 | WIRE_FIXED64;
		for (unsigned shift = 0; shift < 64; shift += 8)
			*out++ = (uint8_t)(head->session >> shift);
	}
	return number_write(out, FIELD_SEQUENCE, head->sequence);
}

size_t envelope_fitting(const uint8_t *frames, size_t size, size_t most)
{
	struct bytes rest = { frames, size };
	struct field field;
	size_t used = 0;

	while (size > most && field_take(&rest, &field) && (used == 0 || size - rest.size <= most))
		used = size - rest.size;
	return size <= most ? size : used;
}

static size_t content_size(const struct frame *frame, size_t body)
{
	return number_size(frame->call_id) + (frame->kind != FRAME_NONE ? 1 + varint_size(body) + body : 0);
}

size_t envelope_frame_size(const struct frame *frame)
{
	size_t content = content_size(frame, body_size(frame));

	return 1 + varint_size(content) + content;
}

uint8_t *envelope_frame_write(const struct frame *frame, uint8_t *out)
{
	size_t body = body_size(frame);

	out = head_write(out, FIELD_FRAMES, content_size(frame, body));
	out = number_write(out, FIELD_CALL_ID, frame->call_id);
	if (frame->kind == FRAME_NONE)
		return out;
	out = head_write(out, frame->kind, body);
	return body_write(frame, out);
}
