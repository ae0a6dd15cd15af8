/* What client and server must keep nng 1.5.2 from, beyond what their transports do. */
#pragma once

#include <nng/nng.h>
#include <stdbool.h>

/* Closes `socket`, its aios stopped before.  False: nng has not done it within two seconds and never will: it lost a
 * receive that began just as its connection was closed, and its one reaping thread waits for that.  The socket is
 * then left to a thread of its own, and its aios must not be freed. */
bool socket_close(nng_socket socket);
