/* See catalog.h. */
#include "catalog.h"

#include <stdio.h>
#include <string.h>

#include "aside/rpc/v1/options.pb-c.h"
#include "wire/status.h"
#include "wire/validate.h"
#include "wire/varint.h"

#define ARENA_BYTES (64u << 20)
#define SYMBOLS_MAX 20000
#define NAME_BYTES 512
#define RULE_FIELD 50701 /* (aside.rpc.v1.rule), which generic parsers keep as an unknown field */
#define RULE_BYTES 512
#define REQUEST_BYTES_DEFAULT 65536
#define CANDIDATES_MAX 6

/* Field numbers of descriptor.proto, which SourceCodeInfo's paths are made of. */
enum {
	FILE_MESSAGE = 4,
	FILE_ENUM = 5,
	FILE_SERVICE = 6,
	MESSAGE_FIELD = 2,
	MESSAGE_NESTED = 3,
	MESSAGE_ENUM = 4,
	SERVICE_METHOD = 2,
	ENUM_VALUE = 2,
};

static enum aside_code bad(struct aside_status *err, const char *name, const char *why)
{
	return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_DESCRIPTOR", "the server's descriptors: %s %s", name, why);
}

/* ── symbols ─────────────────────────────────────────────────────────────────────────────────────── */

/* What holds a symbol: its file, and the message or service within it. */
struct scope {
	struct catalog *catalog;
	const Google__Protobuf__FileDescriptorProto *file;
	const char *name; /* "aside.v1" or "aside.v1.Kinds"; "" without package */
	const int32_t *path;
	unsigned n_path;
	struct aside_status *err;
};

/* NULL where there is no room, or no name. */
static struct symbol *add_symbol(const struct scope *scope, enum symbol_kind kind, const char *name, int32_t tag, size_t nth)
{
	struct catalog *catalog = scope->catalog;
	struct symbol *symbol = &catalog->symbols[catalog->n_symbols];
	char full[NAME_BYTES];
	int n = snprintf(full, sizeof full, "%s%s%s%s", kind == SYMBOL_METHOD ? "/" : "", scope->name,
			kind == SYMBOL_METHOD ? "/" : scope->name[0] != '\0' ? "." : "", name != NULL ? name : "");
	char *copy = n > 0 && (size_t)n < sizeof full ? arena_strndup(&catalog->arena, full, (size_t)n) : NULL;

	if (copy == NULL || name == NULL || catalog->n_symbols == SYMBOLS_MAX || scope->n_path + 2 > SYMBOL_PATH_MAX) {
		(void)bad(scope->err, scope->file->name, "has a symbol without a name, or too many of them");
		return NULL;
	}
	*symbol = (struct symbol){ .kind = kind, .name = copy + (kind == SYMBOL_METHOD), .file = scope->file };
	if (scope->n_path > 0)
		memcpy(symbol->path, scope->path, scope->n_path * sizeof *scope->path);
	symbol->path[scope->n_path] = tag;
	symbol->path[scope->n_path + 1] = (int32_t)nth;
	symbol->n_path = scope->n_path + 2;
	if (kind == SYMBOL_METHOD)
		symbol->type.method.path = copy;
	catalog->n_symbols++;
	return symbol;
}

static struct scope within(const struct scope *scope, const struct symbol *symbol)
{
	return (struct scope){ scope->catalog, scope->file, symbol->name, symbol->path, symbol->n_path, scope->err };
}

static bool add_enums(const struct scope *scope, Google__Protobuf__EnumDescriptorProto *const *enums, size_t n, int32_t tag)
{
	for (size_t i = 0; i < n; i++) {
		struct symbol *symbol = add_symbol(scope, SYMBOL_ENUM, enums[i]->name, tag, i);
		if (symbol == NULL)
			return false;
		symbol->proto.enumeration = enums[i];
	}
	return true;
}

static bool add_messages(const struct scope *scope, Google__Protobuf__DescriptorProto *const *messages, size_t n, int32_t tag)
{
	for (size_t i = 0; i < n; i++) {
		struct symbol *symbol = add_symbol(scope, SYMBOL_MESSAGE, messages[i]->name, tag, i);
		if (symbol == NULL)
			return false;
		symbol->proto.message = messages[i];
		struct scope inside = within(scope, symbol);
		if (!add_enums(&inside, messages[i]->enum_type, messages[i]->n_enum_type, MESSAGE_ENUM) ||
				!add_messages(&inside, messages[i]->nested_type, messages[i]->n_nested_type, MESSAGE_NESTED))
			return false;
	}
	return true;
}

