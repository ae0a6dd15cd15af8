/* See check.h. */
#include "check.h"

#include <errno.h>
#include <libpq-fe.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http.h"
#include "log.h"
#include "rpc/auth.h"
#include "store/cluster.h"
#include "wire/status.h"

#define PATH_BYTES 512

/* ── addresses ───────────────────────────────────────────────────────────────────────────────────── */

static const struct scheme {
	const char *prefix;
	bool network, tls;
} schemes[] = {
	{ "tcp://", true, false }, { "tls+tcp://", true, true }, { "ws://", true, false }, { "wss://", true, true },
	{ "ipc://", false, false }, { "inproc://", false, false },
};

static const struct scheme *scheme_of(const char *url)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
			return &schemes[i];
	return NULL;
}

/* NULL, or what is wrong with "HOST:PORT[/PATH]". */
static const char *check_host(const char *rest)
{
	size_t length = strcspn(rest, "/");
	const char *colon = memrchr(rest, ':', length), *port = colon != NULL ? colon + 1 : NULL;
	size_t digits = port != NULL ? strspn(port, "0123456789") : 0;

	if (port == NULL || port + digits != rest + length || digits == 0)
		return "has no port";
	if (digits > 5 || strtoul(port, NULL, 10) > 65535)
		return "has a port beyond 65535";
	return NULL;
}

static const char *check_socket(const char *path)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	struct stat info;

	if (path[0] != '/')
		return "is no absolute path: ipc:///run/aside.sock";
	if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		return "is longer than a socket's path may be, 107 bytes";
	(void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
		return "is in no folder that exists";
	/* nng removes what is there and nobody listens at. */
	return lstat(path, &info) == 0 && !S_ISSOCK(info.st_mode) ? "is there already, and no socket" : NULL;
}

static enum aside_code check_listen(const struct config *config, const char *url, struct aside_status *err)
{
	const struct scheme *scheme = scheme_of(url);
	const char *why = NULL;

	if (scheme == NULL)
		why = "is none of tcp://, tls+tcp://, ws://, wss://, ipc://";
	else if (scheme->network)
		why = check_host(url + strlen(scheme->prefix));
	else if (strcmp(scheme->prefix, "ipc://") == 0)
		why = check_socket(url + strlen(scheme->prefix));
	if (why == NULL && scheme->tls && config->tls == NULL)
		why = "needs --tls: a certificate and its key";
	if (why == NULL && scheme->network && config->keys == NULL)
		return fail(err, ASIDE_INVALID_ARGUMENT, "KEYS_REQUIRED",
				"--listen %.120s: a network address needs --keys: nobody is served anonymously", url);
	return why == NULL ? ASIDE_OK : config_bad(err, "listen", url, why);
}

/* Where a server listens that was not told where. */
static enum aside_code check_default_socket(const char *data, struct aside_status *err)
{
	char path[PATH_BYTES];
	struct stat info;

	(void)snprintf(path, sizeof path, "%s/aside.sock", data);
	if (lstat(path, &info) == 0 && !S_ISSOCK(info.st_mode))
		return config_bad(err, "data", data, "its aside.sock is there already, and no socket");
	return ASIDE_OK;
}

/* As RFC 6454, 6.2, writes it: what is not written so is no page's. */
static enum aside_code check_origin(const char *origin, struct aside_status *err)
{
	const char *host = strstr(origin, "://");

	if (host == NULL || host == origin || host[3] == '\0' || strchr(host + 3, '/') != NULL)
		return config_bad(err, "origin", origin, "is not of the form https://HOST or https://HOST:PORT");
	return ASIDE_OK;
}

/* ── files and folders ───────────────────────────────────────────────────────────────────────────── */

/* None: who starts a server is not asked, and neither is nng's TLS. */
static int no_password(char *buffer, int size, int writes, void *user)
{
	(void)buffer;
	(void)size;
	(void)writes;
	(void)user;
	return -1;
}

/* NULL, or what is wrong with the file's certificate, the first of those there, and key. */
static const char *check_pair(FILE *file)
{
	X509 *certificate = PEM_read_X509(file, NULL, no_password, NULL);
	const char *why = NULL;

	rewind(file);
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, no_password, NULL);
	if (certificate == NULL || key == NULL)
		why = "must hold a certificate and its private key, PEM, without a password";
	else if (X509_check_private_key(certificate, key) != 1)
		why = "the private key is not that of the first certificate";
	X509_free(certificate);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return why;
}

static enum aside_code check_tls(const char *path, struct aside_status *err)
{
	FILE *file = path != NULL ? fopen(path, "re") : NULL;

	if (path == NULL)
		return ASIDE_OK;
	if (file == NULL)
		return config_bad(err, "tls", path, strerror(errno));
	const char *why = check_pair(file);
	fclose(file);
	return why == NULL ? ASIDE_OK : config_bad(err, "tls", path, why);
}

