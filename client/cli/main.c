/* aside: calls the service from a shell.  Reads flags and words by the tables of commands.c, and runs a command. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside/channel.h"
#include "commands.h"
#include "text.h"

#define DEFAULT_SOCKET "/var/lib/aside/aside.sock"
#define FLAGS_MAX 32

/* Beyond the tables' own flags, in getopt's numbers. */
enum {
	OPTION_HELP = 1000,
	OPTION_VERSION,
};

/* ── what is said ────────────────────────────────────────────────────────────────────────────────── */

/* What the client itself refuses before it connects. */
static bool is_misuse(const struct aside_status *status)
{
	static const char *const reasons[] = { "BAD_ADDRESS", "BAD_CA_FILE", "TOKEN_TOO_LONG" };

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (strcmp(status->reason, reasons[i]) == 0)
			return true;
	return false;
}

int complain(const struct aside_status *status)
{
	fprintf(stderr, "aside: %s %s: %s\n", aside_code_name(status->code), status->reason, status->message);
	for (unsigned i = 0; i < status->n_violations; i++)
		fprintf(stderr, "  %s: %s\n", status->violations[i].field, status->violations[i].description);
	for (unsigned i = 0; i < status->n_facts; i++)
		fprintf(stderr, "  %s = %s\n", status->facts[i].key, status->facts[i].value);
	if (status->retry_after_us > 0)
		fprintf(stderr, "  try again in %.1f s\n", (double)status->retry_after_us / 1e6);
	return is_misuse(status) ? EXIT_USAGE : EXIT_CODE + (int)status->code;
}

int misuse(const char *fmt, ...)
{
	va_list ap;

	fputs("aside: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; aside --help explains\n", stderr);
	return EXIT_USAGE;
}

bool wants_json(const struct invocation *in)
{
	return in->output != NULL && strcmp(in->output, "json") == 0;
}

/* ── flags ───────────────────────────────────────────────────────────────────────────────────────── */

/* NULL, or what a value should have been. */
static const char *set_flag(struct invocation *in, const struct flag *flag, const char *value)
{
	static char expected[64];
	void *member = (char *)in + flag->offset;
	long long number;
	char *end;

	if (flag->kind == FLAG_SWITCH) {
		*(bool *)member = true;
		return NULL;
	}
	if (flag->kind == FLAG_TEXT) {
		*(const char **)member = value;
		return NULL;
	}
	errno = 0;
	number = strtoll(value, &end, 10);
	bool digits = value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0;
	if (flag->kind == FLAG_ID) {
		*(const char **)member = value;
		return digits && number > 0 ? NULL : "is no id: 1, 2, 3 …";
	}
	*(long *)member = (long)number;
	(void)snprintf(expected, sizeof expected, "is no number from %ld to %ld", flag->min, flag->max);
	return digits && number >= flag->min && number <= flag->max ? NULL : expected;
}

static void read_environment(struct invocation *in)
{
	for (size_t i = 0; i < n_flags; i++) {
		const char *value = flags[i].env != NULL ? getenv(flags[i].env) : NULL;
		if (value != NULL && value[0] != '\0')
			(void)set_flag(in, &flags[i], value); /* texts, all of them */
	}
}

/* ── running ─────────────────────────────────────────────────────────────────────────────────────── */

/* NULL, or why there is none. */
static const char *read_token(struct invocation *in)
{
	FILE *file = strcmp(in->token_file, "-") == 0 ? stdin : fopen(in->token_file, "re");
	size_t n = file != NULL ? fread(in->token, 1, sizeof in->token - 1, file) : 0;
	int error = file == NULL || ferror(file) ? errno : 0;

	in->token[n] = '\0';
	in->token[strcspn(in->token, "\r\n")] = '\0';
	if (file != NULL && file != stdin)
		fclose(file);
	return error != 0 ? strerror(error) : in->token[0] == '\0' ? "it is empty" : NULL;
}