static bool add_services(const struct scope *scope)
{
	for (size_t i = 0; i < scope->file->n_service; i++) {
		const Google__Protobuf__ServiceDescriptorProto *service = scope->file->service[i];
		struct symbol *symbol = add_symbol(scope, SYMBOL_SERVICE, service->name, FILE_SERVICE, i);
		if (symbol == NULL)
			return false;
		symbol->proto.service = service;
		struct scope inside = within(scope, symbol);
		for (size_t k = 0; k < service->n_method; k++) {
			symbol = add_symbol(&inside, SYMBOL_METHOD, service->method[k]->name, SERVICE_METHOD, k);
			if (symbol == NULL)
				return false;
			symbol->proto.method = service->method[k];
		}
	}
	return true;
}

static enum aside_code add_file(struct catalog *catalog, const ProtobufCBinaryData *bytes, struct aside_status *err)
{
	const ProtobufCMessageDescriptor *desc = &google__protobuf__file_descriptor_proto__descriptor;
	Google__Protobuf__FileDescriptorProto *file = NULL;

	if (validate(desc, (struct bytes){ bytes->data, bytes->len }, NULL) == ASIDE_OK)
		file = google__protobuf__file_descriptor_proto__unpack(&catalog->arena.allocator, bytes->len, bytes->data);
	if (file == NULL || file->name == NULL)
		return bad(err, "a file", "is malformed");
	struct scope scope = { catalog, file, file->package != NULL ? file->package : "", NULL, 0, err };
	if (!add_services(&scope) || !add_enums(&scope, file->enum_type, file->n_enum_type, FILE_ENUM) ||
			!add_messages(&scope, file->message_type, file->n_message_type, FILE_MESSAGE))
		return ASIDE_INVALID_ARGUMENT;
	return ASIDE_OK;
}

/* ── methods ─────────────────────────────────────────────────────────────────────────────────────── */

/* An option set field by field comes as one unknown field each; protobuf merges them by putting them in a row. */
static Aside__Rpc__V1__Rule *unpack_rule(const Google__Protobuf__MethodDescriptorProto *method, struct arena *arena)
{
	uint8_t merged[RULE_BYTES];
	size_t used = 0;

	for (unsigned i = 0; method->options != NULL && i < method->options->base.n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *unknown = &method->options->base.unknown_fields[i];
		struct bytes body = { unknown->data, unknown->len };
		uint64_t size;
		if (unknown->tag != RULE_FIELD)
			continue;
		if (!varint_take(&body, &size) || body.size > sizeof merged - used)
			return NULL;
		memcpy(merged + used, body.data, body.size);
		used += body.size;
	}
	if (validate(&aside__rpc__v1__rule__descriptor, (struct bytes){ merged, used }, NULL) != ASIDE_OK)
		return NULL;
	return aside__rpc__v1__rule__unpack(&arena->allocator, used, merged);
}

static unsigned callers_of(const Aside__Rpc__V1__Rule *rule)
{
	unsigned callers = 0;

	for (size_t i = 0; i < rule->n_callers; i++)
		callers |= rule->callers[i] == ASIDE__RPC__V1__CALLER__CALLER_ANYONE ? ASIDE_CALLER_ANYONE :
				rule->callers[i] == ASIDE__RPC__V1__CALLER__CALLER_PERSON ? ASIDE_CALLER_PERSON :
				rule->callers[i] == ASIDE__RPC__V1__CALLER__CALLER_SERVICE ? ASIDE_CALLER_SERVICE : 0;
	return callers;
}

static enum aside_idempotency idempotency_of(const Google__Protobuf__MethodDescriptorProto *method)
{
	Google__Protobuf__MethodOptions__IdempotencyLevel level = method->options != NULL ? method->options->idempotency_level : 0;

	return level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS ? ASIDE_NO_SIDE_EFFECTS :
			level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENT ? ASIDE_IDEMPOTENT :
												    ASIDE_NOT_IDEMPOTENT;
}

static enum aside_code build_method(struct catalog *catalog, struct symbol *symbol, struct aside_status *err)
{
	const Google__Protobuf__MethodDescriptorProto *proto = symbol->proto.method;
	const struct symbol *request = catalog_type(catalog, proto->input_type), *response = catalog_type(catalog, proto->output_type);
	const Aside__Rpc__V1__Rule *rule = unpack_rule(proto, &catalog->arena);

	if (request == NULL || response == NULL || request->kind != SYMBOL_MESSAGE || response->kind != SYMBOL_MESSAGE)
		return bad(err, symbol->name, "takes or gives a message that is not there");
	if (rule == NULL)
		return bad(err, symbol->name, "has a malformed rule");
	symbol->type.method = (struct aside_method){
		.path = symbol->type.method.path,
		.name = proto->name,
		.request = &request->type.message,
		.response = &response->type.message,
		.idempotency = idempotency_of(proto),
		.callers = callers_of(rule),
		.scope = rule->scope,
		.role = rule->role,
		.timeout_ms = rule->timeout_ms,
		.request_bytes = rule->request_bytes > 0 ? rule->request_bytes : REQUEST_BYTES_DEFAULT,
		.client_streaming = proto->client_streaming,
		.server_streaming = proto->server_streaming,
	};
	return ASIDE_OK;
}

