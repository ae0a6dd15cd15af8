/* The mailbox, its thread and the sweep.  See hub.h. */
#include "hub.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../clock.h"
#include "../log.h"
#include "sql.h"
#include "store/hints.h"

#define NOTES_MAX 65536 /* waiting; beyond, the sweep finds what was dropped */
#define FIND_MAX 256    /* pages or persons of one find_news.sql */
#define FIND_ARENA_BYTES 65536
#define FRESH_MAX 256

/* Something that happened. */
struct note {
	enum hint_kind kind;
	bool ours; /* others are to be told */
	struct hint hint;
	int64_t at_us; /* TYPING */
};

struct notes {
	struct note *all;
	size_t n, room;
};

/* What is there for the hub's thread to do. */
struct mailbox {
	struct notes notes;
	bool overflowed; /* notes were dropped */
	bool interrupted;
	struct op *ops, **ops_tail; /* that are back */
	struct watch *watches, **watches_tail;
};

struct hub {
	struct hub_options options;
	struct store *store;
	struct hints *hints;
	struct follow *follow;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct mailbox mailbox; /* with the mutex */
	bool stopping, started;
	/* The thread's own. */
	struct notes notes;
	int64_t sweep_us;
	int64_t fresh[FRESH_MAX]; /* persons whose watch has just begun */
	size_t n_fresh;
};

/* "{1,2,3}"; NULL when the arena is full. */
static const char *array_text(struct arena *arena, const int64_t *numbers, size_t n)
{
	char *text = arena_alloc(arena, n * sizeof "-9223372036854775808," + sizeof "{}"), *end = text;

	if (text == NULL)
		return NULL;
	*end++ = '{';
	for (size_t i = 0; i < n; i++)
		end += sprintf(end, "%s%" PRId64, i == 0 ? "" : ",", numbers[i]);
	memcpy(end, "}", 2);
	return text;
}

/* ── the mailbox ─────────────────────────────────────────────────────────────────────────────────── */

/* With the mutex held. */
static void post(struct hub *hub, const struct note *note)
{
	struct notes *notes = &hub->mailbox.notes;

	if (notes->n == notes->room) {
		size_t room = notes->room > 0 ? notes->room * 2 : 64;
		struct note *grown = room <= NOTES_MAX ? realloc(notes->all, room * sizeof *grown) : NULL;
		if (grown == NULL) {
			hub->mailbox.overflowed = true;
			return;
		}
		notes->all = grown;
		notes->room = room;
	}
	notes->all[notes->n++] = *note;
}

void hub_committed(void *user, const struct committed *events, size_t n)
{
	struct hub *hub = user;

	pthread_mutex_lock(&hub->mutex);
	for (size_t i = 0; i < n; i++) {
		const struct committed *event = &events[i];
		post(hub, &(struct note){ .ours = true, .hint = { HINT_EVENT, 0, event->page_id, event->event_number, 0 } });
		if (event->opens_thread_of != 0)
			post(hub, &(struct note){ .ours = true, .hint = { HINT_OPENS, 0, event->page_id, event->event_number,
									  event->opens_thread_of } });
	}
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
}

static void on_hint(void *user, const struct hint *hint)
{
	struct hub *hub = user;

	pthread_mutex_lock(&hub->mutex);
	post(hub, &(struct note){ .hint = *hint, .at_us = clock_realtime_us() });
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
}

static void on_interrupted(void *user)
{
	struct hub *hub = user;

	pthread_mutex_lock(&hub->mutex);
	hub->mailbox.interrupted = true;
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
}

void hub_typing(struct hub *hub, const struct typing *typing)
{
	pthread_mutex_lock(&hub->mutex);
	post(hub, &(struct note){ .ours = true, .at_us = typing->at_us,
			  .hint = { HINT_TYPING, typing->side, typing->page_id, typing->typist, typing->user_id } });
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
}

static void post_watch(struct hub *hub, struct watch *watch, enum watch_news news)
{
	pthread_mutex_lock(&hub->mutex);
	if (watch->news == 0) {
		watch->next_news = NULL;
		*hub->mailbox.watches_tail = watch;
		hub->mailbox.watches_tail = &watch->next_news;
	}
	watch->news |= news;
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
}

void hub_watch(struct hub *hub, struct watch *watch, struct beginning *beginnings, size_t n)
{
	watch->beginnings = beginnings;
	watch->n_beginnings = n;
	post_watch(hub, watch, NEWS_BEGINS);
}

void hub_writable(struct hub *hub, struct watch *watch)
{
	post_watch(hub, watch, NEWS_WRITABLE);
}

void hub_unwatch(struct hub *hub, struct watch *watch)
{
	post_watch(hub, watch, NEWS_GONE);
}

/* ── operations ──────────────────────────────────────────────────────────────────────────────────── */

/* A find_news.sql under way. */
struct find {
	struct arena arena;
	struct hub *hub;
};

