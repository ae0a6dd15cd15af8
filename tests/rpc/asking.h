/* EchoService on a store of the test's: Echo asks it before it answers. */
#pragma once

#include "peer.h"

#define ECHO "/echo.v1.EchoService/Echo"

/* The server of a test, and a peer of it that has no session. */
extern struct server *server;
extern struct peer peer;

/* Forgets all; begins and ends them. */
int set_up(void **state);
int tear_down(void **state);

/* Waits for an operation; the first there is, borrowed. */
const struct op *asking_first(void);

/* The first operation is done. */
void asking_answer(void);

/* From now on operations are refused. */
void asking_refuse(void);

/* Operations there have been, and those that a handler has seen the end of. */
unsigned asking_asked(void);
unsigned asking_ended(void);

/* A call of Echo.  The texts "again", "lost" and "mute" have it ask twice, fail with NO_SUCH_ECHO, and forget the
 * response. */
void asking_put(struct peer *caller, uint64_t call_id, const char *text);

/* One with no text, and with that deadline. */
void asking_put_within(struct peer *caller, uint64_t call_id, uint64_t timeout_us);

/* The next frame, which may be on its way, is the reply with this text. */
void asking_expect(struct peer *caller, uint64_t call_id, const char *text);
