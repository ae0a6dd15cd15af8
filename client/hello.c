/* See hello.h. */
#include "hello.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "aside/rpc/v1/envelope.pb-c.h"
#include "services.h"
#include "stream.h"
#include "wire/envelope.h"
#include "wire/schema.h"
#include "wire/status.h"

#define METHODS_MAX 64
#define BEARER_BYTES 6144
#define ARENA_BYTES (1u << 20)


/* What we make of all methods, as the `methods` of a serialized Hello: concatenated to another, it is merged. */
static struct bytes schemas;
static pthread_once_t schemas_once = PTHREAD_ONCE_INIT;

static bool add_schema(Aside__Rpc__V1__Hello *hello, const struct aside_method *method, struct arena *arena)
{
	Aside__Rpc__V1__MethodSchema *schema = arena_alloc(arena, sizeof *schema);
	char layout[SCHEMA_LAYOUT_MAX];
	size_t length = schema_layout(method, layout, sizeof layout);

	if (schema == NULL || length >= sizeof layout || hello->n_methods == METHODS_MAX)
		return false;
	aside__rpc__v1__method_schema__init(schema);
	schema->method = (char *)method->path;
	schema->layout = arena_strndup(arena, layout, length);
	schema->fingerprint = schema_fingerprint(layout);
	hello->methods[hello->n_methods++] = schema;
	return schema->layout != NULL;
}

/* On failure `schemas` stays empty: sessions open all the same, without the comparison. */
static void make_schemas(void)
{
	Aside__Rpc__V1__Hello hello = ASIDE__RPC__V1__HELLO__INIT;
	Aside__Rpc__V1__MethodSchema *methods[METHODS_MAX];
	struct arena arena;
	uint8_t *packed;
	bool ok = true;

	arena_init(&arena, ARENA_BYTES);
	hello.methods = methods;
	for (const struct aside_service *const *service = built_in_services; *service != NULL; service++)
		for (size_t k = 0; k < (*service)->n_methods && ok; k++)
			ok = add_schema(&hello, &(*service)->methods[k], &arena);
	packed = ok ? malloc(aside__rpc__v1__hello__get_packed_size(&hello)) : NULL;
	if (packed != NULL)
		schemas = (struct bytes){ packed, aside__rpc__v1__hello__pack(&hello, packed) };
	arena_fini(&arena);
}

static enum aside_code pack(const Aside__Rpc__V1__Hello *hello, uint8_t **ret, size_t *ret_size, struct aside_status *err)
{
	size_t size = aside__rpc__v1__hello__get_packed_size(hello);
	uint8_t *CLEANUP(freep) payload = malloc(size + schemas.size);
	struct frame frame = { .kind = FRAME_HELLO, .payload = { payload, size + schemas.size } };
	uint8_t *out = malloc(envelope_frame_size(&frame));

	if (payload == NULL || out == NULL) {
		free(out);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	}
	(void)aside__rpc__v1__hello__pack(hello, payload);
	if (schemas.size > 0)
		memcpy(payload + size, schemas.data, schemas.size);
	*ret_size = (size_t)(envelope_frame_write(&frame, out) - out);
	*ret = out;
	return ASIDE_OK;
}

enum aside_code hello_make(const char *token, uint8_t **ret, size_t *ret_size, struct aside_status *err)
{
	Aside__Rpc__V1__Hello hello = ASIDE__RPC__V1__HELLO__INIT;
	Aside__Rpc__V1__Limits limits = ASIDE__RPC__V1__LIMITS__INIT;
	Aside__Rpc__V1__Metadata metadata = ASIDE__RPC__V1__METADATA__INIT, *all[] = { &metadata };
	char bearer[BEARER_BYTES];

	if (token != NULL && strlen(token) + 8 > sizeof bearer)
		return fail(err, ASIDE_INVALID_ARGUMENT, "TOKEN_TOO_LONG", "the token is longer than 6 KiB");
	(void)pthread_once(&schemas_once, make_schemas);
	limits.stream_items = STREAM_ITEMS;
	limits.stream_bytes = STREAM_BYTES;
	hello.limits = &limits;
	hello.protocol_version = 1;
	hello.peer_name = (char *)"libaside/" ASIDE_VERSION;
	if (token != NULL) {
		int n = snprintf(bearer, sizeof bearer, "Bearer %s", token);
		metadata.key = (char *)"authorization";
		metadata.value = (ProtobufCBinaryData){ (size_t)n, (uint8_t *)bearer };
		hello.metadata = all;
		hello.n_metadata = 1;
	}
	return pack(&hello, ret, ret_size, err);
}
