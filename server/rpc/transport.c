/* nng 1.5.2, used with open eyes: no nng_msg_insert, a context receives only after its send has ended, every
 * limit set; what its sends must be kept from is in wire/guard.c.  See transport.h. */
#include "transport.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <nng/transport/tls/tls.h>
#include <nng/transport/ws/websocket.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "origin.h"
#include "wire/socket.h"
#include "wire/status.h"

#define RECEIVING_MIN 16 /* turns that wait for a request: fewer, and one more is made */
#define FILES_SPARE 64 /* that connections leave to the database, to HTTP, and to those who just come */

/* What a turn does.
 *
 *     RECEIVING ──request──▶ HELD ──reply──▶ SENDING ──▶ RECEIVING
 *                             └── dropped ─────────────────▲        */
enum turn_state {
	TURN_RECEIVING,
	TURN_HELD,
	TURN_SENDING,
};

struct turn {
	struct transport *transport;
	enum turn_state state; /* changes in the hands of whoever has the turn; nng orders the rest */
	nng_ctx ctx;
	nng_aio *aio;
	uint32_t connection; /* of its request */
	int64_t kept_bytes;  /* for its peer, while it is not RECEIVING */
	struct turn *next;   /* all there are */
};

struct transport {
	nng_socket socket;
	struct transport_events events;
	const char *const *origins;
	unsigned connections_max;
	atomic_uint n_connections;
	pthread_mutex_t mutex;
	struct turn *turns;
	unsigned n_receiving, n_sending;
	bool stopping;
	pthread_cond_t sent; /* while stopping */
};

static enum aside_code nng_failed(int rv, const char *what, struct aside_status *err)
{
	enum aside_code code = rv == NNG_ENOMEM ? ASIDE_RESOURCE_EXHAUSTED :
			rv == NNG_EADDRINUSE || rv == NNG_EPERM ? ASIDE_FAILED_PRECONDITION :
								  ASIDE_INVALID_ARGUMENT;

	return fail(err, code, "TRANSPORT_ERROR", "%s: %s", what, nng_strerror(rv));
}

int64_t message_peer_uid(const struct message *message)
{
	uint64_t uid;

	return nng_pipe_get_uint64(nng_msg_get_pipe(message->handle), NNG_OPT_IPC_PEER_UID, &uid) == 0 ? (int64_t)uid : -1;
}

/* ── turns ───────────────────────────────────────────────────────────────────────────────────────── */

static void on_turn(void *arg);

static void keep(struct transport *transport, uint32_t connection, int64_t bytes)
{
	if (bytes != 0)
		transport->events.kept(transport->events.user, connection, bytes);
}

/* Small ones are counted with their turn. */
static int64_t count_bytes(size_t size)
{
	return size > TURN_BYTES ? (int64_t)size : 0;
}

static void turn_receive(struct turn *turn)
{
	struct transport *transport = turn->transport;

	keep(transport, turn->connection, -turn->kept_bytes);
	turn->kept_bytes = 0;
	turn->state = TURN_RECEIVING;
	pthread_mutex_lock(&transport->mutex);
	transport->n_receiving++;
	pthread_mutex_unlock(&transport->mutex);
	nng_ctx_recv(turn->ctx, turn->aio);
}

/* One more; false without memory and while the transport stops.  How many there are is limited by what they keep. */
static bool turn_add(struct transport *transport)
{
	struct turn *turn = calloc(1, sizeof *turn);
	bool added = false;

	if (turn == NULL || nng_ctx_open(&turn->ctx, transport->socket) != 0) {
		free(turn);
		return false;
	}
	turn->transport = transport;
	if (nng_aio_alloc(&turn->aio, on_turn, turn) == 0) {
		pthread_mutex_lock(&transport->mutex);
		added = !transport->stopping;
		if (added) {
			turn->next = transport->turns;
			transport->turns = turn;
		}
		pthread_mutex_unlock(&transport->mutex);
	}
	if (added) {
		turn_receive(turn);
		return true;
	}
	nng_aio_free(turn->aio);
	nng_ctx_close(turn->ctx);
	free(turn);
	return false;
}

