/* The server's log: one line an event, `key=value`, to standard error.  Never content, never secrets.  Any
 * thread: a line is written whole.  Never waits for whoever reads it: what a pipe or a socket has no room for is lost, and
 * event=log_lost says how many lines were, as soon as there is room. */
#pragma once

#include <stdbool.h>

#include "aside/status.h"

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR,
};

/* Nothing below `level` is written; looks what standard error is.  Before the threads start. */
void log_init(enum log_level level);

/* "info" → LOG_INFO; false for an unknown name. */
bool log_level_parse(const char *name, enum log_level *ret);

/* Whether lines of `level` are written. */
bool log_wants(enum log_level level);

/* Keeps this thread's lines together until log_release(): one write for all that a visit has to say. */
void log_hold(void);
void log_release(void);

/* `fmt` gives the keys and values: "event=drain calls=%zu"; message="…" comes last, quotes within become '. */
void log_write(enum log_level level, const char *fmt, ...) ASIDE_PRINTF(2, 3);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
