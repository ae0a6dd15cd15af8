/* See servers.h. */
#include "../unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "servers.h"

void echo_start(struct echo_process *server, const char *name)
{
	(void)snprintf(server->url, sizeof server->url, "ipc:///tmp/aside-echo-%d-%s.sock", (int)getpid(), name);
	echo_restart(server);
}

void echo_restart(struct echo_process *server)
{
	char line[256] = "";
	int out[2];

	assert_int_equal(pipe(out), 0);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		execl(getenv("ECHO_SERVER"), "echo_server", server->url, "tcp://127.0.0.1:0", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	FILE *lines = fdopen(out[0], "r");
	assert_non_null(fgets(line, sizeof line, lines));
	fclose(lines);
	assert_int_equal(sscanf(line, "ready %*s %127s", server->tcp), 1);
}

int echo_end(struct echo_process *server, int signal)
{
	int status = 0;

	assert_int_equal(kill(server->pid, signal), 0);
	assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
	server->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void echo_remove(struct echo_process *server)
{
	if (server->pid != 0)
		(void)echo_end(server, SIGTERM);
	(void)unlink(server->url + strlen("ipc://"));
}
