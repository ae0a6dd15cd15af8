/* What peers have the server keep, in bytes, by connection: messages that are ahead of their turn, replies that are not
 * fetched, calls that wait (with what their handlers have made of them), streams' items, sessions.  Not counted: of each
 * connection the message that is just coming in, MESSAGE_BYTES_MAX at most, which nng keeps until it is whole; the rows of a
 * batch until its calls are answered; calls while a thread works at them.  All of it together has one limit; beyond it the connection that keeps most is
 * to be cut off: whoever hoards pays for it, not whoever comes next.  Any thread. */
#pragma once

#include "wire/scope.h"

struct ledger;

struct ledger *ledger_new(uint64_t bytes_max) MUST_CHECK;
void ledger_free(struct ledger *ledger);

/* `connection` keeps so many bytes more, or fewer.  Returns the connection that is to be cut off now, once: what it
 * keeps no longer counts; 0: none. */
uint32_t ledger_count(struct ledger *ledger, uint32_t connection, int64_t bytes) MUST_CHECK;

/* Of those that were to be cut off and still keep something, up to `most`: others each time. */
size_t ledger_overdue(struct ledger *ledger, uint32_t *ret_connections, size_t most) MUST_CHECK;

/* Of all connections but those that were to be cut off. */
uint64_t ledger_bytes(struct ledger *ledger);
