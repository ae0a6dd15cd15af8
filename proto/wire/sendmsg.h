/* What nng's sendmsg() is, for its tests. */
#pragma once

#include <sys/socket.h>

/* Sends all of a message (its size), or not yet: -1 with EAGAIN, to be called again with the same message.  Whoever is
 * gone has taken everything. */
ssize_t sendmsg_whole(int fd, const struct msghdr *message, int flags);
