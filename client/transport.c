/* See transport.h, and server/rpc/transport.c for what nng 1.5.2 must be kept from. */
#include "transport.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <stdatomic.h>
#include <string.h>

#include "wire/status.h"

#define RECEIVERS 2
#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 5000
#define MESSAGE_BYTES_DEFAULT (4u << 20)
#define REQUEST_BIT 0x80000000u

struct link {
	nng_socket socket;
	struct link_events events;
	nng_aio *send;
	struct receiver {
		struct link *link;
		nng_aio *aio;
	} receivers[RECEIVERS];
	atomic_uint next_request;
};

static void on_sent(void *arg)
{
	struct link *link = arg;
	int rv = nng_aio_result(link->send);

	if (rv != 0) {
		nng_msg_free(nng_aio_get_msg(link->send));
		nng_aio_set_msg(link->send, NULL);
	}
	link->events.sent(link->events.user, rv == 0);
}

static void on_received(void *arg)
{
	struct receiver *receiver = arg;
	struct link *link = receiver->link;
	int rv = nng_aio_result(receiver->aio);

	if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
		return;
	if (rv == 0) {
		nng_msg *msg = nng_aio_get_msg(receiver->aio);
		link->events.received(link->events.user, msg, (struct bytes){ nng_msg_body(msg), nng_msg_len(msg) });
	}
	nng_recv_aio(link->socket, receiver->aio);
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct link *link = arg;

	(void)pipe;
	if (event == NNG_PIPE_EV_ADD_POST)
		link->events.up(link->events.user);
	else
		link->events.down(link->events.user);
}

static int set_options(struct link *link, const struct aside_options *options)
{
	size_t most = options->message_bytes_max != 0 ? options->message_bytes_max : MESSAGE_BYTES_DEFAULT;
	int rv = nng_socket_set_size(link->socket, NNG_OPT_RECVMAXSZ, most);

	if (rv == 0)
		rv = nng_socket_set_ms(link->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (rv == 0)
		rv = nng_socket_set_ms(link->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	if (rv == 0)
		rv = nng_socket_set_int(link->socket, NNG_OPT_RECVBUF, 64);
	if (rv == 0)
		rv = nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, on_pipe, link);
	if (rv == 0)
		rv = nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, on_pipe, link);
	return rv;
}

static int set_tls(nng_dialer dialer, const struct aside_options *options)
{
	int rv = 0;

	if (options->ca_file != NULL)
		rv = nng_dialer_set_string(dialer, NNG_OPT_TLS_CA_FILE, options->ca_file);
	if (rv == 0 && options->server_name != NULL)
		rv = nng_dialer_set_string(dialer, NNG_OPT_TLS_SERVER_NAME, options->server_name);
	if (rv == 0)
		rv = nng_dialer_set_int(dialer, NNG_OPT_TLS_AUTH_MODE, NNG_TLS_AUTH_MODE_REQUIRED);
	return rv;
}

static int start(struct link *link, const char *url, const struct aside_options *options)
{
	nng_dialer dialer;
	int rv = set_options(link, options);

	if (rv == 0)
		rv = nng_aio_alloc(&link->send, on_sent, link);
	for (unsigned i = 0; i < RECEIVERS && rv == 0; i++) {
		link->receivers[i].link = link;
		rv = nng_aio_alloc(&link->receivers[i].aio, on_received, &link->receivers[i]);
	}
	if (rv == 0)
		rv = nng_dialer_create(&dialer, link->socket, url);
	if (rv == 0 && (strncmp(url, "tls", 3) == 0 || strncmp(url, "wss", 3) == 0))
		rv = set_tls(dialer, options);
	for (unsigned i = 0; i < RECEIVERS && rv == 0; i++)
		nng_recv_aio(link->socket, link->receivers[i].aio);
	return rv == 0 ? nng_dialer_start(dialer, NNG_FLAG_NONBLOCK) : rv;
}

enum aside_code link_open(const char *url, const struct aside_options *options, const struct link_events *events,
		struct link **ret, struct aside_status *err)
{
	struct link *link = calloc(1, sizeof *link);
	int rv = link == NULL ? NNG_ENOMEM : nng_req0_open_raw(&link->socket);

	if (rv != 0) {
		free(link);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_SOCKET", "cannot open a socket: %s", nng_strerror(rv));
	}
	link->events = *events;
	rv = start(link, url, options);
	if (rv != 0) {
		link_close(link);
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS", "%s: %s", url, nng_strerror(rv));
	}
	*ret = link;
	return ASIDE_OK;
}

void *link_message_new(size_t size, uint8_t **ret_body)
{
	nng_msg *msg;

	if (nng_msg_alloc(&msg, size) != 0)
		return NULL;
	*ret_body = nng_msg_body(msg);
	return msg;
}

void link_send(struct link *link, void *message)
{
	nng_msg *msg = message;
	uint32_t request = atomic_fetch_add(&link->next_request, 1) | REQUEST_BIT;

	(void)nng_msg_header_append_u32(msg, request);
	nng_aio_set_msg(link->send, msg);
	nng_send_aio(link->socket, link->send);
}

void link_release(void *handle)
{
	nng_msg_free(handle);
}

/* Before the socket: nng 1.5.2 takes a receive that a callback starts while the socket closes, and leaves it on
 * a freed queue. */
static void stop_aio(nng_aio *aio)
{
	if (aio != NULL)
		nng_aio_stop(aio);
}

void link_close(struct link *link)
{
	if (link == NULL)
		return;
	stop_aio(link->send);
	for (unsigned i = 0; i < RECEIVERS; i++)
		stop_aio(link->receivers[i].aio);
	(void)nng_close(link->socket);
	nng_aio_free(link->send);
	for (unsigned i = 0; i < RECEIVERS; i++)
		nng_aio_free(link->receivers[i].aio);
	free(link);
}
