/* CompleteAttachment (P13): reads the upload's chunks a few at a time, hashes them all, sniffs the first,
 * and seals the upload.  Chunks never change once stored, so what was read is what is sealed.
 *
 *     LOOK ──▶ READ ─┬─▶ READ … ──▶ SEAL ──▶ answered
 *       └────────────┴─▶ refused, or answered when it was sealed before
 *
 * Worker threads; holds nothing between steps but memory of the call's arena, so that a call that is
 * dropped halfway leaks nothing.  That is why the hash is SHA256_CTX and not EVP_MD_CTX. */
#define OPENSSL_API_COMPAT 10100

#include <inttypes.h>
#include <openssl/sha.h>
#include <string.h>

#include "aside/v1/attachments.pb-c.h"
#include "chunk.h"
#include "service.h"
#include "sniff.h"
#include "store/sql.h"

#define CHUNKS_PER_READ 4 /* 1 MiB in flight per call */

enum step {
	STEP_LOOK = 0, /* waiting for the upload's row */
	STEP_READ,     /* waiting for some chunks */
	STEP_SEAL,     /* waiting for the upload to be sealed */
};

struct completion {
	enum step step;
	int64_t kind, size_bytes, read_bytes;
	uint8_t sha256[SHA256_DIGEST_LENGTH];
	SHA256_CTX hash;
	uint32_t n_chunks;      /* read so far */
	const char *media_type; /* once known; in the arena */
	/* Reads take turns in two, so that a long file does not fill the arena. */
	struct op *reads[2], blank;
	unsigned turn;
};

enum aside_code complete_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__CompleteAttachmentRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_uuid(in->attachment_id, "attachment_id", err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_get_upload, in->page_id);
	call->state = call_alloc(call, sizeof(struct completion));
	if (op == NULL || call->state == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, call->principal.user_id);
	op_bytes(op, bytes_of(in->attachment_id));
	call->op = op;
	return ASIDE_OK;
}

/* The next chunks; READ to READ, or LOOK to READ. */
static void read_next(struct call *call, const Aside__V1__CompleteAttachmentRequest *in)
{
	struct completion *state = call->state;
	struct op *op = state->reads[state->turn++ % 2];

	*op = state->blank;
	op_int(op, in->page_id);
	op_bytes(op, bytes_of(in->attachment_id));
	op_int(op, state->n_chunks);
	op_int(op, CHUNKS_PER_READ);
	state->step = STEP_READ;
	call->op = op;
}

static enum aside_code answer(struct call *call, const Aside__V1__CompleteAttachmentRequest *in,
		const char *media_type, struct aside_status *err)
{
	const struct completion *state = call->state;
	Aside__V1__CompleteAttachmentResponse *out = call_response(call);

	if (out == NULL || (out->attachment = call_alloc(call, sizeof *out->attachment)) == NULL)
		return call_full(err);
	aside__v1__attachment__init(out->attachment);
	out->attachment->kind = (Aside__V1__AttachmentKind)state->kind;
	out->attachment->content_case = ASIDE__V1__ATTACHMENT__CONTENT_ATTACHMENT_ID;
	out->attachment->attachment_id = in->attachment_id;
	out->attachment->size_bytes = (uint64_t)state->size_bytes;
	out->attachment->media_type = call_text(call, media_type);
	return out->attachment->media_type == NULL ? call_full(err) : ASIDE_OK;
}

static enum aside_code incomplete(int64_t received_bytes, struct aside_status *err)
{
	enum aside_code code = refuse(err, "ATTACHMENT_INCOMPLETE");

	status_add_fact(err, "received_bytes", "%" PRId64, received_bytes);
	return code;
}

static enum aside_code looked(struct call *call, const Aside__V1__CompleteAttachmentRequest *in,
		struct aside_status *err)
{
	struct completion *state = call->state;
	const struct op *op = call->op;
	struct bytes sha256 = op_row_bytes(op, 0, 3);