/* A request has taken one of those that wait: is another needed? */
static bool taken(struct transport *transport)
{
	pthread_mutex_lock(&transport->mutex);
	bool few = --transport->n_receiving < RECEIVING_MIN;
	pthread_mutex_unlock(&transport->mutex);
	return few;
}

static void hand_over(struct turn *turn, nng_msg *msg)
{
	struct transport *transport = turn->transport;
	struct message *message = calloc(1, sizeof *message);

	turn->state = TURN_HELD;
	turn->connection = (uint32_t)nng_pipe_id(nng_msg_get_pipe(msg));
	turn->kept_bytes = TURN_BYTES;
	keep(transport, turn->connection, TURN_BYTES + count_bytes(nng_msg_len(msg)));
	if (message == NULL) {
		keep(transport, turn->connection, -count_bytes(nng_msg_len(msg)));
		nng_msg_free(msg);
		turn_drop(turn);
		return;
	}
	message->turn = turn;
	message->connection = turn->connection;
	message->body = (struct bytes){ nng_msg_body(msg), nng_msg_len(msg) };
	message->handle = msg;
	transport->events.received(transport->events.user, message);
}

static void count_sent(struct transport *transport)
{
	pthread_mutex_lock(&transport->mutex);
	if (--transport->n_sending == 0 && transport->stopping)
		pthread_cond_signal(&transport->sent);
	pthread_mutex_unlock(&transport->mutex);
}

static void on_turn(void *arg)
{
	struct turn *turn = arg;
	struct transport *transport = turn->transport;
	int rv = nng_aio_result(turn->aio);

	if (turn->state == TURN_SENDING) {
		count_sent(transport);
		if (rv != 0)
			nng_msg_free(nng_aio_get_msg(turn->aio)); /* the peer is gone */
		if (rv != NNG_ECLOSED && rv != NNG_ECANCELED)
			turn_receive(turn);
		return;
	}
	if (taken(transport) && rv == 0)
		(void)turn_add(transport);
	if (rv == 0)
		hand_over(turn, nng_aio_get_msg(turn->aio));
	else if (rv != NNG_ECLOSED && rv != NNG_ECANCELED)
		turn_receive(turn);
}

void turn_drop(struct turn *turn)
{
	turn_receive(turn);
}

/* ── the socket ──────────────────────────────────────────────────────────────────────────────────── */

/* Before anything is read from it. */
static void on_join(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct transport *transport = arg;
	char *headers;

	(void)event;
	if (atomic_fetch_add(&transport->n_connections, 1) >= transport->connections_max)
		(void)nng_pipe_close(pipe);
	if (nng_pipe_get_string(pipe, NNG_OPT_WS_REQUEST_HEADERS, &headers) != 0)
		return; /* no WebSocket */
	if (!origin_allowed(headers, transport->origins))
		(void)nng_pipe_close(pipe);
	nng_strfree(headers);
}

static void on_leave(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct transport *transport = arg;

	(void)event;
	atomic_fetch_sub(&transport->n_connections, 1);
	transport->events.left(transport->events.user, (uint32_t)nng_pipe_id(pipe));
}

enum aside_code transport_open(const struct transport_events *events, const char *const *origins, struct transport **ret,
		struct aside_status *err)
{
	struct transport *transport = calloc(1, sizeof *transport);
	int rv = transport == NULL ? NNG_ENOMEM : nng_rep0_open(&transport->socket);

