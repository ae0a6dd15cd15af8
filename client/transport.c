/* See transport.h, and server/rpc/transport.c for what nng 1.5.2 must be kept from. */
#include "transport.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "wire/socket.h"
#include "wire/status.h"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 1000 /* well within what a call waits for a connection */
#define CLOSE_CONNECTING_MS 100 /* after which it is closed while it connects */
#define MESSAGE_BYTES_DEFAULT (4u << 20)

/* One request.
 *
 *     IDLE ──▶ SENDING ──sent──▶ WAITING ──reply, or lost──▶ IDLE
 *                 └── lost ─────────────────────────────────▶ */
enum request_state {
	REQUEST_IDLE,
	REQUEST_SENDING,
	REQUEST_WAITING,
};

struct request {
	struct link *link;
	enum request_state state; /* nng orders what changes it */
	uint64_t session;
	nng_ctx ctx;
	nng_aio *aio;
	struct request *next; /* idle */
};

struct link {
	nng_socket socket;
	struct link_events events;
	atomic_int pipe; /* the connection's; 0: none */
	int gone;        /* the last one that ended before it was told */
	pthread_mutex_t order; /* of what is told of connections */
	pthread_cond_t connected; /* with `order` */
	atomic_bool stopped; /* nothing is told any more; changed with `order` */
	pthread_mutex_t mutex;
	struct request *idle;
	struct request requests[REQUESTS_MAX];
};

static void set_idle(struct request *request)
{
	struct link *link = request->link;

	request->state = REQUEST_IDLE;
	pthread_mutex_lock(&link->mutex);
	request->next = link->idle;
	link->idle = request;
	pthread_mutex_unlock(&link->mutex);
}

static struct request *take_idle(struct link *link)
{
	pthread_mutex_lock(&link->mutex);
	struct request *request = link->idle;
	if (request != NULL)
		link->idle = request->next;
	pthread_mutex_unlock(&link->mutex);
	return request;
}

static void on_request(void *arg)
{
	struct request *request = arg;
	struct link *link = request->link;
	int rv = nng_aio_result(request->aio);
	uint64_t session = request->session;
	nng_msg *msg = NULL;

	if (rv == 0 && request->state == REQUEST_SENDING) {
		request->state = REQUEST_WAITING;
		nng_ctx_recv(request->ctx, request->aio);
		link->events.sent(link->events.user, session);
		return;
	}
	if (rv != 0 && request->state == REQUEST_SENDING)
		nng_msg_free(nng_aio_get_msg(request->aio));
	if (rv == 0)
		msg = nng_aio_get_msg(request->aio);
	set_idle(request);
	if (link->stopped)
		nng_msg_free(msg);
	else if (msg != NULL)
		link->events.replied(link->events.user, session, msg,
				(struct bytes){ nng_msg_body(msg), nng_msg_len(msg) });
	else
		link->events.replied(link->events.user, session, NULL, (struct bytes){ NULL, 0 });
}

