/* See socket.h. */
#include "socket.h"

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define PATIENCE_S 2

static void *close_it(void *arg)
{
	nng_socket socket = NNG_SOCKET_INITIALIZER;

	socket.id = (uint32_t)(uintptr_t)arg;
	(void)nng_close(socket);
	return NULL;
}

bool socket_close(nng_socket socket)
{
	struct timespec until;
	pthread_t thread;

	if (pthread_create(&thread, NULL, close_it, (void *)(uintptr_t)socket.id) != 0)
		return nng_close(socket) == 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	if (pthread_timedjoin_np(thread, NULL, &until) == 0)
		return true;
	pthread_detach(thread);
	return false;
}
