/* Health: whether calls are served, on request or at every change.
 *
 * Nobody tells the runtime that the store has gone or come back; the server's tick looks, once a second, and wakes the
 * watchers that were told otherwise.  A drain is told by the visit that ends the stream. */
#include <pthread.h>
#include <string.h>
#include <sys/queue.h>

#include "aside/rpc/v1/health.rpc.h"
#include "builtin.h"
#include "server.h"

typedef Aside__Rpc__V1__CheckResponse__ServingStatus serving_status;
#define UNKNOWN ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_UNSPECIFIED
#define SERVING ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING
#define NOT_SERVING ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_NOT_SERVING

/* A stream of Watch; in its call's arena. */
struct watcher {
	LIST_ENTRY(watcher) entry;
	struct call *call;
	_Atomic serving_status told; /* written on the call's thread */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the list */
static LIST_HEAD(, watcher) watchers = LIST_HEAD_INITIALIZER(watchers);

serving_status health_status(struct server *server)
{
	return server_serving(server) ? SERVING : NOT_SERVING;
}

static enum aside_code check_service(const char *name, struct aside_status *err)
{
	if (name[0] != '\0' && builtin_find_service(name, strlen(name)) == NULL)
		return fail(err, ASIDE_NOT_FOUND, "SERVICE_UNKNOWN", "no service %s", name);
	return ASIDE_OK;
}

static enum aside_code check(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__Rpc__V1__CheckRequest *in = request;
	Aside__Rpc__V1__CheckResponse *out = call_response(call);

	if (out == NULL)
		return call_full(err);
	out->status = health_status(builtin_server());
	out->version = (char *)ASIDE_VERSION;
	return check_service(in->service, err);
}

/* ── watching ────────────────────────────────────────────────────────────────────────────────────── */

static void tell(struct call *call, serving_status status)
{
	Aside__Rpc__V1__WatchResponse item = ASIDE__RPC__V1__WATCH_RESPONSE__INIT;

	item.status = status;
	call_send(call, &item.base);
}

static enum aside_code watch(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__Rpc__V1__WatchRequest *in = request;
	struct watcher *watcher = call_alloc(call, sizeof *watcher);

	if (watcher == NULL)
		return call_full(err);
	if (check_service(in->service, err) != ASIDE_OK)
		return err->code;
	if (server_draining(builtin_server())) { /* there is nothing to wait for */
		if (call_writable(call))
			tell(call, NOT_SERVING);
		return fail(err, ASIDE_UNAVAILABLE, "DRAINING", "the server is shutting down");
	}
	watcher->call = call;
	watcher->told = UNKNOWN;
	call->state = watcher;
	pthread_mutex_lock(&mutex);
	LIST_INSERT_HEAD(&watchers, watcher, entry);
	pthread_mutex_unlock(&mutex);
	return ASIDE_OK;
}

static enum aside_code tell_change(struct call *call, struct aside_status *err)
{
	struct watcher *watcher = call->state;
	serving_status now = health_status(builtin_server());

	(void)err;
	if (now != watcher->told)
		tell(call, now);
	watcher->told = now;
	return ASIDE_OK;
}

static void watcher_leaving(struct call *call)
{
	struct watcher *watcher = call->state;

	if (watcher->told != NOT_SERVING)
		tell(call, NOT_SERVING);
}

static void watcher_gone(struct call *call)
{
	struct watcher *watcher = call->state;

	if (watcher == NULL) /* it never began */
		return;
	pthread_mutex_lock(&mutex);
	LIST_REMOVE(watcher, entry);
	pthread_mutex_unlock(&mutex);
}

void health_tick(struct server *server)
{
	struct watcher *watcher;

	pthread_mutex_lock(&mutex);
	serving_status now = health_status(server); /* also where nobody watches: the store logs what it finds */
	LIST_FOREACH(watcher, &watchers, entry)
		if (watcher->told != now)
			call_wake(watcher->call);
	pthread_mutex_unlock(&mutex);
}

static const struct handler health[] = {
	{ .method = "Check", .begin = check },
	{ .method = "Watch", .begin = watch, .pull = tell_change, .leaving = watcher_leaving, .gone = watcher_gone },
};
const struct handlers health_handlers = { &aside_rpc_v1_health_service, health, 2 };
