/* WallService: what the feed service tells of a page's wall (P6).  Knows operations, no SQL.  Worker
 * threads. */
#include <string.h>

#include "aside/v1/wall.pb-c.h"
#include "aside/v1/wall.rpc.h"
#include "service.h"
#include "store/sql.h"

#define TEXT_CHARS_MAX 10000

static enum aside_code entry_check(const Aside__V1__WallEntry *entry, struct aside_status *err)
{
	enum aside_code code = check_id(entry->page_id, "entry.page_id", err) |
			check_id(entry->entry_id, "entry.entry_id", err) |
			check_range((uint64_t)entry->kind, "entry.kind", 1, 2, err) |
			check_text(entry->text, "entry.text", 1, TEXT_CHARS_MAX, err) |
			check_range((uint64_t)entry->posted_at_us, "entry.posted_at_us", 1, TIME_US_MAX, err);

	if (entry->author_case == ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID)
		code |= check_id(entry->author_user_id, "entry.author_user_id", err);
	else if (entry->author_case == ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_PAGE_ID)
		code |= check_id(entry->author_page_id, "entry.author_page_id", err);
	else
		code |= fail_field(err, "entry.author", "must be set");
	return code == ASIDE_OK ? ASIDE_OK : ASIDE_INVALID_ARGUMENT;
}

static enum aside_code record_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__RecordWallEntryRequest *in = request;
	const Aside__V1__WallEntry *entry = in->entry;

	if (entry == NULL)
		return fail_field(err, "entry", "must be set");
	if (entry_check(entry, err))
		return ASIDE_INVALID_ARGUMENT;

	bool by_user = entry->author_case == ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	struct op *op = op_new(&call->arena, &sql_record_wall_entry, entry->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, entry->page_id);
	op_int(op, entry->entry_id);
	op_int(op, (int64_t)entry->kind);
	if (by_user) {
		op_int(op, entry->author_user_id);
		op_null(op);
	} else {
		op_null(op);
		op_int(op, entry->author_page_id);
	}
	op_text(op, entry->text);
	op_int(op, entry->posted_at_us);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code record_end(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__RecordWallEntryRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__RecordWallEntryResponse *out = call_response(call);
	if (out == NULL || (out->entry = call_alloc(call, sizeof *out->entry)) == NULL)
		return call_full(err);
	aside__v1__wall_entry__init(out->entry);
	out->entry->page_id = in->entry->page_id;
	out->entry->entry_id = in->entry->entry_id;
	out->entry->kind = in->entry->kind;
	out->entry->author_case = in->entry->author_case;
	if (in->entry->author_case == ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID)
		out->entry->author_user_id = in->entry->author_user_id;
	else
		out->entry->author_page_id = in->entry->author_page_id;
	out->entry->text = in->entry->text;
	out->entry->posted_at_us = in->entry->posted_at_us;
	out->entry->privately_replied = op_row_bool(call->op, 0, 1);
	return ASIDE_OK;
}

static enum aside_code remove_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__RemoveWallEntryRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->entry_id, "entry_id", err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_remove_wall_entry, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, in->entry_id);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code remove_end(struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	enum aside_code code = call_outcome(call, "WALL_ENTRY_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;
	return call_response(call) == NULL ? call_full(err) : ASIDE_OK;
}

/* What the list needs between begin and end. */
struct entry_list {
	unsigned page_size;
};

static enum aside_code list_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListWallEntriesRequest *in = request;
	struct entry_list *list = call->state = call_alloc(call, sizeof *list);
	int64_t before[3] = { 0, TIME_US_MAX, INT64_MAX };

	if (list == NULL)
		return call_full(err);
	if (check_id(in->page_id, "page_id", err) | check_page_size(in->page_size, &list->page_size, err))
		return ASIDE_INVALID_ARGUMENT;
	if (page_token_read(in->page_token, 'W', in->page_id, before, 3, err))
		return ASIDE_INVALID_ARGUMENT;
	if (before[1] < 1 || before[1] > TIME_US_MAX)
		return refuse(err, "PAGE_TOKEN_INVALID");

	struct op *op = op_new(&call->arena, &sql_list_wall_entries, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_MODERATOR);
	op_int(op, before[1]);
	op_int(op, before[2]);
	op_int(op, list->page_size + 1);
	call->op = op;
	return ASIDE_OK;
}

/* From a row of list_wall_entries.sql; NULL when the arena is full. */
static Aside__V1__WallEntry *entry_of(struct call *call, int64_t page_id, unsigned row)
{
	const struct op *op = call->op;
	Aside__V1__WallEntry *entry = call_alloc(call, sizeof *entry);

	if (entry == NULL)
		return NULL;
	aside__v1__wall_entry__init(entry);
	entry->page_id = page_id;
	entry->entry_id = op_row_int(op, row, 1);
	entry->kind = (Aside__V1__WallEntryKind)op_row_int(op, row, 2);
	if (!op_is_null(op, row, 3)) {
		entry->author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
		entry->author_user_id = op_row_int(op, row, 3);
	} else {
		entry->author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_PAGE_ID;
		entry->author_page_id = op_row_int(op, row, 4);
	}
	entry->text = call_text(call, op_row_text(op, row, 5));
	entry->posted_at_us = op_row_int(op, row, 6);
	entry->privately_replied = op_row_bool(op, row, 7);
	return entry->text == NULL ? NULL : entry;
}

static enum aside_code list_end(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListWallEntriesRequest *in = request;
	const struct entry_list *list = call->state;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__ListWallEntriesResponse *out = call_response(call);
	if (out == NULL || (out->entries = call_alloc(call, op->n_rows * sizeof *out->entries)) == NULL)
		return call_full(err);
	for (unsigned row = 0; row < op->n_rows && row < list->page_size; row++) {
		if (op_is_null(op, row, 1))
			break;
		out->entries[row] = entry_of(call, in->page_id, row);
		if (out->entries[row] == NULL)
			return call_full(err);
		out->n_entries++;
	}
	if (op->n_rows <= list->page_size)
		return ASIDE_OK;
	const Aside__V1__WallEntry *end = out->entries[out->n_entries - 1];
	int64_t last[3] = { in->page_id, end->posted_at_us, end->entry_id };
	out->next_page_token = page_token_new(&call->arena, 'W', last, 3);
	return out->next_page_token == NULL ? call_full(err) : ASIDE_OK;
}

static const struct handler handlers[] = {
	{ "RecordWallEntry", record_begin, record_end },
	{ "RemoveWallEntry", remove_begin, remove_end },
	{ "ListWallEntries", list_begin, list_end },
};

const struct handlers wall_handlers = {
	.service = &aside_v1_wall_service,
	.handlers = handlers,
	.n_handlers = sizeof handlers / sizeof *handlers,
};
