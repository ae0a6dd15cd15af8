/* Frames to bytes and back: a hand-written codec of aside.rpc.v1.Envelope for the hot path.
 *
 * Knows no sockets and no threads.  Decoding copies nothing: a frame borrows from the message.  What it
 * writes is what protobuf-c would write, byte for byte (golden tests hold it to that). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "scope.h"

#define ENVELOPE_FRAMES_MAX 262144 /* of the smallest in 1 MiB */
#define METADATA_BYTES_MAX 8192
#define METADATA_MAX 32
#define METHOD_PATH_MAX 256

enum frame_kind { /* the field numbers of Frame.kind */
	FRAME_NONE = 0, /* a kind this version does not know */
	FRAME_HELLO = 2,
	FRAME_CALL = 3,
	FRAME_REPLY = 4,
	FRAME_ITEM = 5,
	FRAME_CREDIT = 6,
	FRAME_CANCEL = 7,
	FRAME_GOAWAY = 8,
};

struct metadata {
	struct bytes key;
	struct bytes value;
};

/* One frame.  Which members have a meaning, `kind` says.  HELLO, and REPLY.status, are rare and travel
 * as serialized messages that protobuf-c (un)packs. */
struct frame {
	uint64_t call_id;
	enum frame_kind kind;
	struct bytes method;  /* CALL */
	struct bytes payload; /* CALL, REPLY, ITEM; HELLO: the serialized Hello */
	uint64_t timeout_us;  /* CALL */
	uint32_t code;        /* REPLY */
	struct bytes status;  /* REPLY: the serialized Status */
	bool end;             /* ITEM */
	uint32_t items;       /* CREDIT */
	uint64_t payload_bytes; /* CREDIT */
	uint64_t last_call_id;  /* GOAWAY */
	struct bytes reason;    /* GOAWAY */
	struct metadata metadata[METADATA_MAX]; /* CALL, REPLY */
	size_t n_metadata;
};

/* An empty frame; of the metadata only their number is set. */
static inline void frame_init(struct frame *frame, enum frame_kind kind, uint64_t call_id)
{
	memset(frame, 0, offsetof(struct frame, metadata));
	frame->n_metadata = 0;
	frame->kind = kind;
	frame->call_id = call_id;
}

/* What stands before the frames. */
struct envelope_head {
	uint64_t session;  /* 0: a plain message */
	uint64_t sequence; /* in the session, from 1 */
};

#define ENVELOPE_HEAD_MAX 20 /* bytes */

/* Walks a message's frames.  */
struct envelope_reader {
	struct bytes rest;
	size_t n_frames;
};

/* Reads the head: fields in the order of their numbers, as every protobuf library writes them.  Bytes that are
 * no envelope have an empty one. */
struct envelope_head envelope_read(struct envelope_reader *reader, struct bytes message);

/* ASIDE_OK and *ret_more with a frame in *ret; ASIDE_OK and !*ret_more at the end; INVALID_ARGUMENT,
 * reason MALFORMED_ENVELOPE, for bytes that are no envelope or go beyond a limit above. */
enum aside_code envelope_next(struct envelope_reader *reader, struct frame *ret, bool *ret_more,
		struct aside_status *err) MUST_CHECK;

/* Writes a head; `out` has room for ENVELOPE_HEAD_MAX.  Returns the end. */
uint8_t *envelope_head_write(const struct envelope_head *head, uint8_t *out);

/* How many bytes of serialized frames fit `most`: whole frames, at least one. */
size_t envelope_fitting(const uint8_t *frames, size_t size, size_t most);

/* Bytes `frame` adds to an envelope. */
size_t envelope_frame_size(const struct frame *frame);

/* Writes them; `out` has room for envelope_frame_size().  Returns the end. */
uint8_t *envelope_frame_write(const struct frame *frame, uint8_t *out);
