/* Addresses of servers, as a channel is opened with them, and what they stand for: themselves, the lines of a file, the
 * addresses of a name.  Any thread; knows no channel. */
#pragma once

#include <stdbool.h>

#include "aside/channel.h"
#include "wire/scope.h"

/* Each is there once; what is more than there is room for is left out. */
struct addresses {
	char url[ASIDE_ENDPOINTS_MAX][ASIDE_ADDRESS_MAX];
	size_t n;
};

void addresses_add(struct addresses *to, const char *url);

/* Puts into *ret, which is empty, what `text` ("tcp://…", "file:…", "dns:…") stands for now.  A name may take seconds.
 * False where nothing was found, or not all of it. */
bool addresses_look_up(const char *text, struct addresses *ret) MUST_CHECK;

/* Whether `text` may stand for something else later. */
bool addresses_change(const char *text);

/* "HOST:PORT" of "dns:…", or NULL.  Borrowed from `text`. */
const char *addresses_name(const char *text);

/* Whether it is a name that certificates must have. */
bool addresses_certified(const char *text);
