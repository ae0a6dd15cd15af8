/* Trees and lists.  See watchers.h. */
#include "watchers.h"

#include <assert.h>
#include <search.h>
#include <string.h>

static int compare_numbers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_pages(const void *a, const void *b)
{
	return compare_numbers(((const struct page *)a)->page_id, ((const struct page *)b)->page_id);
}

static int compare_persons(const void *a, const void *b)
{
	return compare_numbers(((const struct person *)a)->user_id, ((const struct person *)b)->user_id);
}

static int compare_rooms(const void *a, const void *b)
{
	const struct room *x = a, *y = b;

	return x->page_id != y->page_id ? compare_numbers(x->page_id, y->page_id) : compare_numbers(x->user_id, y->user_id);
}

typedef int comparison(const void *, const void *);

static void *find(void *const *tree, const void *key, comparison *compare)
{
	void *node = tfind(key, tree, compare);

	return node != NULL ? *(void **)node : NULL;
}

/* What is in the tree for `key`, which begins every `size` bytes of it: found, or new.  NULL without memory. */
static void *find_or_add(void **tree, const void *key, size_t size, comparison *compare, bool *ret_new)
{
	void *found = find(tree, key, compare), *made;

	*ret_new = false;
	if (found != NULL)
		return found;
	made = malloc(size);
	if (made == NULL)
		return NULL;
	memcpy(made, key, size);
	if (tsearch(made, tree, compare) == NULL) {
		free(made);
		return NULL;
	}
	*ret_new = true;
	return made;
}

void watchers_init(struct watchers *watchers)
{
	*watchers = (struct watchers){ 0 };
	TAILQ_INIT(&watchers->all_pages);
	TAILQ_INIT(&watchers->all_persons);
}

struct page *watchers_page(struct watchers *watchers, int64_t page_id)
{
	return find(&watchers->pages, &(struct page){ .page_id = page_id }, compare_pages);
}

struct room *watchers_room(struct watchers *watchers, int64_t page_id, int64_t user_id)
{
	return find(&watchers->rooms, &(struct room){ .page_id = page_id, .user_id = user_id }, compare_rooms);
}

struct person *watchers_person(struct watchers *watchers, int64_t user_id)
{
	return find(&watchers->persons, &(struct person){ .user_id = user_id }, compare_persons);
}

struct watch *watch_new(enum watch_kind kind, bool staff, int64_t caller, int64_t user_id)
{
	struct watch *watch = calloc(1, sizeof *watch);

	if (watch != NULL)
		*watch = (struct watch){ .kind = kind, .staff = staff, .caller = caller, .user_id = user_id };
	return watch;
}

/* ── coming ──────────────────────────────────────────────────────────────────────────────────────── */

bool watchers_add_person(struct watchers *watchers, struct watch *watch)
{
	bool fresh;
	struct person *person = find_or_add(&watchers->persons, &(struct person){ .user_id = watch->user_id }, sizeof *person,
			compare_persons, &fresh);

	if (person == NULL)
		return false;
	if (fresh) {
		TAILQ_INSERT_TAIL(&watchers->all_persons, person, in_all);
		watchers->n_persons++;
	}
	LIST_INSERT_HEAD(&person->watches, watch, of_person);
	return true;
}

static struct page *page_of(struct watchers *watchers, int64_t page_id, int64_t last_event)
{
	bool fresh;
	struct page *page = find_or_add(&watchers->pages,
			&(struct page){ .page_id = page_id, .position = last_event, .known = last_event, .unchecked = INT64_MAX }, sizeof *page, compare_pages,
			&fresh);

	if (page != NULL && fresh) {
		TAILQ_INSERT_TAIL(&watchers->all_pages, page, in_all);
		watchers->n_pages++;
	}
	if (page != NULL && page->known < last_event)
		page->known = last_event;
	return page;
}