enum aside_code catalog_init(struct catalog *catalog, const ProtobufCBinaryData *files, size_t n, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	*catalog = (struct catalog){ 0 };
	arena_init(&catalog->arena, ARENA_BYTES);
	catalog->symbols = calloc(SYMBOLS_MAX, sizeof *catalog->symbols); /* untouched pages cost nothing */
	if (catalog->symbols == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	for (size_t i = 0; i < n && code == ASIDE_OK; i++)
		code = add_file(catalog, &files[i], err);
	if (code == ASIDE_OK)
		code = types_build(catalog, err);
	for (size_t i = 0; i < catalog->n_symbols && code == ASIDE_OK; i++)
		if (catalog->symbols[i].kind == SYMBOL_METHOD)
			code = build_method(catalog, &catalog->symbols[i], err);
	return code;
}

void catalog_fini(struct catalog *catalog)
{
	free(catalog->symbols);
	arena_fini(&catalog->arena);
}

/* ── looking up ──────────────────────────────────────────────────────────────────────────────────── */

const struct symbol *catalog_type(const struct catalog *catalog, const char *name)
{
	for (size_t i = 0; name != NULL && i < catalog->n_symbols; i++)
		if ((catalog->symbols[i].kind & (SYMBOL_MESSAGE | SYMBOL_ENUM)) &&
				strcmp(catalog->symbols[i].name, name + (name[0] == '.')) == 0)
			return &catalog->symbols[i];
	return NULL;
}

/* `name` is all of `full`, or what follows a dot or slash in it. */
static bool is_tail(const char *full, const char *name)
{
	size_t length = strlen(name), whole = strlen(full);

	if (length == 0 || length > whole || strcmp(full + whole - length, name) != 0)
		return false;
	return length == whole || full[whole - length - 1] == '.' || full[whole - length - 1] == '/';
}

static enum aside_code ambiguous(const struct catalog *catalog, unsigned kinds, const char *name, struct aside_status *err)
{
	char names[200] = "";
	size_t used = 0, listed = 0;

	for (size_t i = 0; i < catalog->n_symbols && listed < CANDIDATES_MAX && used < sizeof names; i++)
		if ((catalog->symbols[i].kind & kinds) && is_tail(catalog->symbols[i].name, name))
			used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", listed++ > 0 ? ", " : "",
					catalog->symbols[i].name);
	return fail(err, ASIDE_FAILED_PRECONDITION, "NAME_AMBIGUOUS", "%s may be %s", name, names);
}

enum aside_code catalog_find(const struct catalog *catalog, unsigned kinds, const char *name, const struct symbol **ret_symbol,
		struct aside_status *err)
{
	const struct symbol *found = NULL;
	size_t n = 0;

	name += name[0] == '/' || name[0] == '.';
	for (size_t i = 0; i < catalog->n_symbols; i++) {
		const struct symbol *symbol = &catalog->symbols[i];
		if (!(symbol->kind & kinds) || !is_tail(symbol->name, name))
			continue;
		found = symbol;
		n++;
		if (strcmp(symbol->name, name) == 0) {
			n = 1;
			break;
		}
	}
	if (n == 0)
		return fail(err, ASIDE_NOT_FOUND, "NAME_UNKNOWN", "the server has no %s %s",
				kinds == SYMBOL_METHOD ? "method" : "service, method, message or enum", name);
	if (n > 1)
		return ambiguous(catalog, kinds, name, err);
	*ret_symbol = found;
	return ASIDE_OK;
}

static const char *comment_at(const struct symbol *symbol, const int32_t *more, unsigned n_more)
{
	const Google__Protobuf__SourceCodeInfo *info = symbol->file->source_code_info;

	for (size_t i = 0; info != NULL && i < info->n_location; i++) {
		const Google__Protobuf__SourceCodeInfo__Location *location = info->location[i];
		if (location->n_path == symbol->n_path + n_more && location->leading_comments != NULL &&
				memcmp(location->path, symbol->path, symbol->n_path * sizeof *symbol->path) == 0 &&
				(n_more == 0 || memcmp(location->path + symbol->n_path, more, n_more * sizeof *more) == 0))
			return location->leading_comments;
	}
	return "";
}

const char *symbol_comment(const struct symbol *symbol)
{
	return comment_at(symbol, NULL, 0);
}

const char *symbol_member_comment(const struct symbol *symbol, size_t nth)
{
	/* descriptor.proto gives fields, values and methods the same number. */
	_Static_assert(MESSAGE_FIELD == (int)ENUM_VALUE && MESSAGE_FIELD == (int)SERVICE_METHOD, "descriptor.proto");
	const int32_t more[] = { MESSAGE_FIELD, (int32_t)nth };

	return comment_at(symbol, more, 2);
}