/* On a lane's thread. */
static void on_done(struct op *op)
{
	struct hub *hub = op->statement == &sql_find_news ? ((struct find *)op->user)->hub : follow_user(op);

	op->next = NULL;
	pthread_mutex_lock(&hub->mutex);
	*hub->mailbox.ops_tail = op;
	hub->mailbox.ops_tail = &op->next;
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
}

static bool submit(void *user, struct op *op)
{
	struct hub *hub = user;

	op->done = on_done;
	return hub->store != NULL && store_submit(hub->store, op, NULL) == ASIDE_OK;
}

static void free_find(struct find *find)
{
	arena_fini(&find->arena);
	free(find);
}

/* Looks for news of some pages or persons, PostgreSQL arrays in find->arena.  Takes `find`; it is no harm if this
 * fails: the next sweep comes. */
static void find_news(struct hub *hub, struct find *find, const char *pages, const char *persons)
{
	struct op *op = pages != NULL && persons != NULL ? op_new(&find->arena, &sql_find_news, 0) : NULL;

	if (op != NULL) {
		op_text(op, pages);
		op_text(op, persons);
		op->user = find;
		if (submit(hub, op))
			return;
	}
	free_find(find);
}

static struct find *find_new(struct hub *hub)
{
	struct find *find = calloc(1, sizeof *find);

	if (find != NULL) {
		find->hub = hub;
		arena_init(&find->arena, FIND_ARENA_BYTES);
	}
	return find;
}

static void found(struct hub *hub, struct op *op)
{
	for (unsigned row = 0; op->outcome == OP_DONE && row < op->n_rows; row++) {
		int64_t page_id = op_row_int(op, row, 1), last_event = op_row_int(op, row, 2);
		if (!op_is_null(op, row, 0))
			follow_opens(hub->follow, page_id, last_event, op_row_int(op, row, 0));
		follow_event(hub->follow, page_id, last_event);
	}
	struct find *find = op->user;
	op_release(op);
	free_find(find);
}

/* A thread that was opened while its person's watch began is known to neither: they are looked for once more. */
static void find_fresh(struct hub *hub)
{
	struct find *find = hub->n_fresh > 0 ? find_new(hub) : NULL;

	if (find != NULL)
		find_news(hub, find, "{}", array_text(&find->arena, hub->fresh, hub->n_fresh));
	hub->n_fresh = 0;
}

/* All that is followed, in pieces. */
static void sweep(struct hub *hub)
{
	const struct watchers *watchers = follow_watchers(hub->follow);
	size_t most = watchers->n_pages > watchers->n_persons ? watchers->n_pages : watchers->n_persons;
	int64_t ids[2][FIND_MAX];

	for (size_t at = 0; at < most; at += FIND_MAX) {
		struct find *find = find_new(hub);
		if (find == NULL)
			return;
		size_t n_pages = at < watchers->n_pages ? watchers_pages(follow_watchers(hub->follow), ids[0], FIND_MAX) : 0;
		size_t n_persons = at < watchers->n_persons ? watchers_persons(follow_watchers(hub->follow), ids[1], FIND_MAX) : 0;
		find_news(hub, find, array_text(&find->arena, ids[0], n_pages), array_text(&find->arena, ids[1], n_persons));
	}
}

/* ── the thread ──────────────────────────────────────────────────────────────────────────────────── */

static void handle_note(struct hub *hub, const struct note *note)
{
	const struct hint *hint = &note->hint;

	switch (hint->kind) {
	case HINT_EVENT: follow_event(hub->follow, hint->page_id, hint->number); break;
	case HINT_OPENS: follow_opens(hub->follow, hint->page_id, hint->number, hint->user_id); break;
	case HINT_TYPING:
		follow_typing(hub->follow, &(struct typing){ hint->page_id, hint->user_id, hint->number, hint->side, note->at_us });
		break;
	}
	if (note->ours && hub->hints != NULL)
		hints_tell(hub->hints, hint);
}

static void begin(struct hub *hub, struct watch *watch)
{
	struct beginning *beginnings = watch->beginnings;

	watch->beginnings = NULL;
	if (watch->kind == WATCH_PERSON) {
		if (hub->n_fresh == FRESH_MAX)
			find_fresh(hub);
		hub->fresh[hub->n_fresh++] = watch->user_id;
	}
	follow_begin(hub->follow, watch, beginnings, watch->n_beginnings);
	free(beginnings);
}

static void handle_watch(struct hub *hub, struct watch *watch, unsigned news)
{
	if (news & NEWS_BEGINS)
		begin(hub, watch);
	if (news & NEWS_GONE)
		follow_end(hub->follow, watch);
	else if (news & NEWS_WRITABLE)
		follow_writable(hub->follow, watch);
}

static void handle_op(struct hub *hub, struct op *op)
{
	if (op->statement == &sql_find_news)
		found(hub, op);
	else
		follow_done(hub->follow, op);
}