/* Where the page's sub is among the watch's, or would be. */
static size_t index_of(const struct watch *watch, int64_t page_id)
{
	size_t low = 0, high = watch->n_subs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (watch->subs[middle]->page->page_id < page_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct sub *watch_sub(const struct watch *watch, int64_t page_id)
{
	size_t at = index_of(watch, page_id);

	return at < watch->n_subs && watch->subs[at]->page->page_id == page_id ? watch->subs[at] : NULL;
}

static bool list_sub(struct watch *watch, struct sub *sub)
{
	size_t at = index_of(watch, sub->page->page_id);

	if (watch->n_subs == watch->room_for) {
		size_t room = watch->room_for > 0 ? watch->room_for * 2 : 1;
		struct sub **grown = realloc(watch->subs, room * sizeof *grown);
		if (grown == NULL)
			return false;
		watch->subs = grown;
		watch->room_for = room;
	}
	memmove(watch->subs + at + 1, watch->subs + at, (watch->n_subs - at) * sizeof *watch->subs);
	watch->subs[at] = sub;
	watch->n_subs++;
	return true;
}

static void sweep_room(struct watchers *watchers, struct room *room)
{
	if (room == NULL || !LIST_EMPTY(&room->subs))
		return;
	(void)tdelete(room, &watchers->rooms, compare_rooms);
	free(room);
}

struct sub *watchers_add(struct watchers *watchers, struct watch *watch, const struct place *place, int64_t last_event)
{
	struct sub *sub = calloc(1, sizeof *sub);
	struct page *page = page_of(watchers, place->page_id, last_event);
	bool fresh;
	struct room *room = find_or_add(&watchers->rooms,
			&(struct room){ .page_id = place->page_id, .user_id = watch->user_id }, sizeof *room, compare_rooms, &fresh);

	if (sub != NULL)
		*sub = (struct sub){ .watch = watch, .page = page, .room = room, .state = SUB_PARKED, .event = place->event,
			.seq = place->seq, .since = last_event };
	if (sub == NULL || page == NULL || room == NULL || !list_sub(watch, sub)) {
		free(sub);
		sweep_room(watchers, room);
		if (page != NULL)
			watchers_sweep_page(watchers, page);
		return NULL;
	}
	LIST_INSERT_HEAD(&room->subs, sub, in_room);
	LIST_INSERT_HEAD(&page->subs, sub, on_page);
	return sub;
}

/* ── going ───────────────────────────────────────────────────────────────────────────────────────── */

void watchers_sweep_page(struct watchers *watchers, struct page *page)
{
	if (!LIST_EMPTY(&page->subs) || page->reading || page->due)
		return;
	(void)tdelete(page, &watchers->pages, compare_pages);
	TAILQ_REMOVE(&watchers->all_pages, page, in_all);
	watchers->n_pages--;
	free(page);
}

static void remove_person(struct watchers *watchers, struct watch *watch)
{
	struct person *person = watchers_person(watchers, watch->user_id);

	LIST_REMOVE(watch, of_person);
	if (!LIST_EMPTY(&person->watches))
		return;
	(void)tdelete(person, &watchers->persons, compare_persons);
	TAILQ_REMOVE(&watchers->all_persons, person, in_all);
	watchers->n_persons--;
	free(person);
}

void watchers_remove(struct watchers *watchers, struct watch *watch)
{
	for (size_t i = 0; i < watch->n_subs; i++) {
		struct sub *sub = watch->subs[i];
		sub_move(sub, SUB_PARKED);
		LIST_REMOVE(sub, in_room);
		LIST_REMOVE(sub, on_page);
		sweep_room(watchers, sub->room);
		watchers_sweep_page(watchers, sub->page);
		free(sub);
	}
	if (watch->of_person.le_prev != NULL)
		remove_person(watchers, watch);
	free(watch->subs);
}

/* ── moves ───────────────────────────────────────────────────────────────────────────────────────── */

int64_t sub_event(const struct sub *sub)
{
	return sub->state == SUB_LIVE && sub->page->position > sub->event ? sub->page->position : sub->event;
}

void sub_move(struct sub *sub, enum sub_state to)
{
	static const unsigned allowed[] = {
		[SUB_LIVE] = 1u << SUB_PARKED | 1u << SUB_BEHIND,
		[SUB_JOINING] = 1u << SUB_LIVE | 1u << SUB_PARKED | 1u << SUB_BEHIND,
		[SUB_BEHIND] = 1u << SUB_LIVE | 1u << SUB_JOINING | 1u << SUB_PARKED,
		[SUB_PARKED] = 1u << SUB_LIVE | 1u << SUB_JOINING | 1u << SUB_BEHIND,
	};

	if (sub->state == to)
		return;
	assert(allowed[sub->state] & 1u << to);
	sub->event = sub_event(sub);
	if (sub->state == SUB_JOINING)
		LIST_REMOVE(sub, joining);
	if (to == SUB_JOINING)
		LIST_INSERT_HEAD(&sub->page->joining, sub, joining);
	sub->state = to;
}

/* ── lists ───────────────────────────────────────────────────────────────────────────────────────── */

size_t watchers_pages(struct watchers *watchers, int64_t *ret_ids, size_t n)
{
	size_t count = n < watchers->n_pages ? n : watchers->n_pages;

	for (size_t i = 0; i < count; i++) {
		struct page *page = TAILQ_FIRST(&watchers->all_pages);
		TAILQ_REMOVE(&watchers->all_pages, page, in_all);
		TAILQ_INSERT_TAIL(&watchers->all_pages, page, in_all);
		ret_ids[i] = page->page_id;
	}
	return count;
}

size_t watchers_persons(struct watchers *watchers, int64_t *ret_ids, size_t n)
{
	size_t count = n < watchers->n_persons ? n : watchers->n_persons;

	for (size_t i = 0; i < count; i++) {
		struct person *person = TAILQ_FIRST(&watchers->all_persons);
		TAILQ_REMOVE(&watchers->all_persons, person, in_all);
		TAILQ_INSERT_TAIL(&watchers->all_persons, person, in_all);
		ret_ids[i] = person->user_id;
	}
	return count;
}
