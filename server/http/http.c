/* See http.h. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "http/process.h"
#include "rpc/server.h"
#include "store/store.h"
#include "wire/status.h"

#define CONNECTIONS_MAX 32 /* the oldest makes room */
#define CONNECTION_BYTES_MAX (16u << 10) /* the request's line and headers, and room for the reply's */
#define IDLE_SECONDS 10
#define BACKLOG 16
#define HOST_BYTES 256
#define TEXT "text/plain; charset=utf-8"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

struct http {
	struct http_options options;
	struct MHD_Daemon *daemon;
	char url[HOST_BYTES + 32];
	/* Of the daemon's thread: the open connections, the oldest first. */
	int connections[CONNECTIONS_MAX];
	unsigned n_connections;
};

/* ── the address ─────────────────────────────────────────────────────────────────────────────────── */

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* "HOST:PORT" into its two parts; a host of IPv6 stands in brackets. */
static bool split(const char *address, char host[HOST_BYTES], const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	size_t length = colon != NULL ? (size_t)(colon - address) : 0;
	bool bracketed = length > 2 && address[0] == '[' && colon[-1] == ']';

	if (length == 0 || length >= HOST_BYTES || (memchr(address, ':', length) != NULL && !bracketed))
		return false;
	(void)snprintf(host, HOST_BYTES, "%.*s", (int)(bracketed ? length - 2 : length), address + bracketed);
	*ret_port = colon + 1;
	return (*ret_port)[0] != '\0' && strlen(*ret_port) <= 5 && strspn(*ret_port, "0123456789") == strlen(*ret_port) &&
			strtoul(*ret_port, NULL, 10) <= 65535;
}

/* With ASIDE_OK, *ret is the caller's to freeaddrinfo(). */
static enum aside_code resolve(const char *address, bool anywhere, struct addrinfo **ret, struct aside_status *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *found = NULL;
	char host[HOST_BYTES];
	const char *port;
	int rv;

	if (!split(address, host, &port))
		return config_bad(err, "http", address, "is not HOST:PORT, with a port from 0 to 65535");
	rv = getaddrinfo(host, port, &hints, &found);
	if (rv != 0)
		return config_bad(err, "http", address, gai_strerror(rv));
	if (!anywhere && !is_loopback(found->ai_addr)) {
		freeaddrinfo(found);
		return config_bad(err, "http", address, "is no loopback address: others could read it, without credentials;"
						 " --http-anywhere allows that");
	}
	*ret = found;
	return ASIDE_OK;
}

enum aside_code http_check(const char *address, bool anywhere, struct aside_status *err)
{
	struct addrinfo *found = NULL;
	enum aside_code code = resolve(address, anywhere, &found, err);

	if (code == ASIDE_OK)
		freeaddrinfo(found);
	return code;
}

