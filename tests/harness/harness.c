/* See harness.h.
 *
 *     test ──▶ keeper (sh)       reads a pipe whose other end the test, the servers and their PostgreSQL hold:
 *      │                         at its end all of them are gone, and the folder with them
 *      └─────▶ server 0 ──▶ PostgreSQL ◀── server 1 … */
#include "aside/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

#define END_TIMEOUT_MS 60000
#define KEEPER_TIMEOUT_MS 30000
#define CONNECT_TIMEOUT_MS 20000
#define PATH_BYTES 128
#define EVERY_SCOPE "service:test:page.write,page.read,wall.write,message.read,user.act,server.inspect"
#define TAIL_LINES 60
#define LINE_BYTES 1024

struct server {
	struct process process;
	char address[PATH_BYTES], data[PATH_BYTES];
	const char *listeners[ASIDE_HARNESS_FLAGS_MAX + 2]; /* into process.ready, which names them in order */
	struct aside_channel *channel;
};

struct aside_harness {
	struct aside_harness_options options;
	struct server servers[ASIDE_HARNESS_SERVERS_MAX];
	unsigned n_servers;
	char folder[64], user[256];
	char program[512];
	/* Server 0's own, unless options.database is set: as its owner, and as a server. */
	char database[512], server_database[512];
	pid_t keeper;
	int keep_fd;
};

static enum aside_code failed(struct aside_status *err, const char *what)
{
	*err = (struct aside_status){ .code = ASIDE_FAILED_PRECONDITION, .reason = "HARNESS_FAILED" };
	(void)snprintf(err->message, sizeof err->message, "%s", what);
	return err->code;
}

/* ── the folder and its keeper ───────────────────────────────────────────────────────────────────── */

static void run_keeper(int pipe_fd, char *folder)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"cat >/dev/null; test -n \"$ASIDE_HARNESS_KEEP\" || rm -rf -- \"$1\"", (char *)"sh", folder, NULL };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)setsid(); /* a Ctrl-C is for the test; the keeper works after it */
	dup2(pipe_fd, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execv("/bin/sh", argv);
	_exit(127);
}

static enum aside_code make_folder(struct aside_harness *harness, struct aside_status *err)
{
	const char *parent = getenv("TMPDIR");
	int keep[2];

	(void)snprintf(harness->folder, sizeof harness->folder, "%s/aside-test-XXXXXX", parent != NULL ? parent : "/tmp");
	if (mkdtemp(harness->folder) == NULL)
		return failed(err, "no folder can be made in $TMPDIR");
	if (chmod(harness->folder, 0755) != 0 || pipe2(keep, O_CLOEXEC) != 0)
		return failed(err, "the folder has no keeper");
	harness->keeper = fork();
	if (harness->keeper == 0)
		run_keeper(keep[0], harness->folder);
	close(keep[0]);
	harness->keep_fd = keep[1];
	return harness->keeper > 0 ? ASIDE_OK : failed(err, "the folder has no keeper");
}

/* Lets go of the folder; false when somebody else does not. */
static bool leave_folder(struct aside_harness *harness)
{
	int status = 0;

	if (harness->keep_fd >= 0)
		close(harness->keep_fd);
	if (harness->keeper <= 0)
		return true;
	if (process_wait(harness->keeper, KEEPER_TIMEOUT_MS, &status))
		return true;
	fprintf(stderr, "aside-harness: a process that a server left behind still runs in %s\n", harness->folder);
	return false;
}

/* ── servers ─────────────────────────────────────────────────────────────────────────────────────── */

/* Servers work in the folder: a path must not depend on where the test works. */
static void find_program(struct aside_harness *harness)
{
	const char *program = harness->options.program;
	char *path;

	if (program == NULL)
		program = getenv("ASIDE_SERVER_PROGRAM");
	if (program == NULL)
		program = "aside-server";
	path = strchr(program, '/') != NULL ? realpath(program, NULL) : NULL;
	(void)snprintf(harness->program, sizeof harness->program, "%s", path != NULL ? path : program);
	free(path);
}

/* The flags all servers have; returns how many words. */
static size_t common_flags(const struct aside_harness *harness, unsigned n, const char **argv)
{
	const struct server *server = &harness->servers[n];
	size_t words = 0;

	argv[words++] = harness->program;
	argv[words++] = "--data";
	argv[words++] = server->data;
	if (n > 0 || harness->options.database != NULL) {
		argv[words++] = "--database";
		argv[words++] = harness->options.database != NULL ? harness->options.database : harness->server_database;
	}
	return words;
}

