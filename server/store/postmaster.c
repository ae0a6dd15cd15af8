/* See postmaster.h. */
#include "postmaster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "cluster.h"
#include "wire/status.h"

#define START_TRIES 600 /* 50 ms apart */
#define RESTART_PAUSE_MS 200
#define FAST_SECONDS 20 /* a checkpoint is part of a fast shutdown */
#define IMMEDIATE_SECONDS 5
#define BUFFERS_MIN_MB 128
#define BUFFERS_MAX_MB 2048

/* ── the child ───────────────────────────────────────────────────────────────────────────────────── */

/* Becomes the cluster's user and runs `argv`, its output in the log. */
static void run_child(const struct child *child, char *const argv[])
{
	sigset_t none;
	int log = open(child->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid(); /* a terminal's Ctrl-C is for the server, which stops PostgreSQL last */
	if (log >= 0 && geteuid() == 0 && fchown(log, child->uid, child->gid) != 0)
		_exit(126);
	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(child->gid) != 0 || setuid(child->uid) != 0))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGINT); /* fast shutdown; after setuid(), which clears it */
	if (log >= 0) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
	}
	if (chdir("/") == 0)
		execv(argv[0], argv);
	_exit(127);
}

pid_t child_spawn(const struct child *child, char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0)
		run_child(child, argv);
	return pid;
}

/* A quarter of the machine's memory, within limits: more is a matter for a database of one's own. */
static long buffers_mb(void)
{
	long mb = sysconf(_SC_PHYS_PAGES) / 1024 * (sysconf(_SC_PAGESIZE) / 1024) / 4;

	return mb < BUFFERS_MIN_MB ? BUFFERS_MIN_MB : mb > BUFFERS_MAX_MB ? BUFFERS_MAX_MB : mb;
}

static pid_t spawn_postgres(const struct postmaster *postmaster)
{
	char buffers[48];
	char *argv[] = { (char *)CLUSTER_POSTGRES, (char *)"-D", (char *)postmaster->data, (char *)"-k",
		(char *)postmaster->socket, (char *)"-c", (char *)"listen_addresses=", (char *)"-c",
		(char *)"unix_socket_permissions=0700", (char *)"-c", (char *)"max_wal_size=4GB", (char *)"-c",
		(char *)"checkpoint_timeout=15min", (char *)"-c", buffers, NULL };

	(void)snprintf(buffers, sizeof buffers, "shared_buffers=%ldMB", buffers_mb());
	return child_spawn(&postmaster->child, argv);
}

/* ── its keeper ──────────────────────────────────────────────────────────────────────────────────── */

/* Waits until `postmaster` stops or the time is over; under its mutex. */
static void pause_ms(struct postmaster *postmaster, long ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!postmaster->stopping && pthread_cond_timedwait(&postmaster->changed, &postmaster->mutex, &until) == 0)
		;
}