	if (rv != 0) {
		free(transport);
		return nng_failed(rv, "cannot open a socket", err);
	}
	pthread_mutex_init(&transport->mutex, NULL);
	pthread_cond_init(&transport->sent, NULL);
	transport->events = *events;
	transport->origins = origins;
	long files = sysconf(_SC_OPEN_MAX);
	transport->connections_max = files > 2 * FILES_SPARE ? (unsigned)(files - FILES_SPARE) : FILES_SPARE;
	if ((rv = nng_socket_set_size(transport->socket, NNG_OPT_RECVMAXSZ, MESSAGE_BYTES_MAX)) != 0 ||
			(rv = nng_pipe_notify(transport->socket, NNG_PIPE_EV_ADD_PRE, on_join, transport)) != 0 ||
			(rv = nng_pipe_notify(transport->socket, NNG_PIPE_EV_REM_POST, on_leave, transport)) != 0) {
		transport_close(transport);
		return nng_failed(rv, "cannot set up a socket", err);
	}
	*ret = transport;
	return ASIDE_OK;
}

/* `url` with the port that was chosen for port 0; nng 1.5.2's own URL has it for tcp only. */
static void name_bound(nng_listener listener, const char *url, char *ret, size_t size)
{
	const char *host = strstr(url, "://");
	const char *path = host != NULL ? host + 3 + strcspn(host + 3, "/") : url;
	int port = 0;

	if (path - url > 2 && strncmp(path - 2, ":0", 2) == 0 &&
			nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0)
		(void)snprintf(ret, size, "%.*s:%d%s", (int)(path - 2 - url), url, port, path);
	else
		(void)snprintf(ret, size, "%s", url);
}

enum aside_code transport_listen(struct transport *transport, const char *url,
		const struct listen_options *options, char *ret_url, size_t size, struct aside_status *err)
{
	nng_listener listener;
	int rv = nng_listener_create(&listener, transport->socket, url);

	if (rv != 0)
		return nng_failed(rv, url, err);
	if (strncmp(url, "tls", 3) == 0 || strncmp(url, "wss", 3) == 0)
		rv = options->tls_file == NULL ? NNG_EINVAL :
						 nng_listener_set_string(listener, NNG_OPT_TLS_CERT_KEY_FILE,
								 options->tls_file);
	if (rv == 0 && strncmp(url, "ipc", 3) == 0) /* who may do what is decided by uid, not by the file */
		rv = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0666);
	if (rv == 0)
		rv = nng_listener_start(listener, 0);
	if (rv == NNG_ENOENT && strncmp(url, "ipc", 3) == 0)
		return fail(err, ASIDE_FAILED_PRECONDITION, "NO_FOLDER", "%s: the folder of the socket is missing", url);
	if (rv != 0)
		return nng_failed(rv, url, err);
	name_bound(listener, url, ret_url, size);
	return ASIDE_OK;
}

enum aside_code transport_start(struct transport *transport, struct aside_status *err)
{
	for (unsigned i = 0; i < RECEIVING_MIN; i++)
		if (!turn_add(transport))
			return nng_failed(NNG_ENOMEM, "cannot receive", err);
	return ASIDE_OK;
}

void *transport_reply_new(size_t size, uint8_t **ret_body)
{
	nng_msg *msg;

	if (nng_msg_alloc(&msg, size) != 0)
		return NULL;
	*ret_body = nng_msg_body(msg);
	return msg;
}

void transport_send(struct turn *turn, void *reply)
{
	struct transport *transport = turn->transport;

	pthread_mutex_lock(&transport->mutex);
	transport->n_sending++;
	pthread_mutex_unlock(&transport->mutex);
	turn->state = TURN_SENDING;
	turn->kept_bytes += count_bytes(nng_msg_len(reply));
	keep(transport, turn->connection, count_bytes(nng_msg_len(reply)));
	nng_aio_set_msg(turn->aio, reply);
	nng_ctx_send(turn->ctx, turn->aio);
}

bool message_has_peer(const struct message *message)
{
	return nng_listener_id(nng_pipe_listener(nng_msg_get_pipe(message->handle))) > 0;
}

