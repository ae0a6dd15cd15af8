/* See workers.h. */
#include "workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "session.h"
#include "wire/guard.h"
#include "wire/status.h"

#define WORKERS_MAX 64
struct workers {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct session *head, **tail;
	workers_visit *visit;
	atomic_uint visitors; /* nng's threads */
	unsigned visitors_max;
	bool stopping;
	unsigned n;
	pthread_t threads[WORKERS_MAX];
};

static void *work(void *arg)
{
	struct workers *workers = arg;

	pthread_mutex_lock(&workers->mutex);
	while (workers->head != NULL || !workers->stopping) {
		struct session *session = workers->head;
		if (session == NULL) {
			pthread_cond_wait(&workers->wake, &workers->mutex);
			continue;
		}
		workers->head = session->next_queued;
		if (workers->head == NULL)
			workers->tail = &workers->head;
		pthread_mutex_unlock(&workers->mutex);
		workers->visit(session);
		pthread_mutex_lock(&workers->mutex);
	}
	pthread_mutex_unlock(&workers->mutex);
	return NULL;
}

enum aside_code workers_start(unsigned n, workers_visit *visit, struct workers **ret, struct aside_status *err)
{
	struct workers *workers = calloc(1, sizeof *workers);
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (workers == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	if (n == 0)
		n = processors > 2 ? (unsigned)processors : 2;
	pthread_mutex_init(&workers->mutex, NULL);
	pthread_cond_init(&workers->wake, NULL);
	workers->tail = &workers->head;
	workers->visit = visit;
	workers->visitors_max = (unsigned)guard_processors(); /* half of nng's threads: the others stay free */
	for (; workers->n < n && workers->n < WORKERS_MAX; workers->n++)
		if (pthread_create(&workers->threads[workers->n], NULL, work, workers) != 0)
			break;
	if (workers->n == 0) {
		workers_stop(workers);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	}
	*ret = workers;
	return ASIDE_OK;
}

void workers_queue(struct workers *workers, struct session *session)
{
	session->next_queued = NULL;
	pthread_mutex_lock(&workers->mutex);
	*workers->tail = session;
	workers->tail = &session->next_queued;
	pthread_cond_signal(&workers->wake);
	pthread_mutex_unlock(&workers->mutex);
}

bool workers_enter(struct workers *workers)
{
	if (atomic_fetch_add(&workers->visitors, 1) < workers->visitors_max)
		return true;
	workers_leave(workers);
	return false;
}

void workers_leave(struct workers *workers)
{
	atomic_fetch_sub(&workers->visitors, 1);
}

void workers_stop(struct workers *workers)
{
	if (workers == NULL)
		return;
	pthread_mutex_lock(&workers->mutex);
	workers->stopping = true;
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->mutex);
	for (unsigned i = 0; i < workers->n; i++)
		pthread_join(workers->threads[i], NULL);
	pthread_mutex_destroy(&workers->mutex);
	pthread_cond_destroy(&workers->wake);
	free(workers);
}
