/* Knows the columns and who may see which, not where they come from.  See message.h. */
#include "message.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "input.h"

static char *copy_text(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

static void read_uuid(const char *text, ProtobufCBinaryData *ret)
{
	for (ret->len = 0; *text != '\0' && ret->len < UUID_BYTES; text++) {
		unsigned byte;
		if (*text == '-' || sscanf(text, "%2x", &byte) != 1)
			continue;
		ret->data[ret->len++] = (uint8_t)byte;
		text++;
	}
}

static bool read_attachment(struct arena *arena, const json_t *item, Aside__V1__Attachment *ret)
{
	const char *id = json_string_value(json_array_get(item, 1)), *url = json_string_value(json_array_get(item, 2));
	const char *type = json_string_value(json_array_get(item, 4));

	aside__v1__attachment__init(ret);
	ret->kind = (Aside__V1__AttachmentKind)json_integer_value(json_array_get(item, 0));
	ret->size_bytes = (uint64_t)json_integer_value(json_array_get(item, 3));
	if (type != NULL && (ret->media_type = copy_text(arena, type)) == NULL)
		return false;
	if (url != NULL) {
		ret->content_case = ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL;
		return (ret->link_url = copy_text(arena, url)) != NULL;
	}
	ret->content_case = ASIDE__V1__ATTACHMENT__CONTENT_ATTACHMENT_ID;
	ret->attachment_id.data = arena_alloc(arena, UUID_BYTES);
	if (ret->attachment_id.data == NULL || id == NULL)
		return false;
	read_uuid(id, &ret->attachment_id);
	return true;
}

static bool read_attachments(struct arena *arena, const char *text, Aside__V1__Content *content)
{
	json_t *items = text[0] != '\0' ? json_loads(text, 0, NULL) : NULL;
	size_t n = json_array_size(items);
	bool ok = true;

	content->attachments = arena_alloc(arena, (n + 1) * sizeof *content->attachments);
	for (size_t i = 0; i < n && ok; i++) {
		Aside__V1__Attachment *attachment = arena_alloc(arena, sizeof *attachment);
		ok = content->attachments != NULL && attachment != NULL &&
				read_attachment(arena, json_array_get(items, i), attachment);
		if (ok)
			content->attachments[content->n_attachments++] = attachment;
	}
	json_decref(items);
	return ok;
}

/* The entry that a private reply answers, as it stood then (P6). */
static bool read_entry(struct arena *arena, const struct op *op, unsigned row, unsigned first, Aside__V1__Message *message)
{
	Aside__V1__WallEntry *entry;

	if (op_is_null(op, row, first + MESSAGE_ENTRY_ID))
		return true;
	entry = arena_alloc(arena, sizeof *entry);
	if (entry == NULL)
		return false;
	aside__v1__wall_entry__init(entry);
	entry->page_id = message->page_id;
	entry->entry_id = op_row_int(op, row, first + MESSAGE_ENTRY_ID);
	entry->kind = (Aside__V1__WallEntryKind)op_row_int(op, row, first + MESSAGE_ENTRY_KIND);
	entry->author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	entry->author_user_id = message->user_id;
	entry->posted_at_us = op_row_int(op, row, first + MESSAGE_ENTRY_AT);
	entry->privately_replied = true;
	entry->text = copy_text(arena, op_row_text(op, row, first + MESSAGE_ENTRY_BODY));
	message->wall_entry = entry;
	return entry->text != NULL;
}

bool message_read(struct arena *arena, const struct op *op, unsigned row, unsigned first, bool for_staff, int64_t page_id,
		int64_t user_id, Aside__V1__Message *ret)
{
	Aside__V1__Content *content = arena_alloc(arena, sizeof *content);

	if (content == NULL)
		return false;
	aside__v1__message__init(ret);
	aside__v1__content__init(content);
	ret->page_id = page_id;
	ret->user_id = user_id;
	ret->seq = (uint32_t)op_row_int(op, row, first + MESSAGE_SEQ);
	ret->side = (Aside__V1__Side)op_row_int(op, row, first + MESSAGE_SIDE);
	ret->sent_at_us = op_row_int(op, row, first + MESSAGE_SENT_AT);
	ret->settings_version = (uint32_t)op_row_int(op, row, first + MESSAGE_SETTINGS);
	ret->unsent = op_row_bool(op, row, first + MESSAGE_UNSENT);
	if (for_staff)
		ret->event_number = (uint64_t)op_row_int(op, row, first + MESSAGE_EVENT);
	if (for_staff || ret->side == ASIDE__V1__SIDE__SIDE_PERSON)
		ret->sender_user_id = op_row_int(op, row, first + MESSAGE_SENDER);
	content->text = copy_text(arena, op_row_text(op, row, first + MESSAGE_BODY));
	ret->content = content;
	return content->text != NULL && read_attachments(arena, op_row_text(op, row, first + MESSAGE_ITEMS), content) &&
			read_entry(arena, op, row, first, ret);
}