/* The listening socket and its name; -1 with *err. */
static int listen_at(const char *address, bool anywhere, char *ret_url, size_t size, struct aside_status *err)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof bound;
	char host[HOST_BYTES], port[16];
	struct addrinfo *found;
	int fd, on = 1;

	if (resolve(address, anywhere, &found, err) != ASIDE_OK)
		return -1;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
			bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
			getsockname(fd, (struct sockaddr *)&bound, &length) != 0 ||
			getnameinfo((struct sockaddr *)&bound, length, host, sizeof host, port, sizeof port,
					NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		(void)fail(err, ASIDE_FAILED_PRECONDITION, "HTTP_FAILED", "--http %s: %s", address, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	} else {
		(void)snprintf(ret_url, size, found->ai_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
	}
	freeaddrinfo(found);
	return fd;
}

/* ── pages ───────────────────────────────────────────────────────────────────────────────────────── */

static void write_store(const struct http *http, FILE *out)
{
	struct store_stats stats;

	store_stats(http->options.store, &stats);
	fprintf(out, "# HELP aside_store_queued Operations that wait for a batch.\n"
		     "# TYPE aside_store_queued gauge\naside_store_queued %" PRIu64 "\n"
		     "# HELP aside_store_in_flight Operations that PostgreSQL has.\n"
		     "# TYPE aside_store_in_flight gauge\naside_store_in_flight %" PRIu64 "\n"
		     "# HELP aside_store_batches_total Batches committed or answered.\n"
		     "# TYPE aside_store_batches_total counter\naside_store_batches_total %" PRIu64 "\n"
		     "# HELP aside_store_operations_total Operations in them; a read that fell back is in two.\n"
		     "# TYPE aside_store_operations_total counter\naside_store_operations_total %" PRIu64 "\n"
		     "# HELP aside_store_retries_total Operations sent again after a lost connection.\n"
		     "# TYPE aside_store_retries_total counter\naside_store_retries_total %" PRIu64 "\n",
			stats.queued, stats.in_flight, stats.batches, stats.operations, stats.retries);
}

/* Nothing without --read-database. */
static void write_replica(const struct http *http, FILE *out)
{
	struct replica_stats stats;

	store_replica_stats(http->options.store, &stats);
	if (stats.lanes > 0)
		fprintf(out, "# HELP aside_replica_lanes Connections to read replicas that there should be.\n"
			     "# TYPE aside_replica_lanes gauge\naside_replica_lanes %u\n"
			     "# HELP aside_replica_lanes_connected Those that there are.\n"
			     "# TYPE aside_replica_lanes_connected gauge\naside_replica_lanes_connected %u\n"
			     "# HELP aside_replica_answered_total Reads that a replica has answered.\n"
			     "# TYPE aside_replica_answered_total counter\naside_replica_answered_total %" PRIu64 "\n"
			     "# HELP aside_replica_fallback_total Reads that fell back to the primary: the replica was behind or away.\n"
			     "# TYPE aside_replica_fallback_total counter\naside_replica_fallback_total %" PRIu64 "\n",
				stats.lanes, stats.connected, stats.answered, stats.fallbacks);
}

static void write_metrics(const struct http *http, FILE *out)
{
	fprintf(out, "# HELP aside_build_info Which version runs.\n# TYPE aside_build_info gauge\n"
		     "aside_build_info{version=\"%s\"} 1\n"
		     "# HELP aside_ready Whether calls are taken.\n# TYPE aside_ready gauge\naside_ready %d\n",
			ASIDE_VERSION, server_serving(http->options.server));
	server_write_metrics(http->options.server, out);
	write_store(http, out);
	write_replica(http, out);
	process_write_metrics(out);
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, void *text, size_t size,
		enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(size, text, mode);
	enum MHD_Result queued;

	if (response == NULL) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return answer(connection, status, TEXT, (void *)(uintptr_t)text, strlen(text), MHD_RESPMEM_PERSISTENT);
}

/* A replica that is away is no reason to send calls elsewhere. */
static enum MHD_Result show_ready(const struct http *http, struct MHD_Connection *connection)
{
	struct replica_stats stats;

	if (!server_serving(http->options.server))
		return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready: draining, or without a database that answers\n");
	store_replica_stats(http->options.store, &stats);
	return say(connection, MHD_HTTP_OK, stats.connected < stats.lanes ? "ready; read replica away\n" : "ready\n");
}

static enum MHD_Result show_metrics(const struct http *http, struct MHD_Connection *connection)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return MHD_NO;
	write_metrics(http, out);
	if (fclose(out) != 0) {
		free(text);
		return MHD_NO;
	}
	return answer(connection, MHD_HTTP_OK, PROMETHEUS, text, size, MHD_RESPMEM_MUST_FREE);
}

/* Runs for a request's headers, then for its end: a body in between is more than anything here takes. */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url, const char *method,
		const char *version, const char *upload, size_t *upload_bytes, void **request)
{
	static char begun;
	const struct http *http = user;

	(void)version, (void)upload;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	if (*request == NULL) {
		*request = &begun;
		return MHD_YES;
	}
	if (*upload_bytes > 0)
		return MHD_NO;
	if (strcmp(url, "/healthz") == 0)
		return say(connection, MHD_HTTP_OK, "ok\n");
	if (strcmp(url, "/readyz") == 0)
		return show_ready(http, connection);
	if (strcmp(url, "/metrics") == 0)
		return show_metrics(http, connection);
	return say(connection, MHD_HTTP_NOT_FOUND, "/healthz, /readyz or /metrics\n");
}

/* Who comes always finds a place, however many hold theirs without asking anything: a probe must not fail for them.
 * The one whose socket ends here is closed by the daemon, which then accepts again. */
static void count(void *user, struct MHD_Connection *connection, void **unused, enum MHD_ConnectionNotificationCode what)
{
	struct http *http = user;
	int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	unsigned kept = 0;

	(void)unused;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		http->connections[http->n_connections++] = fd;
		if (http->n_connections == CONNECTIONS_MAX)
			(void)shutdown(http->connections[0], SHUT_RDWR);
		return;
	}
	for (unsigned i = 0; i < http->n_connections; i++)
		if (http->connections[i] != fd)
			http->connections[kept++] = http->connections[i];
	http->n_connections = kept;
}

/* Paths are compared as they came: no page's name needs escapes, and %00 would end one early. */
static size_t keep_escapes(void *user, struct MHD_Connection *connection, char *text)
{
	(void)user, (void)connection;
	return strlen(text);
}

enum aside_code http_open(const struct http_options *options, struct http **ret, struct aside_status *err)
{
	struct http *http = calloc(1, sizeof *http);
	int fd;

	if (http == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	http->options = *options;
	fd = listen_at(options->address, options->anywhere, http->url, sizeof http->url, err);
	if (fd >= 0)
		http->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, handle, http,
				MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
				MHD_OPTION_NOTIFY_CONNECTION, count, http, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_END);
	if (http->daemon != NULL) {
		*ret = http;
		return ASIDE_OK;
	}
	if (fd >= 0) {
		close(fd);
		(void)fail(err, ASIDE_FAILED_PRECONDITION, "HTTP_FAILED", "--http %s: the HTTP server does not start", options->address);
	}
	free(http);
	return err->code;
}

const char *http_url(const struct http *http)
{
	return http->url;
}

void http_close(struct http *http)
{
	if (http == NULL)
		return;
	MHD_stop_daemon(http->daemon);
	free(http);
}
