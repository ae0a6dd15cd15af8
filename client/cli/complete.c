/* aside complete: what a shell offers.  Commands and flags come from the tables, methods from the server, if it
 * answers at once. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "remote.h"

#define PATIENCE_MS 500

static void offer(const char *word, const char *prefix)
{
	if (strncmp(word, prefix, strlen(prefix)) == 0)
		printf("%s\n", word);
}

static const struct flag *flag_of(const char *word)
{
	for (size_t i = 0; i < n_flags; i++)
		if (strncmp(word, "--", 2) == 0 && strcmp(flags[i].name, word + 2) == 0)
			return &flags[i];
	return NULL;
}

static void offer_flags(const struct command *command, const char *prefix)
{
	char word[64];

	for (size_t i = 0; i < n_flags; i++) {
		(void)snprintf(word, sizeof word, "--%s", flags[i].name);
		if (command_takes(command != NULL ? command : &commands[0], &flags[i]))
			offer(word, prefix);
	}
	offer("--help", prefix);
}

/* Short names, unless more is being typed. */
static void offer_symbol(const struct symbol *symbol, const char *prefix)
{
	const char *dot = strrchr(symbol->name, '.'), *slash = strrchr(symbol->name, '/');
	const char *tail = dot != NULL ? dot + 1 : symbol->name;

	if (strchr(prefix, '.') != NULL)
		offer(symbol->name, prefix);
	else if (symbol->kind == SYMBOL_METHOD && strchr(prefix, '/') == NULL)
		offer(slash + 1, prefix);
	else if (symbol->kind == SYMBOL_METHOD || symbol->kind == SYMBOL_SERVICE || prefix[0] != '\0')
		offer(tail, prefix);
}

/* Whether aside call takes it */
static bool is_callable(const struct symbol *symbol)
{
	return symbol->kind != SYMBOL_METHOD || !symbol->type.method.client_streaming;
}

static void offer_symbols(struct invocation *in, unsigned kinds, bool calls, const char *prefix)
{
	struct aside_status status;
	struct remote remote;

	if (in->server == NULL)
		return;
	in->timeout_ms = PATIENCE_MS;
	if (remote_open(in, &remote, &status) == ASIDE_OK)
		for (size_t i = 0; i < remote.catalog.n_symbols; i++)
			if ((remote.catalog.symbols[i].kind & kinds) != 0 && (!calls || is_callable(&remote.catalog.symbols[i])))
				offer_symbol(&remote.catalog.symbols[i], prefix);
	remote_close(&remote);
}

int complete_words(struct invocation *in, int n_words, char **words)
{
	const char *prefix = n_words > 0 ? words[n_words - 1] : "";
	const struct command *command = NULL;
	const struct flag *waiting = NULL; /* whose value the last word is */
	int n = 0;

	for (int i = 0; i + 1 < n_words; i++) {
		const struct flag *flag = waiting == NULL ? flag_of(words[i]) : NULL;
		if (waiting != NULL && strcmp(waiting->name, "server") == 0)
			in->server = words[i];
		if (waiting == NULL && flag == NULL && words[i][0] != '-') {
			if (command == NULL)
				command = command_find(words[i]);
			else
				n++;
		}
		waiting = flag != NULL && flag->value != NULL ? flag : NULL;
	}
	if (waiting != NULL && strcmp(waiting->name, "output") == 0) {
		offer("table", prefix);
		offer("json", prefix);
	} else if (waiting != NULL) {
		return 0;
	} else if (prefix[0] == '-') {
		offer_flags(command, prefix);
	} else if (command == NULL) {
		for (size_t i = 0; i < n_commands; i++)
			offer(commands[i].name, prefix);
	} else if (n == 0 && strcmp(command->name, "call") == 0) {
		offer_symbols(in, strchr(prefix, '/') != NULL ? SYMBOL_METHOD : SYMBOL_METHOD | SYMBOL_SERVICE, true, prefix);
	} else if (n == 0 && strcmp(command->name, "describe") == 0) {
		offer_symbols(in, SYMBOL_METHOD | SYMBOL_SERVICE | SYMBOL_MESSAGE | SYMBOL_ENUM, false, prefix);
	}
	return 0;
}
