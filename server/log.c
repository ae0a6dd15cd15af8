#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	struct timespec now;
	struct tm utc;
	va_list ap;

	if (level < threshold)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t used = strftime(line, sizeof line, "time=%Y-%m-%dT%H:%M:%S", &utc);
	used += (size_t)snprintf(line + used, sizeof line - used, ".%06ldZ level=%s ", now.tv_nsec / 1000, names[level]);
	va_start(ap, fmt);
	int n = vsnprintf(line + used, sizeof line - used - 1, fmt, ap);
	va_end(ap);
	used += n < 0 ? 0 : (size_t)n < sizeof line - used - 1 ? (size_t)n : sizeof line - used - 2;
	for (size_t i = 0; i < used; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[used++] = '\n';
	ssize_t ignored = write(STDERR_FILENO, line, used);
	(void)ignored;
}
