/* PageService: pages and who works for them (P18).  Knows operations, no SQL.  Worker threads. */
#include "aside/v1/pages.pb-c.h"
#include "aside/v1/pages.rpc.h"
#include "service.h"
#include "store/sql.h"

#define NAME_CHARS_MAX 200

static enum aside_code create_page_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__CreatePageRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_text(in->name, "name", 1, NAME_CHARS_MAX, err) |
			check_id(in->admin_user_id, "admin_user_id", err))
		return ASIDE_INVALID_ARGUMENT;

	struct op *op = op_new(&call->arena, &sql_create_page, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_text(op, in->name);
	op_int(op, in->admin_user_id);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

/* From the columns reason, name, created_at. */
static Aside__V1__Page *page_of(struct call *call, int64_t page_id)
{
	Aside__V1__Page *page = call_alloc(call, sizeof *page);

	if (page == NULL)
		return NULL;
	aside__v1__page__init(page);
	page->page_id = page_id;
	page->name = call_text(call, op_row_text(call->op, 0, 1));
	page->created_at_us = op_row_int(call->op, 0, 2);
	return page->name == NULL ? NULL : page;
}

static enum aside_code create_page_end(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__CreatePageRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__CreatePageResponse *out = call_response(call);
	if (out == NULL || (out->page = page_of(call, in->page_id)) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

static enum aside_code get_page_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__GetPageRequest *in = request;

	if (check_id(in->page_id, "page_id", err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_get_page, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code get_page_end(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__GetPageRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__GetPageResponse *out = call_response(call);
	if (out == NULL || (out->page = page_of(call, in->page_id)) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

static enum aside_code set_staff_role_begin(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SetStaffRoleRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err) |
			check_range((uint64_t)in->role, "role", 0, ROLE_ADMIN, err))
		return ASIDE_INVALID_ARGUMENT;

	struct op *op = op_new(&call->arena, &sql_set_staff_role, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_ADMIN);
	op_int(op, in->user_id);
	op_int(op, (int64_t)in->role);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static Aside__V1__StaffMember *member_new(struct call *call, int64_t user_id, int64_t role)
{
	Aside__V1__StaffMember *member = call_alloc(call, sizeof *member);

	if (member == NULL)
		return NULL;
	aside__v1__staff_member__init(member);
	member->user_id = user_id;
	member->role = (Aside__V1__Role)role;
	return member;
}

static enum aside_code set_staff_role_end(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SetStaffRoleRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__SetStaffRoleResponse *out = call_response(call);
	if (out == NULL || (out->member = member_new(call, in->user_id,
					   op_row_int(call->op, 0, 1))) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

/* What a list needs between begin and end. */
struct staff_list {
	unsigned page_size;
};

static enum aside_code list_staff_begin(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListStaffRequest *in = request;
	struct staff_list *list = call->state = call_alloc(call, sizeof *list);
	int64_t after[2] = { 0 };

	if (list == NULL)
		return call_full(err);
	if (check_id(in->page_id, "page_id", err) | check_page_size(in->page_size, &list->page_size, err))
		return ASIDE_INVALID_ARGUMENT;
	if (page_token_read(in->page_token, 'S', in->page_id, after, 2, err))
		return ASIDE_INVALID_ARGUMENT;

	struct op *op = op_new(&call->arena, &sql_list_staff, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_ANALYST);
	op_int(op, after[1]);
	op_int(op, list->page_size + 1); /* one more: is there a next page? */
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code list_staff_end(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListStaffRequest *in = request;
	const struct staff_list *list = call->state;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__ListStaffResponse *out = call_response(call);
	if (out == NULL || (out->members = call_alloc(call, op->n_rows * sizeof *out->members)) == NULL)
		return call_full(err);
	for (unsigned row = 0; row < op->n_rows && row < list->page_size; row++) {
		if (op_is_null(op, row, 1))
			break;
		out->members[row] = member_new(call, op_row_int(op, row, 1), op_row_int(op, row, 2));
		if (out->members[row] == NULL)
			return call_full(err);
		out->n_members++;
	}
	if (op->n_rows <= list->page_size)
		return ASIDE_OK;
	int64_t last[2] = { in->page_id, out->members[out->n_members - 1]->user_id };
	out->next_page_token = page_token_new(&call->arena, 'S', last, 2);
	return out->next_page_token == NULL ? call_full(err) : ASIDE_OK;
}

static const struct handler handlers[] = {
	{ "CreatePage", create_page_begin, create_page_end },
	{ "GetPage", get_page_begin, get_page_end },
	{ "SetStaffRole", set_staff_role_begin, set_staff_role_end },
	{ "ListStaff", list_staff_begin, list_staff_end },
};

const struct handlers page_handlers = {
	.service = &aside_v1_page_service,
	.handlers = handlers,
	.n_handlers = sizeof handlers / sizeof *handlers,
};
