/* The program's own sendmsg(), readv(), epoll_wait(), listen() and sysconf(), which do more, for nng alone, and nng_fini():
 * the order of symbols puts them before those of libc and nng.
 *
 * The first three keep bugs of nng 1.5.2 from us, each of which ends service for everybody:
 *
 * - A peer that goes away between accept and the first write gives EPIPE, which nng takes for "closed": its accept loop
 *   ends (issue 1518, fixed in 1.6.0).  A failed write also closes a connection of which a message is just being read:
 *   nng starts the next read on an aio that is closed, and never ends it.  So who is gone takes everything: that they
 *   are gone is seen where it is read.
 * - A connection that fails while both are under way fails both at once: the same.  So a failure is no event of its
 *   own, but a time to read and to write.
 * - A message is sent in parts, and the connection is closed between two of them: the same for writing.  So there are
 *   no parts: a socket that takes less than all says EAGAIN until it has taken the rest.
 *
 * What was never ended nng's one reaping thread waits for, and takes down no connection any more.
 *
 * - A TLS connection that ends while nobody asks for its data is forgotten: whoever asks later waits for ever, and its file
 *   is lost.  So such an end is read as an alert that no key has signed, once: what cannot be decrypted waits until it is
 *   asked for, and ends the connection then.
 *
 * listen() has room for 4,096 that have not been accepted, where nng asks for 128: one more waits for a second.
 *
 * sysconf() is for speed.  nng has two task threads for every processor, and passes each message through four tasks:
 * the threads wake each other for each, find nothing and sleep again.  Half a thread for every processor does better (on
 * two, an echo call took 25 us of processor rather than 39, and less time), so nng is told of a quarter of them.  Of the
 * two threads it then has at least, one rests where there are fewer than four processors, until nng_fini().  So what nng
 * calls must never wait for nng. */
#include "guard.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <nng/nng.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What sanitizers call before they are ready: they ask sysconf(). */
#ifdef __clang__
#define UNSANITIZED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNSANITIZED __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

#define SOCKETS_MAX 1048576 /* by their number; those beyond send in parts.  What is never used takes no memory */
#define PARTS_MAX 16      /* of one message: nng's own limit */
#define BACKLOG 4096

/* A message of which `taken` bytes are sent.  Whoever sends on a socket is alone there. */
struct unfinished {
	uint64_t cookie; /* the socket's: numbers are used again */
	const void *base;
	size_t size, taken; /* 0: none */
};

static struct unfinished all[SOCKETS_MAX];
static uint64_t tls[SOCKETS_MAX]; /* the cookies of sockets with TLS on them, until their end was told */

static size_t size_of(const struct msghdr *message)
{
	size_t size = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++)
		size += message->msg_iov[i].iov_len;
	return size;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* The message without its first `taken` bytes. */
static struct msghdr rest_of(const struct msghdr *message, size_t taken, struct iovec parts[PARTS_MAX])
{
	struct msghdr rest = *message;
	size_t n = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++) {
		struct iovec part = message->msg_iov[i];
		size_t skipped = taken < part.iov_len ? taken : part.iov_len;
		taken -= skipped;
		if (part.iov_len > skipped)
			parts[n++] = (struct iovec){ (char *)part.iov_base + skipped, part.iov_len - skipped };
	}
	rest.msg_iov = parts;
	rest.msg_iovlen = n;
	return rest;
}

ssize_t sendmsg_whole(int fd, const struct msghdr *message, int flags)
{
	struct unfinished *at = &all[fd];
	const void *base = message->msg_iov[0].iov_base;
	size_t size = size_of(message);
	struct iovec parts[PARTS_MAX];

	if (at->taken > 0 && (at->base != base || at->size != size || at->cookie != cookie_of(fd)))
		at->taken = 0;
	struct msghdr rest = at->taken > 0 ? rest_of(message, at->taken, parts) : *message;
	ssize_t n = syscall(SYS_sendmsg, fd, &rest, flags);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		n = (ssize_t)(size - at->taken);
	if (n < 0)
		return n;
	if (at->taken + (size_t)n == size) {
		at->taken = 0;
		return (ssize_t)size;
	}
	*at = (struct unfinished){ at->taken > 0 ? at->cookie : cookie_of(fd), base, size, at->taken + (size_t)n };
	errno = EAGAIN;
	return -1;
}

/* A record of a TLS handshake; or else what looks like one, and whose end told so does no harm. */
static bool is_tls(const struct iovec *parts, ssize_t n)
{
	const uint8_t *bytes = parts[0].iov_base;

	return n >= 2 && parts[0].iov_len >= 2 && bytes[0] == 22 && bytes[1] == 3;
}

