/* See call.h. */
#include "call.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "wire/status.h"
#include "wire/validate.h"

#define TIMEOUT_MS_MAX 3600000  /* an hour */
#define STREAM_MS_MAX 86400000 /* 24 hours */
#define NUMBER_BYTES 12 /* of the metadata aside-attempt */

/* ── the request ─────────────────────────────────────────────────────────────────────────────────── */

/* The first key that is none: lower case letters, digits, '-', '_', '.'.  NULL: all are. */
static const char *find_bad_key(const struct aside_call_options *options)
{
	for (size_t i = 0; i < options->n_metadata; i++) {
		const char *key = options->metadata[i].key;
		if (key[0] == '\0' || key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] != '\0')
			return key;
	}
	return NULL;
}

static enum aside_code check_parts(const struct aside_method *method, size_t request, const struct aside_call_options *options,
		size_t *ret_metadata, struct aside_status *err)
{
	size_t n = options->n_metadata;

	*ret_metadata = 0;
	for (size_t i = 0; i < n && n < METADATA_MAX; i++)
		*ret_metadata += strlen(options->metadata[i].key) + options->metadata[i].value_bytes;
	if (n >= METADATA_MAX || *ret_metadata > METADATA_BYTES_MAX - 32)
		return fail(err, ASIDE_INVALID_ARGUMENT, "METADATA_TOO_LARGE", "more than %d entries or 8 KiB of metadata",
				METADATA_MAX - 1);
	const char *key = find_bad_key(options);
	if (key != NULL)
		return fail(err, ASIDE_INVALID_ARGUMENT, "METADATA_KEY_INVALID",
				"'%.64s' is no name of metadata: lower case letters, digits, '-', '_', '.'", key);
	if (request > method->request_bytes)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request has %zu bytes; at most %u", request,
				method->request_bytes);
	return ASIDE_OK;
}

static void copy_metadata(struct pending *call, const struct aside_call_options *options, uint8_t *out)
{
	for (size_t i = 0; i < options->n_metadata; i++) {
		const struct aside_metadata *from = &options->metadata[i];
		struct metadata *to = &call->metadata[call->n_metadata++];
		to->key = (struct bytes){ memcpy(out, from->key, strlen(from->key)), strlen(from->key) };
		out += to->key.size;
		to->value = (struct bytes){ out, from->value_bytes };
		if (from->value_bytes > 0)
			memcpy(out, from->value, from->value_bytes);
		out += from->value_bytes;
	}
}

/* Its deadline, and what else it may wait for. */
static void set_times(struct pending *call, const struct aside_options *channel, const struct aside_call_options *options)
{
	bool streams = aside_method_streams(call->method);
	uint32_t most_ms = streams ? STREAM_MS_MAX : TIMEOUT_MS_MAX;
	uint32_t timeout_ms = streams ? STREAM_MS_MAX : channel->timeout_ms != 0 ? channel->timeout_ms : call->method->timeout_ms;
	int64_t now = channel_now_us();

	if (options->timeout_ms != 0)
		timeout_ms = options->timeout_ms;
	call->deadline_us = now + (timeout_ms < most_ms ? timeout_ms : most_ms) * 1000ll;
	if (options->deadline_us != 0 && options->deadline_us < call->deadline_us)
		call->deadline_us = options->deadline_us;
	call->give_up_us = options->wait_for_ready ? INT64_MAX : now + channel->connect_timeout_ms * 1000ll;
	if (options->hedge_after_ms != 0 && call->method->idempotency == ASIDE_NO_SIDE_EFFECTS && !streams)
		call->hedge_us = now + options->hedge_after_ms * 1000ll;
}