	state->kind = op_row_int(op, 0, 1);
	state->size_bytes = op_row_int(op, 0, 2);
	if (sha256.size != sizeof state->sha256)
		return fail(err, ASIDE_INTERNAL, "INTERNAL", "a hash of another size");
	memcpy(state->sha256, sha256.data, sizeof state->sha256);
	if (!op_is_null(op, 0, 4))
		return answer(call, in, op_row_text(op, 0, 4), err);
	if (op_row_int(op, 0, 5) != state->size_bytes)
		return incomplete(op_row_int(op, 0, 5), err);

	state->reads[0] = op_new(&call->arena, &sql_read_chunks, in->page_id);
	state->reads[1] = op_new(&call->arena, &sql_read_chunks, in->page_id);
	if (state->reads[0] == NULL || state->reads[1] == NULL)
		return call_full(err);
	state->blank = *state->reads[0];
	SHA256_Init(&state->hash);
	read_next(call, in);
	return ASIDE_OK;
}

/* Whether the file's first bytes are of the declared kind; keeps the type. */
static enum aside_code check_type(struct call *call, struct bytes head, struct aside_status *err)
{
	struct completion *state = call->state;
	const char *detected = sniff(head);

	if (detected == NULL)
		return fail(err, ASIDE_INTERNAL, "INTERNAL", "file types cannot be told");
	if (!sniff_fits(state->kind, detected)) {
		enum aside_code code = refuse(err, "ATTACHMENT_TYPE_MISMATCH");
		status_add_fact(err, "detected", "%s", detected);
		return code;
	}
	state->media_type = call_text(call, detected);
	return state->media_type == NULL ? call_full(err) : ASIDE_OK;
}

/* All bytes were read: the hash decides. */
static enum aside_code seal(struct call *call, const Aside__V1__CompleteAttachmentRequest *in,
		struct aside_status *err)
{
	struct completion *state = call->state;
	uint8_t sha256[SHA256_DIGEST_LENGTH];

	SHA256_Final(sha256, &state->hash);
	if (memcmp(sha256, state->sha256, sizeof sha256) != 0)
		return refuse(err, "ATTACHMENT_HASH_MISMATCH");

	struct op *op = op_new(&call->arena, &sql_seal_attachment, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, call->principal.user_id);
	op_bytes(op, bytes_of(in->attachment_id));
	op_text(op, state->media_type);
	op_int(op, call->now_us);
	state->step = STEP_SEAL;
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code chunks_read(struct call *call, const Aside__V1__CompleteAttachmentRequest *in,
		struct aside_status *err)
{
	struct completion *state = call->state;
	const struct op *op = call->op;

	if (state->n_chunks == 0 && op->n_rows > 0) {
		enum aside_code code = check_type(call, op_row_bytes(op, 0, 1), err);
		if (code != ASIDE_OK)
			return code;
	}
	for (unsigned row = 0; row < op->n_rows; row++) {
		struct bytes chunk = op_row_bytes(op, row, 1);
		SHA256_Update(&state->hash, chunk.data, chunk.size);
		state->read_bytes += (int64_t)chunk.size;
		state->n_chunks++;
	}
	if (state->read_bytes == state->size_bytes)
		return seal(call, in, err);
	if (op->n_rows == 0) /* the sweep came in between */
		return incomplete(state->read_bytes, err);
	read_next(call, in);
	return ASIDE_OK;
}

enum aside_code complete_end(struct call *call, const void *request, struct aside_status *err)
{
	struct completion *state = call->state;
	bool rows_needed = state->step != STEP_READ;
	enum aside_code code = call_outcome(call, rows_needed ? "ATTACHMENT_NOT_FOUND" : NULL, err);

	if (code != ASIDE_OK)
		return code;
	switch (state->step) {
	case STEP_LOOK: return looked(call, request, err);
	case STEP_READ: return chunks_read(call, request, err);
	case STEP_SEAL: return answer(call, request, op_row_text(call->op, 0, 1), err);
	}
	return fail(err, ASIDE_INTERNAL, "INTERNAL", "no such step");
}