/* "ADDRESS ADDRESS…": the harness's own comes first. */
static void read_listeners(struct server *server)
{
	char *state = NULL;
	size_t n = 0;

	for (char *word = strtok_r(server->process.ready, " ", &state); word != NULL && n < ASIDE_HARNESS_FLAGS_MAX;
			word = strtok_r(NULL, " ", &state))
		server->listeners[n++] = word;
	server->listeners[n] = NULL;
}

static enum aside_code start_server(struct aside_harness *harness, unsigned n, struct aside_status *err)
{
	struct server *server = &harness->servers[n];
	const char *argv[16 + ASIDE_HARNESS_FLAGS_MAX] = { NULL };
	size_t words = common_flags(harness, n, argv);

	if (harness->user[0] != '\0') {
		argv[words++] = "--ipc-user";
		argv[words++] = harness->user;
	}
	argv[words++] = "--listen";
	argv[words++] = server->address;
	for (size_t i = 0; harness->options.flags != NULL && harness->options.flags[i] != NULL; i++) {
		if (i == ASIDE_HARNESS_FLAGS_MAX)
			return failed(err, "too many flags");
		argv[words++] = harness->options.flags[i];
	}
	enum aside_code code = process_start(&server->process, (char *const *)(uintptr_t)argv, harness->keep_fd, err);
	if (code == ASIDE_OK)
		read_listeners(server);
	return code;
}

static enum aside_code migrate(struct aside_harness *harness, struct aside_status *err)
{
	const char *argv[16] = { NULL };
	size_t words = common_flags(harness, 0, argv);

	argv[words++] = "migrate";
	argv[words++] = "up";
	if (process_run(&harness->servers[0].process, (char *const *)(uintptr_t)argv, harness->keep_fd) != 0)
		return failed(err, "the database cannot be migrated");
	return ASIDE_OK;
}

static void name_server(struct aside_harness *harness, unsigned n)
{
	struct server *server = &harness->servers[n];

	server->process.folder = harness->folder;
	(void)snprintf(server->data, sizeof server->data, "%s/data-%u", harness->folder, n);
	(void)snprintf(server->address, sizeof server->address, "ipc://%s/server-%u.sock", harness->folder, n);
	(void)snprintf(server->process.log, sizeof server->process.log, "%s/server-%u.log", harness->folder, n);
}

static enum aside_code start_all(struct aside_harness *harness, struct aside_status *err)
{
	struct aside_options options = { .connect_timeout_ms = CONNECT_TIMEOUT_MS };
	enum aside_code code = make_folder(harness, err);

	for (unsigned n = 0; n < harness->n_servers && code == ASIDE_OK; n++)
		name_server(harness, n);
	(void)snprintf(harness->database, sizeof harness->database, "host=%s/socket user=aside dbname=postgres",
			harness->servers[0].data);
	(void)snprintf(harness->server_database, sizeof harness->server_database,
			"host=%s/socket user=aside_server dbname=postgres", harness->servers[0].data);
	if (code == ASIDE_OK && harness->options.prepare != NULL && !harness->options.prepare(harness->folder))
		code = failed(err, "the folder was not prepared");
	if (code == ASIDE_OK && harness->options.database != NULL)
		code = migrate(harness, err);
	for (unsigned n = 0; n < harness->n_servers && code == ASIDE_OK; n++) {
		code = start_server(harness, n, err);
		if (code == ASIDE_OK)
			code = aside_channel_open(harness->servers[n].address, &options,
					&harness->servers[n].channel, err);
	}
	return code;
}

/* ── the public side ─────────────────────────────────────────────────────────────────────────────── */

enum aside_code aside_harness_start(const struct aside_harness_options *options, struct aside_harness **ret_harness,
		struct aside_status *ret_status)
{
	struct aside_harness *harness = calloc(1, sizeof *harness);
	struct aside_status ignored = { 0 }, *err = ret_status != NULL ? ret_status : &ignored;
	enum aside_code code;

	if (harness == NULL)
		return failed(err, "out of memory");
	if (options != NULL)
		harness->options = *options;
	if (harness->options.database == NULL)
		harness->options.database = getenv("ASIDE_HARNESS_DATABASE");
	harness->keep_fd = -1;
	find_program(harness);
	harness->n_servers = harness->options.servers != 0 ? harness->options.servers : 1;
	if (harness->options.principal == NULL)
		harness->options.principal = EVERY_SCOPE;
	if (harness->options.principal[0] != '\0')
		(void)snprintf(harness->user, sizeof harness->user, "%d=%s", (int)geteuid(), harness->options.principal);
	if (harness->n_servers > ASIDE_HARNESS_SERVERS_MAX) {
		free(harness);
		return failed(err, "more than ASIDE_HARNESS_SERVERS_MAX servers");
	}
	code = start_all(harness, err);
	if (code == ASIDE_OK) {
		*ret_harness = harness;
		return ASIDE_OK;
	}
	aside_harness_show_logs(harness, stderr);
	(void)aside_harness_stop(harness);
	return code;
}

