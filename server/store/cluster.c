/* See cluster.h. */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../log.h"
#include "postmaster.h"
#include "wire/status.h"

#define PATH_BYTES 512
#define HOME_BYTES_MAX (sizeof ((struct sockaddr_un *)NULL)->sun_path - sizeof "/socket/.s.PGSQL.5432")

struct cluster {
	char data[PATH_BYTES], socket[PATH_BYTES], log[PATH_BYTES];
	char dsn[2 * PATH_BYTES + 64], server_dsn[2 * PATH_BYTES + 64];
	struct child child;
	struct postmaster postmaster;
	int lock_fd; /* on the folder: one server's at a time */
};

static enum aside_code failed(const char *what, struct aside_status *err)
{
	return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "%s: %s", what, strerror(errno));
}

/* The folder all else is in: PostgreSQL's user must find a way through it, whatever the umask. */
static enum aside_code make_home(const char *path, struct aside_status *err)
{
	if (mkdir(path, 0755) == 0)
		return chmod(path, 0755) == 0 ? ASIDE_OK : failed(path, err);
	return errno == EEXIST ? ASIDE_OK : failed(path, err);
}

static enum aside_code make_dir(const struct cluster *cluster, const char *path, mode_t mode, struct aside_status *err)
{
	if (mkdir(path, mode) != 0 && errno != EEXIST)
		return failed(path, err);
	if (geteuid() == 0 && chown(path, cluster->child.uid, cluster->child.gid) != 0)
		return failed(path, err);
	return ASIDE_OK;
}

/* What PostgreSQL said last: why it failed. */
static void read_last_line(const struct cluster *cluster, char *ret, size_t size)
{
	char line[256];
	FILE *log = fopen(cluster->log, "re");

	(void)snprintf(ret, size, "nothing in its log");
	while (log != NULL && fgets(line, sizeof line, log) != NULL)
		if (line[0] != '\n')
			(void)snprintf(ret, size, "%.*s", (int)strcspn(line, "\n"), line);
	if (log != NULL)
		fclose(log);
}

static enum aside_code make_cluster(const struct cluster *cluster, struct aside_status *err)
{
	char *argv[] = { (char *)CLUSTER_INITDB, (char *)"-D", (char *)cluster->data, (char *)"-U", (char *)"aside",
		(char *)"--auth=trust", (char *)"--encoding=UTF8", (char *)"--locale=C", (char *)"--data-checksums", NULL };
	pid_t pid = child_spawn(&cluster->child, argv);
	char why[256];
	int status = -1;

	log_info("event=cluster_init");
	if (pid >= 0 && waitpid(pid, &status, 0) == pid && status == 0)
		return ASIDE_OK;
	read_last_line(cluster, why, sizeof why);
	return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "initdb failed: %s; see %s", why, cluster->log);
}

/* The server's login, which can do what its statements need and no more. */
static enum aside_code make_login(const struct cluster *cluster, struct aside_status *err)
{
	PGconn *pg = PQconnectdb(cluster->dsn);
	PGresult *result = PQexec(pg, "DO $$ BEGIN"
			" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aside_app') THEN CREATE ROLE aside_app; END IF;"
			" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aside_server') THEN"
			" CREATE ROLE aside_server LOGIN IN ROLE aside_app; END IF; END $$");
	enum aside_code code = ASIDE_OK;

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		code = fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED", "cannot make the server's login; see %s", cluster->log);
	PQclear(result);
	PQfinish(pg);
	return code;
}

static enum aside_code find_user(struct cluster *cluster, const char *user, struct aside_status *err)
{
	const struct passwd *entry = getpwnam(user);

	if (geteuid() != 0)
		return ASIDE_OK;
	if (entry == NULL)
		return fail(err, ASIDE_FAILED_PRECONDITION, "NO_SUCH_USER", "no user %s to run PostgreSQL as", user);
	cluster->child.uid = entry->pw_uid;
	cluster->child.gid = entry->pw_gid;
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
	(void)snprintf(cluster->server_dsn, sizeof cluster->server_dsn, "host='%s' user=aside_server dbname=postgres", quoted);
}

static enum aside_code name_paths(struct cluster *cluster, const char *home, struct aside_status *err)
{
	if (strlen(home) > HOME_BYTES_MAX)
		return fail(err, ASIDE_FAILED_PRECONDITION, "CLUSTER_FAILED",
				"%s: too long for PostgreSQL's socket: at most %zu bytes", home, HOME_BYTES_MAX);
	(void)snprintf(cluster->data, PATH_BYTES, "%s/postgres", home);
	(void)snprintf(cluster->socket, PATH_BYTES, "%s/socket", home);
	(void)snprintf(cluster->log, PATH_BYTES, "%s/postgres.log", home);
	cluster->child.log = cluster->log;
	make_dsn(cluster);
	return ASIDE_OK;
}

bool cluster_exists(const char *data_dir)
{
	char version[PATH_BYTES + 32];

	(void)snprintf(version, sizeof version, "%s/postgres/PG_VERSION", data_dir);
	return access(version, F_OK) == 0;
}

enum aside_code cluster_start(const char *data_dir, const char *user, struct cluster **ret, struct aside_status *err)
{
	CLEANUP(freep) char *home = NULL; /* absolute: the child works in "/", and libpq takes a relative host for a name */
	struct cluster *cluster = calloc(1, sizeof *cluster);
	enum aside_code code;

	if (cluster == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	cluster->lock_fd = -1;
	code = find_user(cluster, user, err);
	if (code == ASIDE_OK)
		code = make_home(data_dir, err);
	if (code == ASIDE_OK && (home = realpath(data_dir, NULL)) == NULL)
		code = failed(data_dir, err);
	if (code == ASIDE_OK)
		code = lock_folder(cluster, home, err);
	if (code == ASIDE_OK)
		code = name_paths(cluster, home, err);
	if (code == ASIDE_OK)
		code = make_dir(cluster, cluster->data, 0700, err);
	if (code == ASIDE_OK)
		code = make_dir(cluster, cluster->socket, 0700, err);
	if (code == ASIDE_OK && !cluster_exists(home))
		code = make_cluster(cluster, err);
	if (code == ASIDE_OK)
		code = postmaster_start(&cluster->postmaster, &cluster->child, cluster->data, cluster->socket, cluster->dsn, err);
	if (code == ASIDE_OK)
		code = make_login(cluster, err);
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

const char *cluster_server_dsn(const struct cluster *cluster)
{
	return cluster->server_dsn;
}

void cluster_stop(struct cluster *cluster)
{
	if (cluster == NULL)
		return;
	postmaster_stop(&cluster->postmaster);
	if (cluster->lock_fd >= 0)
		close(cluster->lock_fd);
	free(cluster);
}
