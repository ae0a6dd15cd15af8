/* A command of `aside`, what the shell gave it, and how it ends.
 *
 * Exit status: 0, or one of these; for a call that failed, EXIT_CODE and its canonical code: 15 is NOT_FOUND. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "aside/status.h"

#define EXIT_NO 1    /* not serving; or what was to be printed could not be */
#define EXIT_USAGE 2 /* nothing was asked of any server */
#define EXIT_CODE 10

#define TOKEN_BYTES 6144
#define WORDS_MAX 2

enum output {
	OUTPUT_TABLE,
	OUTPUT_JSON,
};

/* What flags and environment say; every NULL and 0 means "not said". */
struct invocation {
	const char *server, *ca_file, *server_name, *token_file, *as_user, *output;
	const char *key, *kid, *user, *service, *scope, *audience;
	long timeout_ms, ttl_seconds;
	bool defaults, once;
	char token[TOKEN_BYTES]; /* read from token_file */
	const char *words[WORDS_MAX + 1]; /* after the command; NULL-terminated */
};

/* Each runs to its end and returns the exit status. */
int call_command(struct invocation *in);
int list_command(struct invocation *in);
int describe_command(struct invocation *in);
int health_command(struct invocation *in);
int threads_command(struct invocation *in);
int inbox_command(struct invocation *in);
int messages_command(struct invocation *in);
int top_command(struct invocation *in);
int token_command(struct invocation *in);

/* Calls a method with `request` (borrowed; NULL: an empty one) and puts the response into *ret_response, a new
 * reference.  0, or the exit status after a complaint. */
int call_json(struct invocation *in, const char *method, const json_t *request, json_t **ret_response);

/* To standard output, over several lines. */
void print_json(const json_t *json);

/* To standard error, with all that a status says; returns the exit status. */
int complain(const struct aside_status *status);

/* "aside: …; aside --help explains"; returns EXIT_USAGE. */
int misuse(const char *fmt, ...) ASIDE_PRINTF(1, 2);

bool wants_json(const struct invocation *in);
