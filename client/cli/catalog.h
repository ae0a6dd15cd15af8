/* What a server can do, by its own descriptors: services, methods, messages and enums, with their comments and with
 * descriptors that protobuf-c and json.h work by.  So the command calls methods it was not built with, and what it
 * says of them is what the server says.  Bytes in, symbols out: knows no channel. */
#pragma once

#include "aside/method.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "wire/arena.h"

/* The nesting of a message within others, as numbers of descriptor.proto. */
#define SYMBOL_PATH_MAX 16

enum symbol_kind {
	SYMBOL_SERVICE = 1,
	SYMBOL_METHOD = 2,
	SYMBOL_MESSAGE = 4,
	SYMBOL_ENUM = 8,
};

struct symbol {
	enum symbol_kind kind;
	const char *name; /* "aside.v1.MessageService/SendMessage", "aside.v1.Message" */
	const Google__Protobuf__FileDescriptorProto *file;
	int32_t path[SYMBOL_PATH_MAX]; /* where it stands in the file: descriptor.proto, SourceCodeInfo */
	unsigned n_path;
	/* As declared, and as made of it for calls.  A service has only the former. */
	union {
		const Google__Protobuf__ServiceDescriptorProto *service;
		const Google__Protobuf__MethodDescriptorProto *method;
		const Google__Protobuf__DescriptorProto *message;
		const Google__Protobuf__EnumDescriptorProto *enumeration;
	} proto;
	union {
		struct aside_method method;
		ProtobufCMessageDescriptor message;
		ProtobufCEnumDescriptor enumeration;
	} type;
};

struct catalog {
	struct arena arena;
	struct symbol *symbols; /* files in the given order, a service before its methods */
	size_t n_symbols;
};

/* From serialized FileDescriptorProtos, which are copied.  Fails with INVALID_ARGUMENT, reason BAD_DESCRIPTOR, for
 * what is malformed or refers to what is not there; then, too, catalog_fini() is due.  Must not move afterwards. */
enum aside_code catalog_init(struct catalog *catalog, const ProtobufCBinaryData *files, size_t n,
		struct aside_status *err) MUST_CHECK;
void catalog_fini(struct catalog *catalog);

/* The one symbol of `kinds` (or-ed) that `name` names: in full, or by its last parts, "MessageService/SendMessage"
 * and "SendMessage".  NOT_FOUND when there is none, FAILED_PRECONDITION when there are several; the message names
 * them.  Borrowed from the catalog. */
enum aside_code catalog_find(const struct catalog *catalog, unsigned kinds, const char *name,
		const struct symbol **ret_symbol, struct aside_status *err) MUST_CHECK;

/* The message or enum with this full name, ".aside.v1.Message" as descriptors write it, or NULL. */
const struct symbol *catalog_type(const struct catalog *catalog, const char *name);

/* The words before a symbol, or before its nth field, value or method in the order of the .proto; "" for none.
 * Lines as they are written, each with its leading space.  Borrowed from the catalog. */
const char *symbol_comment(const struct symbol *symbol);
const char *symbol_member_comment(const struct symbol *symbol, size_t nth);

/* Fills in type.message and type.enumeration of every symbol that has one (types.c). */
enum aside_code types_build(struct catalog *catalog, struct aside_status *err) MUST_CHECK;