/* A server that was killed leaves a PostgreSQL that is shutting down: it must be gone first. */
static void wait_for_predecessor(struct postmaster *postmaster)
{
	char path[512];
	long pid = 0;

	(void)snprintf(path, sizeof path, "%s/postmaster.pid", postmaster->data);
	for (unsigned i = 0; i < START_TRIES && !postmaster->stopping; i++) {
		FILE *file = fopen(path, "re");
		if (file == NULL)
			return;
		int n = fscanf(file, "%ld", &pid);
		fclose(file);
		if (n == 1 && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
			return; /* stale: PostgreSQL itself sees to it */
		pause_ms(postmaster, 50);
	}
}

/* Waits for the child without its mutex, and reaps it under it: stop never signals another process. */
static int wait_for_end(struct postmaster *postmaster)
{
	siginfo_t info;
	int status = 0;

	pthread_mutex_unlock(&postmaster->mutex);
	while (waitid(P_PID, (id_t)postmaster->pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
		;
	pthread_mutex_lock(&postmaster->mutex);
	(void)waitpid(postmaster->pid, &status, 0);
	postmaster->pid = 0;
	postmaster->n_ended++;
	pthread_cond_broadcast(&postmaster->changed);
	return status;
}

static void *keep(void *arg)
{
	struct postmaster *postmaster = arg;

	pthread_mutex_lock(&postmaster->mutex);
	while (!postmaster->stopping) {
		wait_for_predecessor(postmaster);
		if (postmaster->stopping)
			break;
		postmaster->pid = spawn_postgres(postmaster);
		int status = postmaster->pid > 0 ? wait_for_end(postmaster) : -1;
		if (postmaster->stopping)
			break;
		log_warning("event=postgres_ended status=%d", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
		pause_ms(postmaster, RESTART_PAUSE_MS);
	}
	pthread_mutex_unlock(&postmaster->mutex);
	return NULL;
}

static bool wait_until_ready(struct postmaster *postmaster)
{
	bool ready = false;

	pthread_mutex_lock(&postmaster->mutex);
	for (unsigned i = 0; i < START_TRIES && !ready && postmaster->n_ended == 0; i++) {
		ready = postmaster->pid > 0 && PQping(postmaster->dsn) == PQPING_OK;
		if (!ready)
			pause_ms(postmaster, 50);
	}
	pthread_mutex_unlock(&postmaster->mutex);
	return ready;
}

enum aside_code postmaster_start(struct postmaster *postmaster, const struct child *child, const char *data,
		const char *socket, const char *dsn, struct aside_status *err)
{
	*postmaster = (struct postmaster){ .child = *child, .data = data, .socket = socket, .dsn = dsn };
	pthread_mutex_init(&postmaster->mutex, NULL);
	pthread_cond_init(&postmaster->changed, NULL);
	if (pthread_create(&postmaster->thread, NULL, keep, postmaster) != 0)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	postmaster->started = true;
	if (wait_until_ready(postmaster))
		return ASIDE_OK;
	postmaster_stop(postmaster);
	return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "postgres did not start; see %s", child->log);
}

/* ── its end ─────────────────────────────────────────────────────────────────────────────────────── */

/* Waits until the process is gone, `seconds` at most; under the mutex. */
static bool is_gone_within(struct postmaster *postmaster, unsigned seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	while (postmaster->pid > 0 &&
			pthread_cond_clockwait(&postmaster->changed, &postmaster->mutex, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
	return postmaster->pid == 0;
}

/* proc(5); 0: it has ended. */
static pid_t parent_of(const char *pid)
{
	char path[300], text[512];
	long parent = 0;

	(void)snprintf(path, sizeof path, "/proc/%s/stat", pid);
	FILE *file = fopen(path, "re");
	size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
	if (file != NULL)
		fclose(file);
	text[n] = '\0';
	const char *end = strrchr(text, ')'); /* of the name, which may be any */
	return end != NULL && sscanf(end, ") %*c %ld", &parent) == 1 ? (pid_t)parent : 0;
}

/* Also of processes that are stopped.  First it can neither make nor reap children, then they are killed: their numbers
 * are nobody else's meanwhile. */
static void kill_all(pid_t postmaster)
{
	DIR *processes = opendir("/proc");

	kill(postmaster, SIGSTOP);
	for (const struct dirent *entry; processes != NULL && (entry = readdir(processes)) != NULL;)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of(entry->d_name) == postmaster)
			kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
	if (processes != NULL)
		closedir(processes);
	kill(postmaster, SIGKILL);
}

/* Under the mutex: what is signalled is not reaped yet. */
static void end_process(struct postmaster *postmaster)
{
	kill(postmaster->pid, SIGINT);
	if (is_gone_within(postmaster, FAST_SECONDS))
		return;
	log_warning("event=postgres_stays seconds=%u message=\"it is told to end at once\"", FAST_SECONDS);
	kill(postmaster->pid, SIGQUIT);
	if (is_gone_within(postmaster, IMMEDIATE_SECONDS))
		return;
	log_warning("event=postgres_killed message=\"it recovers at its next start\"");
	kill_all(postmaster->pid);
}

void postmaster_stop(struct postmaster *postmaster)
{
	if (!postmaster->started)
		return;
	pthread_mutex_lock(&postmaster->mutex);
	postmaster->stopping = true;
	pthread_cond_broadcast(&postmaster->changed);
	if (postmaster->pid > 0)
		end_process(postmaster);
	pthread_mutex_unlock(&postmaster->mutex);
	pthread_join(postmaster->thread, NULL);
	postmaster->started = false;
}
