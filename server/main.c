/* aside-server: reads its settings, starts the store and the RPC server, and waits for a signal. */
#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "check.h"
#include "config.h"
#include "http/http.h"
#include "log.h"
#include "rpc/builtin.h"
#include "rpc/server.h"
#include "service/attachments.h"
#include "service/retention.h"
#include "service/service.h"
#include "service/watch.h"
#include "store/cluster.h"
#include "store/migrate.h"
#include "store/store.h"
#include "sql.h"

#define EXIT_USAGE 2
#define SERVICES_MAX 16
#define URL_BYTES 256
#define SWEEP_SECONDS 3600
#define SWEEP_SLICE_US 1000000ll /* of one kind; a signal waits for that, and for the operation that is under way then */

struct program {
	struct config config;
	struct cluster *cluster; /* NULL with --database */
	const char *owner_dsn, *dsn; /* for migrations; for the server's lanes */
	struct hub *hub;
	struct store *store;
	struct auth *auth;
	struct server *server;
	struct http *http; /* NULL without --http */
	struct retention retention;
	const struct handlers *handlers[SERVICES_MAX + 1];
	char urls[CONFIG_LIST_MAX][URL_BYTES];
	size_t n_urls;
};

static void usage(FILE *out)
{
	fprintf(out, "aside-server: private messages between people and pages\n\n"
		     "usage: aside-server [FLAG...]\n"
		     "       aside-server [FLAG...] migrate up|down|status\n\n");
	config_help(out);
	fprintf(out, "  --help, --help=markdown, --version\n\n"
		     "Signals: TERM and INT finish the calls under way and exit; HUP reads the keys again.\n"
		     "Exit status: 0 after a clean end, 1 when it cannot start, 2 for a wrong setting.\n");
}

static enum aside_code open_database(struct program *program, struct aside_status *err)
{
	const struct config *config = &program->config;
	enum aside_code code;

	program->owner_dsn = program->dsn = config->database;
	if (program->dsn != NULL)
		return ASIDE_OK;
	code = cluster_start(config->data, config->cluster_user, &program->cluster, err);
	if (code != ASIDE_OK)
		return code;
	program->owner_dsn = cluster_dsn(program->cluster);
	program->dsn = cluster_server_dsn(program->cluster);
	return ASIDE_OK;
}

static enum aside_code submit(void *store, struct op *op, struct aside_status *err)
{
	return store_submit(store, op, err);
}

static bool ready(void *store)
{
	return store_ready(store);
}

static bool queue(void *store, unsigned index, struct queue_stats *ret)
{
	struct store_stats lane;

	if (!store_lane_stats(store, index, &lane, ret->name, sizeof ret->name))
		return false;
	ret->waiting = lane.queued;
	ret->under_way = lane.in_flight;
	ret->batches = lane.batches;
	ret->operations = lane.operations;
	return true;
}

static enum aside_code listen_all(struct program *program, struct aside_status *err)
{
	const struct config *config = &program->config;
	struct listen_options options = { config->tls };
	char fallback[URL_BYTES];
	const char *const fallbacks[] = { fallback, NULL };
	const char *const *urls = config->listen[0] != NULL ? config->listen : fallbacks;
	enum aside_code code = ASIDE_OK;

	(void)snprintf(fallback, sizeof fallback, "ipc://%s/aside.sock", config->data);
	for (; *urls != NULL && code == ASIDE_OK; urls++)
		code = server_listen(program->server, *urls, &options, program->urls[program->n_urls++], URL_BYTES, err);
	return code;
}

static enum aside_code start(struct program *program, struct aside_status *err)
{
	const struct config *config = &program->config;
	struct auth_options auth = { config->keys, config->ipc_user, config->audience, false };
	struct hub_options hub = { config->no_hints ? NULL : program->dsn, watch_sink };
	struct store_options store = { program->dsn, config->read_database, config_number(config->write_lanes),
		config_number(config->read_lanes), hub_committed, NULL };
	/* A database of its own is brought up to date; another one is its owner's to change. */
	enum aside_code code = program->cluster != NULL ? migrate_up(program->owner_dsn, &sql_migrations, err) :
						      migrate_check(program->dsn, &sql_migrations, err);
	size_t n = 0;

