/* See servers.h.  A channel connects in the background, and nng 1.5.2 does not tell why such a connection fails: so what
 * is told here is what a connection of nng's streams, made for this alone, has met. */
#include "servers.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addresses.h"
#include "wire/scope.h"

#define PATIENCE_MS 2000 /* for each step of a connection */

static const uint8_t greeting_of_req[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 }, greeting_of_rep[8] = { 0, 'S', 'P', 0, 0, 0x31, 0, 0 };

/* ── which ───────────────────────────────────────────────────────────────────────────────────────── */

static void add(struct server *all, size_t *n, const char *text, const char *url, bool nowhere)
{
	struct server *server = &all[*n];

	for (size_t i = 0; i < *n; i++)
		if (strcmp(all[i].url, url) == 0)
			return;
	if (*n == ASIDE_ENDPOINTS_MAX)
		return;
	(void)snprintf(server->url, sizeof server->url, "%s", url);
	if (addresses_certified(text))
		(void)snprintf(server->name, sizeof server->name, "%.*s", (int)strcspn(addresses_name(text), ":"), addresses_name(text));
	server->nowhere = nowhere;
	++*n;
}

static void add_all(struct server *all, size_t *n, const char *text, struct addresses *found)
{
	found->n = 0;
	if (!addresses_look_up(text, found))
		found->n = 0;
	for (size_t i = 0; i < found->n; i++)
		add(all, n, text, found->url[i], false);
	if (found->n == 0)
		add(all, n, text, text, true);
}

int servers_find(const struct invocation *in, struct server **ret, size_t *ret_n)
{
	struct server *all = calloc(ASIDE_ENDPOINTS_MAX, sizeof *all);
	struct addresses *CLEANUP(freep) found = calloc(1, sizeof *found);
	char text[ASIDE_ADDRESS_MAX];
	int rc = all != NULL && found != NULL ? 0 : misuse("out of memory");

	*ret_n = 0;
	for (const char *at = in->server; rc == 0; at++) {
		size_t length = strcspn(at, ",");
		if (length == 0 || length >= sizeof text)
			rc = misuse("--server '%s': 1 to %d addresses, comma-separated", in->server, ASIDE_ENDPOINTS_MAX);
		(void)snprintf(text, sizeof text, "%.*s", (int)length, at);
		if (rc == 0)
			add_all(all, ret_n, text, found);
		at += length;
		if (*at == '\0')
			break;
	}
	if (rc == 0)
		*ret = all;
	else
		free(all);
	return rc;
}

/* ── what is wrong with one ──────────────────────────────────────────────────────────────────────── */

static bool is_tls(const struct server *server)
{
	return strncmp(server->url, "tls", 3) == 0 || strncmp(server->url, "wss", 3) == 0;
}

static bool is_ws(const struct server *server)
{
	return strncmp(server->url, "ws", 2) == 0;
}

static int set_options(nng_stream_dialer *dialer, const struct invocation *in, const struct server *server, bool verify)
{
	const char *name = in->server_name != NULL ? in->server_name : server->name[0] != '\0' ? server->name : NULL;
	int rv = 0;

	if (is_ws(server))
		rv = nng_stream_dialer_set_string(dialer, NNG_OPT_WS_PROTOCOL, "rep.sp.nanomsg.org");
	if (rv != 0 || !is_tls(server))
		return rv;
	if (in->ca_file != NULL)
		rv = nng_stream_dialer_set_string(dialer, NNG_OPT_TLS_CA_FILE, in->ca_file);
	if (rv == 0 && name != NULL)
		rv = nng_stream_dialer_set_string(dialer, NNG_OPT_TLS_SERVER_NAME, name);
	if (rv == 0)
		rv = nng_stream_dialer_set_int(dialer, NNG_OPT_TLS_AUTH_MODE, verify ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE);
	return rv;
}

static int wait_for(nng_aio *aio)
{
	nng_aio_wait(aio);
	return nng_aio_result(aio);
}

