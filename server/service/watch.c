/* WatchService: who may watch, and from where on; the rest is the hub's. */
#include "watch.h"

#include "aside/v1/watch.rpc.h"
#include "outlet.h"
#include "service.h"
#include "sql.h"

static struct hub *the_hub;

void watch_init(struct hub *hub)
{
	the_hub = hub;
}

/* ── streams ─────────────────────────────────────────────────────────────────────────────────────── */

static bool send(void *stream, struct bytes response)
{
	return outlet_put(stream, response);
}

static void end(void *stream, const struct aside_status *why)
{
	outlet_end(stream, why);
}

static void forget(void *stream)
{
	outlet_free(stream);
}

const struct deliver_sink watch_sink = { send, end, forget };

static void writable(void *watch)
{
	hub_writable(the_hub, watch);
}

static enum aside_code pull(struct call *call, struct aside_status *err)
{
	struct watch *watch = call->state;

	return outlet_pull(watch->stream, err);
}

static void gone(struct call *call)
{
	struct watch *watch = call->state;

	if (watch == NULL)
		return; /* refused */
	outlet_gone(watch->stream);
	hub_unwatch(the_hub, watch);
}

/* Hands the watch over.  Takes `beginnings`. */
static enum aside_code begin_watch(struct call *call, enum watch_kind kind, bool staff, int64_t user_id,
		struct beginning *beginnings, size_t n, struct aside_status *err)
{
	bool person = call->principal.kind == PRINCIPAL_PERSON;
	struct watch *watch = watch_new(kind, staff, person ? call->principal.user_id : 0, user_id);

	if (watch != NULL)
		watch->stream = outlet_new(call, writable, watch);
	if (watch == NULL || watch->stream == NULL) {
		free(watch);
		free(beginnings);
		return call_full(err);
	}
	call->state = watch;
	hub_watch(the_hub, watch, beginnings, n);
	return ASIDE_OK;
}

/* Where the watch begins on a page: behind `after`, its cursor's, or now. */
static struct beginning beginning_at(int64_t page_id, const struct place *after, int64_t last_event, int64_t last_seq)
{
	return (struct beginning){ after != NULL ? *after : (struct place){ page_id, last_event, last_seq }, last_event };
}

/* ── one page, one thread ────────────────────────────────────────────────────────────────────────── */

/* Of a cursor for one page: the place on it. */
static enum aside_code read_place(struct call *call, const char *cursor, enum watch_kind kind, int64_t page_id,
		int64_t user_id, const struct place **ret, struct aside_status *err)
{
	struct place *places;
	enum aside_code code;
	size_t n;

	*ret = NULL;
	if (*cursor == '\0')
		return ASIDE_OK;
	code = cursor_read(&call->arena, cursor, kind, user_id, &places, &n, err);
	if (code == ASIDE_OK && places[0].page_id != page_id)
		code = refuse(err, "CURSOR_INVALID");
	*ret = places;
	return code;
}

static enum aside_code begin_on_page(struct call *call, enum watch_kind kind, bool staff, int64_t page_id, int64_t user_id,
		const char *cursor, int64_t last_event, int64_t last_seq, struct aside_status *err)
{
	struct beginning *beginning = malloc(sizeof *beginning);
	const struct place *after = NULL;
	enum aside_code code = beginning != NULL ? read_place(call, cursor, kind, page_id, user_id, &after, err) : call_full(err);

	if (code != ASIDE_OK) {
		free(beginning);
		return code;
	}
	*beginning = beginning_at(page_id, after, last_event, last_seq);
	return begin_watch(call, kind, staff, user_id, beginning, 1, err);
}

static enum aside_code watch_page(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__WatchPageRequest *in = request;
	const struct place *after;

	if (check_id(in->page_id, "page_id", err) != ASIDE_OK)
		return ASIDE_INVALID_ARGUMENT;
	if (read_place(call, in->cursor, WATCH_PAGE, in->page_id, 0, &after, err) != ASIDE_OK)
		return err->code;
	call->op = op_new(&call->arena, &sql_watch_page, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	return ASIDE_OK;
}

static enum aside_code watch_page_allowed(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__WatchPageRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);

	if (code != ASIDE_OK)
		return code;
	return begin_on_page(call, WATCH_PAGE, true, in->page_id, 0, in->cursor, op_row_int(call->op, 0, 1), 0, err);
}

