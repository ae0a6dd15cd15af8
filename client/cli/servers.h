/* The servers that --server stands for, and why one cannot be reached. */
#pragma once

#include "aside/channel.h"
#include "command.h"

#define SERVER_WHY_BYTES 256

struct server {
	char url[ASIDE_ADDRESS_MAX];  /* of a name or a file that leads nowhere: that itself */
	char name[ASIDE_ADDRESS_MAX]; /* that its certificate must have; empty: --server-name, or the address's host */
	bool nowhere;
};

/* Each server of in->server, those of files and names as they are now; a name may take seconds.  *ret is the caller's to
 * free().  0, or the exit status after a complaint. */
int servers_find(const struct invocation *in, struct server **ret, size_t *ret_n);

/* Why it cannot be reached, for people; found out by one connection of its own, a few seconds at most.  Returns `out`. */
const char *server_trouble(const struct invocation *in, const struct server *server, char out[SERVER_WHY_BYTES]);
