/* A payload is hints, each a letter and its numbers, joined by '+': "e12.345+o12.345.42+t12.9.42.2".  See hints.h. */
#include "hints.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../clock.h"
#include "../log.h"
#include "wire/status.h"

#define CHANNEL "aside_hints"
#define WAITING_MAX 8192      /* hints; beyond, the others find out by themselves */
#define PAYLOAD_BYTES_MAX 7900 /* PostgreSQL takes less than 8,000 */
#define HINT_BYTES_MAX 96
#define RECONNECT_MS 1000
#define CONNECT_TIMEOUT_S "3"

struct hints {
	struct hints_options options;
	pthread_t thread;
	pthread_mutex_t mutex;
	struct hint waiting[WAITING_MAX]; /* under the mutex, like `stopping` */
	size_t n_waiting;
	bool stopping;
	int wake_fd;
	/* The thread's own. */
	PGconn *pg;
	struct hint telling[WAITING_MAX];
	char *payloads; /* a text[] literal */
	bool busy;      /* a NOTIFY is under way */
	int64_t next_us;
};

static void wake(struct hints *hints)
{
	uint64_t one = 1;

	(void)!write(hints->wake_fd, &one, sizeof one);
}

void hints_tell(struct hints *hints, const struct hint *hint)
{
	pthread_mutex_lock(&hints->mutex);
	bool first = hints->n_waiting == 0;
	if (hints->n_waiting < WAITING_MAX)
		hints->waiting[hints->n_waiting++] = *hint;
	pthread_mutex_unlock(&hints->mutex);
	if (first)
		wake(hints);
}

/* ── telling ─────────────────────────────────────────────────────────────────────────────────────── */

static int compare(const void *a, const void *b)
{
	const struct hint *x = a, *y = b;

	if (x->kind != y->kind)
		return (x->kind > y->kind) - (x->kind < y->kind);
	if (x->page_id != y->page_id)
		return (x->page_id > y->page_id) - (x->page_id < y->page_id);
	return (x->number > y->number) - (x->number < y->number);
}

/* Sorts, and leaves of a page's events the last. */
static size_t condense(struct hint *hints, size_t n)
{
	size_t kept = 0;

	qsort(hints, n, sizeof *hints, compare);
	for (size_t i = 0; i < n; i++)
		if (hints[i].kind != HINT_EVENT || i + 1 == n || hints[i + 1].kind != HINT_EVENT ||
				hints[i + 1].page_id != hints[i].page_id)
			hints[kept++] = hints[i];
	return kept;
}

static size_t write_hint(const struct hint *hint, char *out)
{
	int size = 0;

	switch (hint->kind) {
	case HINT_EVENT:
		size = snprintf(out, HINT_BYTES_MAX, "e%" PRId64 ".%" PRId64, hint->page_id, hint->number);
		break;
	case HINT_OPENS:
		size = snprintf(out, HINT_BYTES_MAX, "o%" PRId64 ".%" PRId64 ".%" PRId64, hint->page_id, hint->number, hint->user_id);
		break;
	case HINT_TYPING:
		size = snprintf(out, HINT_BYTES_MAX, "t%" PRId64 ".%" PRId64 ".%" PRId64 ".%d", hint->page_id, hint->number,
				hint->user_id, hint->side);
		break;
	}
	return (size_t)size;
}

/* "{e1.2+e3.4,e5.6}": as many payloads as it takes. */
static void write_payloads(const struct hint *hints, size_t n, char *out)
{
	size_t in_payload = 0;

	*out++ = '{';
	for (size_t i = 0; i < n; i++) {
		char text[HINT_BYTES_MAX];
		size_t size = write_hint(&hints[i], text);
		if (in_payload + 1 + size > PAYLOAD_BYTES_MAX) {
			*out++ = ',';
			in_payload = 0;
		} else if (in_payload > 0) {
			*out++ = '+';
			in_payload++;
		}
		memcpy(out, text, size);
		out += size;
		in_payload += size;
	}
	memcpy(out, "}", 2);
}

static void tell(struct hints *hints)
{
	const char *values[] = { hints->payloads };

	pthread_mutex_lock(&hints->mutex);
	size_t n = hints->n_waiting;
	memcpy(hints->telling, hints->waiting, n * sizeof *hints->telling);
	hints->n_waiting = 0;
	pthread_mutex_unlock(&hints->mutex);
	if (n == 0)
		return;
	write_payloads(hints->telling, condense(hints->telling, n), hints->payloads);
	hints->busy = PQsendQueryParams(hints->pg, "SELECT pg_notify('" CHANNEL "', p) FROM unnest($1::text[]) p", 1, NULL,
			values, NULL, NULL, 0) == 1;
	hints->next_us = clock_monotonic_us() + HINTS_EVERY_US;
}

/* ── hearing ─────────────────────────────────────────────────────────────────────────────────────── */

static bool read_hint(const char *text, struct hint *ret)
{
	char kind = text[0];
	int end = 0;

	*ret = (struct hint){ .kind = (enum hint_kind)kind };
	if (kind == HINT_EVENT && sscanf(text + 1, "%" SCNd64 ".%" SCNd64 "%n", &ret->page_id, &ret->number, &end) != 2)
		return false;
	if (kind == HINT_OPENS && sscanf(text + 1, "%" SCNd64 ".%" SCNd64 ".%" SCNd64 "%n", &ret->page_id, &ret->number,
					  &ret->user_id, &end) != 3)
		return false;
	if (kind == HINT_TYPING && sscanf(text + 1, "%" SCNd64 ".%" SCNd64 ".%" SCNd64 ".%d%n", &ret->page_id, &ret->number,
					   &ret->user_id, &ret->side, &end) != 4)
		return false;
	return end > 0 && text[1 + end] == '\0'; /* of another kind, of a later release: not ours */
}

