/* Which web pages a browser may call from: every page that a person looks at can open a WebSocket to any address, one
 * of the person's own machine among them, and the browser says only where the page came from (RFC 6455, 10.2). */
#pragma once

#include <stdbool.h>

/* Of a handshake's header lines: true without an Origin (no browser), with the server's own (that is, Host), and with
 * one of `allowed` ("https://HOST:PORT", NULL-terminated; NULL: none). */
bool origin_allowed(const char *headers, const char *const *allowed);
