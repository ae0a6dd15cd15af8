/* EchoService's handlers: no store, nothing to wait for. */
#pragma once

#include "rpc/call.h"

extern const struct handlers echo_handlers;
