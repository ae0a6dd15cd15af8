/* nng 1.5.2, used with open eyes: no nng_msg_insert, no contexts, every limit set, callbacks only hand
 * over.  See transport.h. */
#include "transport.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <nng/transport/tls/tls.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire/status.h"

#define RECEIVERS 4
#define LISTENERS_MAX 8

struct transport {
	nng_socket socket;
	struct transport_events events;
	struct receiver {
		struct transport *transport;
		nng_aio *aio;
	} receivers[RECEIVERS];
};

/* One peer that goes away between accept and the first write makes nng 1.5.2 end its accept loop for ever:
 * it takes EPIPE for "closed" (nng issue 1518, fixed in 1.6.0).  The program's own sendmsg() comes before
 * libc's in the order of symbols, for libnng too. */
__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t n = syscall(SYS_sendmsg, fd, message, flags);

	if (n < 0 && errno == EPIPE)
		errno = ECONNRESET;
	return n;
}

static enum aside_code nng_failed(int rv, const char *what, struct aside_status *err)
{
	enum aside_code code = rv == NNG_ENOMEM ? ASIDE_RESOURCE_EXHAUSTED :
			rv == NNG_EADDRINUSE || rv == NNG_EPERM ? ASIDE_FAILED_PRECONDITION :
								  ASIDE_INVALID_ARGUMENT;

	return fail(err, code, "TRANSPORT_ERROR", "%s: %s", what, nng_strerror(rv));
}

struct turn_key turn_key(const struct turn *turn)
{
	struct turn_key key = { .size = turn->size - 4 };

	memcpy(key.bytes, turn->header, key.size);
	return key;
}

uint32_t turn_connection(const struct turn *turn)
{
	return (uint32_t)turn->header[0] << 24 | (uint32_t)turn->header[1] << 16 |
			(uint32_t)turn->header[2] << 8 | turn->header[3];
}

static int64_t peer_uid(nng_msg *msg)
{
	uint64_t uid;

	return nng_pipe_get_uint64(nng_msg_get_pipe(msg), NNG_OPT_IPC_PEER_UID, &uid) == 0 ? (int64_t)uid : -1;
}

static void hand_over(struct transport *transport, nng_msg *msg)
{
	struct message *message = calloc(1, sizeof *message);

	if (message == NULL || nng_msg_header_len(msg) > TURN_HEADER_MAX || nng_msg_header_len(msg) < 8) {
		free(message);
		nng_msg_free(msg);
		return;
	}
	message->turn.size = nng_msg_header_len(msg);
	memcpy(message->turn.header, nng_msg_header(msg), message->turn.size);
	message->body = (struct bytes){ nng_msg_body(msg), nng_msg_len(msg) };
	message->peer_uid = peer_uid(msg);
	message->handle = msg;
	transport->events.received(transport->events.user, message);
}

static void on_receive(void *arg)
{
	struct receiver *receiver = arg;
	int rv = nng_aio_result(receiver->aio);

	if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
		return;
	if (rv == 0)
		hand_over(receiver->transport, nng_aio_get_msg(receiver->aio));
	nng_recv_aio(receiver->transport->socket, receiver->aio);
}

static void on_leave(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct transport *transport = arg;

	(void)event;
	transport->events.left(transport->events.user, (uint32_t)nng_pipe_id(pipe));
}

enum aside_code transport_open(const struct transport_events *events, struct transport **ret,
		struct aside_status *err)
{
	struct transport *transport = calloc(1, sizeof *transport);
	int rv = transport == NULL ? NNG_ENOMEM : nng_rep0_open_raw(&transport->socket);

	if (rv != 0) {
		free(transport);
		return nng_failed(rv, "cannot open a socket", err);
	}
	transport->events = *events;
	if ((rv = nng_socket_set_size(transport->socket, NNG_OPT_RECVMAXSZ, MESSAGE_BYTES_MAX)) != 0 ||
			(rv = nng_socket_set_int(transport->socket, NNG_OPT_SENDBUF, 256)) != 0 ||
			(rv = nng_socket_set_int(transport->socket, NNG_OPT_RECVBUF, 64)) != 0 ||
			(rv = nng_pipe_notify(transport->socket, NNG_PIPE_EV_REM_POST, on_leave, transport)) != 0) {
		transport_close(transport);
		return nng_failed(rv, "cannot set up a socket", err);
	}
	for (unsigned i = 0; i < RECEIVERS; i++) {
		struct receiver *receiver = &transport->receivers[i];
		receiver->transport = transport;
		rv = nng_aio_alloc(&receiver->aio, on_receive, receiver);
		if (rv != 0) {
			transport_close(transport);
			return nng_failed(rv, "cannot set up a socket", err);
		}
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
	if (rv == 0)
		rv = nng_listener_start(listener, 0);
	if (rv != 0)
		return nng_failed(rv, url, err);
	name_bound(listener, url, ret_url, size);
	return ASIDE_OK;
}

void transport_start(struct transport *transport)
{
	for (unsigned i = 0; i < RECEIVERS; i++)
		nng_recv_aio(transport->socket, transport->receivers[i].aio);
}

void *transport_reply_new(size_t size, uint8_t **ret_body)
{
	nng_msg *msg;

	if (nng_msg_alloc(&msg, size) != 0)
		return NULL;
	*ret_body = nng_msg_body(msg);
	return msg;
}

void transport_send(struct transport *transport, const struct turn *turn, void *reply)
{
	nng_msg *msg = reply;

	nng_msg_header_clear(msg);
	if (nng_msg_header_append(msg, turn->header, turn->size) != 0 ||
			nng_sendmsg(transport->socket, msg, 0) != 0)
		nng_msg_free(msg);
}

void message_free(struct message *message)
{
	nng_msg_free(message->handle);
	free(message);
}

/* The receivers end before the socket: nng 1.5.2 takes a receive that a callback starts while the socket closes,
 * and leaves it on a freed queue. */
void transport_close(struct transport *transport)
{
	if (transport == NULL)
		return;
	for (unsigned i = 0; i < RECEIVERS; i++)
		if (transport->receivers[i].aio != NULL)
			nng_aio_stop(transport->receivers[i].aio);
	(void)nng_close(transport->socket);
	for (unsigned i = 0; i < RECEIVERS; i++)
		nng_aio_free(transport->receivers[i].aio);
	free(transport);
}
