/* See services.h. */
#include "services.h"

#include "aside/rpc/v1/health.rpc.h"
#include "aside/rpc/v1/introspection.rpc.h"
#include "aside/rpc/v1/reflection.rpc.h"
#include "aside/v1/attachments.rpc.h"
#include "aside/v1/messages.rpc.h"
#include "aside/v1/pages.rpc.h"
#include "aside/v1/threads.rpc.h"
#include "aside/v1/wall.rpc.h"
#include "aside/v1/watch.rpc.h"

const struct aside_service *const built_in_services[] = {
	&aside_rpc_v1_health_service,
	&aside_rpc_v1_introspection_service,
	&aside_rpc_v1_reflection_service,
	&aside_v1_page_service,
	&aside_v1_page_settings_service,
	&aside_v1_wall_service,
	&aside_v1_thread_service,
	&aside_v1_message_service,
	&aside_v1_attachment_service,
	&aside_v1_watch_service,
	NULL,
};
