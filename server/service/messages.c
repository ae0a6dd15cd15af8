/* MessageService: sending, answering, reading. */
#include <string.h>

#include "aside/v1/messages.rpc.h"
#include "content.h"
#include "message.h"
#include "sql.h"

static Aside__V1__Receipt *make_receipt(struct call *call, int64_t page_id, int64_t user_id, unsigned first_column)
{
	Aside__V1__Receipt *receipt = call_alloc(call, sizeof *receipt);

	if (receipt == NULL)
		return NULL;
	aside__v1__receipt__init(receipt);
	receipt->page_id = page_id;
	receipt->user_id = user_id;
	receipt->seq = (uint32_t)op_row_int(call->op, 0, first_column);
	receipt->sent_at_us = op_row_int(call->op, 0, first_column + 1);
	receipt->settings_version = (uint32_t)op_row_int(call->op, 0, first_column + 2);
	receipt->repeated_key = op_row_bool(call->op, 0, first_column + 3);
	return receipt;
}

/* `attaching_id`, which keeps two operations with the same uploads apart. */
static void op_attaching(struct op *op, const struct call *call, const struct content *content)
{
	if (content->has_uploads)
		op_int(op, call->principal.user_id);
	else
		op_null(op);
}

/* ── SendMessage ─────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code send_message(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SendMessageRequest *in = request;
	struct content content;
	struct op *op;

	if (check_id(in->page_id, "page_id", err) | check_uuid(in->client_key, "client_key", err))
		return ASIDE_INVALID_ARGUMENT;
	enum aside_code code = content_check(call, in->content, 'm', call->principal.user_id, 0, &content, err);
	if (code != ASIDE_OK)
		return code;
	op = op_new(&call->arena, content.items[0] != '\0' ? &sql_send_message : &sql_send_text, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, call->principal.user_id);
	op_bytes(op, bytes_of(in->client_key));
	op_int(op, content.hash);
	op_text(op, content.text);
	op_int(op, content.chars);
	op_text(op, content.items);
	op_attaching(op, call, &content);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code send_message_done(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SendMessageRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);

	if (code != ASIDE_OK) {
		if (strcmp(err->reason, "TEXT_TOO_LONG") == 0)
			status_add_fact(err, "limit", "%lld", (long long)op_row_int(call->op, 0, 5));
		return code;
	}
	Aside__V1__SendMessageResponse *out = call_response(call);
	if (out == NULL || (out->receipt = make_receipt(call, in->page_id, call->principal.user_id, 1)) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

/* ── ReplyAsPage, SendPrivateReply ───────────────────────────────────────────────────────────────── */

/* A page's message; `entry_id` 0: a plain answer to `user_id`. */
static enum aside_code page_write(struct call *call, int64_t page_id, int64_t user_id, int64_t entry_id,
		uint32_t expected_last_seq, ProtobufCBinaryData key, const struct content *content,
		struct aside_status *err)
{
	struct op *op = op_new(&call->arena, &sql_page_write, page_id);

	if (op == NULL)
		return call_full(err);
	op_int(op, page_id);
	op_caller(op, call, ROLE_MODERATOR);
	op_int(op, user_id);
	if (entry_id != 0)
		op_int(op, entry_id);
	else
		op_null(op);
	op_int(op, expected_last_seq);
	op_bytes(op, bytes_of(key));
	op_int(op, content->hash);
	op_text(op, content->text);
	op_int(op, content->chars);
	op_text(op, content->items);
	op_attaching(op, call, content);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code page_written(struct call *call, int64_t page_id, Aside__V1__Receipt **ret,
		struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);

	if (code != ASIDE_OK) {
		if (strcmp(err->reason, "THREAD_MOVED_ON") == 0)
			status_add_fact(err, "last_seq", "%lld", (long long)op_row_int(call->op, 0, 6));
		if (strcmp(err->reason, "TEXT_TOO_LONG") == 0)
			status_add_fact(err, "limit", "%lld", (long long)op_row_int(call->op, 0, 7));
		return code;
	}
	*ret = make_receipt(call, page_id, op_row_int(call->op, 0, 1), 2);
	return *ret == NULL ? call_full(err) : ASIDE_OK;
}

static enum aside_code reply_as_page(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ReplyAsPageRequest *in = request;
	struct content content;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err) |
			check_uuid(in->client_key, "client_key", err) |
			check_range(in->expected_last_seq, "expected_last_seq", 0, INT32_MAX, err))
		return ASIDE_INVALID_ARGUMENT;
	enum aside_code code = content_check(call, in->content, 'r', in->user_id, 0, &content, err);
	if (code != ASIDE_OK)
		return code;
	return page_write(call, in->page_id, in->user_id, 0, in->expected_last_seq, in->client_key, &content, err);
}

static enum aside_code reply_as_page_done(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ReplyAsPageRequest *in = request;
	Aside__V1__ReplyAsPageResponse *out = call_response(call);

	return out == NULL ? call_full(err) : page_written(call, in->page_id, &out->receipt, err);
}

