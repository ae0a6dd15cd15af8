/* What --help prints, and the lists of the manual page; all from the tables.  See commands.h. */
#include <ctype.h>
#include <string.h>

#include "commands.h"

#define FLAG_COLUMNS 24

/* ── for terminals ───────────────────────────────────────────────────────────────────────────────── */

static void print_flag(const struct flag *flag, FILE *out)
{
	int n = fprintf(out, "  --%s%s%s", flag->name, flag->value != NULL ? " " : "", flag->value != NULL ? flag->value : "");
	const char *line = flag->help;

	for (size_t length; line != NULL; line = line[length] == '\n' ? line + length + 1 : NULL) {
		length = strcspn(line, "\n");
		fprintf(out, "%*s%.*s", n < FLAG_COLUMNS ? FLAG_COLUMNS - n : 1, "", (int)length, line);
		if (line[length] == '\n')
			fputc('\n', out);
		n = 0;
	}
	fprintf(out, flag->env != NULL ? "  (%s)\n" : "\n%s", flag->env != NULL ? flag->env : "");
}

static void print_flags(const struct command *command, FILE *out)
{
	for (size_t i = 0; i < n_flags; i++)
		if (command_takes(command, &flags[i]))
			print_flag(&flags[i], out);
}

void help_all(FILE *out)
{
	fputs("aside: private messages between people and pages, from a shell\n\n"
	      "usage: aside COMMAND [FLAG...] [WORD...]\n\n", out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\nEvery command that calls a server takes these; a name in brackets is an environment variable:\n", out);
	print_flags(command_find("describe"), out); /* which has none of its own */
	fputs("\nA first look:\n"
	      "  export ASIDE_SERVER=tcp://127.0.0.1:7400 ASIDE_TOKEN_FILE=token\n"
	      "  aside list\n"
	      "  aside describe SendMessage\n"
	      "  aside --as-user 42 threads\n\n"
	      "Exit status: 0 OK; 1 not serving, or the output could not be written; 2 wrong usage, nothing was\n"
	      "called; 10 and the code of a call that failed: 15 NOT_FOUND, 17 PERMISSION_DENIED, 24 UNAVAILABLE\n\n"
	      "aside COMMAND --help says more of a command, man aside says all; aside --version.\n", out);
}

void help_command(const struct command *command, FILE *out)
{
	fprintf(out, "aside %s: %s\n\nusage: aside %s [FLAG...]%s%s\n\n%s\n", command->name, command->summary, command->name,
			command->words[0] != '\0' && command->calls ? " " : "", command->calls ? command->words : "", command->help);
	print_flags(command, out);
}

/* ── for man ─────────────────────────────────────────────────────────────────────────────────────── */

/* A line of text; a sentence begins a line of its own. */
static void put_mdoc(const char *text, size_t length, FILE *out)
{
	if (length > 0 && (*text == '.' || *text == '\''))
		fputs("\\&", out);
	for (size_t i = 0; i < length; i++)
		if (text[i] == '\\')
			fputs("\\e", out);
		else if (text[i] == '\'')
			fputs("\\(aq", out);
		else if (text[i] == '-')
			fputs("\\-", out);
		else if (strncmp(text + i, "  ", 2) == 0 && i > 0 && text[i - 1] == '.')
			fputc('\n', out), i++;
		else
			fputc(text[i], out);
}

static void put_line(const char *text, size_t length, FILE *out)
{
	put_mdoc(text, length, out);
	fputc('\n', out);
}

/* A phrase as a sentence. */
static void put_sentence(const char *text, FILE *out)
{
	fputc(toupper((unsigned char)text[0]), out);
	put_mdoc(text + 1, strlen(text + 1), out);
	fputs(".\n", out);
}

/* Paragraphs; runs of lines that begin with a blank are displays. */
static void put_help(const char *help, FILE *out)
{
	bool display = false;

	for (const char *line = help; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t length = strcspn(line, "\n");
		if ((*line == ' ') != display && length > 0) {
			display = *line == ' ';
			fputs(display ? ".Bd -literal -offset indent\n" : ".Ed\n", out);
		}
		if (length > 0)
			put_line(line + (display ? 2 : 0), length - (display ? 2 : 0), out);
		else if (!display && line[1] != ' ')
			fputs(".Pp\n", out);
	}
	if (display)
		fputs(".Ed\n", out);
}

static void put_command(const struct command *command, FILE *out)
{
	fprintf(out, ".It Cm %s", command->name);
	if (command->words[0] != '\0' && command->calls)
		fprintf(out, " Ar %s", command->words);
	fputs("\n", out);
	put_sentence(command->summary, out);
	if (command->help[0] != ' ')
		fputs(".Pp\n", out);
	put_help(command->help, out);
}

static void put_flag(const struct flag *flag, FILE *out)
{
	char of[128];

	fprintf(out, ".It Fl -%s%s%s\n", flag->name, flag->value != NULL ? " Ar " : "", flag->value != NULL ? flag->value : "");
	put_sentence(flag->help, out);
	if (flag->env != NULL)
		fprintf(out, "Or the variable\n.Ev %s .\n", flag->env);
	if (flag_commands(flag, of)[0] != '\0')
		fprintf(out, "For %s.\n", of);
}

void help_mdoc(FILE *out)
{
	fputs(".Sh COMMANDS\n.Bl -tag -width describe\n", out);
	for (size_t i = 0; i < n_commands; i++)
		put_command(&commands[i], out);
	fputs(".El\n.Sh FLAGS\n.Bl -tag -width 12n\n", out);
	for (size_t i = 0; i < n_flags; i++)
		put_flag(&flags[i], out);
	fputs(".El\n", out);
}
