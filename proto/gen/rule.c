/* Options of our own arrive as unknown fields: they are read here with the wire's own varints. */
#include "rule.h"

#include <stdio.h>
#include <string.h>

#include "aside/method.h"
#include "names.h"
#include "wire/varint.h"

#define RULE_FIELD 50701
#define TIMEOUT_MS_MAX 600000
#define REQUEST_BYTES_DEFAULT 65536
#define REQUEST_BYTES_MAX (3u << 20)
#define DEPTH_MAX 64
#define MAPS_ALLOWED ".aside.rpc.v1.ErrorInfo." /* its metadata has gRPC's shape */

static const char *read_text(struct bytes text, char out[64])
{
	if (text.size >= 64)
		return "a text of the rule is longer than 63 bytes";
	/* It is written into a C string as it is. */
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '"' || text.data[i] == '\\')
			return "a text of the rule has a blank, a quote, a backslash or a byte beyond ASCII";
	if (text.size > 0)
		memcpy(out, text.data, text.size);
	out[text.size] = '\0';
	return NULL;
}

static const char *add_caller(uint64_t number, struct rule *rule)
{
	static const unsigned bits[] = { 0, ASIDE_CALLER_ANYONE, ASIDE_CALLER_PERSON, ASIDE_CALLER_SERVICE };

	if (number == 0 || number >= sizeof bits / sizeof *bits)
		return "the rule names an unknown caller";
	rule->callers |= bits[number];
	return NULL;
}

static const char *read_field(const struct field *field, struct rule *rule)
{
	struct bytes run = field->bytes;
	const char *why = NULL;
	uint64_t number;

	switch (field->number) {
	case 1:
		if (field->type == WIRE_VARINT)
			return add_caller(field->value, rule);
		while (run.size > 0 && why == NULL)
			why = varint_take(&run, &number) ? add_caller(number, rule) : "the rule is malformed";
		return why;
	case 2: return read_text(field->bytes, rule->scope);
	case 3: return read_text(field->bytes, rule->role);
	case 4: rule->timeout_ms = (uint32_t)field->value; return NULL;
	case 5: rule->request_bytes = (uint32_t)field->value; return NULL;
	case 6: rule->concurrency = (uint32_t)field->value; return NULL;
	default: return "the rule has a field this generator does not know";
	}
}

static const char *rule_check(const struct rule *rule)
{
	if (rule->callers == 0)
		return "its rule has no callers";
	if ((rule->callers & ASIDE_CALLER_SERVICE) && rule->scope[0] == '\0')
		return "services may call it, but its rule has no scope";
	if (rule->timeout_ms == 0 || rule->timeout_ms > TIMEOUT_MS_MAX)
		return "its rule has no timeout_ms from 1 to 600000";
	if (rule->request_bytes > REQUEST_BYTES_MAX)
		return "its request_bytes is above 3 MiB";
	return NULL;
}

static const char *read_body(struct bytes body, struct rule *rule)
{
	const char *why = NULL;
	struct field field;

	while (body.size > 0 && why == NULL)
		why = field_take(&body, &field) ? read_field(&field, rule) : "its rule is malformed";
	return why;
}

/* An option set field by field, (rule).scope = …, comes as one unknown field each: they are merged. */
const char *rule_read(const Google__Protobuf__MethodDescriptorProto *method, struct rule *ret)
{
	const ProtobufCMessage *options = method->options != NULL ? &method->options->base : NULL;
	const char *why = NULL;
	bool found = false;

	*ret = (struct rule){ 0 };
	for (unsigned i = 0; options != NULL && i < options->n_unknown_fields && why == NULL; i++) {
		const ProtobufCMessageUnknownField *unknown = &options->unknown_fields[i];
		struct bytes body = { unknown->data, unknown->len };
		uint64_t size;
		if (unknown->tag != RULE_FIELD || !varint_take(&body, &size))
			continue;
		found = true;
		why = read_body(body, ret);
	}
	if (!found)
		return "it has no option (aside.rpc.v1.rule)";
	if (ret->request_bytes == 0)
		ret->request_bytes = REQUEST_BYTES_DEFAULT;
	return why != NULL ? why : rule_check(ret);
}

/* ── messages protobuf-c cannot serve safely ─────────────────────────────────────────────────────── */

typedef Google__Protobuf__DescriptorProto Message;

static const Message *find_nested(Message *const *messages, size_t n, const char *prefix, const char *full)
{
	for (size_t i = 0; i < n; i++) {
		char name[512];
		(void)snprintf(name, sizeof name, "%s.%s", prefix, messages[i]->name);
		size_t length = strlen(name);
		if (strcmp(name, full) == 0)
			return messages[i];
		if (strncmp(name, full, length) == 0 && full[length] == '.')
			return find_nested(messages[i]->nested_type, messages[i]->n_nested_type, name, full);
	}
	return NULL;
}

