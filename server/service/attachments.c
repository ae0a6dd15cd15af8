/* AttachmentService: begin, upload, read (P13); completing is complete.c's.  Knows operations, no SQL.
 * Worker threads. */
#include <inttypes.h>
#include <string.h>

#include "aside/v1/attachments.pb-c.h"
#include "aside/v1/attachments.rpc.h"
#include "chunk.h"
#include "service.h"
#include "store/sql.h"

#define READ_BYTES_DEFAULT (256 * 1024)
#define READ_BYTES_MAX (1024 * 1024)
#define SHA256_BYTES 32

static uint32_t chunk_count(uint64_t size_bytes)
{
	return (uint32_t)((size_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
}

static enum aside_code begin_check(const Aside__V1__BeginAttachmentRequest *in, struct aside_status *err)
{
	enum aside_code code = check_id(in->page_id, "page_id", err) |
			check_uuid(in->attachment_id, "attachment_id", err) |
			check_range((uint64_t)in->side, "side", 1, 2, err) |
			check_range((uint64_t)in->kind, "kind", 1, 2, err) |
			check_range(in->size_bytes, "size_bytes", 1, INT64_MAX, err);

	if (in->sha256.len != SHA256_BYTES)
		code |= fail_field(err, "sha256", "must have %d bytes", SHA256_BYTES);
	return code == ASIDE_OK ? ASIDE_OK : ASIDE_INVALID_ARGUMENT;
}

static enum aside_code begin_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__BeginAttachmentRequest *in = request;

	if (begin_check(in, err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_begin_attachment, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_MODERATOR);
	op_bytes(op, bytes_of(in->attachment_id));
	op_int(op, (int64_t)in->side);
	op_int(op, (int64_t)in->kind);
	op_int(op, (int64_t)in->size_bytes);
	op_bytes(op, bytes_of(in->sha256));
	op_int(op, call->now_us);
	op_int(op, CHUNK_BYTES);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code begin_end(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__BeginAttachmentRequest *in = request;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK && strcmp(err->reason, "ATTACHMENT_TOO_LARGE") == 0)
		status_add_fact(err, "limit", "%" PRId64, op_row_int(op, 0, 1));
	if (code != ASIDE_OK)
		return code;

	Aside__V1__BeginAttachmentResponse *out = call_response(call);
	if (out == NULL || (out->missing_chunks = call_alloc(call,
					   op->n_rows * sizeof *out->missing_chunks)) == NULL)
		return call_full(err);
	out->chunk_bytes = CHUNK_BYTES;
	out->chunk_count = chunk_count(in->size_bytes);
	out->complete = op_row_bool(op, 0, 2);
	for (unsigned row = 0; row < op->n_rows && !op_is_null(op, row, 3); row++)
		out->missing_chunks[out->n_missing_chunks++] = (uint32_t)op_row_int(op, row, 3);
	return ASIDE_OK;
}

static enum aside_code upload_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__UploadChunkRequest *in = request;

	if (check_id(in->page_id, "page_id", err) |
			check_uuid(in->attachment_id, "attachment_id", err) |
			check_range(in->chunk_index, "chunk_index", 0, CHUNKS_MAX - 1, err) |
			check_range(in->data.len, "data", 1, CHUNK_BYTES, err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_upload_chunk, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, call->principal.user_id);
	op_bytes(op, bytes_of(in->attachment_id));
	op_int(op, in->chunk_index);
	op_bytes(op, bytes_of(in->data));
	op_int(op, CHUNK_BYTES);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code upload_end(struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "ATTACHMENT_NOT_FOUND", err);
	if (code != ASIDE_OK && strcmp(err->reason, "FIELD_INVALID") == 0) {
		*err = (struct aside_status){ 0 };
		int64_t expected = op_row_int(op, 0, 1);
		if (expected <= 0)
			return fail_field(err, "chunk_index", "is beyond the end");
		return fail_field(err, "data", "must have %" PRId64 " bytes", expected);
	}
	if (code != ASIDE_OK)
		return code;

	Aside__V1__UploadChunkResponse *out = call_response(call);
	if (out == NULL)
		return call_full(err);
	out->chunks_received = (uint32_t)op_row_int(op, 0, 2);
	return ASIDE_OK;
}

static enum aside_code read_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ReadAttachmentRequest *in = request;

	if (check_id(in->page_id, "page_id", err) |
			check_uuid(in->attachment_id, "attachment_id", err) |
			check_range(in->length_bytes, "length_bytes", 0, READ_BYTES_MAX, err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_read_attachment, in->page_id);
	if (op == NULL)
		return call_full(err);
	/* Clamped, not refused: beyond the largest file is RANGE_BEYOND_END, told by the statement. */
	uint64_t beyond = (uint64_t)CHUNK_BYTES * CHUNKS_MAX;
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_MODERATOR);
	op_bytes(op, bytes_of(in->attachment_id));
	op_int(op, (int64_t)(in->offset_bytes < beyond ? in->offset_bytes : beyond));
	op_int(op, in->length_bytes == 0 ? READ_BYTES_DEFAULT : in->length_bytes);
	op_int(op, CHUNK_BYTES);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code read_end(struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "ATTACHMENT_NOT_FOUND", err);
	size_t size = 0;
	if (code != ASIDE_OK)
		return code;

	Aside__V1__ReadAttachmentResponse *out = call_response(call);
	for (unsigned row = 0; row < op->n_rows; row++)
		size += op_row_bytes(op, row, 3).size;
	if (out == NULL || (out->data.data = call_alloc(call, size + 1)) == NULL)
		return call_full(err);
	for (unsigned row = 0; row < op->n_rows; row++) {
		struct bytes part = op_row_bytes(op, row, 3);
		if (part.size > 0)
			memcpy(out->data.data + out->data.len, part.data, part.size);
		out->data.len += part.size;
	}
	out->size_bytes = (uint64_t)op_row_int(op, 0, 1);
	out->media_type = call_text(call, op_row_text(op, 0, 2));
	return out->media_type == NULL ? call_full(err) : ASIDE_OK;
}

static const struct handler handlers[] = {
	{ "BeginAttachment", begin_begin, begin_end },
	{ "UploadChunk", upload_begin, upload_end },
	{ "CompleteAttachment", complete_begin, complete_end },
	{ "ReadAttachment", read_begin, read_end },
};

const struct handlers attachment_handlers = {
	.service = &aside_v1_attachment_service,
	.handlers = handlers,
	.n_handlers = sizeof handlers / sizeof *handlers,
};
