/* ThreadService: the one conversation of a page and a person. */
#include "aside/v1/threads.rpc.h"
#include "service.h"
#include "sql.h"

/* Columns every statement that gives threads begins with. */
enum { PAGE_ID = 1, USER_ID, LAST_SEQ, LAST_AT, PERSON_DELIVERED, PERSON_READ, PERSON_UNREAD, PAGE_DELIVERED, PAGE_READ, PAGE_UNREAD,
	BY_PRIVATE_REPLY, BY_PERSON, BY_PAGE, PAGE_NAME, EXTRA };

static Aside__V1__Marks *read_marks(struct call *call, unsigned row, unsigned first)
{
	Aside__V1__Marks *marks = call_alloc(call, sizeof *marks);

	if (marks == NULL)
		return NULL;
	aside__v1__marks__init(marks);
	marks->delivered_seq = (uint32_t)op_row_int(call->op, row, first);
	marks->read_seq = (uint32_t)op_row_int(call->op, row, first + 1);
	marks->unread_count = (uint32_t)op_row_int(call->op, row, first + 2);
	return marks;
}

/* NULL when the arena is full.  `for_page`: as staff see it. */
static Aside__V1__Thread *read_thread(struct call *call, unsigned row, bool for_page)
{
	const struct op *op = call->op;
	Aside__V1__Thread *thread = call_alloc(call, sizeof *thread);

	if (thread == NULL)
		return NULL;
	aside__v1__thread__init(thread);
	thread->page_id = op_row_int(op, row, PAGE_ID);
	thread->user_id = op_row_int(op, row, USER_ID);
	thread->last_seq = (uint32_t)op_row_int(op, row, LAST_SEQ);
	thread->last_sent_at_us = op_row_int(op, row, LAST_AT);
	thread->person_marks = read_marks(call, row, PERSON_DELIVERED);
	thread->page_marks = read_marks(call, row, PAGE_DELIVERED);
	thread->opened_by_private_reply = op_row_bool(op, row, BY_PRIVATE_REPLY);
	thread->blocked_by_me = op_row_bool(op, row, for_page ? BY_PAGE : BY_PERSON);
	thread->page_name = call_text(call, op_row_text(op, row, PAGE_NAME));
	return thread->person_marks == NULL || thread->page_marks == NULL || thread->page_name == NULL ? NULL : thread;
}

/* ── OpenThread, GetThread ───────────────────────────────────────────────────────────────────────── */

static enum aside_code open_thread(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__OpenThreadRequest *in = request;

	if (check_id(in->page_id, "page_id", err) != ASIDE_OK)
		return ASIDE_INVALID_ARGUMENT;
	call->op = op_new(&call->arena, &sql_open_thread, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_int(call->op, call->principal.user_id);
	return ASIDE_OK;
}

static enum aside_code open_thread_done(struct call *call, const void *request, struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	Aside__V1__OpenThreadResponse *out;

	(void)request;
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL || (out->thread = read_thread(call, 0, false)) == NULL ||
			(out->refusal_reason = call_text(call, op_row_text(call->op, 0, EXTRA))) == NULL)
		return call_full(err);
	out->can_send = op_is_null(call->op, 0, EXTRA);
	return ASIDE_OK;
}

static enum aside_code get_thread(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__GetThreadRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err))
		return ASIDE_INVALID_ARGUMENT;
	call->op = op_new(&call->arena, &sql_get_thread, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_int(call->op, in->user_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	return ASIDE_OK;
}

static enum aside_code get_thread_done(struct call *call, const void *request, struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "THREAD_NOT_FOUND", err);
	Aside__V1__GetThreadResponse *out;

	(void)request;
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL || (out->thread = read_thread(call, 0, op_row_bool(call->op, 0, EXTRA))) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

/* ── lists ───────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code list_page_threads(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListPageThreadsRequest *in = request;
	int64_t keys[2] = { in->page_id, INT64_MAX };
	unsigned n;

	if (check_id(in->page_id, "page_id", err) | check_page_size(in->page_size, &n, err))
		return ASIDE_INVALID_ARGUMENT;
	enum aside_code code = page_token_read(in->page_token, 't', in->page_id, keys, 2, err);
	if (code != ASIDE_OK)
		return code;
	call->op = op_new(&call->arena, &sql_list_page_threads, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	op_int(call->op, keys[1]);
	op_int(call->op, n + 1);
	return ASIDE_OK;
}

/* Up to `n` threads of the rows into *ret; *ret_last is the last one's row when there are more, else -1. */
static enum aside_code read_threads(struct call *call, unsigned n, bool for_page, Aside__V1__Thread ***ret, size_t *ret_n,
		int *ret_last, struct aside_status *err)
{
	*ret = call_alloc(call, n * sizeof **ret);
	if (*ret == NULL)
		return call_full(err);
	*ret_last = -1;
	for (unsigned row = 0; row < call->op->n_rows && !op_is_null(call->op, row, PAGE_ID); row++) {
		if (row == n) {
			*ret_last = (int)n - 1;
			break;
		}
		(*ret)[row] = read_thread(call, row, for_page);
		if ((*ret)[row] == NULL)
			return call_full(err);
		*ret_n = row + 1;
	}
	return ASIDE_OK;
}

static enum aside_code list_page_threads_done(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListPageThreadsRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	Aside__V1__ListPageThreadsResponse *out;
	unsigned n = 0;
	int last = -1;

	if (code == ASIDE_OK)
		code = check_page_size(in->page_size, &n, err);
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL)
		return call_full(err);
	code = read_threads(call, n, true, &out->threads, &out->n_threads, &last, err);
	if (code == ASIDE_OK && last >= 0) {
		int64_t keys[2] = { in->page_id, op_row_int(call->op, (unsigned)last, EXTRA) };
		out->next_page_token = page_token_new(&call->arena, 't', keys, 2);
		if (out->next_page_token == NULL)
			return call_full(err);
	}
	return code;
}

