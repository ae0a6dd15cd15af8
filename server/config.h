/* The program's settings: one table gives flag, environment variable, default and help. */
#pragma once

#include <stdio.h>

#include "wire/scope.h"

#define CONFIG_LIST_MAX 16

struct config {
	const char *listen[CONFIG_LIST_MAX + 1]; /* NULL-terminated */
	const char *ipc_user[CONFIG_LIST_MAX + 1];
	const char *origin[CONFIG_LIST_MAX + 1];
	const char *database, *read_database, *data, *cluster_user, *keys, *audience, *tls, *http, *log_level;
	const char *workers, *write_lanes, *read_lanes, *peer_memory, *drain_timeout, *keep_messages, *keep_events; /* numbers */
	bool check, no_hints, http_anywhere;
};

/* Flags, then ASIDE_… variables (a list's elements with blanks between them), then defaults.  The first word that is
 * no flag is put in *ret_rest.  Values are borrowed from argv and the environment.  Says of each value alone whether
 * it can be; check.h looks at what they mean.  INVALID_ARGUMENT names the flag at fault. */
enum aside_code config_read(struct config *config, int argc, char **argv, char ***ret_rest,
		struct aside_status *err) MUST_CHECK;

/* What would run, a line a setting. */
void config_print(const struct config *config, FILE *out);

/* The table, as --help shows it, and as README does. */
void config_help(FILE *out);
void config_markdown(FILE *out);

/* INVALID_ARGUMENT: "--FLAG VALUE: WHY". */
enum aside_code config_bad(struct aside_status *err, const char *flag, const char *value, const char *why);

/* A setting that is a number, checked by config_read(). */
unsigned config_number(const char *value);
