/* HELLO and credentials: who a session, or one call, belongs to, and on which methods the two sides agree. */
#pragma once

#include "auth.h"
#include "session.h"

/* Takes the session's credentials from `frame` and answers it. */
void hello_answer(struct session *session, const struct frame *frame);

/* The principal of one call: its own credentials, or else its session's; `act-as-user` applied. */
enum aside_code hello_principal(struct auth *auth, const struct session *session, const struct frame *frame,
		int64_t now_us, struct principal *ret, struct aside_status *err) MUST_CHECK;
