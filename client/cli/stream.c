/* aside call of a method whose server streams: each item is a line of JSON, as soon as it comes.  SIGINT and SIGTERM
 * end the stream, and with it the command: by a thread of its own, for a handler may not call the library. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "aside/stream.h"
#include "json.h"
#include "remote.h"

static sem_t interrupted;

/* Who ends `stream` when the user wants it. */
struct guard {
	struct aside_stream *stream;
	pthread_t thread;
	struct sigaction before_int, before_term;
	bool done;      /* the stream has ended by itself: before the semaphore is posted */
	bool cancelled; /* by the thread, for whom has joined it */
};

static void on_signal(int number)
{
	(void)number;
	(void)sem_post(&interrupted);
}

static void *watch_signals(void *arg)
{
	struct guard *guard = arg;

	while (sem_wait(&interrupted) != 0)
		; /* EINTR */
	guard->cancelled = !guard->done;
	if (guard->cancelled)
		aside_stream_cancel(guard->stream);
	return NULL;
}

/* False where there can be no thread: then a signal ends the process, as without this. */
static bool guard_begin(struct guard *guard, struct aside_stream *stream)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	*guard = (struct guard){ .stream = stream };
	(void)sem_init(&interrupted, 0, 0);
	if (pthread_create(&guard->thread, NULL, watch_signals, guard) != 0)
		return false;
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, &guard->before_int);
	(void)sigaction(SIGTERM, &action, &guard->before_term);
	return true;
}

static void guard_end(struct guard *guard)
{
	(void)sigaction(SIGINT, &guard->before_int, NULL);
	(void)sigaction(SIGTERM, &guard->before_term, NULL);
	guard->done = true;
	(void)sem_post(&interrupted);
	(void)pthread_join(guard->thread, NULL);
}

/* False where nothing more can be written: run() says why. */
static bool print_line(const ProtobufCMessage *item, bool defaults)
{
	json_t *json = json_from_message(item, defaults);

	(void)json_dumpf(json, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	(void)putchar('\n');
	json_decref(json);
	return fflush(stdout) == 0;
}

static enum aside_code print_items(struct aside_stream *stream, bool defaults, struct aside_status *status)
{
	ProtobufCMessage *item = NULL;
	enum aside_code code;
	bool written = true;

	while (written && (code = aside_stream_receive(stream, &item, status)) == ASIDE_OK && item != NULL) {
		written = print_line(item, defaults);
		aside_free(item);
	}
	return written ? code : ASIDE_OK;
}

int stream_items(const struct remote *remote, const struct aside_method *method, const ProtobufCMessage *request)
{
	struct aside_stream *stream = NULL;
	struct aside_status status;
	struct guard guard = { .cancelled = false };
	int rc = 0;

	if (remote_stream(remote, method, request, &stream, &status) != ASIDE_OK)
		return remote_complain(remote->in, &status);
	bool guarded = guard_begin(&guard, stream);
	enum aside_code code = print_items(stream, remote->in->defaults, &status);
	if (guarded)
		guard_end(&guard);
	if (code != ASIDE_OK && !(code == ASIDE_CANCELLED && guard.cancelled))
		rc = remote_complain(remote->in, &status);
	aside_stream_close(stream);
	return rc;
}
