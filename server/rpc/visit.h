/* A visit to a session: handles all its mail, then lets it speak. */
#pragma once

#include "session.h"

/* Until there is no mail; then releases the visit's reference.  One thread at a time (session_mail_*). */
void visit(struct session *session);