/* What a call needs, before anything is called. */
static int prepare(struct invocation *in, bool anonymous)
{
	bool request_from_stdin = in->words[1] != NULL && strcmp(in->words[1], "-") == 0;
	const char *why;

	if (in->output != NULL && strcmp(in->output, "json") != 0 && strcmp(in->output, "table") != 0)
		return misuse("--output %s: table or json", in->output);
	if (in->token_file != NULL && strcmp(in->token_file, "-") == 0 && request_from_stdin)
		return misuse("standard input cannot give both the token and the request");
	if (in->token_file != NULL && !anonymous && (why = read_token(in)) != NULL)
		return misuse("no token in %s: %s", in->token_file, why);
	if (in->server == NULL && access(DEFAULT_SOCKET, F_OK) == 0)
		in->server = "ipc://" DEFAULT_SOCKET;
	if (in->server == NULL)
		return misuse("where is the server? --server ADDRESS, or ASIDE_SERVER");
	return 0;
}

static int run(struct invocation *in, const struct command *command, uint64_t given)
{
	int rc = 0;

	for (size_t i = 0; i < n_flags; i++)
		if ((given >> i & 1) != 0 && !command_takes(command, &flags[i]))
			return misuse("aside %s takes no --%s", command->name, flags[i].name);
	if (command->calls)
		rc = prepare(in, command->anonymous);
	if (rc == 0)
		rc = command->run(in);
	return rc;
}

/* argv[optind…]: the command and its words. */
static int dispatch(struct invocation *in, char **words, int n_words, bool help, uint64_t given)
{
	const struct command *command;

	if (n_words > 0 && strcmp(words[0], "complete") == 0)
		return complete_words(in, n_words - 1, words + 1);
	if (n_words > 0 && strcmp(words[0], "help") == 0) {
		help = true;
		words++;
		n_words--;
	}
	if (n_words == 0) {
		help_all(help ? stdout : stderr);
		return help ? 0 : EXIT_USAGE;
	}
	command = command_find(words[0]);
	if (command == NULL)
		return misuse("there is no command %s", words[0]);
	if (help) {
		help_command(command, stdout);
		return 0;
	}
	if (n_words - 1 < command->min_words || n_words - 1 > command->max_words)
		return misuse("usage: aside %s %s", command->name, command->words);
	for (int i = 1; i < n_words; i++)
		in->words[i - 1] = words[i];
	return run(in, command, given);
}

/* The exit status `rc`, but EXIT_NO where what was printed could not be written. */
static int finish(int rc)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	perror("aside: standard output");
	return rc != 0 ? rc : EXIT_NO;
}

/* `option` is what getopt_long() has to say of argv[optind - 1]. */
static int refuse_option(int option, char **argv)
{
	const char *word = argv[optind - 1];

	if (option == ':')
		return misuse("%s needs a value", word);
	if (optopt >= ' ' && optopt <= '~')
		return misuse("there is no flag -%c", optopt);
	return optopt != 0 ? misuse("%s: it takes no value", word) : misuse("there is no flag %s, or several begin so", word);
}

int main(int argc, char **argv)
{
	struct option options[FLAGS_MAX + 3] = { { "help", optional_argument, NULL, OPTION_HELP },
		{ "version", no_argument, NULL, OPTION_VERSION } };
	static struct invocation in;
	uint64_t given = 0;
	bool help = false;
	int option;

	for (size_t i = 0; i < n_flags && i < FLAGS_MAX; i++)
		options[i + 2] = (struct option){ flags[i].name, flags[i].value != NULL ? required_argument : no_argument, NULL, (int)i };
	text_init();
	read_environment(&in);
	/* What follows "complete" is the line of somebody else. */
	opterr = 0;
	while ((option = getopt_long(argc, argv, argc > 1 && strcmp(argv[1], "complete") == 0 ? "+:" : ":", options, NULL)) != -1) {
		if (option == OPTION_VERSION) {
			printf("aside %s\n", aside_version());
			return finish(0);
		}
		if (option == OPTION_HELP && optarg != NULL && strcmp(optarg, "mdoc") == 0) {
			help_mdoc(stdout);
			return finish(0);
		}
		if (option == OPTION_HELP) {
			help = true;
			continue;
		}
		if (option == '?' || option == ':')
			return refuse_option(option, argv);
		const char *why = set_flag(&in, &flags[option], optarg);
		if (why != NULL)
			return misuse("--%s %s %s", flags[option].name, optarg, why);
		given |= 1ull << option;
	}
	return finish(dispatch(&in, argv + optind, argc - optind, help, given));
}