static enum aside_code create(const struct aside_method *method, const ProtobufCMessage *request,
		const struct aside_call_options *options, struct pending **ret, struct aside_status *err)
{
	size_t size = request != NULL ? protobuf_c_message_get_packed_size(request) : 0, metadata, n = options->n_metadata;
	enum aside_code code = check_parts(method, size, options, &metadata, err);
	struct pending *call;

	if (code != ASIDE_OK)
		return code;
	/* One block: the call, its metadata (one more for aside-attempt), the bytes. */
	call = calloc(1, sizeof *call + (n + 1) * sizeof *call->metadata + size + metadata);
	if (call == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	call->method = method;
	call->metadata = (struct metadata *)(void *)(call + 1);
	call->request = (uint8_t *)(call->metadata + n + 1);
	call->request_size = request != NULL ? protobuf_c_message_pack(request, call->request) : 0;
	for (unsigned i = 0; i < ATTEMPTS_AT_ONCE; i++)
		call->attempts[i].call = call;
	copy_metadata(call, options, call->request + call->request_size);
	*ret = call;
	return ASIDE_OK;
}

/* The same, its interceptors asked before. */
static enum aside_code create_intercepted(const struct aside_options *channel, const struct aside_method *method,
		const ProtobufCMessage *request, struct aside_call_options *options, struct pending **ret,
		struct aside_status *err)
{
	struct aside_intercepted call = { .method = method, .request = request, .options = *options };
	struct aside_status status = { 0 };
	struct chain chain = { 0 };
	enum aside_code code = chain_enter(&chain, channel, &call, &status);

	if (code == ASIDE_OK && (code = create(method, request, &call.options, ret, &status)) != ASIDE_OK)
		chain_leave(&chain, method, &status);
	if (code == ASIDE_OK)
		(*ret)->chain = chain;
	else if (err != NULL)
		*err = status;
	*options = call.options; /* for the times in it; the metadata is copied */
	options->metadata = NULL;
	options->n_metadata = 0;
	return code;
}

enum aside_code pending_new(const struct aside_options *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options, struct pending **ret,
		struct aside_status *err)
{
	struct aside_call_options own = { 0 };
	enum aside_code code;

	if (options != NULL)
		own = *options;
	if (channel->n_interceptors == 0 && own.interceptor == NULL)
		code = create(method, request, &own, ret, err);
	else
		code = create_intercepted(channel, method, request, &own, ret, err);
	if (code == ASIDE_OK)
		set_times(*ret, channel, &own);
	return code;
}

void pending_free(struct pending *call)
{
	static const struct failure unbegun = { ASIDE_CANCELLED, "CANCELLED", "the channel is being closed", true };

	if (call == NULL)
		return;
	if (call->state != PENDING_ENDED)
		call->failure = unbegun;
	if (call->chain.n > 0) {
		struct aside_status status;
		pending_status(call, &status);
		chain_leave(&call->chain, call->method, &status);
	}
	received_release(call->received);
	free(call);
}

void attempt_frame(const struct attempt *attempt, int64_t now_us, struct frame *ret)
{
	const struct pending *call = attempt->call;
	static _Thread_local char number[NUMBER_BYTES];

	frame_init(ret, FRAME_CALL, attempt->entry.id);
	ret->method = (struct bytes){ (const uint8_t *)call->method->path, strlen(call->method->path) };
	ret->payload = (struct bytes){ call->request, call->request_size };
	ret->timeout_us = call->deadline_us > now_us ? (uint64_t)(call->deadline_us - now_us) : 1;
	if (call->n_metadata > 0)
		memcpy(ret->metadata, call->metadata, call->n_metadata * sizeof *call->metadata);
	ret->n_metadata = call->n_metadata;
	if (call->tries > 0) {
		int n = snprintf(number, sizeof number, "%u", call->tries + 1);
		ret->metadata[ret->n_metadata++] = (struct metadata){ { (const uint8_t *)"aside-attempt", 13 },
			{ (const uint8_t *)number, (size_t)n } };
	}
}

/* ── the outcome ─────────────────────────────────────────────────────────────────────────────────── */

static void read_status(const struct pending *call, struct aside_status *ret)
{
	Aside__Rpc__V1__Status *wire = NULL;

	if (validate(&aside__rpc__v1__status__descriptor, call->status, NULL) == ASIDE_OK)
		wire = aside__rpc__v1__status__unpack(NULL, call->status.size, call->status.data);
	status_from_proto(wire, call->code, ret);
	if (wire != NULL)
		aside__rpc__v1__status__free_unpacked(wire, NULL);
}

void pending_status(const struct pending *call, struct aside_status *ret_status)
{
	if (call->failure.code != ASIDE_OK) {
		(void)fail(ret_status, call->failure.code, call->failure.reason, "%s", call->failure.message);
		ret_status->not_executed = call->failure.not_executed && !call->maybe_executed;
		return;
	}
	if (call->code != ASIDE_OK) {
		read_status(call, ret_status);
		ret_status->not_executed = ret_status->not_executed && !call->maybe_executed;
		return;
	}
	ret_status->code = ASIDE_OK;
	ret_status->reason[0] = ret_status->domain[0] = ret_status->message[0] = '\0';
	ret_status->retry_after_us = 0;
	ret_status->not_executed = false;
	ret_status->n_violations = ret_status->n_facts = 0;
}

void pending_outcome(struct pending *call, struct aside_status *ret_status, ProtobufCMessage **ret_response)
{
	static const struct failure malformed = { ASIDE_INTERNAL, "MALFORMED_RESPONSE", "the response cannot be read", false };

	*ret_response = NULL;
	pending_status(call, ret_status);
	if (ret_status->code != ASIDE_OK || call->method->server_streaming)
		return;
	if (validate(call->method->response, call->payload, NULL) == ASIDE_OK)
		*ret_response = protobuf_c_message_unpack(call->method->response, NULL, call->payload.size, call->payload.data);
	if (*ret_response != NULL)
		return;
	call->failure = malformed;
	pending_status(call, ret_status);
}

/* ── messages from the server ────────────────────────────────────────────────────────────────────── */

struct received {
	atomic_uint references;
	void *handle;
	struct bytes body;
};

struct received *received_new(void *handle, struct bytes body)
{
	struct received *received = malloc(sizeof *received);

	if (received == NULL)
		return NULL;
	*received = (struct received){ .references = 1, .handle = handle, .body = body };
	return received;
}

struct received *received_retain(struct received *received)
{
	atomic_fetch_add(&received->references, 1);
	return received;
}

void received_release(struct received *received)
{
	if (received == NULL || atomic_fetch_sub(&received->references, 1) > 1)
		return;
	link_release(received->handle);
	free(received);
}

struct bytes received_body(const struct received *received)
{
	return received->body;
}
