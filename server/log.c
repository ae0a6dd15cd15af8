#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define HELD_BYTES 16384

static const char *const names[] = { "debug", "info", "warning", "error" };
static enum log_level threshold = LOG_INFO;

void log_init(enum log_level level)
{
	threshold = level;
}

bool log_level_parse(const char *name, enum log_level *ret)
{
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	return false;
}

bool log_wants(enum log_level level)
{
	return level >= threshold;
}

/* ── lines held back ─────────────────────────────────────────────────────────────────────────────── */

static _Thread_local struct {
	bool held;
	size_t size;
	char lines[HELD_BYTES];
} hold;

static void write_out(const char *text, size_t size)
{
	ssize_t ignored = write(STDERR_FILENO, text, size);

	(void)ignored; /* there is nobody to tell */
}

static void put_line(const char *line, size_t size)
{
	if (!hold.held) {
		write_out(line, size);
		return;
	}
	if (hold.size + size > sizeof hold.lines) {
		write_out(hold.lines, hold.size);
		hold.size = 0;
	}
	memcpy(hold.lines + hold.size, line, size);
	hold.size += size;
}

void log_hold(void)
{
	hold.held = true;
}

void log_release(void)
{
	hold.held = false;
	if (hold.size > 0)
		write_out(hold.lines, hold.size);
	hold.size = 0;
}

/* ── a line ──────────────────────────────────────────────────────────────────────────────────────── */

/* "time=2026-11-26T12:00:00", made anew once a second. */
static const char *second_text(time_t second)
{
	static _Thread_local time_t last;
	static _Thread_local char text[32];
	struct tm utc;

	if (second != last && gmtime_r(&second, &utc) != NULL) {
		(void)strftime(text, sizeof text, "time=%Y-%m-%dT%H:%M:%S", &utc);
		last = second;
	}
	return text;
}

/* On one line, and quotes only around the message, which comes last. */
static void make_plain(char *line, size_t size)
{
	char *message = strstr(line, " message=\"");

	for (size_t i = 0; i < size; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	for (char *at = message != NULL ? message + strlen(" message=\"") : line + size; at + 1 < line + size; at++)
		if (*at == '"')
			*at = '\'';
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	struct timespec now;
	va_list ap;

	if (!log_wants(level))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	size_t used = (size_t)snprintf(line, sizeof line, "%s.%06ldZ level=%s ", second_text(now.tv_sec), now.tv_nsec / 1000,
			names[level]);
	va_start(ap, fmt);
	int n = vsnprintf(line + used, sizeof line - used - 1, fmt, ap);
	va_end(ap);
	used += n < 0 ? 0 : (size_t)n < sizeof line - used - 1 ? (size_t)n : sizeof line - used - 2;
	make_plain(line, used);
	line[used++] = '\n';
	put_line(line, used);
}
