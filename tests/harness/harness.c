/* See harness.h. */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 32

struct harness {
	char ready[512], dir[64], data[80], user[256], address[128];
	const char *server;
	const char *const *flags;
	pid_t pid;
	struct aside_channel *channel;
};

static void give_up(const char *what)
{
	fprintf(stderr, "harness: %s: %s\n", what, strerror(errno));
	exit(99);
}

static void run_server(const struct harness *harness, int out)
{
	const char *argv[ARGS_MAX] = { harness->server, "--data", harness->data, "--ipc-user", harness->user,
		"--listen", harness->address };
	size_t n = 7;

	for (size_t i = 0; harness->flags != NULL && harness->flags[i] != NULL && n < ARGS_MAX - 1; i++)
		argv[n++] = harness->flags[i];
	dup2(out, STDOUT_FILENO);
	if (freopen("/dev/null", "r", stdin) != NULL)
		execv(harness->server, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Starts the program and waits for its line "ready …". */
static void start(struct harness *harness)
{
	char line[512];
	int out[2];

	if (pipe(out) != 0)
		give_up("pipe");
	harness->pid = fork();
	if (harness->pid < 0)
		give_up("fork");
	if (harness->pid == 0) {
		close(out[0]);
		run_server(harness, out[1]);
	}
	close(out[1]);
	FILE *lines = fdopen(out[0], "r");
	if (lines == NULL || fgets(line, sizeof line, lines) == NULL || strncmp(line, "ready ", 6) != 0)
		give_up("the server did not start");
	snprintf(harness->ready, sizeof harness->ready, "%s", line);
	fclose(lines);
}

struct harness *harness_start(const char *server, const char *const *flags)
{
	struct harness *harness = calloc(1, sizeof *harness);
	struct aside_options options = { .connect_timeout_ms = 20000 };
	struct aside_status status;

	if (harness == NULL)
		give_up("harness");
	strcpy(harness->dir, "/tmp/aside-test-XXXXXX");
	if (mkdtemp(harness->dir) == NULL || chmod(harness->dir, 0755) != 0)
		give_up(harness->dir);
	harness->server = server;
	harness->flags = flags;
	snprintf(harness->data, sizeof harness->data, "%s/data", harness->dir);
	snprintf(harness->address, sizeof harness->address, "ipc://%s/aside.sock", harness->dir);
	snprintf(harness->user, sizeof harness->user,
			"%d=service:test:page.write,page.read,wall.write,message.read,user.act", (int)getuid());
	start(harness);
	if (aside_channel_open(harness->address, &options, &harness->channel, &status) != ASIDE_OK)
		give_up(status.message);
	return harness;
}

const char *harness_address(const struct harness *harness)
{
	return harness->address;
}

const char *harness_extra_address(struct harness *harness, unsigned nth)
{
	static char address[128];
	const char *at = harness->ready;

	for (unsigned i = 0; i <= nth && at != NULL; i++)
		at = strchr(at + 1, ' ');
	if (at == NULL || sscanf(at, "%127s", address) != 1)
		give_up("no such address");
	return address;
}

struct aside_channel *harness_channel(const struct harness *harness)
{
	return harness->channel;
}

void harness_crash(struct harness *harness)
{
	kill(harness->pid, SIGKILL);
	waitpid(harness->pid, NULL, 0);
	start(harness);
}

int harness_stop(struct harness *harness)
{
	char command[128];
	int status = -1;

	aside_channel_close(harness->channel);
	kill(harness->pid, SIGTERM);
	waitpid(harness->pid, &status, 0);
	snprintf(command, sizeof command, "rm -rf %s", harness->dir);
	if (system(command) != 0)
		fprintf(stderr, "harness: %s stays\n", harness->dir);
	free(harness);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const struct aside_call_options *harness_as(int64_t user_id)
{
	static _Thread_local char digits[24];
	static _Thread_local struct aside_metadata metadata;
	static _Thread_local struct aside_call_options options;

	metadata = (struct aside_metadata){ "act-as-user", digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)user_id) };
	options = (struct aside_call_options){ .metadata = &metadata, .n_metadata = 1 };
	return user_id != 0 ? &options : NULL;
}