static enum aside_code send_private_reply(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SendPrivateReplyRequest *in = request;
	struct content content;

	if (check_id(in->page_id, "page_id", err) | check_id(in->entry_id, "entry_id", err) |
			check_uuid(in->client_key, "client_key", err))
		return ASIDE_INVALID_ARGUMENT;
	enum aside_code code = content_check(call, in->content, 'p', 0, in->entry_id, &content, err);
	if (code != ASIDE_OK)
		return code;
	return page_write(call, in->page_id, 0, in->entry_id, 0, in->client_key, &content, err);
}

static enum aside_code send_private_reply_done(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SendPrivateReplyRequest *in = request;
	Aside__V1__SendPrivateReplyResponse *out = call_response(call);

	return out == NULL ? call_full(err) : page_written(call, in->page_id, &out->receipt, err);
}

/* ── CanSend ─────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code can_send_check(const Aside__V1__CanSendRequest *in, struct aside_status *err)
{
	enum aside_code code = check_id(in->page_id, "page_id", err) | check_range(in->side, "side", 1, 2, err);

	if (in->entry_id == 0 || in->user_id != 0)
		code |= check_id(in->user_id, "user_id", err);
	if (in->entry_id != 0)
		code |= check_id(in->entry_id, "entry_id", err);
	if (in->entry_id != 0 && in->side == ASIDE__V1__SIDE__SIDE_PERSON)
		code |= fail_field(err, "entry_id", "is a page's to ask about");
	return code;
}

static enum aside_code can_send(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__CanSendRequest *in = request;
	struct op *op;

	if (can_send_check(in, err) != ASIDE_OK)
		return ASIDE_INVALID_ARGUMENT;
	op = op_new(&call->arena, &sql_can_send, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_MODERATOR);
	op_int(op, in->user_id);
	op_int(op, in->side);
	if (in->entry_id != 0)
		op_int(op, in->entry_id);
	else
		op_null(op);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code can_send_done(struct call *call, const void *request, struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	Aside__V1__CanSendResponse *out;

	(void)request;
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL || (out->refusal_reason = call_text(call, op_row_text(call->op, 0, 1))) == NULL)
		return call_full(err);
	out->allowed = op_is_null(call->op, 0, 1);
	out->messages_left = (uint32_t)op_row_int(call->op, 0, 2);
	out->limited = op_row_bool(call->op, 0, 3);
	out->allowed_until_us = op_is_null(call->op, 0, 4) ? 0 : op_row_int(call->op, 0, 4);
	return ASIDE_OK;
}

/* ── ListMessages ────────────────────────────────────────────────────────────────────────────────── */

enum { IS_STAFF = 1, MESSAGE };

static enum aside_code list_messages(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListMessagesRequest *in = request;
	unsigned n;
	struct op *op;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err) |
			check_range(in->before_seq, "before_seq", 0, in->after_seq != 0 ? 0 : INT32_MAX, err) |
			check_range(in->after_seq, "after_seq", 0, INT32_MAX, err) |
			check_page_size(in->page_size, &n, err))
		return ASIDE_INVALID_ARGUMENT;
	op = op_new(&call->arena, &sql_list_messages, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, in->user_id);
	op_caller(op, call, ROLE_MODERATOR);
	op_int(op, in->before_seq != 0 ? in->before_seq : INT32_MAX);
	op_int(op, in->after_seq);
	op_int(op, n + 1); /* one more tells whether there are more */
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code list_messages_done(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListMessagesRequest *in = request;
	enum aside_code code = call_outcome(call, "THREAD_NOT_FOUND", err);
	Aside__V1__ListMessagesResponse *out;
	unsigned n = 0;

	if (code == ASIDE_OK)
		code = check_page_size(in->page_size, &n, err);
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL || (out->messages = call_alloc(call, n * sizeof *out->messages)) == NULL)
		return call_full(err);
	for (unsigned row = 0; row < call->op->n_rows && !op_is_null(call->op, row, MESSAGE + MESSAGE_SEQ); row++) {
		Aside__V1__Message *message = call_alloc(call, sizeof *message);
		out->has_more = row == n;
		if (out->has_more)
			break;
		if (message == NULL || !message_read(&call->arena, call->op, row, MESSAGE, op_row_bool(call->op, row, IS_STAFF),
					       in->page_id, in->user_id, message))
			return call_full(err);
		out->messages[out->n_messages++] = message;
	}
	return ASIDE_OK;
}

static const struct handler handlers[] = {
	{ "SendMessage", send_message, send_message_done },
	{ "ReplyAsPage", reply_as_page, reply_as_page_done },
	{ "SendPrivateReply", send_private_reply, send_private_reply_done },
	{ "ListMessages", list_messages, list_messages_done },
	{ "CanSend", can_send, can_send_done },
};

const struct handlers message_handlers = { &aside_v1_message_service, handlers, sizeof handlers / sizeof *handlers };
