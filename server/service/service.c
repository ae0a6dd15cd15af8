/* What the handler files share.  Knows the store's operations, no SQL and no sockets.  Worker threads. */
#include "service.h"

#include <string.h>

const struct handlers *const service_all[] = {
	&page_handlers,
	&settings_handlers,
	&wall_handlers,
	&thread_handlers,
	&message_handlers,
	&attachment_handlers,
	&watch_handlers,
	NULL,
};

void op_caller(struct op *op, const struct call *call, enum least_role role)
{
	bool person = call->principal.kind == PRINCIPAL_PERSON;

	op_int(op, person ? call->principal.user_id : 0);
	op_int(op, person ? (int64_t)role : ROLE_NONE_NEEDED);
}

enum aside_code call_outcome(const struct call *call, const char *absent, struct aside_status *err)
{
	const struct op *op = call->op;

	if (op->outcome != OP_DONE) {
		*err = op->err;
		if (err->code == ASIDE_OK)
			return fail(err, ASIDE_INTERNAL, "INTERNAL", "the operation failed silently");
		return err->code;
	}
	if (op->n_rows == 0)
		return absent == NULL ? ASIDE_OK : refuse(err, absent);
	if (!op_is_null(op, 0, 0))
		return refuse(err, op_row_text(op, 0, 0));
	return ASIDE_OK;
}

char *call_text(struct call *call, const char *text)
{
	return arena_strndup(&call->arena, text, strlen(text));
}

bool call_bytes(struct call *call, struct bytes from, ProtobufCBinaryData *ret)
{
	ret->len = from.size;
	ret->data = NULL;
	if (from.size == 0)
		return true;
	ret->data = call_alloc(call, from.size);
	if (ret->data == NULL)
		return false;
	memcpy(ret->data, from.data, from.size);
	return true;
}