int aside_harness_stop(struct aside_harness *harness)
{
	bool ok = true;

	if (harness == NULL)
		return EXIT_SUCCESS;
	/* Server 0 last: it takes the database away. */
	for (unsigned n = harness->n_servers; n-- > 0;) {
		aside_channel_close(harness->servers[n].channel);
		int status = harness->servers[n].process.pid > 0 ? aside_harness_terminate(harness, n) : 0;
		if (status != 0)
			fprintf(stderr, "aside-harness: server %u ended with status %d\n", n, status);
		ok = ok && status == 0;
	}
	ok = leave_folder(harness) && ok;
	free(harness);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

const char *aside_harness_address(const struct aside_harness *harness, unsigned server)
{
	return server < harness->n_servers ? harness->servers[server].address : NULL;
}

const char *aside_harness_listener(const struct aside_harness *harness, unsigned server, unsigned nth)
{
	return server < harness->n_servers && nth < ASIDE_HARNESS_FLAGS_MAX ? harness->servers[server].listeners[nth + 1] : NULL;
}

struct aside_channel *aside_harness_channel(const struct aside_harness *harness, unsigned server)
{
	return server < harness->n_servers ? harness->servers[server].channel : NULL;
}

const char *aside_harness_database(const struct aside_harness *harness)
{
	return harness->options.database != NULL ? harness->options.database : harness->database;
}

const char *aside_harness_folder(const struct aside_harness *harness)
{
	return harness->folder;
}

pid_t aside_harness_pid(const struct aside_harness *harness, unsigned server)
{
	return harness->servers[server].process.pid;
}

void aside_harness_crash(struct aside_harness *harness, unsigned server)
{
	(void)process_end(&harness->servers[server].process, SIGKILL, END_TIMEOUT_MS);
}

int aside_harness_terminate(struct aside_harness *harness, unsigned server)
{
	return process_end(&harness->servers[server].process, SIGTERM, END_TIMEOUT_MS);
}

enum aside_code aside_harness_restart(struct aside_harness *harness, unsigned server, struct aside_status *ret_status)
{
	struct aside_status ignored = { 0 }, *err = ret_status != NULL ? ret_status : &ignored;
	enum aside_code code;

	if (harness->servers[server].process.pid > 0)
		return failed(err, "the server runs");
	code = start_server(harness, server, err);
	if (code != ASIDE_OK)
		aside_harness_show_logs(harness, stderr);
	return code;
}

/* ── logs ────────────────────────────────────────────────────────────────────────────────────────── */

bool aside_harness_logged(const struct aside_harness *harness, unsigned server, const char *text)
{
	FILE *log = fopen(harness->servers[server].process.log, "re");
	char line[LINE_BYTES];
	bool found = false;

	while (log != NULL && !found && fgets(line, sizeof line, log) != NULL)
		found = strstr(line, text) != NULL;
	if (log != NULL)
		fclose(log);
	return found;
}

static void show_tail(FILE *log, unsigned n, FILE *out)
{
	static char lines[TAIL_LINES][LINE_BYTES];
	size_t read = 0;

	while (fgets(lines[read % TAIL_LINES], LINE_BYTES, log) != NULL)
		read++;
	for (size_t i = read > TAIL_LINES ? read - TAIL_LINES : 0; i < read; i++)
		fprintf(out, "server %u| %s", n, lines[i % TAIL_LINES]);
}

void aside_harness_show_logs(const struct aside_harness *harness, FILE *out)
{
	for (unsigned n = 0; harness != NULL && n < harness->n_servers; n++) {
		FILE *log = fopen(harness->servers[n].process.log, "re");
		if (log == NULL)
			continue;
		show_tail(log, n, out);
		fclose(log);
	}
	fflush(out);
}

/* ── calls ───────────────────────────────────────────────────────────────────────────────────────── */

const struct aside_call_options *aside_harness_as(int64_t user_id)
{
	static _Thread_local char digits[24];
	static _Thread_local struct aside_metadata metadata;
	static _Thread_local struct aside_call_options options;

	metadata = (struct aside_metadata){ "act-as-user", digits,
		(size_t)snprintf(digits, sizeof digits, "%lld", (long long)user_id) };
	options = (struct aside_call_options){ .metadata = &metadata, .n_metadata = 1 };
	return user_id != 0 ? &options : NULL;
}
