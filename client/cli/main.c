/* aside: calls the service from a shell. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "aside/rpc/v1/health.stub.h"
#include "aside/rpc/v1/reflection.stub.h"
#include "aside/v1/attachments.stub.h"
#include "aside/v1/messages.stub.h"
#include "aside/v1/pages.stub.h"
#include "aside/v1/threads.stub.h"
#include "aside/v1/wall.stub.h"
#include "json.h"
#include "token.h"

#define EXIT_USAGE 2
#define EXIT_CODE 10 /* plus the call's code */
#define ARENA_BYTES (8u << 20)
#define TOKEN_BYTES 6144

static const struct aside_service *const services[] = { &aside_v1_page_service, &aside_v1_page_settings_service,
	&aside_v1_wall_service, &aside_v1_thread_service, &aside_v1_message_service, &aside_v1_attachment_service,
	&aside_rpc_v1_health_service, &aside_rpc_v1_reflection_service };
#define N_SERVICES (sizeof services / sizeof *services)

struct invocation {
	const char *server, *token_file, *as_user;
	unsigned timeout_ms;
	char token[TOKEN_BYTES];
	char **words;
	int n_words;
};

static void usage(FILE *out)
{
	fputs("aside: private messages between people and pages\n\n"
	      "usage: aside [FLAG...] call METHOD [JSON]    calls a method; JSON from standard input without the word\n"
	      "       aside [FLAG...] list                  the server's services and methods\n"
	      "       aside [FLAG...] health                exit status 0 when the server is serving\n"
	      "       aside token --key FILE --kid KID (--user ID | --service NAME --scope 'A B') [--ttl SECONDS]\n\n"
	      "  --server ADDRESS    or ASIDE_SERVER; several are comma-separated\n"
	      "  --token-file FILE   or ASIDE_TOKEN_FILE: the bearer token; '-': standard input\n"
	      "  --as-user ID        act as this person; needs the scope user.act\n"
	      "  --timeout MS        the call's deadline\n"
	      "  --help, --version\n\n"
	      "METHOD is Service/Method, such as MessageService/SendMessage.  Example:\n"
	      "  aside --as-user 42 call MessageService/SendMessage \\\n"
	      "    '{\"pageId\": 1, \"clientKey\": \"MDEyMzQ1Njc4OWFiY2RlZg==\", \"content\": {\"text\": \"Hello!\"}}'\n\n"
	      "Exit status: 0 OK, 2 usage, 10 + the canonical code otherwise (15: NOT_FOUND, 24: UNAVAILABLE …).\n", out);
}

static int complain(const struct aside_status *status)
{
	fprintf(stderr, "aside: %s %s: %s\n", aside_code_name(status->code), status->reason, status->message);
	for (unsigned i = 0; i < status->n_violations; i++)
		fprintf(stderr, "  %s: %s\n", status->violations[i].field, status->violations[i].description);
	for (unsigned i = 0; i < status->n_facts; i++)
		fprintf(stderr, "  %s = %s\n", status->facts[i].key, status->facts[i].value);
	return EXIT_CODE + (int)status->code;
}

static int misuse(const char *why, const char *what)
{
	fprintf(stderr, "aside: %s%s; aside --help explains\n", why, what);
	return EXIT_USAGE;
}

/* "MessageService/SendMessage", also with package and leading slash. */
static const struct aside_method *find_method(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < N_SERVICES; i++)
		for (size_t k = 0; k < services[i]->n_methods; k++) {
			const char *path = services[i]->methods[k].path;
			size_t at = strlen(path) - length;
			if (length <= strlen(path) && strcmp(path + at, name) == 0 && strchr(name, '/') != NULL &&
					(at == 0 || path[at - 1] == '.' || path[at - 1] == '/'))
				return &services[i]->methods[k];
		}
	return NULL;
}

static bool read_token(struct invocation *in)
{
	FILE *file = strcmp(in->token_file, "-") == 0 ? stdin : fopen(in->token_file, "re");
	size_t n = file != NULL ? fread(in->token, 1, sizeof in->token - 1, file) : 0;

	in->token[n] = '\0';
	in->token[strcspn(in->token, "\r\n")] = '\0';
	if (file != NULL && file != stdin)
		fclose(file);
	return in->token[0] != '\0';
}

