/* One call from its frame to its reply.  Takes bytes and gives bytes: no socket in sight, so that tests and
 * the fuzzer drive it directly. */
#pragma once

#include "server.h"
#include "session.h"

/* A call on its way. */
struct task {
	struct call call;
	struct server *server;
	struct session *session;
	uint64_t call_id;
	int64_t began_us;
	struct task *next; /* in the workers' queue, once its operation is done */
};

struct dispatcher;

enum aside_code dispatcher_open(const struct handlers *const *handlers, struct dispatcher **ret,
		struct aside_status *err) MUST_CHECK;
void dispatcher_close(struct dispatcher *dispatcher);
const struct handlers *const *dispatcher_handlers(const struct dispatcher *dispatcher);

/* The handler and method of a path; false if there is none such. */
bool dispatcher_find(const struct dispatcher *dispatcher, struct bytes path, const struct handler **ret_handler,
		const struct aside_method **ret_method);

/* Checks and unpacks the request of `frame` into task->call, whose method and principal are set, and runs
 * the handler's begin. */
enum aside_code dispatch_begin(struct task *task, const struct frame *frame, struct aside_status *err) MUST_CHECK;

/* After the operation: runs the handler's end. */
enum aside_code dispatch_end(struct task *task, struct aside_status *err) MUST_CHECK;

/* Queues the reply: the response with ASIDE_OK, `status` otherwise. */
void dispatch_reply(struct session *session, uint64_t call_id, struct call *call, const struct aside_status *status);
