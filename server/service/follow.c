/* See follow.h. */
#include "follow.h"

#include "reason.h"
#include "sql.h"

#define READ_ARENA_BYTES 16384
#define ROLE_MESSAGING 2 /* aside.v1.Role: moderators and above read messages (P18) */

/* A read under way. */
struct read {
	struct arena arena; /* of the operation */
	void *user;
	struct page *page;
	struct sub *sub; /* whose own it is; NULL: the page's, or of one that no longer waits for it */
	bool own;
	int64_t after, up_to;
};

struct follow {
	struct follow_options options;
	struct watchers watchers;
	TAILQ_HEAD(, page) due_pages;
	TAILQ_HEAD(, sub) due_subs;
	unsigned n_reads;
	bool held; /* a read failed: no more until follow_retry() */
};

struct follow *follow_new(const struct follow_options *options)
{
	struct follow *follow = calloc(1, sizeof *follow);

	if (follow == NULL)
		return NULL;
	follow->options = *options;
	watchers_init(&follow->watchers);
	TAILQ_INIT(&follow->due_pages);
	TAILQ_INIT(&follow->due_subs);
	return follow;
}

void follow_free(struct follow *follow)
{
	free(follow);
}

struct watchers *follow_watchers(struct follow *follow)
{
	return &follow->watchers;
}

/* ── what is due ─────────────────────────────────────────────────────────────────────────────────── */

/* Where the page's next read begins. */
static int64_t next_read_after(const struct page *page)
{
	int64_t after = page->position < page->unchecked ? page->position : page->unchecked;
	const struct sub *sub;

	LIST_FOREACH(sub, &page->joining, joining)
		if (sub->event < after)
			after = sub->event;
	return after;
}

static void want_page(struct follow *follow, struct page *page)
{
	if (page->due || page->reading || LIST_EMPTY(&page->subs) || next_read_after(page) >= page->known)
		return;
	page->due = true;
	TAILQ_INSERT_TAIL(&follow->due_pages, page, in_queue);
}

static void want_own(struct follow *follow, struct sub *sub)
{
	if (sub->due || sub->read != NULL)
		return;
	sub->due = true;
	TAILQ_INSERT_TAIL(&follow->due_subs, sub, in_queue);
}

static void forget_own(struct follow *follow, struct sub *sub)
{
	if (sub->due)
		TAILQ_REMOVE(&follow->due_subs, sub, in_queue);
	if (sub->read != NULL)
		sub->read->sub = NULL;
	sub->due = false;
	sub->read = NULL;
}

/* Has a sub that may send go on from its place. */
static void go_on(struct follow *follow, struct sub *sub)
{
	struct page *page = sub->page;
	bool near = sub->event > page->position ? sub->event <= page->known : page->position - sub->event <= FOLLOW_JOIN_MAX;

	if (sub->event == page->position) {
		sub_move(sub, SUB_LIVE);
	} else if (near) {
		sub_move(sub, SUB_JOINING);
	} else {
		sub_move(sub, SUB_BEHIND);
		want_own(follow, sub);
	}
	want_page(follow, page);
}

/* ── watches that cannot go on ───────────────────────────────────────────────────────────────────── */

static void park(struct follow *follow, struct watch *watch)
{
	for (size_t i = 0; i < watch->n_subs; i++) {
		forget_own(follow, watch->subs[i]);
		sub_move(watch->subs[i], SUB_PARKED);
	}
}

static void end_watch(struct follow *follow, struct watch *watch, const struct aside_status *why)
{
	if (watch->state == WATCH_ENDED)
		return;
	watch->state = WATCH_ENDED;
	park(follow, watch);
	follow->options.sink.end(watch->stream, why);
}

