/* The commands and their flags: the one place that help, the manual page and completion are made of. */
#pragma once

#include "command.h"

enum flag_kind {
	FLAG_TEXT,
	FLAG_ID,     /* a positive number of 63 bits */
	FLAG_NUMBER, /* from min to max */
	FLAG_SWITCH,
};

struct flag {
	const char *name, *value, *env;
	const char *help;
	enum flag_kind kind;
	size_t offset; /* of its member in struct invocation */
	long min, max;
};

struct command {
	const char *name, *words, *summary;
	const char *help; /* lines that begin with a blank are as they are */
	int (*run)(struct invocation *in);
	int min_words, max_words;
	bool calls;           /* it talks to a server, and has the flags for that */
	const char *flags[8]; /* its own */
	bool anonymous;       /* sends no token, nor reads one */
};

extern const struct flag flags[];
extern const size_t n_flags;
extern const struct command commands[];
extern const size_t n_commands;

/* NULL where there is none such. */
const struct command *command_find(const char *name);
bool command_takes(const struct command *command, const struct flag *flag);

/* Which commands take a flag that not all take: "call, list"; "" for one of every call. */
const char *flag_commands(const struct flag *flag, char out[128]);

/* `aside --help`, `aside COMMAND --help`, and the same as the lists of aside(1). */
void help_all(FILE *out);
void help_command(const struct command *command, FILE *out);
void help_mdoc(FILE *out);

/* aside complete WORD...: what the last word, which may be empty, can become; a line each.  For shells. */
int complete_words(struct invocation *in, int n_words, char **words);