static enum aside_code list_my_threads(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListMyThreadsRequest *in = request;
	int64_t keys[3] = { call->principal.user_id, TIME_US_MAX, INT64_MAX };
	unsigned n;

	if (check_page_size(in->page_size, &n, err) != ASIDE_OK)
		return ASIDE_INVALID_ARGUMENT;
	enum aside_code code = page_token_read(in->page_token, 'm', call->principal.user_id, keys, 3, err);
	if (code != ASIDE_OK)
		return code;
	call->op = op_new(&call->arena, &sql_list_my_threads, 0);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, call->principal.user_id);
	op_int(call->op, keys[1]);
	op_int(call->op, keys[2]);
	op_int(call->op, n + 1);
	return ASIDE_OK;
}

static enum aside_code list_my_threads_done(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListMyThreadsRequest *in = request;
	enum aside_code code = call_outcome(call, NULL, err);
	Aside__V1__ListMyThreadsResponse *out;
	unsigned n = 0;
	int last = -1;

	if (code == ASIDE_OK)
		code = check_page_size(in->page_size, &n, err);
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL)
		return call_full(err);
	code = read_threads(call, n, false, &out->threads, &out->n_threads, &last, err);
	if (code == ASIDE_OK && last >= 0) {
		int64_t keys[3] = { call->principal.user_id, op_row_int(call->op, (unsigned)last, LAST_AT),
			op_row_int(call->op, (unsigned)last, PAGE_ID) };
		out->next_page_token = page_token_new(&call->arena, 'm', keys, 3);
		if (out->next_page_token == NULL)
			return call_full(err);
	}
	return code;
}

/* ── MarkThread, SetBlock ────────────────────────────────────────────────────────────────────────── */

static enum aside_code mark_thread(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__MarkThreadRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err) |
			check_range(in->side, "side", 1, 2, err) |
			check_range(in->delivered_seq, "delivered_seq", 0, INT32_MAX, err) |
			check_range(in->read_seq, "read_seq", 0, INT32_MAX, err))
		return ASIDE_INVALID_ARGUMENT;
	call->op = op_new(&call->arena, &sql_mark_thread, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_int(call->op, in->user_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	op_int(call->op, in->side);
	op_int(call->op, in->delivered_seq);
	op_int(call->op, in->read_seq);
	op_int(call->op, call->now_us);
	return ASIDE_OK;
}

static enum aside_code mark_thread_done(struct call *call, const void *request, struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "THREAD_NOT_FOUND", err);
	Aside__V1__MarkThreadResponse *out;

	(void)request;
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL || (out->marks = read_marks(call, 0, 1)) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

static enum aside_code set_block(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SetBlockRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err) |
			check_range(in->side, "side", 1, 2, err))
		return ASIDE_INVALID_ARGUMENT;
	call->op = op_new(&call->arena, &sql_set_block, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_int(call->op, in->user_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	op_int(call->op, in->side);
	op_bool(call->op, in->blocked);
	op_int(call->op, call->now_us);
	return ASIDE_OK;
}

static enum aside_code set_block_done(struct call *call, const void *request, struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);

	(void)request;
	if (code == ASIDE_OK && call_response(call) == NULL)
		return call_full(err);
	return code;
}

/* ── VerifyCounters ──────────────────────────────────────────────────────────────────────────────── */

static enum aside_code verify_counters(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__VerifyCountersRequest *in = request;

	if (check_id(in->page_id, "page_id", err) != ASIDE_OK)
		return ASIDE_INVALID_ARGUMENT;
	call->op = op_new(&call->arena, &sql_verify_counters, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_caller(call->op, call, ROLE_ANALYST);
	return ASIDE_OK;
}

static enum aside_code verify_counters_done(struct call *call, const void *request, struct aside_status *err)
{
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	Aside__V1__VerifyCountersResponse *out;
	const struct op *op = call->op;

	(void)request;
	if (code != ASIDE_OK)
		return code;
	out = call_response(call);
	if (out == NULL || (out->differences = call_alloc(call, op->n_rows * sizeof *out->differences)) == NULL)
		return call_full(err);
	out->threads_counted = (uint64_t)op_row_int(op, 0, 1);
	for (unsigned row = 0; row < op->n_rows && !op_is_null(op, row, 2); row++) {
		Aside__V1__CounterDifference *difference = call_alloc(call, sizeof *difference);
		if (difference == NULL)
			return call_full(err);
		aside__v1__counter_difference__init(difference);
		difference->user_id = op_row_int(op, row, 2);
		difference->stored = op_row_int(op, row, 4);
		difference->counted = op_row_int(op, row, 5);
		difference->counter = call_text(call, op_row_text(op, row, 3));
		if (difference->counter == NULL)
			return call_full(err);
		out->differences[out->n_differences++] = difference;
	}
	return ASIDE_OK;
}

static const struct handler handlers[] = {
	{ "OpenThread", open_thread, open_thread_done },
	{ "GetThread", get_thread, get_thread_done },
	{ "ListPageThreads", list_page_threads, list_page_threads_done },
	{ "ListMyThreads", list_my_threads, list_my_threads_done },
	{ "MarkThread", mark_thread, mark_thread_done },
	{ "SetBlock", set_block, set_block_done },
	{ "VerifyCounters", verify_counters, verify_counters_done },
};

const struct handlers thread_handlers = { &aside_v1_thread_service, handlers, sizeof handlers / sizeof *handlers };