ssize_t readv_to_the_end(int fd, const struct iovec *parts, int n_parts)
{
	static const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, 0 }; /* RFC 5246, 7.2 */
	ssize_t n = syscall(SYS_readv, fd, parts, n_parts);
	bool ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);

	if (is_tls(parts, n))
		tls[fd] = cookie_of(fd);
	if (!ended || tls[fd] == 0 || tls[fd] != cookie_of(fd) || parts[0].iov_len < sizeof alert)
		return n;
	tls[fd] = 0;
	memcpy(parts[0].iov_base, alert, sizeof alert);
	return sizeof alert;
}

int epoll_wait_plain(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
	int n = epoll_pwait(epoll, events, most, timeout_ms, NULL); /* which sanitizers know */

	for (int i = 0; i < n; i++)
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			events[i].events = EPOLLIN | EPOLLOUT;
	return n;
}

/* ── task threads ────────────────────────────────────────────────────────────────────────────────── */

static long (*sysconf_found)(int); /* libc's */

static UNSANITIZED long sysconf_of_libc(int name)
{
	if (sysconf_found == NULL) /* before find_nng() */
		sysconf_found = (long (*)(int))(uintptr_t)dlsym(RTLD_NEXT, "sysconf");
	return sysconf_found(name);
}

long guard_processors(void)
{
	long quarter = sysconf_of_libc(_SC_NPROCESSORS_ONLN) / 4;

	return quarter > 1 ? quarter : 1;
}

static sem_t rest_is_over;

static void rest(void *unused)
{
	(void)unused;
	while (sem_wait(&rest_is_over) != 0)
		;
}

/* Once nng works: when it sends. */
static void rest_one(void)
{
	static nng_aio *aio; /* for ever */

	if (sysconf_of_libc(_SC_NPROCESSORS_ONLN) < 4 && nng_aio_alloc(&aio, rest, NULL) == 0 && nng_aio_begin(aio))
		nng_aio_finish(aio, 0);
}

/* ── who calls ───────────────────────────────────────────────────────────────────────────────────── */

static uintptr_t nng_begin, nng_end; /* its code */

/* The code that holds *address is nng's. */
static int find_code(struct dl_phdr_info *object, size_t size, void *address)
{
	uintptr_t sought = *(const uintptr_t *)address;

	(void)size;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
		if (segment->p_type != PT_LOAD || sought < begin || sought >= begin + segment->p_memsz)
			continue;
		nng_begin = begin;
		nng_end = begin + segment->p_memsz;
		return 1;
	}
	return 0;
}

__attribute__((constructor)) static void find_nng(void)
{
	uintptr_t address = (uintptr_t)dlsym(RTLD_DEFAULT, "nng_close");

	sem_init(&rest_is_over, 0, 0);
	(void)sysconf_of_libc(_SC_NPROCESSORS_ONLN);
	(void)dl_iterate_phdr(find_code, &address);
}

static UNSANITIZED bool is_nng(uintptr_t caller)
{
	return caller >= nng_begin && caller < nng_end;
}

/* nng's messages have no ancillary data, and its sockets do not block. */
static bool is_whole(int fd, const struct msghdr *message)
{
	return fd >= 0 && fd < SOCKETS_MAX && message->msg_name == NULL &&
			message->msg_control == NULL && message->msg_iovlen > 0 && message->msg_iovlen <= PARTS_MAX;
}

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static pthread_once_t first = PTHREAD_ONCE_INIT;
	bool nng = is_nng((uintptr_t)__builtin_return_address(0));

	if (nng)
		(void)pthread_once(&first, rest_one);
	if (nng && is_whole(fd, message))
		return sendmsg_whole(fd, message, flags);
	return syscall(SYS_sendmsg, fd, message, flags);
}

__attribute__((visibility("default"))) ssize_t readv(int fd, const struct iovec *parts, int n)
{
	if (is_nng((uintptr_t)__builtin_return_address(0)) && fd >= 0 && fd < SOCKETS_MAX && n > 0)
		return readv_to_the_end(fd, parts, n);
	return syscall(SYS_readv, fd, parts, n);
}

__attribute__((visibility("default"))) int listen(int fd, int backlog)
{
	return (int)syscall(SYS_listen, fd, is_nng((uintptr_t)__builtin_return_address(0)) ? BACKLOG : backlog);
}

__attribute__((visibility("default"))) int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
	if (is_nng((uintptr_t)__builtin_return_address(0)))
		return epoll_wait_plain(epoll, events, most, timeout_ms);
	return epoll_pwait(epoll, events, most, timeout_ms, NULL);
}

__attribute__((visibility("default"))) UNSANITIZED long sysconf(int name)
{
	bool nng = name == _SC_NPROCESSORS_ONLN && is_nng((uintptr_t)__builtin_return_address(0));

	return nng ? guard_processors() : sysconf_of_libc(name);
}

/* Which waits for all of nng's threads. */
__attribute__((visibility("default"))) void nng_fini(void)
{
	void (*call)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_NEXT, "nng_fini");

	sem_post(&rest_is_over);
	call();
}
