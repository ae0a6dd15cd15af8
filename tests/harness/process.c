/* See process.h. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_MS 90000

static enum aside_code failed(struct aside_status *err, const char *what)
{
	*err = (struct aside_status){ .code = ASIDE_UNAVAILABLE, .reason = "NOT_STARTED" };
	(void)snprintf(err->message, sizeof err->message, "%s", what);
	return err->code;
}

/* In the child. */
static void run_child(const struct process *process, char *const argv[], int out, int keep_fd, pid_t parent)
{
	int log = open(process->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || chdir(process->folder) != 0)
		_exit(126);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	(void)fcntl(keep_fd, F_SETFD, 0);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static pid_t spawn(const struct process *process, char *const argv[], int out, int keep_fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		run_child(process, argv, out, keep_fd, parent);
	return pid;
}

/* As a shell has it. */
static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A line of at most `size` - 1 bytes; false at the end, for a longer one or too late. */
static bool read_line(int fd, char *line, size_t size)
{
	int64_t deadline = now_ms() + START_TIMEOUT_MS;
	size_t used = 0;

	while (used < size - 1) {
		struct pollfd readable = { .fd = fd, .events = POLLIN };
		int left = (int)(deadline - now_ms());
		if (left <= 0 || poll(&readable, 1, left) == 0)
			return false;
		if (read(fd, line + used, 1) != 1)
			return false;
		if (line[used] == '\n') {
			line[used] = '\0';
			return true;
		}
		used++;
	}
	return false;
}

enum aside_code process_start(struct process *process, char *const argv[], int keep_fd, struct aside_status *err)
{
	char line[READY_BYTES], what[sizeof err->message];
	int out[2], status;
	bool ready;

	if (pipe2(out, O_CLOEXEC) != 0)
		return failed(err, "no pipe");
	process->pid = spawn(process, argv, out[1], keep_fd);
	close(out[1]);
	ready = process->pid > 0 && read_line(out[0], line, sizeof line) && strncmp(line, "ready ", 6) == 0;
	close(out[0]);
	if (ready) {
		memcpy(process->ready, line + 6, sizeof line - 6);
		return ASIDE_OK;
	}
	if (process->pid < 0) {
		process->pid = 0;
		return failed(err, "no process");
	}
	if (process_wait(process->pid, 1000, &status)) {
		process->pid = 0;
		(void)snprintf(what, sizeof what, "%s ended with status %d before it was ready", argv[0], exit_status(status));
	} else {
		(void)process_end(process, SIGKILL, 1000);
		(void)snprintf(what, sizeof what, "%s was not ready after %d s", argv[0], START_TIMEOUT_MS / 1000);
	}
	return failed(err, what);
}

int process_run(struct process *process, char *const argv[], int keep_fd)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	process->pid = spawn(process, argv, null, keep_fd);
	close(null);
	return process_end(process, 0, START_TIMEOUT_MS);
}

bool process_wait(pid_t pid, int timeout_ms, int *ret_status)
{
	int fd = pidfd_open(pid, 0);
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	bool over = fd < 0 || poll(&ended, 1, timeout_ms) != 0;

	if (fd >= 0)
		close(fd);
	return over && waitpid(pid, ret_status, 0) == pid;
}

int process_end(struct process *process, int signal, int timeout_ms)
{
	int status = 0;

	if (process->pid <= 0)
		return -1;
	if (signal != 0)
		kill(process->pid, signal);
	if (!process_wait(process->pid, timeout_ms, &status)) {
		kill(process->pid, SIGKILL);
		(void)waitpid(process->pid, &status, 0);
	}
	process->pid = 0;
	return exit_status(status);
}
