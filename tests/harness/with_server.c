/* Runs a command beside a real server, for tests that are no C programs.
 *
 *     with-server [SERVER-FLAG...] -- COMMAND [ARG...]
 *
 * The command finds $ASIDE_SERVER, the ipc address at which its own uid is a service with every scope,
 * $ASIDE_LISTENERS, the addresses of the --listen flags, and $ASIDE_FOLDER, the harness's.  Exits with the
 * command's status, or 1 when the server logged an error or did not end well. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aside/harness.h"

#define LISTENERS_BYTES 4096

static void set_environment(const struct aside_harness *harness)
{
	char listeners[LISTENERS_BYTES] = "";
	size_t used = 0;
	const char *address;

	for (unsigned n = 0; (address = aside_harness_listener(harness, 0, n)) != NULL; n++)
		used += (size_t)snprintf(listeners + used, sizeof listeners - used, "%s%s", n > 0 ? " " : "", address);
	setenv("ASIDE_SERVER", aside_harness_address(harness, 0), 1);
	setenv("ASIDE_LISTENERS", listeners, 1);
	setenv("ASIDE_FOLDER", aside_harness_folder(harness), 1);
}

static int run(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct aside_harness_options options = { .flags = (const char *const *)(argv + 1) };
	struct aside_harness *harness;
	struct aside_status status;
	int i = 1, rc;

	while (i < argc && strcmp(argv[i], "--") != 0)
		i++;
	if (i + 1 >= argc) {
		fprintf(stderr, "usage: with-server [SERVER-FLAG...] -- COMMAND [ARG...]\n");
		return 2;
	}
	argv[i] = NULL;
	if (aside_harness_start(&options, &harness, &status) != ASIDE_OK) {
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	set_environment(harness);
	rc = run(argv + i + 1);
	if (aside_harness_logged(harness, 0, "level=error"))
		rc = rc != 0 ? rc : 1;
	if (rc != 0)
		aside_harness_show_logs(harness, stderr);
	return aside_harness_stop(harness) != 0 && rc == 0 ? 1 : rc;
}