	for (; n < SERVICES_MAX - 3 && service_all[n] != NULL; n++)
		program->handlers[n] = service_all[n];
	program->handlers[n++] = &health_handlers;
	program->handlers[n++] = &introspection_handlers;
	program->handlers[n] = &reflection_handlers;
	if (code == ASIDE_OK)
		code = hub_open(&hub, &program->hub, err);
	store.committed_user = program->hub;
	if (code == ASIDE_OK)
		code = store_open(&store, &program->store, err);
	if (code == ASIDE_OK)
		code = hub_start(program->hub, program->store, err);
	if (code == ASIDE_OK)
		code = auth_open(&auth, &program->auth, err);
	if (code != ASIDE_OK)
		return code;
	struct server_options options = { .handlers = program->handlers, .auth = program->auth, .submit = submit,
		.ready = ready, .queue = queue, .store = program->store, .workers = config_number(config->workers),
		.origins = config->origin, .kept_bytes_max = (uint64_t)config_number(config->peer_memory) << 20 };
	code = server_open(&options, &program->server, err);
	if (code == ASIDE_OK)
		code = listen_all(program, err);
	if (code != ASIDE_OK)
		return code;
	program->retention = (struct retention){ .message_days = config_number(config->keep_messages),
		.event_days = config_number(config->keep_events) };
	watch_init(program->hub);
	builtin_init(program->server, program->handlers);
	auth_warn_of_scopes(program->auth, builtin_asks_for);
	if (config->keys == NULL && config->ipc_user[0] == NULL)
		log_warning("event=nobody_served message=\"without --keys and --ipc-user nobody may call anything but health\"");
	code = server_start(program->server, err);
	if (code == ASIDE_OK && config->http != NULL)
		code = http_open(&(struct http_options){ config->http, config->http_anywhere, program->server, program->store },
				&program->http, err);
	return code;
}

static void announce(const struct program *program)
{
	printf("ready");
	for (size_t i = 0; i < program->n_urls; i++)
		printf(" %s", program->urls[i]);
	if (program->http != NULL)
		printf(" %s", http_url(program->http));
	printf("\n");
	fflush(stdout);
}

/* Removes what is not kept any longer, and the uploads that no message has used (P13).  True: there is more to do. */
static bool sweep(struct program *program)
{
	struct aside_status err;
	uint64_t removed = 0;
	unsigned uploads = 0;
	bool more = false, failed = false;

	if (retention_sweep(&program->retention, program->store, clock_realtime_us(), clock_monotonic_us() + SWEEP_SLICE_US, &more,
			&removed, &err) != ASIDE_OK) {
		log_warning("event=retention_failed message=\"%s\"", err.message);
		failed = true;
	}
	int64_t until_us = clock_monotonic_us() + SWEEP_SLICE_US;
	if (attachments_sweep(program->store, clock_realtime_us(), until_us, &uploads, &err) != ASIDE_OK) {
		log_warning("event=sweep_failed message=\"%s\"", err.message);
		failed = true;
	}
	if (removed > 0 || uploads > 0)
		log_info("event=sweep removed=%llu uploads=%u", (unsigned long long)removed, uploads);
	return !failed && (more || clock_monotonic_us() >= until_us);
}

/* Until TERM or INT; sweeps at once, and then every hour. */
static void wait_for_end(struct program *program, const sigset_t *signals)
{
	struct aside_status err;
	int signal = 0;
	bool more = true;

	while (signal != SIGTERM && signal != SIGINT) {
		signal = sigtimedwait(signals, NULL, &(struct timespec){ more ? 0 : SWEEP_SECONDS, 0 });
		if (signal < 0)
			more = sweep(program);
		if (signal != SIGHUP)
			continue;
		if (auth_reload(program->auth, &err) == ASIDE_OK)
			log_info("event=keys_reloaded n=%zu", auth_count_keys(program->auth));
		else
			log_error("event=keys_kept message=\"%s\"", err.message);
	}
}

/* `served`: what never began need not be said to be over. */
static void stop(struct program *program, bool served)
{
	unsigned calls_left = 0;
	int64_t deadline = clock_monotonic_us() + config_number(program->config.drain_timeout) * 1000000ll;

	if (program->server != NULL)
		calls_left = server_drain(program->server, deadline);
	if (served)
		log_info("event=drained calls_left=%u", calls_left);
	http_close(program->http);
	hub_stop(program->hub);
	store_stop(program->store, deadline); /* answers what is left; the server may still ask it, in vain */
	server_close(program->server);
	store_close(program->store, deadline);
	hub_close(program->hub);
	auth_close(program->auth);
	cluster_stop(program->cluster);
}

