/* See hello.h. */
#include "hello.h"

#include <stdio.h>
#include <string.h>

#include "aside/rpc/v1/envelope.pb-c.h"
#include "dispatch.h"
#include "server.h"
#include "wire/schema.h"
#include "wire/validate.h"

#define HELLO_ARENA_BYTES (1u << 20)

static bool key_is(struct bytes key, const char *name)
{
	return key.size == strlen(name) && memcmp(key.data, name, key.size) == 0;
}

/* Digits and nothing else, of a number greater than 0. */
static bool read_id(struct bytes text, int64_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < text.size; i++) {
		int digit = text.data[i] - '0';
		if (digit < 0 || digit > 9 || *ret > (INT64_MAX - digit) / 10)
			return false;
		*ret = *ret * 10 + digit;
	}
	return *ret > 0;
}

static enum aside_code act_as(struct bytes value, struct principal *principal, struct aside_status *err)
{
	int64_t id = 0;

	if (principal->kind == PRINCIPAL_ANONYMOUS)
		return fail(err, ASIDE_UNAUTHENTICATED, "CREDENTIALS_MISSING", "act-as-user needs credentials");
	if (!principal_has_scope(principal, ASIDE_SCOPE_ACT) || principal->kind != PRINCIPAL_SERVICE)
		return fail(err, ASIDE_PERMISSION_DENIED, "SCOPE_REQUIRED", "act-as-user needs a service with the scope %s",
				ASIDE_SCOPE_ACT);
	if (!read_id(value, &id))
		return fail(err, ASIDE_INVALID_ARGUMENT, "ACT_AS_INVALID", "act-as-user is not a user id");
	principal->kind = PRINCIPAL_PERSON;
	principal->user_id = id;
	return ASIDE_OK;
}

/* The token of one call: its texts last as long as the call. */
static enum aside_code own_token(struct auth *auth, struct bytes token, int64_t now_us, struct arena *arena,
		struct principal *ret, struct aside_status *err)
{
	struct credentials *credentials = arena_alloc(arena, sizeof *credentials);
	enum aside_code code;

	if (credentials == NULL)
		return call_full(err);
	code = auth_token(auth, token, now_us, credentials, err);
	if (code == ASIDE_OK)
		*ret = credentials->principal;
	return code;
}

bool hello_is_own(const struct frame *frame)
{
	for (size_t i = 0; i < frame->n_metadata; i++)
		if (key_is(frame->metadata[i].key, "authorization") || key_is(frame->metadata[i].key, "act-as-user"))
			return true;
	return false;
}

enum aside_code hello_principal(struct auth *auth, const struct session *session, const struct frame *frame,
		struct call *call, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;
	bool own = false;

	call->principal = session->principal;
	for (size_t i = 0; i < frame->n_metadata && code == ASIDE_OK; i++)
		if (key_is(frame->metadata[i].key, "authorization")) {
			code = own_token(auth, frame->metadata[i].value, call->now_us, &call->arena, &call->principal, err);
			own = true;
		}
	if (!own && session->refused[0] != '\0')
		return fail(err, ASIDE_UNAUTHENTICATED, session->refused, "%s", session->refused_why);
	for (size_t i = 0; i < frame->n_metadata && code == ASIDE_OK; i++)
		if (key_is(frame->metadata[i].key, "act-as-user"))
			code = act_as(frame->metadata[i].value, &call->principal, err);
	return code;
}

/* ── HELLO ───────────────────────────────────────────────────────────────────────────────────────── */

