/* Rows to bytes: once for each side of a thread, whoever and how many watch.  See event.h. */
#include "event.h"

#include <jansson.h>
#include <string.h>

#include "aside/v1/watch.pb-c.h"
#include "settings.h"
#include "wire/varint.h"

#define TAG_CURSOR (1 << 3 | WIRE_BYTES)
#define TAG_EVENT (2 << 3 | WIRE_BYTES)

bool event_read(const struct op *op, unsigned row, int64_t page_id, struct event *ret)
{
	if (op_is_null(op, row, EVENT_KIND))
		return false;
	*ret = (struct event){
		.op = op,
		.row = row,
		.kind = (enum event_kind)op_row_int(op, row, EVENT_KIND),
		.page_id = page_id,
		.number = op_row_int(op, row, EVENT_MESSAGE + MESSAGE_EVENT),
		.user_id = op_row_int(op, row, EVENT_USER),
		.subject_id = op_row_int(op, row, EVENT_MESSAGE + MESSAGE_SENDER),
		.state = op_row_int(op, row, EVENT_STATE),
		.seq = op_row_int(op, row, EVENT_MESSAGE + MESSAGE_SEQ),
	};
	return true;
}

static bool pack(struct arena *arena, const Aside__V1__Event *event, struct bytes *ret)
{
	size_t size = aside__v1__event__get_packed_size(event);
	uint8_t *start = arena_alloc(arena, 1 + varint_size(size) + size), *end;

	if (start == NULL)
		return false;
	end = varint_write(varint_write(start, TAG_EVENT), size);
	end += aside__v1__event__pack(event, end);
	*ret = (struct bytes){ start, (size_t)(end - start) };
	return true;
}

bool event_response(struct arena *arena, const char *cursor, struct bytes event, struct bytes *ret)
{
	size_t size = strlen(cursor);
	uint8_t *start = arena_alloc(arena, 1 + varint_size(size) + size + event.size), *end;

	if (start == NULL)
		return false;
	end = varint_write(varint_write(start, TAG_CURSOR), size);
	memcpy(end, cursor, size);
	end += size;
	if (event.size > 0)
		memcpy(end, event.data, event.size);
	*ret = (struct bytes){ start, (size_t)(end - start) + event.size };
	return true;
}

/* ── kinds ───────────────────────────────────────────────────────────────────────────────────────── */

static int64_t column(const struct event *event, unsigned which)
{
	return op_row_int(event->op, event->row, which);
}

static bool show_message(struct arena *arena, const struct event *event, bool for_staff, Aside__V1__Event *out,
		struct bytes *ret)
{
	Aside__V1__Message message;

	if (!message_read(arena, event->op, event->row, EVENT_MESSAGE, for_staff, event->page_id, event->user_id, &message))
		return false;
	out->kind_case = ASIDE__V1__EVENT__KIND_MESSAGE;
	out->message = &message;
	return pack(arena, out, ret);
}

static bool show_marks(struct arena *arena, const struct event *event, Aside__V1__Event *out, struct bytes *ret)
{
	Aside__V1__MarksMoved moved = ASIDE__V1__MARKS_MOVED__INIT;
	Aside__V1__Marks marks = ASIDE__V1__MARKS__INIT;

	marks.delivered_seq = (uint32_t)column(event, EVENT_DELIVERED);
	marks.read_seq = (uint32_t)event->seq;
	marks.unread_count = (uint32_t)column(event, EVENT_UNREAD);
	moved.side = (Aside__V1__Side)column(event, EVENT_MESSAGE + MESSAGE_SIDE);
	moved.marks = &marks;
	out->kind_case = ASIDE__V1__EVENT__KIND_MARKS_MOVED;
	out->marks_moved = &moved;
	return pack(arena, out, ret);
}

/* Each side knows its own blocks only (P8). */
static bool show_block(struct arena *arena, const struct event *event, bool for_staff, Aside__V1__Event *out,
		struct bytes *ret)
{
	Aside__V1__BlockSet block = ASIDE__V1__BLOCK_SET__INIT;
	int64_t side = column(event, EVENT_MESSAGE + MESSAGE_SIDE);

	if (side != (for_staff ? ASIDE__V1__SIDE__SIDE_PAGE : ASIDE__V1__SIDE__SIDE_PERSON))
		return true;
	block.blocked = event->state != 0;
	out->kind_case = ASIDE__V1__EVENT__KIND_BLOCK_SET;
	out->block_set = &block;
	return pack(arena, out, ret);
}

static bool show_unsent(struct arena *arena, const struct event *event, Aside__V1__Event *out, struct bytes *ret)
{
	Aside__V1__MessageUnsent unsent = ASIDE__V1__MESSAGE_UNSENT__INIT;

	unsent.seq = (uint32_t)event->seq;
	out->kind_case = ASIDE__V1__EVENT__KIND_MESSAGE_UNSENT;
	out->message_unsent = &unsent;
	return pack(arena, out, ret);
}

static bool show_staff(struct arena *arena, const struct event *event, Aside__V1__Event *out, struct bytes *ret)
{
	Aside__V1__StaffMember member = ASIDE__V1__STAFF_MEMBER__INIT;

	member.user_id = event->subject_id;
	member.role = (Aside__V1__Role)event->state;
	out->kind_case = ASIDE__V1__EVENT__KIND_STAFF_CHANGED;
	out->staff_changed = &member;
	return pack(arena, out, ret);
}

static int64_t number_in(const json_t *array, size_t index)
{
	return json_integer_value(json_array_get(array, index));
}