static const Message *find_message(const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
		const char *full)
{
	for (size_t i = 0; i < request->n_proto_file; i++) {
		const Google__Protobuf__FileDescriptorProto *file = request->proto_file[i];
		char prefix[512];
		(void)snprintf(prefix, sizeof prefix, "%s%s", file->package != NULL ? "." : "",
				file->package != NULL ? file->package : "");
		const Message *found = find_nested(file->message_type, file->n_message_type, prefix, full);
		if (found != NULL)
			return found;
	}
	return NULL;
}

static const char *check_field(const Google__Protobuf__FieldDescriptorProto *field, const Message *inner)
{
	if (field->has_proto3_optional && field->proto3_optional)
		return "proto3 optional is beyond protobuf-c: use a oneof of one field";
	if (inner != NULL && inner->options != NULL && inner->options->map_entry &&
			strncmp(field->type_name, MAPS_ALLOWED, strlen(MAPS_ALLOWED)) != 0)
		return "maps have no order and no limit: use a repeated message";
	return NULL;
}

static const char *check_message(const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
		const Message *message, const Message **path, unsigned depth, char where[512])
{
	const char *why = NULL;

	(void)snprintf(where, 512, "%s", message->name);
	for (unsigned i = 0; i < depth; i++)
		if (path[i] == message)
			return "a message contains itself: protobuf-c has no limit to its recursion";
	if (depth == DEPTH_MAX)
		return "messages are nested more than 64 deep";
	path[depth] = message;
	for (size_t i = 0; i < message->n_field && why == NULL; i++) {
		const Google__Protobuf__FieldDescriptorProto *field = message->field[i];
		const Message *inner = field->type_name != NULL ? find_message(request, field->type_name) : NULL;
		why = check_field(field, inner);
		if (why != NULL)
			(void)snprintf(where, 512, "%s.%s", message->name, field->name);
		else if (inner != NULL)
			why = check_message(request, inner, path, depth + 1, where);
	}
	return why;
}

/* Also those no field names: they get C types all the same. */
static const char *check_all(const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
		Message *const *messages, size_t n, char where[512])
{
	const Message *path[DEPTH_MAX];
	const char *why = NULL;

	for (size_t i = 0; i < n && why == NULL; i++) {
		why = check_message(request, messages[i], path, 0, where);
		if (why == NULL)
			why = check_all(request, messages[i]->nested_type, messages[i]->n_nested_type, where);
	}
	return why;
}

/* ── names ───────────────────────────────────────────────────────────────────────────────────────── */

/* What is put behind a method's name in C, to the end of the list. */
static const char *const *endings_of(const Google__Protobuf__MethodDescriptorProto *method)
{
	static const char *const unary[] = { "", "_start", "_index", NULL };
	static const char *const stream[] = { "_open", "_start", "_send", "_try_send", "_receive", "_finish", "_index", NULL };

	return method->client_streaming || method->server_streaming ? stream : unary;
}

static bool is_clash(const Google__Protobuf__MethodDescriptorProto *a, const Google__Protobuf__MethodDescriptorProto *b)
{
	char stem_a[NAME_MAX_BYTES], stem_b[NAME_MAX_BYTES], name_a[NAME_MAX_BYTES + 16], name_b[NAME_MAX_BYTES + 16];

	(void)name_symbol(a->name, stem_a);
	(void)name_symbol(b->name, stem_b);
	for (const char *const *x = endings_of(a); *x != NULL; x++)
		for (const char *const *y = endings_of(b); *y != NULL; y++) {
			(void)snprintf(name_a, sizeof name_a, "%s%s", stem_a, *x);
			(void)snprintf(name_b, sizeof name_b, "%s%s", stem_b, *y);
			if (strcmp(name_a, name_b) == 0)
				return true;
		}
	return false;
}

static const char *check_names(const Google__Protobuf__ServiceDescriptorProto *service, char where[512])
{
	for (size_t i = 0; i < service->n_method; i++)
		for (size_t k = 0; k < i; k++) {
			(void)snprintf(where, 512, "%s.%s", service->name, service->method[i]->name);
			if (is_clash(service->method[i], service->method[k]))
				return "its functions in C have the names of another method's";
		}
	return NULL;
}

const char *file_check(const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
		const Google__Protobuf__FileDescriptorProto *file, char where[512])
{
	for (size_t i = 0; i < file->n_service; i++) {
		(void)snprintf(where, 512, "%s", file->service[i]->name);
		if (file->package == NULL || *file->package == '\0')
			return "a service needs a package: its paths and its C names begin with it";
		if (file->service[i]->n_method == 0)
			return "a service without methods";
		const char *why = check_names(file->service[i], where);
		if (why != NULL)
			return why;
	}
	return check_all(request, file->message_type, file->n_message_type, where);
}
