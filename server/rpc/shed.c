/* See shed.h. */
#include "shed.h"

#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "hello.h"
#include "metrics.h"
#include "server.h"

#define STATUSES_BYTES_MAX 4096

struct shed {
	struct arena arena;
	struct bytes statuses[ADMISSION_CAUSES]; /* serialized */
};

struct shed *shed_new(void)
{
	struct shed *shed = calloc(1, sizeof *shed);

	if (shed == NULL)
		return NULL;
	arena_init(&shed->arena, STATUSES_BYTES_MAX);
	for (unsigned cause = 0; cause < ADMISSION_CAUSES; cause++) {
		struct aside_status status;
		struct frame reply;
		(void)admission_refuse((enum admission_cause)cause, &status);
		dispatch_reply(NULL, &status, &shed->arena, &reply);
		shed->statuses[cause] = reply.status;
		if (reply.status.size > 0)
			continue;
		shed_free(shed);
		return NULL;
	}
	return shed;
}

void shed_free(struct shed *shed)
{
	if (shed == NULL)
		return;
	arena_fini(&shed->arena);
	free(shed);
}

bool shed_call(const struct shed *shed, struct session *session, const struct frame *frame, const struct route *route,
		int64_t left_us)
{
	const struct principal *caller = hello_is_own(frame) ? NULL : &session->principal;
	enum admission_cause cause;
	struct frame reply;

	if (session->goaway != GOAWAY_NONE ||
			!admission_sheds(server_admission(session->server), route->method, caller, left_us, &cause))
		return false;
	frame_init(&reply, FRAME_REPLY, frame->call_id);
	reply.code = ASIDE_RESOURCE_EXHAUSTED;
	reply.status = shed->statuses[cause];
	if (left_us > REFUSALS_HASTE_US)
		session_put_refusal(session, &reply);
	else
		session_put(session, &reply);
	metrics_count_shed(server_metrics(session->server), route->index, ASIDE_RESOURCE_EXHAUSTED);
	return true;
}
