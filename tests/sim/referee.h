/* Hears every message of every session and knows the rules of the wire (proto/README.md): whoever breaks one, client or
 * server, ends the run, although the other side may forgive it.
 *
 *   - HELLO goes alone; the second message follows its answer; either side counts its messages from 1, one by one
 *   - call ids ascend; no call follows a GOAWAY that was heard
 *   - a reply answers a request of its own session; a call gets one REPLY, and nothing after it
 *   - neither side finds that the other broke the rules
 *   - a client drops no connection that is well, and whose server has not refused its session */
#pragma once

#include <stdint.h>

#include "wire/scope.h"

void referee_open(void);
void referee_close(void);

/* The session a message is of; 0: none. */
uint64_t referee_session(struct bytes message);

/* A client sends a request. */
void referee_client_says(struct bytes message);

/* A server answers a request of `session`. */
void referee_server_says(uint64_t session, struct bytes message);

/* The answer to a request of `session` is about to be handed to its client; returns its sequence number, for when it has
 * been, which may be some time later. */
uint64_t referee_client_hears(uint64_t session, struct bytes message);
void referee_client_heard(uint64_t session, uint64_t sequence);

/* A client drops a connection that is well, and on which its last request was of `session`. */
void referee_client_drops(uint64_t session);