/* What SP peers say first; with TLS the handshake comes before it. */
static int greet(nng_stream *stream, nng_aio *aio)
{
	uint8_t bytes[sizeof greeting_of_rep];
	nng_iov iov = { bytes, sizeof bytes };
	int rv;

	memcpy(bytes, greeting_of_req, sizeof bytes);
	(void)nng_aio_set_iov(aio, 1, &iov);
	nng_stream_send(stream, aio);
	rv = wait_for(aio);
	for (size_t n = 0; rv == 0 && n < sizeof bytes; n += nng_aio_count(aio)) {
		iov = (nng_iov){ bytes + n, sizeof bytes - n };
		(void)nng_aio_set_iov(aio, 1, &iov);
		nng_stream_recv(stream, aio);
		rv = wait_for(aio);
	}
	return rv == 0 && memcmp(bytes, greeting_of_rep, sizeof bytes) != 0 ? NNG_EPROTO : rv;
}

/* nng 1.5.2 still unlocks a dialer's mutex while its reaping thread may destroy it: so the first ones, all there are in a
 * command's life but for long lists, stay. */
static void keep_or_free(nng_stream_dialer *dialer)
{
	static nng_stream_dialer *kept[64];
	static size_t n;

	if (n < sizeof kept / sizeof *kept)
		kept[n++] = dialer;
	else
		nng_stream_dialer_free(dialer);
}

/* Connects; 0, or nng's number for what went wrong. */
static int try(const struct invocation *in, const struct server *server, bool verify)
{
	nng_stream_dialer *dialer = NULL;
	nng_aio *aio = NULL;
	int rv = nng_aio_alloc(&aio, NULL, NULL);

	if (rv == 0)
		rv = nng_stream_dialer_alloc(&dialer, server->url);
	if (rv == 0)
		rv = set_options(dialer, in, server, verify);
	if (rv == 0) {
		nng_aio_set_timeout(aio, PATIENCE_MS);
		nng_stream_dialer_dial(dialer, aio);
		rv = wait_for(aio);
	}
	if (rv == 0) {
		nng_stream *stream = nng_aio_get_output(aio, 0);
		if (!is_ws(server))
			rv = greet(stream, aio);
		nng_stream_free(stream);
	}
	keep_or_free(dialer);
	nng_aio_free(aio);
	return rv;
}

static bool is_about_tls(int rv)
{
	return rv == NNG_EPEERAUTH || rv == NNG_ECRYPTO;
}

static const char *certificate_trouble(const struct invocation *in, const struct server *server, char out[SERVER_WHY_BYTES])
{
	const char *url_host = strstr(server->url, "://");
	const char *host = in->server_name != NULL ? in->server_name : server->name[0] != '\0' ? server->name :
			url_host != NULL ? url_host + 3 : server->url;

	if (is_about_tls(try(in, server, false)))
		return "it does not answer as TLS 1.2 would";
	if (in->ca_file == NULL)
		return "its certificate cannot be checked: --ca-file says whom to trust";
	(void)snprintf(out, SERVER_WHY_BYTES, "its certificate is from no authority in %.80s, or not for the name %.*s", in->ca_file,
			(int)strcspn(host, ":/"), host);
	return out;
}

const char *server_trouble(const struct invocation *in, const struct server *server, char out[SERVER_WHY_BYTES])
{
	int rv = server->nowhere ? NNG_ENOENT : try(in, server, true);
	bool file = strncmp(server->url, "file:", 5) == 0;

	if (rv == NNG_ECONNREFUSED && strncmp(server->url, "ipc://", 6) == 0 && access(server->url + 6, F_OK) != 0)
		rv = NNG_ENOENT;
	if (is_tls(server) && is_about_tls(rv))
		return certificate_trouble(in, server, out);
	switch (rv) {
	case 0:
		return "a connection can be made now";
	case NNG_ENOENT:
		return file ? "no address is there" : server->nowhere ? "the name is unknown" : "there is no such socket";
	case NNG_EADDRINVAL:
		return "the host is unknown";
	case NNG_ECONNREFUSED:
		return is_ws(server) ? "refused: nobody listens there, or not for this host and path" :
				"nobody listens there: connection refused";
	case NNG_ETIMEDOUT:
		return "no answer";
	case NNG_EPROTO:
	case NNG_ECONNRESET:
	case NNG_ECONNSHUT:
	case NNG_ECLOSED:
		return "who answers there is no aside-server, or one that listens in another way";
	default:
		return nng_strerror(rv);
	}
}
