/* HELLO and credentials: who a session, or one call, belongs to, and on which methods the two sides agree. */
#pragma once

#include "auth.h"
#include "session.h"

/* Takes the session's credentials from `frame`, once in its life, and answers it. */
void hello_answer(struct session *session, const struct frame *frame);

/* Whether a call brings credentials of its own, or acts as somebody else than its session. */
bool hello_is_own(const struct frame *frame);

/* Sets call->principal: the call's own credentials, or else its session's; `act-as-user` applied. */
enum aside_code hello_principal(struct auth *auth, const struct session *session, const struct frame *frame,
		struct call *call, struct aside_status *err) MUST_CHECK;
