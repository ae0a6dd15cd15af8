/* See log.h.  A pipe or socket that nobody reads is full one day, and a write to it would wait for ever: it is asked first
 * whether it has room, and what does not fit is dropped and counted. */
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define HELD_BYTES 16384
_Static_assert(LINE_BYTES <= PIPE_BUF, "a line is one write");

static const char *const names[] = { "debug", "info", "warning", "error" };
static enum log_level threshold = LOG_INFO;

/* Of a pipe or a socket: who looks for room is the one who takes it. */
static struct {
	pthread_mutex_t mutex;
	bool may_fill;
	unsigned long long lost; /* lines */
} out = { .mutex = PTHREAD_MUTEX_INITIALIZER };

void log_init(enum log_level level)
{
	struct stat what;

	threshold = level;
	out.may_fill = fstat(STDERR_FILENO, &what) == 0 && (S_ISFIFO(what.st_mode) || S_ISSOCK(what.st_mode));
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

/* ── writing ─────────────────────────────────────────────────────────────────────────────────────── */

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

/* What every line begins with; its length. */
static size_t begin_line(char *ret, size_t size, enum log_level level)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (size_t)snprintf(ret, size, "%s.%06ldZ level=%s ", second_text(now.tv_sec), now.tv_nsec / 1000, names[level]);
}

/* At most PIPE_BUF bytes: poll() promises room for no more. */
static bool try_write(const char *text, size_t size)
{
	struct pollfd room = { STDERR_FILENO, POLLOUT, 0 };

	return poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0 && write(STDERR_FILENO, text, size) >= 0;
}

/* Whether nothing is lost that has not been told. */
static bool tell_lost(void)
{
	char line[LINE_BYTES];
	size_t used;

	if (out.lost == 0)
		return true;
	used = begin_line(line, sizeof line, LOG_WARNING);
	used += (size_t)snprintf(line + used, sizeof line - used, "event=log_lost n=%llu\n", out.lost);
	if (!try_write(line, used))
		return false;
	out.lost = 0;
	return true;
}

static unsigned count_lines(const char *text, size_t size)
{
	unsigned n = 0;

	for (size_t i = 0; i < size; i++)
		n += text[i] == '\n';
	return n;
}

/* How much of `text`, whole lines, goes at once. */
static size_t portion(const char *text, size_t size)
{
	const char *end = size > PIPE_BUF ? memrchr(text, '\n', PIPE_BUF) : NULL;

	return end != NULL ? (size_t)(end + 1 - text) : size;
}

static void write_or_drop(const char *text, size_t size)
{
	pthread_mutex_lock(&out.mutex);
	for (size_t n; size > 0; text += n, size -= n) {
		n = portion(text, size);
		if (!tell_lost() || !try_write(text, n))
			out.lost += count_lines(text, n);
	}
	pthread_mutex_unlock(&out.mutex);
}

static void write_out(const char *text, size_t size)
{
	ssize_t ignored = 0;

	if (out.may_fill)
		write_or_drop(text, size);
	else
		ignored = write(STDERR_FILENO, text, size);
	(void)ignored; /* there is nobody to tell */
}

/* ── lines held back ─────────────────────────────────────────────────────────────────────────────── */

static _Thread_local struct {
	bool held;
	size_t size;
	char lines[HELD_BYTES];
} hold;

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
	va_list ap;

	if (!log_wants(level))
		return;
	size_t used = begin_line(line, sizeof line, level);
	va_start(ap, fmt);
	int n = vsnprintf(line + used, sizeof line - used - 1, fmt, ap);
	va_end(ap);
	used += n < 0 ? 0 : (size_t)n < sizeof line - used - 1 ? (size_t)n : sizeof line - used - 2;
	make_plain(line, used);
	line[used++] = '\n';
	put_line(line, used);
}
