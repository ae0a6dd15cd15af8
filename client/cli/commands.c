/* See commands.h. */
#include "commands.h"

#include <stddef.h>
#include <string.h>

#define TIMEOUT_MS_MAX 600000
#define TTL_SECONDS_MAX (30l * 86400)

const struct flag flags[] = {
#define AT(member) offsetof(struct invocation, member)
	{ "server", "ADDRESS", "ASIDE_SERVER", "where to call; several are comma-separated.\nDefault: ipc:///var/lib/aside/aside.sock, if it is there", FLAG_TEXT, AT(server), 0, 0 },
	{ "token-file", "FILE", "ASIDE_TOKEN_FILE", "file with the bearer token; '-': standard input", FLAG_TEXT, AT(token_file), 0, 0 },
	{ "as-user", "ID", NULL, "act as this person; a service needs the scope user.act for that", FLAG_ID, AT(as_user), 0, 0 },
	{ "timeout", "MS", NULL, "deadline of each call; default: the method's own", FLAG_NUMBER, AT(timeout_ms), 1, TIMEOUT_MS_MAX },
	{ "ca-file", "FILE", "ASIDE_CA_FILE", "authorities to trust, PEM; for tls+tcp and wss", FLAG_TEXT, AT(ca_file), 0, 0 },
	{ "server-name", "NAME", NULL, "the name that the server's certificate must have; default: the host called", FLAG_TEXT, AT(server_name), 0, 0 },
	{ "output", "FORM", NULL, "table or json; default: table", FLAG_TEXT, AT(output), 0, 0 },
	{ "defaults", NULL, NULL, "print fields that have their default, too: 0, \"\", false, []", FLAG_SWITCH, AT(defaults), 0, 0 },
	{ "once", NULL, NULL, "one table and no more, as where standard output is no terminal", FLAG_SWITCH, AT(once), 0, 0 },
	{ "key", "FILE", NULL, "the private key, PEM: P-256, or RSA of at least 2048 bits", FLAG_TEXT, AT(key), 0, 0 },
	{ "kid", "KID", NULL, "its name: servers have the public key as KID.pem in their folder --keys", FLAG_TEXT, AT(kid), 0, 0 },
	{ "user", "ID", NULL, "for a person", FLAG_ID, AT(user), 0, 0 },
	{ "service", "NAME", NULL, "for a service", FLAG_TEXT, AT(service), 0, 0 },
	{ "scope", "SCOPES", NULL, "what the service may do: 'message.read user.act'", FLAG_TEXT, AT(scope), 0, 0 },
	{ "audience", "NAME", NULL, "for servers that run with this --audience", FLAG_TEXT, AT(audience), 0, 0 },
	{ "ttl", "SECONDS", NULL, "how long the token counts, at most 30 days; default: 3600", FLAG_NUMBER, AT(ttl_seconds), 1, TTL_SECONDS_MAX },
#undef AT
};
const size_t n_flags = sizeof flags / sizeof *flags;

static const char *const calling[] = { "server", "token-file", "as-user", "timeout", "ca-file", "server-name" };

