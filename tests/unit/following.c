/* See following.h. */
#include "test.h"

#include "following.h"

#include "aside/v1/watch.pb-c.h"

struct follow *follow;
struct client clients[WATCHERS];
struct op *reads[READS_MAX];
size_t n_reads;
bool refuse_reads;

/* ── what the machine calls ──────────────────────────────────────────────────────────────────────── */

static bool submit(void *user, struct op *op)
{
	(void)user;
	if (refuse_reads)
		return false;
	assert_true(n_reads < N_OF(reads));
	reads[n_reads++] = op;
	return true;
}

static void keep_cursor(struct client *client, const char *cursor)
{
	struct place *places;
	struct arena arena;
	size_t n;

	arena_init(&arena, 65536);
	assert_int_equal(cursor_read(&arena, cursor, client->kind, client->user_id, &places, &n, NULL), ASIDE_OK);
	memset(client->places, 0, sizeof client->places);
	for (size_t i = 0; i < n; i++)
		client->places[places[i].page_id] = places[i];
	client->has_cursor = true;
	arena_fini(&arena);
}

static void take(struct client *client, const Aside__V1__Event *event)
{
	int64_t number = client->places[event->page_id].event;

	if (event->kind_case == ASIDE__V1__EVENT__KIND_TYPING) {
		client->typings++;
		return;
	}
	if (event->kind_case == ASIDE__V1__EVENT__KIND_RESYNC) {
		client->resyncs++;
		client->n_seen = 0; /* it reads everything again, and goes on from there */
		for (int64_t page = 1; page < FAKE_PAGES; page++)
			for (int64_t n = 1; n <= client->places[page].event; n++)
				client->seen[client->n_seen].page_id = page, client->seen[client->n_seen++].number = n;
		return;
	}
	client->seen[client->n_seen].page_id = event->page_id;
	client->seen[client->n_seen++].number = number;
}

static bool send(void *stream, struct bytes response)
{
	struct client *client = stream;
	Aside__V1__WatchPageResponse *message; /* all three have the same fields */

	assert_false(client->ended);
	client->wants_room = client->room == 0;
	if (client->room == 0)
		return false;
	client->room--;
	message = aside__v1__watch_page_response__unpack(NULL, response.size, response.data);
	assert_non_null(message);
	keep_cursor(client, message->cursor);
	if (message->event != NULL)
		take(client, message->event);
	else
		client->greetings++;
	aside__v1__watch_page_response__free_unpacked(message, NULL);
	return true;
}

static void end(void *stream, const struct aside_status *why)
{
	struct client *client = stream;

	client->ended = true;
	client->why = *why;
}

static void forget(void *stream)
{
	(void)stream;
}

/* ── what tests do ───────────────────────────────────────────────────────────────────────────────── */

static struct beginning beginning_on(const struct client *client, int64_t page_id)
{
	int64_t last = fake_logs[page_id].last_event;
	struct beginning beginning = { { page_id, last, 0 }, last };

	if (client->kind != WATCH_PAGE)
		beginning.place.seq = fake_last_seq(page_id, client->user_id, last);
	if (client->has_cursor)
		beginning.place = (struct place){ page_id, client->places[page_id].event, client->places[page_id].seq };
	return beginning;
}

/* Begins to watch, from its last cursor if it has one. */
void begin(struct client *client)
{
	struct beginning beginnings[FAKE_PAGES];
	size_t n = 0;

	client->ended = client->wants_room = false;
	for (int64_t page = 1; page < FAKE_PAGES; page++)
		if (client->kind == WATCH_PERSON ? fake_last_seq(page, client->user_id, fake_logs[page].last_event) > 0 :
						   page == client->page_id)
			beginnings[n++] = beginning_on(client, page);
	client->watch = watch_new(client->kind, client->staff, client->caller, client->user_id);
	client->watch->stream = client;
	follow_begin(follow, client->watch, beginnings, n);
}

void leave(struct client *client)
{
	follow_end(follow, client->watch);
	client->watch = NULL;
}

void give_room(struct client *client, unsigned room)
{
	client->room += room;
	if (!client->wants_room || client->ended)
		return;
	client->wants_room = false;
	follow_writable(follow, client->watch);
}

/* Brings back one of the reads under way. */
void finish_read(size_t which)
{
	struct op *op = reads[which];

	reads[which] = reads[--n_reads];
	fake_execute(op);
	follow_done(follow, op);
}

void finish_all(void)
{
	do {
		follow_work(follow);
		while (n_reads > 0)
			finish_read(0);
		follow_work(follow);
	} while (n_reads > 0);
}

/* What hints did not tell. */
void sweep(void)
{
	for (int64_t page = 1; page < FAKE_PAGES; page++) {
		static const int64_t persons[] = { JOHNNY, FAN };
		for (size_t i = 0; i < N_OF(persons); i++)
			if (fake_last_seq(page, persons[i], fake_logs[page].last_event) > 0)
				follow_opens(follow, page, fake_logs[page].last_event, persons[i]);
		follow_event(follow, page, fake_logs[page].last_event);
	}
	follow_retry(follow);
}

int64_t commit(int64_t page_id, struct fake_event event)
{
	int64_t number = fake_commit(page_id, event);

	if (event.kind == EVENT_IS_MESSAGE && fake_last_seq(page_id, event.user_id, number) == 1)
		follow_opens(follow, page_id, number, event.user_id);
	follow_event(follow, page_id, number);
	return number;
}

int64_t say(int64_t page_id, int64_t user_id)
{
	return commit(page_id, (struct fake_event){ .kind = EVENT_IS_MESSAGE, .user_id = user_id, .side = 1 });
}

struct client *new_client(enum watch_kind kind, bool staff, int64_t caller, int64_t user_id, int64_t page_id)
{
	size_t i = 0;

	while (clients[i].kind != 0)
		i++;
	clients[i] = (struct client){ .kind = kind, .staff = staff, .caller = caller, .user_id = user_id, .page_id = page_id,
		.room = 1000000 };
	return &clients[i];
}

static bool is_its(const struct client *client, int64_t page_id, const struct fake_event *event)
{
	if (client->kind != WATCH_PERSON && page_id != client->page_id)
		return false;
	return (client->kind == WATCH_PAGE || event->user_id == client->user_id) && fake_visible(event, client->staff);
}

/* It has seen what is its to see of each page after `from`, in order, and nothing twice. */
void assert_saw_all(const struct client *client, const int64_t from[FAKE_PAGES])
{
	for (int64_t page = 1; page < FAKE_PAGES; page++) {
		size_t at = 0;
		for (int64_t number = from[page] + 1; number <= fake_logs[page].last_event; number++) {
			if (!is_its(client, page, &fake_logs[page].events[number - 1]))
				continue;
			while (at < client->n_seen && (client->seen[at].page_id != page || client->seen[at].number <= from[page]))
				at++;
			assert_true(at < client->n_seen);
			assert_int_equal(client->seen[at++].number, number);
		}
		for (; at < client->n_seen; at++)
			assert_true(client->seen[at].page_id != page || client->seen[at].number <= from[page]);
	}
}

const int64_t from_the_start[FAKE_PAGES];

int set_up(void **state)
{
	(void)state;
	fake_reset();
	memset(clients, 0, sizeof clients);
	n_reads = 0;
	refuse_reads = false;
	follow = follow_new(&(struct follow_options){ .submit = submit, .sink = { send, end, forget } });
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < WATCHERS; i++)
		if (clients[i].watch != NULL)
			leave(&clients[i]);
	finish_all();
	follow_free(follow);
	return 0;
}
