/* What the generated code says of a service: protoc-gen-aside fills these tables, the client's stubs
 * and the server's dispatcher read them.  All of it is static and constant. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "aside/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What repeating a call does; from the method's idempotency_level. */
enum aside_idempotency {
	ASIDE_NOT_IDEMPOTENT = 0, /* repeated only where it was certainly not executed */
	ASIDE_NO_SIDE_EFFECTS = 1,
	ASIDE_IDEMPOTENT = 2, /* keyed, or says what to be: may be repeated */
};

/* Who may call; bits, from Rule.callers. */
enum aside_caller {
	ASIDE_CALLER_ANYONE = 1 << 0,
	ASIDE_CALLER_PERSON = 1 << 1,
	ASIDE_CALLER_SERVICE = 1 << 2,
};

/* The scope of a service that may call in a person's name, with the metadata act-as-user. */
#define ASIDE_SCOPE_ACT "user.act"

struct aside_method {
	const char *path; /* "/aside.v1.MessageService/SendMessage" */
	const char *name; /* "SendMessage" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	enum aside_idempotency idempotency;
	unsigned callers;       /* enum aside_caller, or-ed */
	const char *scope;      /* what a service needs; "" where none may call */
	const char *role;       /* the service's own requirement; "" where none */
	uint32_t timeout_ms;    /* deadline of a call that brings none; of a stream: of each of its steps */
	uint32_t request_bytes; /* largest request, or item of the client's */
	uint32_t concurrency;   /* most calls under way in one server; 0: no limit of its own */
	bool client_streaming;
	bool server_streaming;
};

/* Whether either side sends more than one message. */
static inline bool aside_method_streams(const struct aside_method *method)
{
	return method->client_streaming || method->server_streaming;
}

/* A serialized google.protobuf.FileDescriptorProto, comments included. */
struct aside_file {
	const char *name; /* "aside/v1/messages.proto" */
	const uint8_t *descriptor;
	size_t descriptor_bytes;
	const struct aside_file *const *imports; /* NULL-terminated */
};

struct aside_service {
	const char *name; /* "aside.v1.MessageService" */
	const struct aside_method *methods;
	size_t n_methods;
	const struct aside_file *file;
};

#ifdef __cplusplus
}
#endif
