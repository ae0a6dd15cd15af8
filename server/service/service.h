/* The services: their handlers, and what the handler files share.  Knows no sockets and no libpq. */
#pragma once

#include "input.h"
#include "reason.h"
#include "rpc/call.h"
#include "store/op.h"

extern const struct handlers message_handlers;
extern const struct handlers thread_handlers;
extern const struct handlers page_handlers;
extern const struct handlers settings_handlers;
extern const struct handlers wall_handlers;
extern const struct handlers attachment_handlers;
extern const struct handlers watch_handlers;

/* All of them; NULL-terminated. */
extern const struct handlers *const service_all[];

/* aside.v1.Role (P18), as a statement's least_role. */
enum least_role {
	ROLE_NONE_NEEDED = 0, /* a service: its scope was checked by the policy */
	ROLE_ANALYST = 1,
	ROLE_MODERATOR = 2,
	ROLE_EDITOR = 3,
	ROLE_ADMIN = 4,
};

/* Two parameters, `caller int8, least_role int2`: the person who calls and `role`, or 0 and
 * ROLE_NONE_NEEDED for a service. */
void op_caller(struct op *op, const struct call *call, enum least_role role);

/* For the begin of `end`: ASIDE_OK when call->op is done and succeeded.  Otherwise fills *err: from the
 * store's own failure, from the `reason` in column 0 of its first row, or with `absent` where there is no
 * row (NULL: no rows is fine).  The op is not released here: the dispatcher does that after `end`. */
enum aside_code call_outcome(const struct call *call, const char *absent, struct aside_status *err) MUST_CHECK;

/* A copy in the call's arena, for the response; NULL when it is full. */
char *call_text(struct call *call, const char *text) MUST_CHECK;

/* The same for bytes; false when the arena is full. */
bool call_bytes(struct call *call, struct bytes from, ProtobufCBinaryData *ret) MUST_CHECK;
