/* See dispatch.h. */
#include "dispatch.h"

#include <string.h>

#include "auth.h"
#include "wire/validate.h"

#define SLOTS 1024 /* a power of two, several times METHODS_MAX */

struct dispatcher {
	const struct handlers *const *handlers;
	struct route routes[METHODS_MAX];
	size_t n_routes;
	const struct route *slots[SLOTS];
};

static size_t hash_of(const char *path, size_t size)
{
	uint64_t hash = 0xCBF29CE484222325ull;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)path[i]) * 0x100000001B3ull;
	return (hash ^ hash >> 32) & (SLOTS - 1);
}

static const struct handler *find_handler(const struct handlers *handlers, const char *name)
{
	for (size_t i = 0; i < handlers->n_handlers; i++)
		if (strcmp(handlers->handlers[i].method, name) == 0)
			return &handlers->handlers[i];
	return NULL;
}

static bool has_method(const struct aside_service *service, const char *name)
{
	for (size_t i = 0; i < service->n_methods; i++)
		if (strcmp(service->methods[i].name, name) == 0)
			return true;
	return false;
}

static enum aside_code add_service(struct dispatcher *dispatcher, const struct handlers *handlers,
		struct aside_status *err)
{
	for (size_t i = 0; i < handlers->n_handlers; i++)
		if (!has_method(handlers->service, handlers->handlers[i].method))
			return fail(err, ASIDE_INTERNAL, "NO_METHOD", "%s has no method %s", handlers->service->name,
					handlers->handlers[i].method);
	for (size_t i = 0; i < handlers->service->n_methods; i++) {
		const struct aside_method *method = &handlers->service->methods[i];
		struct route *route = &dispatcher->routes[dispatcher->n_routes];
		size_t slot = hash_of(method->path, strlen(method->path));
		if (dispatcher->n_routes == METHODS_MAX)
			return fail(err, ASIDE_INTERNAL, "TOO_MANY_METHODS", "more than %d methods", METHODS_MAX);
		*route = (struct route){ method, find_handler(handlers, method->name), (unsigned)dispatcher->n_routes++ };
		if (route->handler == NULL)
			return fail(err, ASIDE_INTERNAL, "NO_HANDLER", "%s has no handler", method->path);
		if (method->client_streaming != (route->handler->item != NULL))
			return fail(err, ASIDE_INTERNAL, "WRONG_HANDLER", "%s streams otherwise than its handler", method->path);
		while (dispatcher->slots[slot] != NULL)
			slot = (slot + 1) & (SLOTS - 1);
		dispatcher->slots[slot] = route;
	}
	return ASIDE_OK;
}

enum aside_code dispatcher_open(const struct handlers *const *handlers, struct dispatcher **ret,
		struct aside_status *err)
{
	struct dispatcher *dispatcher = calloc(1, sizeof *dispatcher);
	enum aside_code code = ASIDE_OK;

	if (dispatcher == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	dispatcher->handlers = handlers;
	for (size_t i = 0; handlers[i] != NULL && code == ASIDE_OK; i++)
		code = add_service(dispatcher, handlers[i], err);
	if (code != ASIDE_OK)
		free(dispatcher);
	else
		*ret = dispatcher;
	return code;
}

void dispatcher_close(struct dispatcher *dispatcher)
{
	free(dispatcher);
}

const struct handlers *const *dispatcher_handlers(const struct dispatcher *dispatcher)
{
	return dispatcher->handlers;
}

const struct route *dispatcher_routes(const struct dispatcher *dispatcher, size_t *ret_n)
{
	*ret_n = dispatcher->n_routes;
	return dispatcher->routes;
}

const struct route *dispatcher_find(const struct dispatcher *dispatcher, struct bytes path)
{
	size_t slot = hash_of((const char *)path.data, path.size);

	for (; dispatcher->slots[slot] != NULL; slot = (slot + 1) & (SLOTS - 1)) {
		const char *known = dispatcher->slots[slot]->method->path;
		if (strlen(known) == path.size && memcmp(known, path.data, path.size) == 0)
			return dispatcher->slots[slot];
	}
	return NULL;
}

/* ── policy ──────────────────────────────────────────────────────────────────────────────────────── */

enum aside_code dispatch_policy(const struct call *call, struct aside_status *err)
{
	const struct aside_method *method = call->method;
	const struct principal *principal = &call->principal;