static enum aside_code watch_thread(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__WatchThreadRequest *in = request;
	const struct place *after;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err))
		return ASIDE_INVALID_ARGUMENT;
	if (read_place(call, in->cursor, WATCH_THREAD, in->page_id, in->user_id, &after, err) != ASIDE_OK)
		return err->code;
	call->op = op_new(&call->arena, &sql_watch_thread, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_int(call->op, in->user_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	return ASIDE_OK;
}

static enum aside_code watch_thread_allowed(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__WatchThreadRequest *in = request;
	enum aside_code code = call_outcome(call, "THREAD_NOT_FOUND", err);

	if (code != ASIDE_OK)
		return code;
	return begin_on_page(call, WATCH_THREAD, op_row_bool(call->op, 0, 1), in->page_id, in->user_id, in->cursor,
			op_row_int(call->op, 0, 2), op_row_int(call->op, 0, 3), err);
}

/* ── a person's threads ──────────────────────────────────────────────────────────────────────────── */

struct places {
	struct place *all;
	size_t n;
};

static enum aside_code read_places(struct call *call, const char *cursor, struct places *ret, struct aside_status *err)
{
	return cursor_read(&call->arena, cursor, WATCH_PERSON, call->principal.user_id, &ret->all, &ret->n, err);
}

static enum aside_code watch_person(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__WatchPersonRequest *in = request;
	struct places places;

	if (*in->cursor != '\0' && read_places(call, in->cursor, &places, err) != ASIDE_OK)
		return err->code;
	call->op = op_new(&call->arena, &sql_watch_person, 0);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, call->principal.user_id);
	op_int(call->op, PLACES_MAX + 1);
	return ASIDE_OK;
}

static enum aside_code watch_person_allowed(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__WatchPersonRequest *in = request;
	enum aside_code code = call_outcome(call, NULL, err);
	const struct op *op = call->op;
	struct places places = { NULL, 0 };
	struct beginning *beginnings;

	if (code == ASIDE_OK && *in->cursor != '\0')
		code = read_places(call, in->cursor, &places, err);
	if (code != ASIDE_OK)
		return code;
	if (op->n_rows > PLACES_MAX)
		return refuse(err, "TOO_MANY_THREADS");
	beginnings = calloc(op->n_rows + 1, sizeof *beginnings);
	if (beginnings == NULL)
		return call_full(err);
	for (unsigned row = 0; row < op->n_rows; row++) {
		int64_t page_id = op_row_int(op, row, 1);
		const struct place unseen = { .page_id = page_id }, *after = place_find(places.all, places.n, page_id);
		if (after == NULL && *in->cursor != '\0')
			after = &unseen; /* a thread since then */
		beginnings[row] = beginning_at(page_id, after, op_row_int(op, row, 2), op_row_int(op, row, 3));
	}
	return begin_watch(call, WATCH_PERSON, false, call->principal.user_id, beginnings, op->n_rows, err);
}

/* ── typing ──────────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code send_typing(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SendTypingRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err) |
			check_range(in->side, "side", 1, 2, err))
		return ASIDE_INVALID_ARGUMENT;
	call->op = op_new(&call->arena, &sql_can_send, in->page_id);
	if (call->op == NULL)
		return call_full(err);
	op_int(call->op, in->page_id);
	op_caller(call->op, call, ROLE_MODERATOR);
	op_int(call->op, in->user_id);
	op_int(call->op, in->side);
	op_null(call->op);
	op_int(call->op, call->now_us);
	return ASIDE_OK;
}

static enum aside_code send_typing_allowed(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__SendTypingRequest *in = request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);

	if (code != ASIDE_OK)
		return code;
	if (!op_is_null(call->op, 0, 1))
		return refuse(err, op_row_text(call->op, 0, 1));
	hub_typing(the_hub, &(struct typing){ in->page_id, in->user_id, call->principal.user_id, (int)in->side, call->now_us });
	return call_response(call) != NULL ? ASIDE_OK : call_full(err);
}

static const struct handler handlers[] = {
	{ "WatchPage", watch_page, watch_page_allowed, .pull = pull, .gone = gone },
	{ "WatchPerson", watch_person, watch_person_allowed, .pull = pull, .gone = gone },
	{ "WatchThread", watch_thread, watch_thread_allowed, .pull = pull, .gone = gone },
	{ "SendTyping", send_typing, send_typing_allowed },
};

const struct handlers watch_handlers = { &aside_v1_watch_service, handlers, sizeof handlers / sizeof *handlers };
