/* A network and two transports over it, without nng and without sockets: client/transport.h and server/rpc/transport.h,
 * as nng 1.5.2's REQ and REP contexts over tcp behave.  What happens to a message is drawn from the seed.
 *
 * What tcp and nng can truly do, and this does:
 *
 *   - messages of a connection arrive in order, after any delay; the callbacks that hand them over run on several
 *     threads at once, and so in another order
 *   - a connection ends at any moment: a request lost, or handled and its reply lost; each side notices in its own time
 *   - a request that found no connection waits and goes by the next one, whose session it does not know
 *   - replies, failures of requests and the news of the end come in any order; `left` before the last messages, too
 *   - a partition: nothing arrives and no loss is noticed; later everything does, as tcp sends it again, or never
 *   - a server dies, with or without telling its peers, and another takes its address; what it was handed it may still
 *     have executed
 *   - a socket takes two seconds to close, and another cannot be opened just now; one never takes down its connection,
 *     and makes no other
 *   - whoever answers at an address speaks another protocol
 *
 * What they cannot, and this does not: lose, repeat or change a single message of a living connection (tcp), send a
 * request twice (nng's resending is off), answer a request that was not made (nng matches replies). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How the network is.  Microseconds. */
struct weather {
	int64_t delay_us_max; /* of a message on the wire */
	int64_t hand_over_us_max; /* between its arrival and its callback */
	int64_t slow_us_max; /* the same, now and then */
	unsigned slow_one_in;
};

void net_open(const struct weather *weather);

/* Ends its threads, frees everything.  The transports are closed before. */
void net_close(void);

/* ── what befalls it ─────────────────────────────────────────────────────────────────────────────────── */

/* One of the connections there are ends. */
void net_lose_one(void);

/* Nothing arrives at `url` or from there until then. */
void net_cut_off(const char *url, int64_t until_us);

/* What `url` says until then cannot be read. */
void net_garble(const char *url, int64_t until_us);

/* Everybody can be reached again. */
void net_heal(void);

/* Whoever listens there is gone: with `quietly` its peers are not told.  To be closed by whoever opened it. */
void net_crash(const char *url, bool quietly);

/* ── what the invariants ask ─────────────────────────────────────────────────────────────────────────── */

/* Turns given to a server and not given back; of all servers, dead ones as well. */
unsigned net_turns(void);

/* Messages that have arrived anywhere so far. */
uint64_t net_arrived(void);