static void end_without_memory(struct follow *follow, struct watch *watch)
{
	struct aside_status why = { 0 };

	(void)fail(&why, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	end_watch(follow, watch, &why);
}

/* True: on with the next. */
static bool delivered(struct follow *follow, struct watch *watch, enum delivery end)
{
	if (end == NO_MEMORY)
		end_without_memory(follow, watch);
	if (end == NO_ROOM) {
		watch->state = WATCH_WAITING;
		park(follow, watch);
	}
	return end == DELIVERED;
}

/* ── reads of a page ─────────────────────────────────────────────────────────────────────────────── */

/* A read that began after `after` brings all that the sub waits for. */
static bool served_by(const struct sub *sub, int64_t after)
{
	return (sub->state == SUB_LIVE || sub->state == SUB_JOINING) && sub_event(sub) >= after;
}

static void offer_room(struct follow *follow, struct showing *showing, int64_t user_id, int64_t after)
{
	struct room *room = watchers_room(&follow->watchers, showing->event->page_id, user_id);
	struct sub *sub;

	if (room == NULL)
		return;
	LIST_FOREACH(sub, &room->subs, in_room)
		if (served_by(sub, after) && sub_event(sub) < showing->event->number)
			(void)delivered(follow, sub->watch, deliver_event(&follow->options.sink, showing, sub));
}

/* Ends the watches of staff who have lost their role: at once, also those that wait (P9, P18). */
static void cut_off(struct follow *follow, const struct page *page, const struct event *event)
{
	struct aside_status why = { 0 };
	struct sub *sub;

	if (event->kind != EVENT_IS_STAFF || event->state >= ROLE_MESSAGING)
		return;
	LIST_FOREACH(sub, &page->subs, on_page) {
		struct watch *watch = sub->watch;
		if (!watch->staff || watch->caller != event->subject_id || sub->since >= event->number)
			continue;
		(void)refuse(&why, watch->kind == WATCH_THREAD ? "THREAD_NOT_FOUND" :
				event->state > 0	       ? "ROLE_REQUIRED" :
								 "PAGE_NOT_FOUND");
		end_watch(follow, watch, &why);
	}
}

static void offer(struct follow *follow, const struct page *page, const struct event *event, int64_t after)
{
	struct showing showing;

	cut_off(follow, page, event);
	showing_init(&showing, event);
	offer_room(follow, &showing, 0, after);
	if (event->user_id != 0)
		offer_room(follow, &showing, event->user_id, after);
	showing_fini(&showing);
}

/* Events that subs wait for are gone from the log: their own reads will tell them so. */
static void skip_gap(struct follow *follow, struct page *page, int64_t first_event)
{
	struct sub *sub;

	LIST_FOREACH(sub, &page->subs, on_page) {
		if ((sub->state != SUB_LIVE && sub->state != SUB_JOINING) || sub_event(sub) + 1 >= first_event)
			continue;
		sub_move(sub, SUB_BEHIND);
		want_own(follow, sub);
	}
	if (page->position < first_event - 1)
		page->position = first_event - 1;
}

/* The page has been read from `after` up to here. */
static void advance(struct page *page, int64_t after, int64_t up_to)
{
	struct sub *sub, *next;

	if (page->unchecked >= after && page->unchecked < up_to)
		page->unchecked = up_to < page->position ? up_to : INT64_MAX;
	if (page->position < up_to)
		page->position = up_to;
	for (sub = LIST_FIRST(&page->joining); sub != NULL; sub = next) {
		next = LIST_NEXT(sub, joining);
		if (sub->event >= after && sub->event < up_to)
			sub->event = up_to;
		if (sub->event == page->position)
			sub_move(sub, SUB_LIVE);
	}
}

static void page_read(struct follow *follow, struct page *page, const struct op *op, int64_t after)
{
	int64_t last_event = op_row_int(op, 0, EVENT_LAST), first_event = op_row_int(op, 0, EVENT_FIRST);
	int64_t up_to = last_event;
	struct event event;

	if (first_event > after + 1) {
		skip_gap(follow, page, first_event);
		after = first_event - 1;
	}
	for (unsigned row = 0; row < op->n_rows && event_read(op, row, page->page_id, &event); row++) {
		offer(follow, page, &event, after);
		if (row + 1 == FOLLOW_READ_MAX)
			up_to = event.number;
	}
	if (page->known < last_event)
		page->known = last_event;
	advance(page, after, up_to);
	if (up_to > after)
		return;
	/* A database that is behind what was told: until the next hint, or the sweep. */
	page->known = page->position;
	follow->held |= next_read_after(page) < page->known;
}

/* ── reads of one sub ────────────────────────────────────────────────────────────────────────────── */

/* The log no longer has what comes after the sub's place, or never had that place. */
static bool out_of_log(const struct sub *sub, const struct op *op)
{
	return sub->event > op_row_int(op, 0, EVENT_LAST) || sub->event + 1 < op_row_int(op, 0, EVENT_FIRST);
}

/* False: the sub no longer waits for it. */
static bool offer_own(struct follow *follow, struct sub *sub, const struct event *event)
{
	struct showing showing;
	bool ok;

	cut_off(follow, sub->page, event);
	if (sub->state != SUB_BEHIND)
		return false;
	showing_init(&showing, event);
	ok = delivered(follow, sub->watch, deliver_event(&follow->options.sink, &showing, sub));
	showing_fini(&showing);
	return ok;
}

static void own_read(struct follow *follow, struct sub *sub, const struct op *op, int64_t up_to)
{
	int64_t last_event = op_row_int(op, 0, EVENT_LAST), after = sub->event;
	bool cut = out_of_log(sub, op);
	struct event event;

	if (cut && !delivered(follow, sub->watch, deliver_resync(&follow->options.sink, sub, last_event,
						op_row_int(op, 0, EVENT_LAST_SEQ))))
		return;
	if (up_to > last_event)
		up_to = last_event;
	for (unsigned row = 0; !cut && row < op->n_rows && event_read(op, row, sub->page->page_id, &event); row++) {
		if (!offer_own(follow, sub, &event))
			return;
		if (row + 1 == FOLLOW_READ_MAX)
			up_to = event.number;
	}
	if (sub->event < up_to)
		sub->event = up_to;
	if (sub->page->known < last_event)
		sub->page->known = last_event;
	follow->held |= !cut && sub->event == after && after < sub->page->position; /* a database that is behind */
	go_on(follow, sub);
}

/* ── reads ───────────────────────────────────────────────────────────────────────────────────────── */

static struct op *make_op(struct read *read)
{
	int64_t user_id = read->own ? read->sub->watch->user_id : 0;
	struct op *op = op_new(&read->arena, user_id != 0 ? &sql_read_thread_events : &sql_read_page_events, read->page->page_id);

	if (op == NULL)
		return NULL;
	op_int(op, read->page->page_id);
	if (user_id != 0)
		op_int(op, user_id);
	op_int(op, read->after);
	if (user_id != 0)
		op_int(op, read->sub->seq);
	op_int(op, read->up_to);
	op_int(op, FOLLOW_READ_MAX);
	op->user = read;
	return op;
}

static void free_read(struct read *read)
{
	arena_fini(&read->arena);
	free(read);
}

/* `sub` NULL: for the page. */
static bool submit(struct follow *follow, struct page *page, struct sub *sub)
{
	struct read *read = calloc(1, sizeof *read);
	struct op *op;

	if (read == NULL)
		return false;
	*read = (struct read){ .user = follow->options.user, .page = page, .sub = sub, .own = sub != NULL,
		.after = sub != NULL ? sub->event : next_read_after(page), .up_to = sub != NULL ? page->position : INT64_MAX };
	arena_init(&read->arena, READ_ARENA_BYTES);
	op = make_op(read);
	if (op == NULL || !follow->options.submit(follow->options.user, op)) {
		free_read(read);
		return false;
	}
	if (sub != NULL)
		sub->read = read;
	else
		page->reading = true;
	follow->n_reads++;
	return true;
}

static bool may_read(const struct follow *follow)
{
	return !follow->held && follow->n_reads < FOLLOW_READS_MAX;
}

void follow_work(struct follow *follow)
{
	struct page *page;
	struct sub *sub;

	while (may_read(follow) && (page = TAILQ_FIRST(&follow->due_pages)) != NULL) {
		TAILQ_REMOVE(&follow->due_pages, page, in_queue);
		page->due = false;
		if (LIST_EMPTY(&page->subs)) {
			watchers_sweep_page(&follow->watchers, page);
		} else if (!submit(follow, page, NULL)) {
			want_page(follow, page);
			follow->held = true;
		}
	}
	while (may_read(follow) && (sub = TAILQ_FIRST(&follow->due_subs)) != NULL) {
		TAILQ_REMOVE(&follow->due_subs, sub, in_queue);
		sub->due = false;
		if (!submit(follow, sub->page, sub)) {
			want_own(follow, sub);
			follow->held = true;
		}
	}
}

void follow_retry(struct follow *follow)
{
	follow->held = false;
	follow_work(follow);
}

void *follow_user(const struct op *op)
{
	return ((const struct read *)op->user)->user;
}

void follow_done(struct follow *follow, struct op *op)
{
	struct read *read = op->user;
	struct page *page = read->page;
	struct sub *sub = read->sub;
	bool ok = op->outcome == OP_DONE && op->n_rows > 0;

	follow->n_reads--;
	follow->held |= !ok;
	if (sub != NULL) {
		sub->read = NULL;
		if (ok)
			own_read(follow, sub, op, read->up_to);
		else
			want_own(follow, sub);
	} else if (!read->own) {
		page->reading = false;
		if (ok)
			page_read(follow, page, op, read->after);
		want_page(follow, page);
		watchers_sweep_page(&follow->watchers, page);
	}
	op_release(op);
	free_read(read);
}

/* ── watches ─────────────────────────────────────────────────────────────────────────────────────── */

static bool add(struct follow *follow, struct watch *watch, const struct place *place, int64_t last_event)
{
	struct sub *sub = watchers_add(&follow->watchers, watch, place, last_event);

	if (sub == NULL)
		return false;
	/* Between the caller's role and what the page has passed on, the role may be gone. */
	if (watch->staff && watch->caller != 0 && last_event < sub->page->position && last_event < sub->page->unchecked)
		sub->page->unchecked = last_event;
	return true;
}

void follow_begin(struct follow *follow, struct watch *watch, const struct beginning *beginnings, size_t n)
{
	bool ok = watch->kind != WATCH_PERSON || watchers_add_person(&follow->watchers, watch);

	watch->state = WATCH_WAITING;
	for (size_t i = 0; i < n && ok; i++)
		ok = add(follow, watch, &beginnings[i].place, beginnings[i].last_event);
	if (ok)
		follow_writable(follow, watch);
	else
		end_without_memory(follow, watch);
}

void follow_writable(struct follow *follow, struct watch *watch)
{
	if (watch->state != WATCH_WAITING)
		return;
	watch->state = WATCH_OPEN;
	if (!watch->greeted && !delivered(follow, watch, deliver_greeting(&follow->options.sink, watch)))
		return;
	for (size_t i = 0; i < watch->n_subs; i++)
		go_on(follow, watch->subs[i]);
}

void follow_end(struct follow *follow, struct watch *watch)
{
	park(follow, watch);
	watchers_remove(&follow->watchers, watch);
	follow->options.sink.forget(watch->stream);
	free(watch);
}

/* ── what happens ────────────────────────────────────────────────────────────────────────────────── */

void follow_event(struct follow *follow, int64_t page_id, int64_t last_event)
{
	struct page *page = watchers_page(&follow->watchers, page_id);

	if (page == NULL || last_event <= page->known)
		return;
	page->known = last_event;
	want_page(follow, page);
}

void follow_opens(struct follow *follow, int64_t page_id, int64_t number, int64_t user_id)
{
	struct person *person = watchers_person(&follow->watchers, user_id);
	struct place beginning = { .page_id = page_id };
	struct watch *watch;

	if (person == NULL)
		return;
	LIST_FOREACH(watch, &person->watches, of_person) {
		if (watch->state == WATCH_ENDED || watch_sub(watch, page_id) != NULL)
			continue;
		if (!add(follow, watch, &beginning, number))
			end_without_memory(follow, watch);
		else if (watch->state == WATCH_OPEN)
			go_on(follow, watch_sub(watch, page_id));
	}
}

static void type_in_room(struct follow *follow, struct showing *showing, struct room *room)
{
	struct sub *sub;

	if (room == NULL)
		return;
	LIST_FOREACH(sub, &room->subs, in_room)
		if (sub->state == SUB_LIVE)
			(void)delivered(follow, sub->watch, deliver_typing(&follow->options.sink, showing, sub));
}

void follow_typing(struct follow *follow, const struct typing *typing)
{
	struct showing showing;

	showing_init(&showing, NULL);
	if (event_show_typing(&showing.arena, typing, false, &showing.sides[false].event) &&
			event_show_typing(&showing.arena, typing, true, &showing.sides[true].event)) {
		type_in_room(follow, &showing, watchers_room(&follow->watchers, typing->page_id, 0));
		type_in_room(follow, &showing, watchers_room(&follow->watchers, typing->page_id, typing->user_id));
	}
	showing_fini(&showing);
}