static void hear(struct hints *hints, char *payload)
{
	char *rest = payload, *text;
	struct hint hint;

	while ((text = strsep(&rest, "+")) != NULL)
		if (read_hint(text, &hint))
			hints->options.heard(hints->options.user, &hint);
}

/* Takes in what the connection has; false: it is lost. */
static bool take_in(struct hints *hints)
{
	PGnotify *notify;

	if (PQconsumeInput(hints->pg) != 1)
		return false;
	while (hints->busy && !PQisBusy(hints->pg)) {
		PGresult *result = PQgetResult(hints->pg);
		hints->busy = result != NULL;
		if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
			log_warning("event=hints_refused message=\"%.*s\"", (int)strcspn(PQresultErrorMessage(result), "\n"),
					PQresultErrorMessage(result));
		PQclear(result);
	}
	while ((notify = PQnotifies(hints->pg)) != NULL) {
		if (notify->be_pid != PQbackendPID(hints->pg))
			hear(hints, notify->extra);
		PQfreemem(notify);
	}
	return true;
}

/* ── the thread ──────────────────────────────────────────────────────────────────────────────────── */

static bool command(struct hints *hints, const char *sql)
{
	PGresult *result = PQexec(hints->pg, sql);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return ok;
}

/* Only what is told from here on is heard: whoever listens has to look at the tables once (sql-listen). */
static bool connect_and_listen(struct hints *hints)
{
	const char *keys[] = { "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "dbname",
		"connect_timeout", "application_name", NULL };
	const char *values[] = { "10", "5", "3", "15000", hints->options.database, CONNECT_TIMEOUT_S, "aside-hints", NULL };

	hints->busy = false;
	hints->next_us = 0;
	hints->pg = PQconnectdbParams(keys, values, 1);
	if (PQstatus(hints->pg) == CONNECTION_OK && command(hints, "SET synchronous_commit = off") &&
			command(hints, "LISTEN " CHANNEL) && PQsetnonblocking(hints->pg, 1) == 0)
		return true;
	PQfinish(hints->pg);
	hints->pg = NULL;
	return false;
}

/* Waits until there is something to do; false: the connection is lost. */
static bool wait_for_work(struct hints *hints, bool wants_to_tell)
{
	int unsent = PQflush(hints->pg);
	struct pollfd fds[] = {
		{ .fd = hints->wake_fd, .events = POLLIN },
		{ .fd = PQsocket(hints->pg), .events = (short)(unsent == 1 ? POLLIN | POLLOUT : POLLIN) },
	};
	int64_t wait_us = hints->next_us - clock_monotonic_us();
	uint64_t woken;

	if (unsent < 0)
		return false;
	if (poll(fds, 2, !wants_to_tell ? -1 : wait_us > 0 ? (int)(wait_us / 1000 + 1) : 0) < 0)
		return errno == EINTR;
	if (fds[0].revents != 0)
		(void)!read(hints->wake_fd, &woken, sizeof woken);
	return true;
}

static bool look(struct hints *hints, bool *ret_waiting)
{
	pthread_mutex_lock(&hints->mutex);
	bool stopping = hints->stopping;
	*ret_waiting = hints->n_waiting > 0;
	pthread_mutex_unlock(&hints->mutex);
	return !stopping;
}

/* Until the connection is lost or the end. */
static void serve(struct hints *hints)
{
	bool waiting;

	while (look(hints, &waiting)) {
		if (waiting && !hints->busy && clock_monotonic_us() >= hints->next_us)
			tell(hints);
		else if (!wait_for_work(hints, waiting && !hints->busy) || !take_in(hints))
			break;
	}
	PQfinish(hints->pg);
	hints->pg = NULL;
}

static void *run(void *arg)
{
	struct hints *hints = arg;
	bool waiting;

	while (look(hints, &waiting)) {
		struct pollfd fd = { .fd = hints->wake_fd, .events = POLLIN };
		uint64_t woken;
		if (connect_and_listen(hints)) {
			hints->options.interrupted(hints->options.user);
			serve(hints);
			continue;
		}
		(void)!read(hints->wake_fd, &woken, sizeof woken);
		if (look(hints, &waiting))
			(void)poll(&fd, 1, RECONNECT_MS);
	}
	return NULL;
}

enum aside_code hints_open(const struct hints_options *options, struct hints **ret, struct aside_status *err)
{
	struct hints *hints = calloc(1, sizeof *hints);

	if (hints != NULL) {
		hints->options = *options;
		pthread_mutex_init(&hints->mutex, NULL);
		hints->payloads = malloc(WAITING_MAX * HINT_BYTES_MAX);
		hints->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	if (hints == NULL || hints->payloads == NULL || hints->wake_fd < 0 ||
			pthread_create(&hints->thread, NULL, run, hints) != 0) {
		if (hints != NULL) {
			close(hints->wake_fd);
			free(hints->payloads);
		}
		free(hints);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	}
	*ret = hints;
	return ASIDE_OK;
}

void hints_close(struct hints *hints)
{
	if (hints == NULL)
		return;
	pthread_mutex_lock(&hints->mutex);
	hints->stopping = true;
	pthread_mutex_unlock(&hints->mutex);
	wake(hints);
	pthread_join(hints->thread, NULL);
	close(hints->wake_fd);
	pthread_mutex_destroy(&hints->mutex);
	free(hints->payloads);
	free(hints);
}