static int complain(const struct aside_status *err)
{
	fprintf(stderr, "aside-server: %s\n", err->message);
	return EXIT_FAILURE;
}

static enum aside_code print_status(const char *dsn, const struct migrations *ours, struct aside_status *err)
{
	return migrate_status(dsn, ours, stdout, err);
}

static const struct {
	const char *name;
	enum aside_code (*run)(const char *owner_dsn, const struct migrations *ours, struct aside_status *err);
	bool begins; /* with a private PostgreSQL where there is none */
} migrations[] = { { "up", migrate_up, true }, { "down", migrate_down, false }, { "status", print_status, false } };

static int migrate(struct program *program, const char *what)
{
	struct aside_status err = { 0 };
	size_t i = 0;

	while (i < sizeof migrations / sizeof migrations[0] && strcmp(migrations[i].name, what) != 0)
		i++;
	if (i == sizeof migrations / sizeof migrations[0]) {
		fprintf(stderr, "aside-server: migrate up, down or status, not %s\n", what);
		return EXIT_USAGE;
	}
	if (!migrations[i].begins && program->config.database == NULL && !cluster_exists(program->config.data)) {
		fprintf(stderr, "aside-server: %s: there is no private PostgreSQL; --database DSN names another database\n",
				program->config.data);
		return EXIT_FAILURE;
	}
	enum aside_code code = open_database(program, &err);
	if (code == ASIDE_OK)
		code = migrations[i].run(program->owner_dsn, &sql_migrations, &err);
	cluster_stop(program->cluster);
	return code == ASIDE_OK ? EXIT_SUCCESS : complain(&err);
}

/* A connection takes a file; how many there may be is the hard limit's to say, not the soft one's, which is 1024 in most
 * places for the sake of select(). */
static void raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	int rv = setrlimit(RLIMIT_NOFILE, &limit);
	log_debug("event=files limit=%llu message=\"%s\"", (unsigned long long)limit.rlim_max, rv == 0 ? "raised" : strerror(errno));
}

static int serve(struct program *program)
{
	struct aside_status err = { 0 };
	sigset_t signals;

	/* Blocked before any thread exists: only sigwait() sees them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	if (open_database(program, &err) != ASIDE_OK || start(program, &err) != ASIDE_OK) {
		stop(program, false);
		return complain(&err);
	}
	announce(program);
	wait_for_end(program, &signals);
	stop(program, true);
	return EXIT_SUCCESS;
}

/* Alone, or after migrate and what comes before and after it. */
static bool wants_help(int argc, char **argv)
{
	bool migrates = false;

	for (int i = 1; i < argc - 1; i++)
		migrates = migrates || strcmp(argv[i], "migrate") == 0;
	return (argc == 2 || migrates) && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0);
}

int main(int argc, char **argv)
{
	static struct program program;
	enum log_level level = LOG_INFO;
	struct aside_status err;
	char **rest;

	if (wants_help(argc, argv)) {
		usage(stdout);
		return EXIT_SUCCESS;
	}
	if (argc == 2 && strcmp(argv[1], "--help=markdown") == 0) {
		config_markdown(stdout);
		return EXIT_SUCCESS;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("aside-server %s\n", ASIDE_VERSION);
		return EXIT_SUCCESS;
	}
	if (config_read(&program.config, argc, argv, &rest, &err) != ASIDE_OK ||
			config_check(&program.config, rest[0] == NULL, &err) != ASIDE_OK) {
		fprintf(stderr, "aside-server: %s\n", err.message);
		return EXIT_USAGE;
	}
	(void)log_level_parse(program.config.log_level, &level);
	log_init(level);
	if (program.config.check) {
		config_print(&program.config, stdout);
		return EXIT_SUCCESS;
	}
	if (rest[0] != NULL && strcmp(rest[0], "migrate") == 0 && rest[1] != NULL && rest[2] == NULL)
		return migrate(&program, rest[1]);
	if (rest[0] != NULL) {
		fprintf(stderr, "aside-server: migrate up|down|status is the one command there is: see aside-server --help\n");
		return EXIT_USAGE;
	}
	return serve(&program);
}
