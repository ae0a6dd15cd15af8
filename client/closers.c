/* See closers.h. */
#include "closers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct closer {
	struct closer *next;
	struct link *link;
	pthread_t thread;
	atomic_bool done;
};

static void *run(void *arg)
{
	struct closer *closer = arg;

	link_close(closer->link);
	closer->done = true;
	return NULL;
}

/* Joins those that are done, or all. */
static void reap(struct closers *closers, bool all)
{
	for (struct closer **at = &closers->first; *at != NULL;) {
		struct closer *closer = *at;
		if (!all && !closer->done) {
			at = &closer->next;
			continue;
		}
		*at = closer->next;
		(void)pthread_join(closer->thread, NULL);
		free(closer);
	}
}

void closers_add(struct closers *closers, struct link *link)
{
	struct closer *closer = link != NULL ? calloc(1, sizeof *closer) : NULL;

	reap(closers, false);
	if (closer != NULL)
		closer->link = link;
	if (closer == NULL || pthread_create(&closer->thread, NULL, run, closer) != 0) {
		free(closer);
		link_close(link);
		return;
	}
	closer->next = closers->first;
	closers->first = closer;
}

void closers_wait(struct closers *closers)
{
	reap(closers, true);
}
