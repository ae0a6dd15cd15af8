/* aside call: one method, JSON in and JSON out; of items see stream.c. */
#include <string.h>

#include "command.h"
#include "json.h"
#include "remote.h"

#define REQUEST_BYTES_MAX (8u << 20)
#define ARENA_BYTES (64u << 20)

void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	printf("\n");
}

static int no_request(const struct json_fault *fault)
{
	return misuse("the request: %s%s%s", fault->where, fault->where[0] != '\0' ? " " : "", fault->why);
}

/* A response goes into *ret_response; items are printed as they come. */
static int call_method(const struct remote *remote, const struct aside_method *method, const json_t *json, json_t **ret_response)
{
	ProtobufCMessage *request, *response = NULL;
	struct aside_status status;
	struct json_fault fault;
	struct arena arena;
	int rc = 0;

	arena_init(&arena, ARENA_BYTES);
	request = json_to_message(json, method->request, &arena, &fault);
	if (request == NULL)
		rc = no_request(&fault);
	else if (method->server_streaming)
		rc = stream_items(remote, method, request);
	else if (remote_call(remote, method, request, &response, &status) != ASIDE_OK)
		rc = remote_complain(remote->in, &status);
	else
		*ret_response = json_from_message(response, remote->in->defaults);
	aside_free(response);
	arena_fini(&arena);
	return rc;
}

/* call_json(), also of a method whose server streams: then *ret_response stays as it is. */
static int call_or_stream(struct invocation *in, const char *method, bool may_stream, const json_t *request, json_t **ret_response)
{
	json_t *empty = json_object();
	const struct symbol *symbol = NULL;
	struct aside_status status;
	struct remote remote;
	int rc;

	if (remote_open(in, &remote, &status) != ASIDE_OK)
		rc = remote_complain(in, &status);
	else if (catalog_find(&remote.catalog, SYMBOL_METHOD, method, &symbol, &status) != ASIDE_OK)
		rc = misuse("%s; aside list names the methods", status.message);
	else if (symbol->type.method.client_streaming)
		rc = misuse("%s takes a stream of requests, and this command sends one: programs call it", symbol->name);
	else if (symbol->type.method.server_streaming && !may_stream)
		rc = misuse("%s answers with a stream", symbol->name);
	else
		rc = call_method(&remote, &symbol->type.method, request != NULL ? request : empty, ret_response);
	remote_close(&remote);
	json_decref(empty);
	return rc;
}

int call_json(struct invocation *in, const char *method, const json_t *request, json_t **ret_response)
{
	return call_or_stream(in, method, false, request, ret_response);
}

/* The request as it was given: a word, standard input for "-", nothing.  NULL after a complaint. */
static json_t *read_request(const char *word)
{
	struct json_fault fault;
	json_t *json;

	if (word == NULL)
		return json_object();
	if (strcmp(word, "-") != 0) {
		json = json_parse(word, strlen(word), &fault);
	} else {
		char *text = malloc(REQUEST_BYTES_MAX);
		size_t size = text != NULL ? fread(text, 1, REQUEST_BYTES_MAX, stdin) : 0;
		json = json_parse(text, size, &fault);
		free(text);
	}
	if (json == NULL)
		(void)no_request(&fault);
	return json;
}

int call_command(struct invocation *in)
{
	json_t *request = read_request(in->words[1]), *response = NULL;
	int rc = request != NULL ? call_or_stream(in, in->words[0], true, request, &response) : EXIT_USAGE;

	if (rc == 0 && response != NULL)
		print_json(response);
	json_decref(request);
	json_decref(response);
	return rc;
}