/* Keeps of `hello` only the methods on which the two sides disagree: calls to them are refused. */
static void find_conflicts(struct session *session, Aside__Rpc__V1__Hello *hello, struct arena *arena)
{
	const struct dispatcher *dispatcher = server_dispatcher(session->server);
	char *layout = arena_alloc(arena, SCHEMA_LAYOUT_MAX);
	size_t kept = 0;

	for (size_t i = 0; layout != NULL && i < hello->n_methods; i++) {
		Aside__Rpc__V1__MethodSchema *theirs = hello->methods[i];
		const struct route *ours = dispatcher_find(dispatcher,
				(struct bytes){ (const uint8_t *)theirs->method, strlen(theirs->method) });
		struct aside_status why;
		if (ours == NULL || schema_layout(ours->method, layout, SCHEMA_LAYOUT_MAX) >= SCHEMA_LAYOUT_MAX ||
				schema_fingerprint(layout) == theirs->fingerprint ||
				schema_compare(layout, theirs->layout, &why) == ASIDE_OK)
			continue;
		session->conflicts[ours->index / 64] |= 1ull << ours->index % 64;
		theirs->conflict = arena_strndup(arena, why.message, strlen(why.message));
		theirs->layout = arena_strndup(arena, layout, strlen(layout));
		if (theirs->conflict != NULL && theirs->layout != NULL)
			hello->methods[kept++] = theirs;
	}
	hello->n_methods = kept;
}

static void answer(struct session *session, Aside__Rpc__V1__Hello *hello, struct arena *arena)
{
	Aside__Rpc__V1__Limits limits = ASIDE__RPC__V1__LIMITS__INIT;
	struct frame frame = { .kind = FRAME_HELLO };
	uint8_t *packed;

	if (hello->limits != NULL) {
		session->stream_items = hello->limits->stream_items;
		session->stream_bytes = hello->limits->stream_bytes < INT64_MAX / 2 ? hello->limits->stream_bytes : INT64_MAX / 2;
	}
	find_conflicts(session, hello, arena);
	limits.message_bytes = MESSAGE_BYTES_MAX;
	limits.outstanding_requests = TURNS_MAX;
	limits.stream_items = STREAM_ITEMS;
	limits.stream_bytes = STREAM_BYTES;
	hello->protocol_version = 1;
	hello->peer_name = (char *)"aside-server/" ASIDE_VERSION;
	hello->limits = &limits;
	hello->n_metadata = 0;
	size_t size = protobuf_c_message_get_packed_size(&hello->base);
	packed = arena_alloc(arena, size);
	if (packed == NULL)
		return;
	(void)protobuf_c_message_pack(&hello->base, packed);
	frame.payload = (struct bytes){ packed, size };
	session_put(session, &frame);
}

static enum aside_code authenticate(struct session *session, const Aside__Rpc__V1__Hello *hello, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (size_t i = 0; i < hello->n_metadata && session->credentials == NULL; i++) {
		ProtobufCBinaryData value = hello->metadata[i]->value;
		if (strcmp(hello->metadata[i]->key, "authorization") != 0)
			continue;
		session->credentials = calloc(1, sizeof *session->credentials);
		if (session->credentials == NULL)
			return call_full(err);
		code = auth_token(server_options(session->server)->auth, (struct bytes){ value.data, value.len },
				session->realtime_us, session->credentials, err);
		pthread_mutex_lock(&session->mutex); /* whoever inspects the server reads it */
		session->principal = session->credentials->principal;
		pthread_mutex_unlock(&session->mutex);
	}
	return code;
}

void hello_answer(struct session *session, const struct frame *frame)
{
	Aside__Rpc__V1__Hello *hello = NULL;
	struct aside_status err = { 0 };
	struct arena arena;

	arena_init(&arena, HELLO_ARENA_BYTES);
	enum aside_code code = validate(&aside__rpc__v1__hello__descriptor, frame->payload, &err);
	if (code == ASIDE_OK) {
		hello = aside__rpc__v1__hello__unpack(&arena.allocator, frame->payload.size, frame->payload.data);
		code = hello == NULL ? call_full(&err) : authenticate(session, hello, &err);
	}
	if (code == ASIDE_OK && hello != NULL) {
		answer(session, hello, &arena);
	} else {
		struct frame reply;
		(void)snprintf(session->refused, sizeof session->refused, "%s", err.reason);
		(void)snprintf(session->refused_why, sizeof session->refused_why, "%.*s", (int)sizeof session->refused_why - 1, err.message);
		dispatch_reply(NULL, &err, &arena, &reply);
		session_put(session, &reply);
	}
	arena_fini(&arena);
}
