/* See cluster.h. */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "wire/status.h"

#define BINARIES "/usr/lib/postgresql/15/bin/"
#define START_TRIES 600 /* 50 ms apart */
#define PATH_BYTES 512
#define HOME_BYTES_MAX (sizeof ((struct sockaddr_un *)NULL)->sun_path - sizeof "/socket/.s.PGSQL.5432")

struct cluster {
	char data[PATH_BYTES], socket[PATH_BYTES], log[PATH_BYTES];
	char dsn[2 * PATH_BYTES + 64];
	uid_t uid;
	gid_t gid;
	pid_t pid;
	int lock_fd; /* on the folder: one server's at a time */
};

static enum aside_code failed(const char *what, struct aside_status *err)
{
	return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "%s: %s", what, strerror(errno));
}

static enum aside_code make_dir(const struct cluster *cluster, const char *path, mode_t mode, struct aside_status *err)
{
	if (mkdir(path, mode) != 0 && errno != EEXIST)
		return failed(path, err);
	if (geteuid() == 0 && chown(path, cluster->uid, cluster->gid) != 0)
		return failed(path, err);
	return ASIDE_OK;
}

/* In the child: becomes the cluster's user and runs `argv`, its output in the cluster's log. */
static void run_child(const struct cluster *cluster, char *const argv[])
{
	sigset_t none;
	int log = open(cluster->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid(); /* a terminal's Ctrl-C is for the server, which stops PostgreSQL last */
	if (log >= 0 && geteuid() == 0 && fchown(log, cluster->uid, cluster->gid) != 0)
		_exit(126);
	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(cluster->gid) != 0 || setuid(cluster->uid) != 0))
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

static pid_t spawn(const struct cluster *cluster, char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0)
		run_child(cluster, argv);
	return pid;
}

static enum aside_code make_cluster(const struct cluster *cluster, struct aside_status *err)
{
	char *argv[] = { (char *)BINARIES "initdb", (char *)"-D", (char *)cluster->data, (char *)"-U", (char *)"aside",
		(char *)"--auth=trust", (char *)"--encoding=UTF8", (char *)"--locale=C", (char *)"--data-checksums", NULL };
	pid_t pid = spawn(cluster, argv);
	int status = -1;

	log_info("event=cluster_init");
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "initdb failed; see %s", cluster->log);
	return ASIDE_OK;
}

static enum aside_code wait_ready(struct cluster *cluster, struct aside_status *err)
{
	for (unsigned i = 0; i < START_TRIES; i++) {
		if (PQping(cluster->dsn) == PQPING_OK)
			return ASIDE_OK;
		if (waitpid(cluster->pid, NULL, WNOHANG) == cluster->pid) {
			cluster->pid = 0;
			break;
		}
		nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	}
	return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "postgres did not start; see %s", cluster->log);
}

