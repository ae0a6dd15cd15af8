/* An outlet: what the hub has for one stream, until the stream's own thread comes and takes it.
 *
 *     hub ──outlet_put()──▶ a few responses ──pull──▶ stream
 *      ▲                                        │
 *      └─── hub_writable(), after a refusal ────┘
 *
 * It takes nothing for a stream without credit: such a watcher costs no memory but its place in the log. */
#pragma once

#include "rpc/call.h"

/* Responses that may wait at once; one that is larger waits alone. */
#define OUTLET_BYTES_MAX 32768

struct outlet;

/* For the stream of `call`; NULL without memory.  `writable(user)` runs on the stream's thread when there is room after
 * a refusal. */
struct outlet *outlet_new(struct call *call, void (*writable)(void *user), void *user) MUST_CHECK;
void outlet_free(struct outlet *outlet);

/* False: no room, or the stream has ended.  Any thread; never blocks. */
bool outlet_put(struct outlet *outlet, struct bytes response) MUST_CHECK;
/* The stream ends with `why` once it has taken what waits.  Any thread. */
void outlet_end(struct outlet *outlet, const struct aside_status *why);

/* The stream's `pull`: sends what waits.  Not ASIDE_OK: the stream is to end. */
enum aside_code outlet_pull(struct outlet *outlet, struct aside_status *err) MUST_CHECK;
/* The stream's `gone`: nothing is taken any more. */
void outlet_gone(struct outlet *outlet);
