/* What nng's sendmsg(), readv(), epoll_wait() and sysconf() are, for their tests. */
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Sends all of a message (its size), or not yet: -1 with EAGAIN, to be called again with the same message.  Whoever is
 * gone has taken everything. */
ssize_t sendmsg_whole(int fd, const struct msghdr *message, int flags);

/* readv(), but the end of a connection with TLS is an alert first, which is no TLS. */
ssize_t readv_to_the_end(int fd, const struct iovec *parts, int n_parts);

/* epoll_wait(), but of a connection that has failed it says that it can be read and written. */
int epoll_wait_plain(int epoll, struct epoll_event *events, int most, int timeout_ms);

/* How many processors nng is told of: it starts twice as many task threads. */
long guard_processors(void);
