/* aside describe: what the server's descriptors say of a service, method, message or enum, in the JSON names that
 * aside call takes. */
#include <string.h>

#include "json.h"
#include "remote.h"
#include "text.h"

#define DEPTH_MAX 6
#define INDENT 2
#define NAME_COLUMNS 28
#define TYPE_COLUMNS 16
#define SENTENCE_BYTES 160

/* ── fields ──────────────────────────────────────────────────────────────────────────────────────── */

/* The messages that are being shown, each within the one before. */
struct walk {
	const struct catalog *catalog;
	const struct symbol *path[DEPTH_MAX];
	unsigned depth;
};

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? dot + 1 : name;
}

/* "int64", "Content", "Attachment, list". */
static const char *type_name(const Google__Protobuf__FieldDescriptorProto *field, char out[JSON_NAME_BYTES])
{
	static const char *const scalars[] = { "?", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool",
		"string", "group", "message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64" };
	bool list = field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
	size_t type = (size_t)field->type;

	(void)snprintf(out, JSON_NAME_BYTES, "%s%s",
			field->type_name != NULL && field->type_name[0] != '\0' ? last_part(field->type_name) :
			type < sizeof scalars / sizeof *scalars			? scalars[type] : "?",
			list ? " list" : "");
	return out;
}

/* Brings the output to a column, at least one blank on; returns it. */
static unsigned pad_to(unsigned at, unsigned column)
{
	unsigned blanks = at < column ? column - at : 1;

	printf("%*s", (int)blanks, "");
	return at + blanks;
}

static void print_values(const struct symbol *symbol, unsigned column)
{
	char values[2048] = "";
	size_t used = 0;

	for (size_t i = 0; i < symbol->proto.enumeration->n_value && used < sizeof values; i++)
		used += (size_t)snprintf(values + used, sizeof values - used, "%s%s", i > 0 ? " | " : "",
				symbol->proto.enumeration->value[i]->name);
	printf("%*s", (int)column, "");
	text_wrap(STYLE_DIM, column, column, values);
}

static void print_fields(struct walk *walk, const struct symbol *message);

/* What a field's type consists of, unless it is being shown already. */
static void print_type(struct walk *walk, const Google__Protobuf__FieldDescriptorProto *field, unsigned column)
{
	const struct symbol *symbol = catalog_type(walk->catalog, field->type_name);

	if (symbol != NULL && symbol->kind == SYMBOL_ENUM)
		print_values(symbol, column);
	if (symbol == NULL || symbol->kind != SYMBOL_MESSAGE || walk->depth == DEPTH_MAX)
		return;
	for (unsigned i = 0; i < walk->depth; i++)
		if (walk->path[i] == symbol)
			return;
	print_fields(walk, symbol);
}

/* A oneof of one field is how proto3 says "optional". */
static bool is_choice(const struct symbol *message, const Google__Protobuf__FieldDescriptorProto *field)
{
	size_t members = 0;

	for (size_t i = 0; i < message->proto.message->n_field; i++)
		members += message->proto.message->field[i]->has_oneof_index &&
				message->proto.message->field[i]->oneof_index == field->oneof_index;
	return field->has_oneof_index && members > 1;
}

static void print_field(struct walk *walk, const struct symbol *message, size_t nth, unsigned indent)
{
	const Google__Protobuf__FieldDescriptorProto *field = message->proto.message->field[nth];
	char name[JSON_NAME_BYTES], type[JSON_NAME_BYTES], comment[1024];
	bool choice = is_choice(message, field);

	(void)json_name(field->name, name);
	(void)type_name(field, type);
	(void)snprintf(comment, sizeof comment, "%s%s", choice ? "(one of these) " : "", symbol_member_comment(message, nth));
	printf("%*s", (int)indent, "");
	text_print(STYLE_BOLD, "%s", name);
	unsigned at = pad_to(indent + (unsigned)strlen(name), NAME_COLUMNS);
	printf("%s", type);
	at = pad_to(at + (unsigned)strlen(type), NAME_COLUMNS + TYPE_COLUMNS);
	text_wrap(STYLE_DIM, at, NAME_COLUMNS + TYPE_COLUMNS, comment);
	print_type(walk, field, NAME_COLUMNS + TYPE_COLUMNS);
}

static void print_fields(struct walk *walk, const struct symbol *message)
{
	walk->path[walk->depth++] = message;
	for (size_t i = 0; i < message->proto.message->n_field; i++)
		print_field(walk, message, i, INDENT * walk->depth);
	walk->depth--;
}