/* A server that was killed leaves a PostgreSQL that is shutting down: it must be gone first. */
static void wait_for_predecessor(const struct cluster *cluster)
{
	char path[PATH_BYTES + 32];
	long pid = 0;

	(void)snprintf(path, sizeof path, "%s/postmaster.pid", cluster->data);
	for (unsigned i = 0; i < START_TRIES; i++) {
		FILE *file = fopen(path, "re");
		if (file == NULL)
			return;
		int n = fscanf(file, "%ld", &pid);
		fclose(file);
		if (n == 1 && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
			return; /* stale: PostgreSQL itself sees to it */
		nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	}
}

static enum aside_code run_postgres(struct cluster *cluster, struct aside_status *err)
{
	char *argv[] = { (char *)BINARIES "postgres", (char *)"-D", cluster->data, (char *)"-k", cluster->socket,
		(char *)"-c", (char *)"listen_addresses=", (char *)"-c", (char *)"max_wal_size=4GB", (char *)"-c",
		(char *)"checkpoint_timeout=15min", (char *)"-c", (char *)"unix_socket_permissions=0700", NULL };

	wait_for_predecessor(cluster);
	cluster->pid = spawn(cluster, argv);
	if (cluster->pid < 0)
		return failed("fork", err);
	return wait_ready(cluster, err);
}

static enum aside_code find_user(struct cluster *cluster, const char *user, struct aside_status *err)
{
	const struct passwd *entry = getpwnam(user);

	if (geteuid() != 0)
		return ASIDE_OK;
	if (entry == NULL)
		return fail(err, ASIDE_FAILED_PRECONDITION, "NO_SUCH_USER", "no user %s to run PostgreSQL as", user);
	cluster->uid = entry->pw_uid;
	cluster->gid = entry->pw_gid;
	return ASIDE_OK;
}

/* Held until this process has ended, however it does. */
static enum aside_code lock_folder(struct cluster *cluster, const char *home, struct aside_status *err)
{
	cluster->lock_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cluster->lock_fd < 0)
		return failed(home, err);
	if (flock(cluster->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return fail(err, ASIDE_FAILED_PRECONDITION, "DATA_IN_USE", "%s: another aside-server runs there", home);
	return ASIDE_OK;
}

/* "host='/a folder' …": in quotes, and those of the path escaped. */
static void make_dsn(struct cluster *cluster)
{
	char quoted[2 * PATH_BYTES], *end = quoted;

	for (const char *at = cluster->socket; *at != '\0'; at++) {
		if (*at == '\'' || *at == '\\')
			*end++ = '\\';
		*end++ = *at;
	}
	*end = '\0';
	(void)snprintf(cluster->dsn, sizeof cluster->dsn, "host='%s' user=aside dbname=postgres", quoted);
}

static enum aside_code name_paths(struct cluster *cluster, const char *home, struct aside_status *err)
{
	if (strlen(home) > HOME_BYTES_MAX)
		return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED",
				"%s: too long for PostgreSQL's socket: at most %zu bytes", home, HOME_BYTES_MAX);
	(void)snprintf(cluster->data, PATH_BYTES, "%s/postgres", home);
	(void)snprintf(cluster->socket, PATH_BYTES, "%s/socket", home);
	(void)snprintf(cluster->log, PATH_BYTES, "%s/postgres.log", home);
	make_dsn(cluster);
	return ASIDE_OK;
}

enum aside_code cluster_start(const char *data_dir, const char *user, struct cluster **ret, struct aside_status *err)
{
	CLEANUP(freep) char *home = NULL; /* absolute: the child works in "/", and libpq takes a relative host for a name */
	struct cluster *cluster = calloc(1, sizeof *cluster);
	char version[PATH_BYTES + 16];
	enum aside_code code;

	if (cluster == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	cluster->lock_fd = -1;
	code = find_user(cluster, user, err);
	if (code == ASIDE_OK && mkdir(data_dir, 0755) != 0 && errno != EEXIST)
		code = failed(data_dir, err);
	if (code == ASIDE_OK && (home = realpath(data_dir, NULL)) == NULL)
		code = failed(data_dir, err);
	if (code == ASIDE_OK)
		code = lock_folder(cluster, home, err);
	if (code == ASIDE_OK)
		code = name_paths(cluster, home, err);
	(void)snprintf(version, sizeof version, "%s/PG_VERSION", cluster->data);
	if (code == ASIDE_OK)
		code = make_dir(cluster, cluster->data, 0700, err);
	if (code == ASIDE_OK)
		code = make_dir(cluster, cluster->socket, 0700, err);
	if (code == ASIDE_OK && access(version, F_OK) != 0)
		code = make_cluster(cluster, err);
	if (code == ASIDE_OK)
		code = run_postgres(cluster, err);
	if (code != ASIDE_OK)
		cluster_stop(cluster);
	else
		*ret = cluster;
	return code;
}

const char *cluster_dsn(const struct cluster *cluster)
{
	return cluster->dsn;
}

void cluster_stop(struct cluster *cluster)
{
	if (cluster == NULL)
		return;
	if (cluster->pid > 0) {
		kill(cluster->pid, SIGINT);
		while (waitpid(cluster->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (cluster->lock_fd >= 0)
		close(cluster->lock_fd);
	free(cluster);
}