static int with_channel(struct invocation *in, const struct aside_method *method, const ProtobufCMessage *request,
		ProtobufCMessage **ret)
{
	struct aside_options options = { .token = in->token[0] != '\0' ? in->token : NULL };
	struct aside_metadata metadata = { "act-as-user", in->as_user, in->as_user != NULL ? strlen(in->as_user) : 0 };
	struct aside_call_options call = { in->timeout_ms, &metadata, in->as_user != NULL };
	struct aside_channel *channel = NULL;
	struct aside_status status;
	int rc = 0;

	if (aside_channel_open(in->server, &options, &channel, &status) != ASIDE_OK ||
			aside_call(channel, method, request, &call, ret, &status) != ASIDE_OK)
		rc = complain(&status);
	aside_channel_close(channel);
	return rc;
}

static int call(struct invocation *in)
{
	const struct aside_method *method = in->n_words > 1 ? find_method(in->words[1]) : NULL;
	ProtobufCMessage *request, *response = NULL;
	struct json_fault fault;
	json_error_t error;
	struct arena arena;
	int rc;

	if (method == NULL)
		return misuse("no method ", in->n_words > 1 ? in->words[1] : "given");
	json_t *json = in->n_words > 2 ? json_loads(in->words[2], 0, &error) : json_loadf(stdin, 0, &error);
	if (json == NULL)
		return misuse("the request is no JSON: ", error.text);
	arena_init(&arena, ARENA_BYTES);
	request = json_to_message(json, method->request, &arena, &fault);
	json_decref(json);
	if (request == NULL) {
		fprintf(stderr, "aside: the request: %s %s\n", fault.where, fault.why);
		arena_fini(&arena);
		return EXIT_USAGE;
	}
	rc = with_channel(in, method, request, &response);
	arena_fini(&arena);
	if (rc != 0)
		return rc;
	json = json_from_message(response, false);
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	printf("\n");
	json_decref(json);
	aside_free(response);
	return 0;
}

static int list(struct invocation *in)
{
	Aside__Rpc__V1__ListServicesRequest request = ASIDE__RPC__V1__LIST_SERVICES_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	int rc = with_channel(in, find_method("ReflectionService/ListServices"), &request.base, &response);
	const Aside__Rpc__V1__ListServicesResponse *out = (const void *)response;

	for (size_t i = 0; rc == 0 && out != NULL && i < out->n_services; i++) {
		printf("%s\n", out->services[i]->name);
		for (size_t k = 0; k < out->services[i]->n_methods; k++)
			printf("  %s\n", out->services[i]->methods[k]);
	}
	aside_free(response);
	return rc;
}

static int health(struct invocation *in)
{
	Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	int rc = with_channel(in, find_method("HealthService/Check"), &request.base, &response);
	const Aside__Rpc__V1__CheckResponse *out = (const void *)response;

	if (rc != 0 || out == NULL)
		return rc;
	bool serving = out->status == ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING;
	printf("%s, version %s\n", serving ? "serving" : "not serving", out->version);
	aside_free(response);
	return serving ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option flags[] = { { "server", required_argument, NULL, 's' }, { "token-file", required_argument, NULL, 't' },
		{ "as-user", required_argument, NULL, 'u' }, { "timeout", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	static struct invocation in;
	int flag;

	in.server = getenv("ASIDE_SERVER");
	in.token_file = getenv("ASIDE_TOKEN_FILE");
	while ((flag = getopt_long(argc, argv, "+", flags, NULL)) != -1)
		switch (flag) {
		case 's': in.server = optarg; break;
		case 't': in.token_file = optarg; break;
		case 'u': in.as_user = optarg; break;
		case 'm': in.timeout_ms = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'h': usage(stdout); return 0;
		case 'v': printf("aside %s\n", aside_version()); return 0;
		default: return EXIT_USAGE;
		}
	in.words = argv + optind;
	in.n_words = argc - optind;
	if (in.n_words > 0 && strcmp(in.words[0], "token") == 0)
		return token_command(in.n_words, in.words);
	if (in.token_file != NULL && !read_token(&in))
		return misuse("no token in ", in.token_file);
	if (in.server == NULL)
		return misuse("where is the server? --server ADDRESS", "");
	if (in.n_words > 0 && strcmp(in.words[0], "call") == 0)
		return call(&in);
	if (in.n_words > 0 && strcmp(in.words[0], "list") == 0)
		return list(&in);
	if (in.n_words > 0 && strcmp(in.words[0], "health") == 0)
		return health(&in);
	return misuse("call, list, health or token", "");
}