static const char *text_in(const json_t *array, size_t index)
{
	const char *text = json_string_value(json_array_get(array, index));

	return text != NULL ? text : "";
}

static bool pack_settings(struct arena *arena, const json_t *items, Aside__V1__Event *out, struct bytes *ret)
{
	Aside__V1__PageSettingsVersion version = ASIDE__V1__PAGE_SETTINGS_VERSION__INIT;
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;

	version.version = (uint32_t)number_in(items, 0);
	settings.messaging_enabled = json_is_true(json_array_get(items, 1));
	settings.max_text_chars = (uint32_t)number_in(items, 2);
	settings.max_attachment_bytes = (uint64_t)number_in(items, 3);
	settings.reply_window_seconds = (uint32_t)number_in(items, 4);
	settings.reply_budget = (uint32_t)number_in(items, 5);
	settings.private_reply_window_seconds = (uint32_t)number_in(items, 6);
	version.settings = &settings;
	version.changed_at_us = out->at_us;
	version.changed_by_user_id = number_in(items, 7);
	version.changed_fields = settings_mask(arena, text_in(items, 8));
	version.change_reason = (char *)(uintptr_t)text_in(items, 9);
	out->kind_case = ASIDE__V1__EVENT__KIND_SETTINGS_CHANGED;
	out->settings_changed = &version;
	return version.changed_fields != NULL && pack(arena, out, ret);
}

static bool pack_wall(struct arena *arena, const struct event *event, const json_t *items, Aside__V1__Event *out,
		struct bytes *ret)
{
	Aside__V1__WallEntryChanged changed = ASIDE__V1__WALL_ENTRY_CHANGED__INIT;
	Aside__V1__WallEntry entry = ASIDE__V1__WALL_ENTRY__INIT;
	bool by_page = json_is_integer(json_array_get(items, 2));

	entry.page_id = event->page_id;
	entry.entry_id = changed.entry_id = event->subject_id;
	entry.kind = (Aside__V1__WallEntryKind)number_in(items, 0);
	entry.author_case = by_page ? ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_PAGE_ID : ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	entry.author_user_id = number_in(items, by_page ? 2 : 1); /* one oneof */
	entry.text = (char *)(uintptr_t)text_in(items, 3);
	entry.posted_at_us = number_in(items, 4);
	entry.privately_replied = json_is_true(json_array_get(items, 5));
	changed.entry = items != NULL ? &entry : NULL;
	out->kind_case = ASIDE__V1__EVENT__KIND_WALL_ENTRY_CHANGED;
	out->wall_entry_changed = &changed;
	return pack(arena, out, ret);
}

/* The kinds whose content comes as JSON. */
static bool show_json(struct arena *arena, const struct event *event, Aside__V1__Event *out, struct bytes *ret)
{
	const char *text = op_row_text(event->op, event->row, EVENT_MESSAGE + MESSAGE_ITEMS);
	json_t *items = text[0] != '\0' ? json_loads(text, 0, NULL) : NULL;
	bool ok = event->kind == EVENT_IS_SETTINGS ? pack_settings(arena, items, out, ret) :
						     pack_wall(arena, event, items, out, ret);

	json_decref(items);
	return ok;
}

bool event_show(struct arena *arena, const struct event *event, bool for_staff, struct bytes *ret)
{
	Aside__V1__Event out = ASIDE__V1__EVENT__INIT;

	*ret = (struct bytes){ NULL, 0 };
	out.at_us = column(event, EVENT_MESSAGE + MESSAGE_SENT_AT);
	out.page_id = event->page_id;
	out.user_id = event->user_id;
	switch (event->kind) {
	case EVENT_IS_MESSAGE: return show_message(arena, event, for_staff, &out, ret);
	case EVENT_IS_MARKS: return show_marks(arena, event, &out, ret);
	case EVENT_IS_BLOCK: return show_block(arena, event, for_staff, &out, ret);
	case EVENT_IS_UNSENT: return show_unsent(arena, event, &out, ret);
	case EVENT_IS_STAFF: return !for_staff || show_staff(arena, event, &out, ret);
	case EVENT_IS_SETTINGS:
	case EVENT_IS_WALL: return !for_staff || show_json(arena, event, &out, ret);
	}
	return true; /* of a later release: it knows who may see it */
}

bool event_show_typing(struct arena *arena, const struct typing *typing, bool for_staff, struct bytes *ret)
{
	Aside__V1__Event out = ASIDE__V1__EVENT__INIT;
	Aside__V1__Typing shown = ASIDE__V1__TYPING__INIT;

	out.at_us = typing->at_us;
	out.page_id = typing->page_id;
	out.user_id = typing->user_id;
	shown.side = (Aside__V1__Side)typing->side;
	if (for_staff || typing->side == ASIDE__V1__SIDE__SIDE_PERSON)
		shown.typing_user_id = typing->typist;
	out.kind_case = ASIDE__V1__EVENT__KIND_TYPING;
	out.typing = &shown;
	return pack(arena, &out, ret);
}

bool event_show_resync(struct arena *arena, int64_t page_id, int64_t user_id, struct bytes *ret)
{
	Aside__V1__Event out = ASIDE__V1__EVENT__INIT;
	Aside__V1__Resync resync = ASIDE__V1__RESYNC__INIT;

	out.page_id = page_id;
	out.user_id = user_id;
	out.kind_case = ASIDE__V1__EVENT__KIND_RESYNC;
	out.resync = &resync;
	return pack(arena, &out, ret);
}