	if (method->callers & ASIDE_CALLER_ANYONE)
		return ASIDE_OK;
	if (principal->kind == PRINCIPAL_ANONYMOUS)
		return fail(err, ASIDE_UNAUTHENTICATED, "CREDENTIALS_MISSING", "%s needs credentials", method->path);
	if (principal->expires_at_us != 0 && principal->expires_at_us <= call->now_us)
		return fail(err, ASIDE_UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired");
	if (principal->kind == PRINCIPAL_PERSON && (method->callers & ASIDE_CALLER_PERSON))
		return ASIDE_OK;
	if (principal->kind == PRINCIPAL_SERVICE && (method->callers & ASIDE_CALLER_SERVICE)) {
		if (principal_has_scope(principal, method->scope))
			return ASIDE_OK;
		(void)fail(err, ASIDE_PERMISSION_DENIED, "SCOPE_REQUIRED", "%s needs the scope %s", method->path,
				method->scope);
		status_add_fact(err, "scope", "%s", method->scope);
		return ASIDE_PERMISSION_DENIED;
	}
	return fail(err, ASIDE_PERMISSION_DENIED, "CALLER_NOT_ALLOWED", "%s is not for a %s", method->path,
			principal->kind == PRINCIPAL_PERSON ? "person" : "service");
}

/* ── bytes ───────────────────────────────────────────────────────────────────────────────────────── */

enum aside_code dispatch_unpack(struct call *call, struct bytes payload, ProtobufCMessage **ret, struct aside_status *err)
{
	const struct aside_method *method = call->method;
	enum aside_code code;

	if (payload.size > method->request_bytes)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request has %zu bytes; at most %u",
				payload.size, method->request_bytes);
	code = validate(method->request, payload, err);
	if (code != ASIDE_OK)
		return code;
	*ret = protobuf_c_message_unpack(method->request, &call->arena.allocator, payload.size, payload.data);
	return *ret == NULL ? call_full(err) : ASIDE_OK;
}

/* ── metadata ────────────────────────────────────────────────────────────────────────────────────── */

struct bytes call_metadata(const struct call *call, const char *key)
{
	for (size_t i = 0; call->frame != NULL && i < call->frame->n_metadata; i++) {
		const struct metadata *metadata = &call->frame->metadata[i];
		if (metadata->key.size == strlen(key) && memcmp(metadata->key.data, key, metadata->key.size) == 0)
			return metadata->value;
	}
	return (struct bytes){ NULL, 0 };
}

/* In the call's arena. */
struct trailer {
	struct trailer *next;
	struct metadata metadata;
};

static struct bytes copy(struct arena *arena, struct bytes bytes)
{
	uint8_t *data = arena_alloc(arena, bytes.size + 1);

	if (data == NULL)
		return (struct bytes){ NULL, 0 };
	if (bytes.size > 0)
		memcpy(data, bytes.data, bytes.size);
	return (struct bytes){ data, bytes.size };
}

bool call_add_metadata(struct call *call, const char *key, struct bytes value)
{
	struct trailer *trailer = arena_alloc(&call->arena, sizeof *trailer), **last = &call->trailers;
	size_t n = 1, size = strlen(key) + value.size;

	for (; *last != NULL; last = &(*last)->next, n++)
		size += (*last)->metadata.key.size + (*last)->metadata.value.size;
	if (trailer == NULL || n > METADATA_MAX || size > METADATA_BYTES_MAX)
		return false;
	*trailer = (struct trailer){ NULL, { copy(&call->arena, (struct bytes){ (const uint8_t *)key, strlen(key) }),
		copy(&call->arena, value) } };
	if (trailer->metadata.key.data == NULL || trailer->metadata.value.data == NULL)
		return false;
	*last = trailer;
	return true;
}

static void put_metadata(const struct call *call, struct frame *frame)
{
	for (const struct trailer *t = call->trailers; t != NULL; t = t->next)
		frame->metadata[frame->n_metadata++] = t->metadata;
}

/* ── the reply ───────────────────────────────────────────────────────────────────────────────────── */

static struct bytes pack(struct arena *arena, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *packed = arena_alloc(arena, size);

	if (packed == NULL)
		return (struct bytes){ NULL, 0 };
	(void)protobuf_c_message_pack(message, packed);
	return (struct bytes){ packed, size };
}

void dispatch_reply(const struct call *call, const struct aside_status *status, struct arena *arena, struct frame *ret)
{
	frame_init(ret, FRAME_REPLY, 0);
	ret->code = (uint32_t)status->code;
	if (call != NULL)
		put_metadata(call, ret);
	if (status->code != ASIDE_OK) {
		Aside__Rpc__V1__Status *wire = status_to_proto(status, arena);
		if (wire != NULL)
			ret->status = pack(arena, &wire->base);
	} else if (!call->method->server_streaming) {
		ret->payload = pack(arena, call->response);
	}
}

enum aside_code dispatch_check_size(const ProtobufCMessage *message, struct aside_status *err)
{
	size_t size = protobuf_c_message_get_packed_size(message);

	if (size <= RESPONSE_BYTES_MAX)
		return ASIDE_OK;
	return fail(err, ASIDE_RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE", "the response has %zu bytes; at most %u: ask for less",
			size, RESPONSE_BYTES_MAX);
}

/* ── what handlers use (call.h) ──────────────────────────────────────────────────────────────────── */

void *call_response(struct call *call)
{
	ProtobufCMessage *message = arena_alloc(&call->arena, call->method->response->sizeof_message);

	if (message == NULL)
		return NULL;
	protobuf_c_message_init(call->method->response, message);
	call->response = message;
	return message;
}

void *call_alloc(struct call *call, size_t size)
{
	return arena_alloc(&call->arena, size);
}

enum aside_code call_full(struct aside_status *err)
{
	return fail(err, ASIDE_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE", "the call needs more memory than one call may have");
}