/* nng runs these on two threads: the end of a connection may overtake its beginning. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct link *link = arg;
	int id = nng_pipe_id(pipe);

	pthread_mutex_lock(&link->order);
	if (event == NNG_PIPE_EV_ADD_POST && id != link->gone) {
		link->pipe = id;
		pthread_cond_signal(&link->connected);
		if (!link->stopped)
			link->events.up(link->events.user);
	} else if (event == NNG_PIPE_EV_REM_POST && id == link->pipe) {
		link->pipe = 0;
		if (!link->stopped)
			link->events.down(link->events.user);
	} else if (event == NNG_PIPE_EV_REM_POST) {
		link->gone = id;
	}
	pthread_mutex_unlock(&link->order);
}

static int set_options(struct link *link, const struct aside_options *options)
{
	size_t most = options->message_bytes_max != 0 ? options->message_bytes_max : MESSAGE_BYTES_DEFAULT;
	int rv = nng_socket_set_size(link->socket, NNG_OPT_RECVMAXSZ, most);

	if (rv == 0)
		rv = nng_socket_set_ms(link->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	if (rv == 0)
		rv = nng_socket_set_ms(link->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (rv == 0)
		rv = nng_socket_set_ms(link->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	if (rv == 0)
		rv = nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, on_pipe, link);
	if (rv == 0)
		rv = nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, on_pipe, link);
	return rv;
}

static int set_tls(nng_dialer dialer, const struct aside_options *options, bool *ret_ca_failed)
{
	int rv = 0;

	if (options->ca_file != NULL)
		rv = nng_dialer_set_string(dialer, NNG_OPT_TLS_CA_FILE, options->ca_file);
	*ret_ca_failed = rv != 0 && rv != NNG_ENOMEM;
	if (rv == 0 && options->server_name != NULL)
		rv = nng_dialer_set_string(dialer, NNG_OPT_TLS_SERVER_NAME, options->server_name);
	if (rv == 0)
		rv = nng_dialer_set_int(dialer, NNG_OPT_TLS_AUTH_MODE, NNG_TLS_AUTH_MODE_REQUIRED);
	return rv;
}

static int make_requests(struct link *link)
{
	int rv = 0;

	for (unsigned i = 0; i < REQUESTS_MAX && rv == 0; i++) {
		struct request *request = &link->requests[i];
		request->link = link;
		rv = nng_ctx_open(&request->ctx, link->socket);
		if (rv == 0)
			rv = nng_aio_alloc(&request->aio, on_request, request);
		if (rv == 0)
			set_idle(request);
	}
	return rv;
}

static int start(struct link *link, const char *url, const struct aside_options *options, bool *ret_ca_failed)
{
	nng_dialer dialer;
	int rv = set_options(link, options);

	if (rv == 0)
		rv = make_requests(link);
	if (rv == 0)
		rv = nng_dialer_create(&dialer, link->socket, url);
	if (rv == 0 && (strncmp(url, "tls", 3) == 0 || strncmp(url, "wss", 3) == 0))
		rv = set_tls(dialer, options, ret_ca_failed);
	return rv == 0 ? nng_dialer_start(dialer, NNG_FLAG_NONBLOCK) : rv;
}

static enum aside_code refuse(const char *url, const struct aside_options *options, int rv, bool ca_failed, struct aside_status *err)
{
	if (ca_failed)
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_CA_FILE", "the CA file %s: %s", options->ca_file,
				rv == NNG_ENOENT || rv == NNG_EPERM ? nng_strerror(rv) : "no certificates, in PEM, that can be read");
	return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_ADDRESS",
			"%s: %s (tcp://HOST:PORT, tls+tcp://HOST:PORT, ipc:///PATH, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH, "
			"file:/PATH, dns:HOST:PORT)", url, nng_strerror(rv));
}

/* Of one that has stopped. */
static void free_link(struct link *link)
{
	if (!socket_close(link->socket))
		return;
	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		nng_aio_free(link->requests[i].aio);
	pthread_mutex_destroy(&link->mutex);
	pthread_mutex_destroy(&link->order);
	pthread_cond_destroy(&link->connected);
	free(link);
}

enum aside_code link_open(const char *url, const struct aside_options *options, const struct link_events *events,
		struct link **ret, struct aside_status *err)
{
	struct link *link = calloc(1, sizeof *link);
	int rv = link == NULL ? NNG_ENOMEM : nng_req0_open(&link->socket);

	if (rv != 0) {
		free(link);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_SOCKET", "cannot open a socket: %s", nng_strerror(rv));
	}
	pthread_mutex_init(&link->mutex, NULL);
	pthread_mutex_init(&link->order, NULL);
	pthread_cond_init(&link->connected, NULL);
	link->events = *events;
	bool ca_failed = false;
	rv = start(link, url, options, &ca_failed);
	if (rv != 0) {
		link_stop(link);
		free_link(link);
		return refuse(url, options, rv, ca_failed, err);
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

void link_send(struct link *link, uint64_t session, void *message)
{
	struct request *request = take_idle(link);

	request->session = session;
	request->state = REQUEST_SENDING;
	nng_aio_set_msg(request->aio, message);
	nng_ctx_send(request->ctx, request->aio);
}

void link_release(void *handle)
{
	nng_msg_free(handle);
}

void link_reset(struct link *link)
{
	nng_pipe pipe = NNG_PIPE_INITIALIZER;

	pipe.id = (uint32_t)link->pipe;
	if (pipe.id != 0)
		(void)nng_pipe_close(pipe);
}

/* Requests end before their socket: nng 1.5.2 takes a receive that a callback starts while the socket closes, and
 * leaves it on a freed queue. */
void link_stop(struct link *link)
{
	pthread_mutex_lock(&link->order);
	link->stopped = true;
	pthread_mutex_unlock(&link->order);
	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		if (link->requests[i].aio != NULL)
			nng_aio_stop(link->requests[i].aio);
}

/* nng 1.5.2 loses a connection that is made just as its socket closes, and its file with it: so the connection may be made
 * first.  nng does not tell whether it is connecting: without a server all of the time is waited, and a server that comes
 * just at its end may still be lost so. */
static void wait_connected(struct link *link)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += CLOSE_CONNECTING_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&link->order);
	while (link->pipe == 0 && pthread_cond_clockwait(&link->connected, &link->order, CLOCK_MONOTONIC, &until) == 0)
		;
	pthread_mutex_unlock(&link->order);
}

void link_close(struct link *link)
{
	if (link == NULL)
		return;
	wait_connected(link);
	free_link(link);
}