static void print_message(const struct catalog *catalog, const struct symbol *message)
{
	struct walk walk = { .catalog = catalog };

	if (message->proto.message->n_field == 0)
		text_print(STYLE_DIM, "  no fields\n");
	print_fields(&walk, message);
}

/* ── an example ──────────────────────────────────────────────────────────────────────────────────── */

/* The shape of a value, in one line; a shell replaces bytes by 16 random ones. */
static void print_shape(struct walk *walk, const Google__Protobuf__FieldDescriptorProto *field)
{
	const struct symbol *symbol = catalog_type(walk->catalog, field->type_name);
	char type[JSON_NAME_BYTES], name[JSON_NAME_BYTES];

	(void)type_name(field, type);
	if (field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED) {
		printf("[]");
	} else if (symbol != NULL && symbol->kind == SYMBOL_ENUM) {
		size_t n = symbol->proto.enumeration->n_value;
		printf("\"%s\"", n > 0 ? symbol->proto.enumeration->value[n > 1]->name : "");
	} else if (symbol != NULL && walk->depth < DEPTH_MAX) {
		const Google__Protobuf__DescriptorProto *message = symbol->proto.message;
		walk->path[walk->depth++] = symbol;
		printf("{");
		for (size_t i = 0; i < message->n_field; i++) {
			printf("%s\"%s\": ", i > 0 ? ", " : "", json_name(message->field[i]->name, name));
			print_shape(walk, message->field[i]);
		}
		printf("}");
		walk->depth--;
	} else if (strcmp(type, "bytes") == 0) {
		printf("\"'$(head -c 16 /dev/urandom | base64)'\"");
	} else if (strcmp(type, "bool") == 0) {
		printf("true");
	} else {
		printf(strcmp(type, "string") == 0 || strcmp(type, "FieldMask") == 0 ? "\"…\"" : strstr(type, "64") != NULL ? "\"1\"" : "1");
	}
}

static void print_example(const struct catalog *catalog, const struct symbol *method, const struct symbol *request)
{
	const Google__Protobuf__DescriptorProto *message = request->proto.message;
	struct walk walk = { .catalog = catalog, .path = { request }, .depth = 1 };
	char name[JSON_NAME_BYTES];

	printf("\n");
	text_print(STYLE_BOLD, "Call");
	text_print(STYLE_DIM, "  every field of the request; leave out what you do not need\n");
	printf("  aside %scall %s", method->type.method.callers & ASIDE_CALLER_PERSON ? "--as-user 42 " : "", last_part(method->name));
	for (size_t i = 0; i < message->n_field; i++) {
		printf("%s    \"%s\": ", i > 0 ? ",\n" : " '{\n", json_name(message->field[i]->name, name));
		print_shape(&walk, message->field[i]);
	}
	printf("%s\n", message->n_field > 0 ? "\n  }'" : "");
}

/* ── symbols ─────────────────────────────────────────────────────────────────────────────────────── */

static void print_title(const struct symbol *symbol, const char *what)
{
	text_print(STYLE_BOLD, "%s%s", symbol->kind == SYMBOL_METHOD ? "/" : "", symbol->name);
	text_print(STYLE_DIM, "  %s, %s\n", what, symbol->file->name);
	if (symbol_comment(symbol)[0] != '\0') {
		printf("\n%*s", INDENT, "");
		text_wrap(STYLE_PLAIN, INDENT, INDENT, symbol_comment(symbol));
	}
}

static void print_policy(const struct aside_method *method)
{
	static const char *const repeating[] = {
		[ASIDE_NOT_IDEMPOTENT] = "never repeated by the client once it may have been executed",
		[ASIDE_NO_SIDE_EFFECTS] = "a read: may be repeated",
		[ASIDE_IDEMPOTENT] = "may be repeated: the same request has one effect",
	};
	bool person = method->callers & ASIDE_CALLER_PERSON, service = method->callers & ASIDE_CALLER_SERVICE;

	printf("\n  callers    %s%s%s", method->callers & ASIDE_CALLER_ANYONE ? "anyone, without credentials" : person ? "a person" : "",
			person && service ? ", or " : "", service ? "a service" : "");
	printf(service ? " with the scope %s\n" : "%s\n", service ? method->scope : "");
	if (method->role[0] != '\0')
		printf("  role       staff: at least %s\n", method->role);
	if (!aside_method_streams(method))
		printf("  deadline   %g s, unless the call brings its own\n", method->timeout_ms / 1000.0);
	printf("  request    at most %u bytes\n", method->request_bytes);
	printf("  effect     %s\n", repeating[method->idempotency]);
	if (aside_method_streams(method))
		printf("  stream     of %s%s%s\n", method->client_streaming ? "requests" : "",
				method->client_streaming && method->server_streaming ? " and of " : "",
				method->server_streaming ? "responses" : "");
}