/* The next watch of the mailbox and its news; NULL: there is none. */
static struct watch *next_watch(struct hub *hub, unsigned *ret_news)
{
	pthread_mutex_lock(&hub->mutex);
	struct watch *watch = hub->mailbox.watches;
	if (watch != NULL) {
		hub->mailbox.watches = watch->next_news;
		if (hub->mailbox.watches == NULL)
			hub->mailbox.watches_tail = &hub->mailbox.watches;
		*ret_news = watch->news;
		watch->news = 0;
	}
	pthread_mutex_unlock(&hub->mutex);
	return watch;
}

static bool is_empty(const struct mailbox *mailbox)
{
	return mailbox->notes.n == 0 && !mailbox->overflowed && !mailbox->interrupted && mailbox->ops == NULL &&
			mailbox->watches == NULL;
}

/* Waits for work and takes notes and operations; false: the hub stops. */
static bool take(struct hub *hub, struct op **ret_ops)
{
	struct mailbox *mailbox = &hub->mailbox;
	struct timespec until = { hub->sweep_us / 1000000, hub->sweep_us % 1000000 * 1000 };
	struct notes spare = hub->notes;
	int rc = 0;

	pthread_mutex_lock(&hub->mutex);
	while (is_empty(mailbox) && !hub->stopping && rc == 0)
		rc = pthread_cond_timedwait(&hub->wake, &hub->mutex, &until);
	bool stopping = hub->stopping;
	hub->notes = mailbox->notes;
	mailbox->notes = (struct notes){ spare.all, 0, spare.room };
	if (mailbox->overflowed || mailbox->interrupted)
		hub->sweep_us = 0;
	mailbox->overflowed = false;
	mailbox->interrupted = false;
	*ret_ops = mailbox->ops;
	mailbox->ops = NULL;
	mailbox->ops_tail = &mailbox->ops;
	pthread_mutex_unlock(&hub->mutex);
	return !stopping;
}

static void handle(struct hub *hub, struct op *ops)
{
	struct watch *watch;
	unsigned news;

	for (size_t i = 0; i < hub->notes.n; i++)
		handle_note(hub, &hub->notes.all[i]);
	while (ops != NULL) {
		struct op *op = ops;
		ops = op->next;
		handle_op(hub, op);
	}
	while ((watch = next_watch(hub, &news)) != NULL)
		handle_watch(hub, watch, news);
	find_fresh(hub);
}

static void *run(void *arg)
{
	struct hub *hub = arg;
	struct op *ops = NULL;

	while (take(hub, &ops)) {
		handle(hub, ops);
		if (clock_monotonic_us() >= hub->sweep_us) {
			sweep(hub);
			follow_retry(hub->follow);
			hub->sweep_us = clock_monotonic_us() + HUB_SWEEP_US;
		}
		follow_work(hub->follow);
	}
	handle(hub, ops);
	return NULL;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────────── */

enum aside_code hub_open(const struct hub_options *options, struct hub **ret, struct aside_status *err)
{
	struct hub *hub = calloc(1, sizeof *hub);
	pthread_condattr_t monotonic;

	if (hub == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	hub->options = *options;
	hub->mailbox.ops_tail = &hub->mailbox.ops;
	hub->mailbox.watches_tail = &hub->mailbox.watches;
	pthread_mutex_init(&hub->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&hub->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	hub->follow = follow_new(&(struct follow_options){ .submit = submit, .user = hub, .sink = options->sink });
	if (hub->follow == NULL) {
		hub_close(hub);
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	}
	*ret = hub;
	return ASIDE_OK;
}

enum aside_code hub_start(struct hub *hub, struct store *store, struct aside_status *err)
{
	struct hints_options hints = { hub->options.database, on_hint, on_interrupted, hub };

	hub->store = store;
	if (hub->options.database != NULL && hints_open(&hints, &hub->hints, err) != ASIDE_OK)
		return err->code;
	if (pthread_create(&hub->thread, NULL, run, hub) != 0)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
	hub->started = true;
	return ASIDE_OK;
}

void hub_stop(struct hub *hub)
{
	if (hub == NULL || !hub->started)
		return;
	pthread_mutex_lock(&hub->mutex);
	hub->stopping = true;
	pthread_cond_signal(&hub->wake);
	pthread_mutex_unlock(&hub->mutex);
	pthread_join(hub->thread, NULL);
	hub->started = false;
}

void hub_close(struct hub *hub)
{
	struct op *ops;

	if (hub == NULL)
		return;
	hub_stop(hub);
	hints_close(hub->hints);
	hub->hints = NULL;
	hub->store = NULL;
	hub->stopping = true;
	if (hub->follow != NULL) {
		(void)take(hub, &ops);
		handle(hub, ops); /* reads that came back, watches that are gone */
		follow_free(hub->follow);
	}
	free(hub->notes.all);
	free(hub->mailbox.notes.all);
	pthread_cond_destroy(&hub->wake);
	pthread_mutex_destroy(&hub->mutex);
	free(hub);
}