const struct command commands[] = {
	{ "list", "", "the methods of a server: who may call them, what they do",
			"Asks the server itself, so that it also shows methods this program is older than.\n",
			list_command, 0, 0, true, { "output" } },
	{ "describe", "[NAME]", "what a service, method, message or enum is: policy, fields, comments, an example call",
			"NAME may be short as long as it is clear: SendMessage, MessageService/SendMessage,\n"
			"aside.v1.Message.  Without it: the services.\n\n"
			"  aside describe SendMessage\n"
			"  aside describe aside.v1.Thread\n",
			describe_command, 0, 1, true, { NULL } },
	{ "call", "METHOD [JSON | -]", "call a method with a JSON request, print the JSON response or responses",
			"The request is protobuf's JSON: names in camel case, 64-bit numbers as strings or\n"
			"numbers, bytes in base64, enums by name; null is as good as nothing; a name that the\n"
			"message has not is an error.  '-' reads it from standard input; without it, it is\n"
			"empty.  Fields with their default value are printed with --defaults only.\n\n"
			"Of a method that answers with a stream each response is a line, printed as soon as it comes:\n"
			"until the server ends the stream, ctrl-C (exit status 0) or --timeout (14, DEADLINE_EXCEEDED;\n"
			"24 hours without it).  Methods that take a stream of requests are for programs.\n\n"
			"  aside --as-user 42 call SendMessage '{\"pageId\": 1,\n"
			"    \"clientKey\": \"'$(head -c 16 /dev/urandom | base64)'\", \"content\": {\"text\": \"Hello!\"}}'\n"
			"  jq '{pageId: 1, userId: .user}' talk.json | aside call ListMessages -\n"
			"  aside --as-user 7 call WatchPage '{\"pageId\": 1}' | jq --unbuffered .event\n",
			call_command, 1, 2, true, { "defaults" } },
	{ "threads", "", "a person's threads with all pages, newest activity first",
			"  aside --as-user 42 threads\n", threads_command, 0, 0, true, { "output" } },
	{ "inbox", "PAGE", "a page's threads, newest activity first",
			"For the page's staff, and services with the scope message.read.\n\n"
			"  aside --as-user 7 inbox 1\n", inbox_command, 1, 1, true, { "output" } },
	{ "messages", "PAGE PERSON", "the newest messages of a thread, like a talk: the newest last",
			"  aside --as-user 42 messages 1 42\n", messages_command, 2, 2, true, { "output" } },
	{ "health", "", "whether each server takes calls; exit status 0 when all do",
			"Each server of a list, a file: and a dns: is asked.  Needs no credentials: --token-file is not\n"
			"read, and no token sent.  With --output json: state, version, milliseconds and error of each.\n\n"
			"  aside --server tcp://a:7400,tcp://b:7400 health\n", health_command, 0, 0, true, { "output" }, .anonymous = true },
	{ "top", "", "what a server is doing: calls under way, rates, the oldest of each method, sessions",
			"For services with the scope server.inspect.  On a terminal, again every second until q or\n"
			"ctrl-C; rates are those of the last second, and since the server's start in the first table.\n"
			"OLDEST S is the age of the oldest call under way, SILENT S how long ago a peer was heard of.\n"
			"With --output json: one answer of IntrospectionService/GetServer.\n\n"
			"  aside top\n"
			"  aside top --once\n", top_command, 0, 0, true, { "output", "once" } },
	{ "token", "--key FILE --kid KID (--user ID | --service NAME [--scope SCOPES]) [--audience NAME]",
			"mint a bearer token: for development, and for services that have a key of their own",
			"The token goes to standard output.  A development key pair, and a token:\n\n"
			"  mkdir keys\n"
			"  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out dev.key\n"
			"  openssl pkey -in dev.key -pubout -out keys/dev.pem\n"
			"  aside token --key dev.key --kid dev --service me --scope 'user.act page.write' >token\n"
			"  aside-server --keys keys --listen tcp://127.0.0.1:7400\n",
			token_command, 0, 0, false, { "key", "kid", "user", "service", "scope", "audience", "ttl" } },
};
const size_t n_commands = sizeof commands / sizeof *commands;

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static bool is_calling(const struct flag *flag)
{
	for (size_t i = 0; i < sizeof calling / sizeof *calling; i++)
		if (strcmp(calling[i], flag->name) == 0)
			return true;
	return false;
}

bool command_takes(const struct command *command, const struct flag *flag)
{
	for (size_t i = 0; i < sizeof command->flags / sizeof *command->flags && command->flags[i] != NULL; i++)
		if (strcmp(command->flags[i], flag->name) == 0)
			return true;
	return command->calls && is_calling(flag);
}

const char *flag_commands(const struct flag *flag, char out[128])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n_commands && !is_calling(flag) && used < 128; i++)
		if (command_takes(&commands[i], flag))
			used += (size_t)snprintf(out + used, 128 - used, "%s%s", used > 0 ? ", " : "", commands[i].name);
	return out;
}
