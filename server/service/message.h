/* A message as the columns of a statement give it, and as a reader may see it. */
#pragma once

#include "aside/v1/messages.pb-c.h"
#include "store/op.h"

/* What every statement that gives messages has, side by side and in this order. */
enum message_column {
	MESSAGE_SEQ,
	MESSAGE_SIDE,
	MESSAGE_SENDER,
	MESSAGE_BODY,
	MESSAGE_SENT_AT,
	MESSAGE_SETTINGS,
	MESSAGE_UNSENT,
	MESSAGE_EVENT,
	MESSAGE_ENTRY_ID, /* of a private reply; NULL otherwise */
	MESSAGE_ENTRY_KIND,
	MESSAGE_ENTRY_BODY,
	MESSAGE_ENTRY_AT,
	MESSAGE_ITEMS, /* JSON: an array of [kind, attachment id, URL, bytes, media type]; NULL without attachments */
	MESSAGE_COLUMNS,
};

/* Reads the message whose columns begin at `first`, for staff and services or for its person (P9).  All of it is in
 * `arena`; false when that is full. */
bool message_read(struct arena *arena, const struct op *op, unsigned row, unsigned first, bool for_staff, int64_t page_id,
		int64_t user_id, Aside__V1__Message *ret) MUST_CHECK;