/* The folder is made where it is not there yet; the one above it is not. */
static enum aside_code check_data(const char *data, struct aside_status *err)
{
	char above[PATH_BYTES];
	const char *slash = strrchr(data, '/'), *path = data;
	struct stat info;

	if (stat(data, &info) != 0 && errno == ENOENT) {
		(void)snprintf(above, sizeof above, "%.*s", slash == NULL || slash == data ? 1 : (int)(slash - data),
				slash == NULL ? "." : data);
		path = above;
	}
	if (stat(path, &info) != 0)
		return config_bad(err, "data", data, strerror(errno));
	if (!S_ISDIR(info.st_mode))
		return config_bad(err, "data", data, "is no folder");
	return access(path, W_OK | X_OK) == 0 ? ASIDE_OK : config_bad(err, "data", data, "cannot be written");
}

static enum aside_code check_private(const struct config *config, struct aside_status *err)
{
	struct passwd *who = geteuid() == 0 ? getpwnam(config->cluster_user) : NULL;

	if (geteuid() == 0 && who == NULL)
		return config_bad(err, "cluster-user", config->cluster_user, "there is no such user");
	if (who != NULL && who->pw_uid == 0)
		return config_bad(err, "cluster-user", config->cluster_user, "PostgreSQL does not run as root");
	if (access(CLUSTER_POSTGRES, X_OK) != 0)
		return fail(err, ASIDE_FAILED_PRECONDITION, "NO_POSTGRESQL",
				"there is no " CLUSTER_POSTGRES ": install postgresql-15, or say --database DSN");
	return check_data(config->data, err);
}

/* What stands on the command line every user of the machine can read. */
static enum aside_code check_database(const char *flag, const char *variable, const char *dsn, struct aside_status *err)
{
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(dsn, &why);
	enum aside_code code = ASIDE_OK;

	if (options == NULL)
		code = fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s: %.*s", flag, why != NULL ? (int)strcspn(why, "\n") : 0,
				why != NULL ? why : "");
	for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
		if (option->val != NULL && option->dispchar[0] == '*' && dsn != getenv(variable))
			code = fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG",
					"--%s: no password there, where everybody can read it:"
					" use a password file, a service file or %s", flag, variable);
	PQconninfoFree(options);
	PQfreemem(why);
	return code;
}

static enum aside_code check_replica(const struct config *config, struct aside_status *err)
{
	if (config->database == NULL)
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--read-database: needs --database: the private PostgreSQL has no replica");
	return check_database("read-database", "ASIDE_READ_DATABASE", config->read_database, err);
}

/* As the server would: reads the keys, and who ipc's uids are. */
static enum aside_code check_callers(const struct config *config, struct aside_status *err)
{
	struct auth_options options = { config->keys, config->ipc_user, config->audience, .quiet = !config->check };
	struct aside_status why = { 0 };
	struct auth *auth = NULL;
	const char *flag;

	if (config->audience != NULL && config->keys == NULL)
		return config_bad(err, "audience", config->audience, "is of tokens, which take --keys");

	if (auth_open(&options, &auth, &why) == ASIDE_OK) {
		auth_close(auth);
		return ASIDE_OK;
	}
	flag = strcmp(why.reason, "BAD_IPC_USER") == 0 ? "ipc-user" : strcmp(why.reason, "BAD_AUDIENCE") == 0 ? "audience" : "keys";
	return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s %s", flag, why.message);
}

enum aside_code config_check(const struct config *config, bool serves, struct aside_status *err)
{
	enum log_level level;
	enum aside_code code;

	if (!log_level_parse(config->log_level, &level))
		return config_bad(err, "log-level", config->log_level, "is none of debug, info, warning, error");
	code = config->database != NULL ? check_database("database", "ASIDE_DATABASE", config->database, err) :
					  check_private(config, err);
	if (!serves)
		return code;
	if (code == ASIDE_OK && config->read_database != NULL)
		code = check_replica(config, err);
	if (code == ASIDE_OK && config->listen[0] == NULL)
		code = check_default_socket(config->data, err);
	for (size_t i = 0; config->listen[i] != NULL && code == ASIDE_OK; i++)
		code = check_listen(config, config->listen[i], err);
	for (size_t i = 0; config->origin[i] != NULL && code == ASIDE_OK; i++)
		code = check_origin(config->origin[i], err);
	if (code == ASIDE_OK)
		code = check_tls(config->tls, err);
	if (code == ASIDE_OK)
		code = check_callers(config, err);
	if (code == ASIDE_OK && config->http != NULL)
		code = http_check(config->http, config->http_anywhere, err);
	return code;
}