static void describe_method(const struct catalog *catalog, const struct symbol *symbol)
{
	const struct symbol *request = catalog_type(catalog, symbol->proto.method->input_type);
	const struct symbol *response = catalog_type(catalog, symbol->proto.method->output_type);

	print_title(symbol, "method");
	print_policy(&symbol->type.method);
	text_print(STYLE_BOLD, "\nRequest  %s\n", request->name);
	print_message(catalog, request);
	text_print(STYLE_BOLD, "\nResponse  %s\n", response->name);
	print_message(catalog, response);
	if (!symbol->type.method.client_streaming) /* aside call has one request */
		print_example(catalog, symbol, request);
}

static void describe_service(const struct symbol *symbol)
{
	static const char *const headers[] = { "METHOD", "WHAT IT DOES", NULL };
	char sentence[SENTENCE_BYTES];
	struct grid grid;

	print_title(symbol, "service");
	printf("\n");
	grid_init(&grid, headers);
	for (size_t i = 0; i < symbol->proto.service->n_method; i++) {
		grid_add(&grid, "%s", symbol->proto.service->method[i]->name);
		grid_add(&grid, "%s", text_sentence(symbol_member_comment(symbol, i), sentence, sizeof sentence));
	}
	grid_end(&grid);
}

static void describe_enum(const struct symbol *symbol)
{
	static const char *const headers[] = { "VALUE", "NUMBER", "WHAT IT SAYS", NULL };
	struct grid grid;

	print_title(symbol, "enum");
	printf("\n");
	grid_init(&grid, headers);
	for (size_t i = 0; i < symbol->proto.enumeration->n_value; i++) {
		char sentence[SENTENCE_BYTES];
		grid_add(&grid, "%s", symbol->proto.enumeration->value[i]->name);
		grid_add(&grid, "%d", symbol->proto.enumeration->value[i]->number);
		grid_add(&grid, "%s", text_sentence(symbol_member_comment(symbol, i), sentence, sizeof sentence));
	}
	grid_end(&grid);
}

static void describe_all(const struct catalog *catalog)
{
	static const char *const headers[] = { "SERVICE", "WHAT IT IS FOR", NULL };
	char sentence[SENTENCE_BYTES];
	struct grid grid;

	grid_init(&grid, headers);
	for (size_t i = 0; i < catalog->n_symbols; i++) {
		if (catalog->symbols[i].kind != SYMBOL_SERVICE)
			continue;
		grid_add(&grid, "%s", catalog->symbols[i].name);
		grid_add(&grid, "%s", text_sentence(symbol_comment(&catalog->symbols[i]), sentence, sizeof sentence));
	}
	grid_end(&grid);
}

static int describe(const struct catalog *catalog, const char *name)
{
	const struct symbol *symbol = NULL;
	struct aside_status status;

	/* A method's name is often a message's as well: the method is what one calls. */
	if (catalog_find(catalog, SYMBOL_METHOD | SYMBOL_SERVICE, name, &symbol, &status) != ASIDE_OK &&
			(status.code != ASIDE_NOT_FOUND ||
					catalog_find(catalog, SYMBOL_MESSAGE | SYMBOL_ENUM, name, &symbol, &status) != ASIDE_OK))
		return misuse("%s; aside list names the methods", status.message);
	if (symbol->kind == SYMBOL_METHOD)
		describe_method(catalog, symbol);
	else if (symbol->kind == SYMBOL_SERVICE)
		describe_service(symbol);
	else if (symbol->kind == SYMBOL_ENUM)
		describe_enum(symbol);
	else {
		print_title(symbol, "message");
		printf("\n");
		print_message(catalog, symbol);
	}
	return 0;
}

int describe_command(struct invocation *in)
{
	struct aside_status status;
	struct remote remote;
	int rc = 0;

	if (remote_open(in, &remote, &status) != ASIDE_OK)
		rc = remote_complain(in, &status);
	else if (in->words[0] == NULL)
		describe_all(&remote.catalog);
	else
		rc = describe(&remote.catalog, in->words[0]);
	remote_close(&remote);
	return rc;
}
