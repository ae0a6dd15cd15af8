/* libaside: calls to aside servers.
 *
 *     struct aside_options options = { .token = token };
 *     struct aside_channel *channel = NULL;
 *     if (aside_channel_open("tcp://127.0.0.1:7400", &options, &channel, &status) != ASIDE_OK) ...
 *     code = aside_v1_message_service_send_message(channel, &request, NULL, &response, &status);
 *     aside_free(response);
 *     aside_channel_close(channel);
 *
 * A channel and every function here may be used from any number of threads at once.  The library never
 * logs, exits or aborts.  After fork() only the parent may use a channel: in the child every call fails
 * with FAILED_PRECONDITION, reason FORKED.
 *
 * One ownership rule: what you pass in is borrowed until the function returns; what you are given
 * through a `ret_` argument is yours, and aside_free() frees it. */
#pragma once

#include "aside/method.h"
#include "aside/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct aside_channel;
struct aside_interceptor;

/* Most endpoints of a channel, and the longest address in bytes. */
#define ASIDE_ENDPOINTS_MAX 64
#define ASIDE_ADDRESS_MAX 256

/* How a channel is opened.  Start from { 0 }; every zero is a sensible default. */
struct aside_options {
	const char *token;       /* bearer token (JWT); NULL: none, for ipc with uid authentication */
	const char *ca_file;     /* tls+tcp, wss: PEM file of the authorities to trust; NULL: none, so that no
	                          * connection is made */
	const char *server_name; /* tls+tcp, wss: name the certificate must have, as DNS name or, without such, as common
	                          * name; NULL: the address's host.  IP addresses in a certificate do not count: where the
	                          * host is one, this is needed */
	uint32_t timeout_ms;     /* deadline of calls that give none; 0: each method's own */
	uint32_t connect_timeout_ms; /* how long a call waits for a connection; 0: 5,000 */
	uint32_t message_bytes_max;  /* largest message accepted; 0: 4 MiB */
	uint32_t resolve_interval_ms; /* how often "file:" and "dns:" addresses are looked up; 0: 30,000 */
	uint32_t connection_age_ms;  /* about as old a connection gets before it is made anew, at a moment when it has no
	                              * calls or another takes them; 0: any age */
	uint32_t idle_ms;            /* a connection without calls for so long is closed; the next call makes it anew; 0: never */
	const struct aside_interceptor *interceptors; /* around every call: aside/interceptor.h.  Copied; what their
	                                               * `user` points to must live as long as the channel */
	size_t n_interceptors; /* at most ASIDE_INTERCEPTORS_MAX */
};

/* One name and value beside a call's messages.  Names: lower case letters, digits, '-', '_', '.'; others are refused
 * with INVALID_ARGUMENT, reason METADATA_KEY_INVALID. */
struct aside_metadata {
	const char *key;
	const void *value;
	size_t value_bytes;
};

/* How one call is made.  NULL, or from { 0 }. */
struct aside_call_options {
	uint32_t timeout_ms; /* 0: the channel's, or else the method's own.  There is no endless call. */
	const struct aside_metadata *metadata; /* at most 8 KiB in all */
	size_t n_metadata;
	int64_t deadline_us; /* of the call this one serves, on CLOCK_MONOTONIC: no later than that.  0: none */
	bool wait_for_ready;     /* wait for a connection until the deadline, not only connect_timeout_ms */
	uint32_t hedge_after_ms; /* of a method without side effects: asks a second server, too, if the first has not
	                          * answered by then; the first answer counts, the other call is cancelled.  0: no */
	const struct aside_interceptor *interceptor; /* of this call alone, after the channel's: for one, to see the metadata
	                                              * that comes with the reply.  Must live until its `after` has run */
};

/* Opens a channel to one or several servers.  `endpoints`, comma-separated:
 *
 *     tcp://host:port   ipc:///path   tls+tcp://host:port   ws://host:port/aside   wss://host:port/aside
 *     file:/path                a file of such addresses, one a line, '#' before comments; what it says changes the
 *                               channel's servers, but an empty or a missing file changes nothing
 *     dns:host:port             all addresses of a name, as tcp
 *     dns:tls+tcp://host:port   the same, as tls+tcp; the certificate must name the host
 *
 * One connection is kept to each server; a call goes to the less loaded of two chosen at random.  Does not wait for a
 * connection: it is made, and made again after every loss, in the background.  Fails with INVALID_ARGUMENT, reason
 * BAD_ADDRESS, also for a file that cannot be read, BAD_CA_FILE, TOKEN_TOO_LONG or TOO_MANY_INTERCEPTORS, and RESOURCE_EXHAUSTED without memory. */
ASIDE_API enum aside_code aside_channel_open(const char *endpoints, const struct aside_options *options,
		struct aside_channel **ret_channel, struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Ends all calls under way with CANCELLED (their callbacks run before this returns) and frees the
 * channel.  Close its streams first.  NULL is fine.  Not from a callback.  Waits for a name that is just
 * being looked up, 100 ms for servers it is not connected to, and at most two seconds where nng is slow to end. */
ASIDE_API void aside_channel_close(struct aside_channel *channel);

enum aside_state {
	ASIDE_STATE_CONNECTING, /* no server takes calls */
	ASIDE_STATE_READY,      /* at least one does */
	ASIDE_STATE_CLOSED,
	ASIDE_STATE_IDLE,       /* every connection was closed for want of calls: the next call makes one */
};

/* The state now. */
ASIDE_API enum aside_state aside_channel_state(struct aside_channel *channel);

/* Waits until the state is another than `state`, at most `timeout_ms`; returns it. */
ASIDE_API enum aside_state aside_channel_wait(struct aside_channel *channel, enum aside_state state,
		uint32_t timeout_ms);

/* Calls a method and waits for its end: at most until its deadline.  On ASIDE_OK *ret_response is the
 * caller's; on anything else it is untouched and *ret_status (may be NULL) says why.
 *
 * A call that was certainly not executed, or that is declared idempotent, is repeated, elsewhere if there
 * is an elsewhere, up to five times within its deadline and while most calls succeed; any other that loses
 * its connection fails with UNAVAILABLE.  The server sees the metadata aside-attempt: 2, 3… */
ASIDE_API enum aside_code aside_call(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options,
		ProtobufCMessage **ret_response, struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* How a call made with aside_call_start() ended.  `response` is the callee's to aside_free(), and NULL
 * unless status->code is ASIDE_OK; `status` is borrowed.  Runs exactly once, on a thread of the
 * library: it must not block, and may start further calls. */
typedef void (*aside_call_done)(void *user, ProtobufCMessage *response, const struct aside_status *status);

/* The same without waiting.  On ASIDE_OK `done` runs exactly once, perhaps before this returns; on
 * anything else it never runs.  *ret_call_id (may be NULL) names the call for aside_call_cancel(). */
ASIDE_API enum aside_code aside_call_start(struct aside_channel *channel, const struct aside_method *method,
		const ProtobufCMessage *request, const struct aside_call_options *options,
		aside_call_done done, void *user, uint64_t *ret_call_id,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Ends a call early: its `done` runs with CANCELLED unless it has ended already.  The server is told, and does
 * not begin what it has not begun. */
ASIDE_API void aside_call_cancel(struct aside_channel *channel, uint64_t call_id);

/* Frees a message given by this library.  NULL is fine. */
ASIDE_API void aside_free(void *message);

/* Version of the library linked against, as "0.1.0".  Static. */
ASIDE_API const char *aside_version(void);

#ifdef __cplusplus
}
#endif