void message_free(struct message *message)
{
	keep(message->turn->transport, message->connection, -count_bytes(message->body.size));
	nng_msg_free(message->handle);
	free(message);
}

/* ── the end of a connection ─────────────────────────────────────────────────────────────────────── */

/* Whether `fd` is our end of a connection from `peer`; over ipc, of one from the process `pid`. */
static bool is_end_of(int fd, const nng_sockaddr *peer, uint64_t pid)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} there = { .any.sa_family = AF_UNSPEC };
	socklen_t size = sizeof there, who_size = sizeof(struct ucred);
	struct ucred who;

	if (getpeername(fd, &there.any, &size) != 0)
		return false;
	if (peer->s_family == NNG_AF_INET)
		return there.any.sa_family == AF_INET && there.in.sin_port == peer->s_in.sa_port &&
				there.in.sin_addr.s_addr == peer->s_in.sa_addr;
	if (peer->s_family == NNG_AF_INET6)
		return there.any.sa_family == AF_INET6 && there.in6.sin6_port == peer->s_in6.sa_port &&
				memcmp(&there.in6.sin6_addr, peer->s_in6.sa_addr, sizeof there.in6.sin6_addr) == 0;
	return there.any.sa_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_size) == 0 &&
			(uint64_t)who.pid == pid;
}

/* Shuts `fd` down if it is that end: by a descriptor of its own, since the number may be closed and used again between a
 * look and a deed. */
static void cut_if_end_of(int fd, const nng_sockaddr *peer, uint64_t pid)
{
	int own = is_end_of(fd, peer, pid) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (own < 0)
		return;
	if (is_end_of(own, peer, pid))
		(void)shutdown(own, SHUT_RDWR);
	close(own);
}

/* nng_pipe_close() while a message is read would be the end of service (wire/guard.c).  nng does not tell which
 * file is a connection's: it is looked for. */
void transport_cut(struct transport *transport, uint32_t connection)
{
	nng_pipe pipe = NNG_PIPE_INITIALIZER;
	nng_sockaddr peer;
	uint64_t pid = 0;
	DIR *files;

	(void)transport;
	pipe.id = connection;
	if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &peer) != 0)
		return; /* it has left */
	if (peer.s_family == NNG_AF_IPC && (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_PID, &pid) != 0 || pid == 0))
		return; /* 0: of another pid namespace, like many others */
	files = opendir("/proc/self/fd");
	if (files == NULL)
		return;
	for (const struct dirent *file; (file = readdir(files)) != NULL;)
		if (file->d_name[0] != '.')
			cut_if_end_of((int)strtol(file->d_name, NULL, 10), &peer, pid);
	closedir(files);
}

/* Waits until what was sent has left, a second at most. */
static void wait_for_sends(struct transport *transport)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	while (transport->n_sending > 0 &&
			pthread_cond_timedwait(&transport->sent, &transport->mutex, &until) != ETIMEDOUT)
		;
}

/* Turns end before their socket: nng 1.5.2 takes a receive that a callback starts while the socket closes, and
 * leaves it on a freed queue. */
void transport_stop(struct transport *transport)
{
	pthread_mutex_lock(&transport->mutex);
	transport->stopping = true;
	wait_for_sends(transport);
	struct turn *turns = transport->turns; /* none is added any more */
	pthread_mutex_unlock(&transport->mutex);
	for (struct turn *turn = turns; turn != NULL; turn = turn->next)
		nng_aio_stop(turn->aio);
}

void transport_close(struct transport *transport)
{
	if (transport == NULL)
		return;
	if (!socket_close(transport->socket))
		return;
	while (transport->turns != NULL) {
		struct turn *turn = transport->turns;
		transport->turns = turn->next;
		nng_aio_free(turn->aio);
		free(turn);
	}
	pthread_mutex_destroy(&transport->mutex);
	pthread_cond_destroy(&transport->sent);
	free(transport);
}
