/* See program.h. */
#include "program.h"

#include <stdio.h>
#include <sys/wait.h>

#include "world.h"

int run(char *ret_said, size_t size, const char *fmt, ...)
{
	char command[1024];
	va_list ap;
	size_t used = (size_t)snprintf(command, sizeof command, "exec %s ", getenv("ASIDE_SERVER_PROGRAM"));

	va_start(ap, fmt);
	used += (size_t)vsnprintf(command + used, sizeof command - used, fmt, ap);
	va_end(ap);
	(void)snprintf(command + used, sizeof command - used, " 2>&1 </dev/null");
	FILE *out = popen(command, "re");
	assert_non_null(out);
	ret_said[fread(ret_said, 1, size - 1, out)] = '\0';
	int ended = pclose(out);
	return WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
}

void assert_said(const char *said, const char *words)
{
	if (strstr(said, words) == NULL)
		fail_msg("expected \"%s\" in: %s", words, said);
}
