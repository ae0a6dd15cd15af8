/* See stream.h. */
#include "stream.h"

#include <string.h>

#include "dispatch.h"
#include "server.h"

/* An item that came while the task was busy. */
struct item {
	struct item *next;
	size_t size;
	uint8_t data[];
};

/* ── what the peer sends ─────────────────────────────────────────────────────────────────────────── */

static void item_free(struct task *task, struct item *item)
{
	task->session->task_bytes -= sizeof *item + item->size;
	free(item);
}

void stream_drop_items(struct task *task)
{
	while (task->items != NULL) {
		struct item *item = task->items;
		task->items = item->next;
		item_free(task, item);
	}
}

/* Gives back the credit of what was handled, half a window at a time. */
static void give_credit(struct task *task)
{
	struct frame frame;

	if (task->handled_items < STREAM_ITEMS / 2 && task->handled_bytes < STREAM_BYTES / 2)
		return;
	frame_init(&frame, FRAME_CREDIT, task->call_id);
	frame.items = task->handled_items;
	frame.payload_bytes = (uint64_t)task->handled_bytes;
	session_put(task->session, &frame);
	task->open_items += task->handled_items;
	task->open_bytes += task->handled_bytes;
	task->handled_items = 0;
	task->handled_bytes = 0;
}

static enum aside_code handle_item(struct task *task, struct bytes payload, struct aside_status *err)
{
	struct call *call = &task->call;
	ProtobufCMessage *item = NULL;
	enum aside_code code = dispatch_unpack(call, payload, &item, err);

	if (code == ASIDE_OK)
		code = call->handler->item(call, item, err);
	task->handled_items++;
	task->handled_bytes += (int64_t)payload.size;
	give_credit(task);
	return code;
}

/* Whether something may be sent; where the outbox is in the way, it will say when it no longer is. */
static bool has_room(struct task *task)
{
	if (task->credit_items > 0 && task->credit_bytes > 0 && task->session->outbox_size >= OUTBOX_STREAMS_MAX)
		session_stall(task->session, task);
	return call_writable(&task->call);
}

/* Whether the handler can be given an item: where both sides stream, it may send one back. */
static bool can_take_item(struct task *task)
{
	return !task->call.method->server_streaming || has_room(task);
}

bool stream_next_step(struct task *task, enum aside_code *ret_code, struct aside_status *err)
{
	const struct handler *handler = task->call.handler;
	struct item *item = task->items;

	if (item != NULL) {
		if (!can_take_item(task))
			return false;
		task->items = item->next;
		if (task->items == NULL)
			task->items_tail = &task->items;
		*ret_code = handle_item(task, (struct bytes){ item->data, item->size }, err);
		item_free(task, item);
		return true;
	}
	if (task->half_closed && !task->told_half_closed) {
		task->told_half_closed = true;
		*ret_code = handler->half_closed != NULL ? handler->half_closed(&task->call, err) : ASIDE_OK;
		return true;
	}
	if (handler->pull == NULL || !has_room(task) || !task->pull) /* in this order: it may have stopped for want of room */
		return false;
	task->pull = false;
	*ret_code = handler->pull(&task->call, err);
	return true;
}

void stream_item(struct task *task, const struct frame *frame)
{
	struct aside_status status = { 0 };
	struct item *item;

	if (frame->end) {
		task->half_closed = true;
		task_stir(task);
		return;
	}
	if (!task->call.method->client_streaming || task->half_closed || task->open_items == 0 || task->open_bytes <= 0) {
		session_break(task->session, "an item without credit");
		return;
	}
	task->open_items--;
	task->open_bytes -= (int64_t)frame->payload.size;
	if (task->state == TASK_OPEN && task->items == NULL && can_take_item(task)) {
		task->state = TASK_RUNNING;
		enum aside_code code = handle_item(task, frame->payload, &status);
		task_advance(task, code, &status);
		return;
	}
	item = malloc(sizeof *item + frame->payload.size);
	if (item == NULL) {
		session_kill(task->session);
		return;
	}
	item->next = NULL;
	item->size = frame->payload.size;
	task->session->task_bytes += sizeof *item + item->size;
	if (item->size > 0)
		memcpy(item->data, frame->payload.data, item->size);
	*task->items_tail = item;
	task->items_tail = &item->next;
}

void stream_credit(struct task *task, const struct frame *frame)
{
	if (frame->items > UINT32_MAX - task->credit_items || frame->payload_bytes > INT64_MAX / 2 ||
			task->credit_bytes > INT64_MAX / 2) {
		session_break(task->session, "more credit than can be counted");
		return;
	}
	task->credit_items += frame->items;
	task->credit_bytes += (int64_t)frame->payload_bytes;
	task->pull = true;
	task_stir(task);
}

void stream_unstalled(struct task *task)
{
	task->pull = true;
	task_stir(task);
}

/* ── what handlers use (call.h) ──────────────────────────────────────────────────────────────────── */

static struct task *task_of(struct call *call)
{
	return (struct task *)call; /* its first member */
}

bool call_writable(const struct call *call)
{
	const struct task *task = (const struct task *)call;

	return task->credit_items > 0 && task->credit_bytes > 0 && !task->answered &&
			task->session->outbox_size < OUTBOX_STREAMS_MAX;
}

void call_send_bytes(struct call *call, struct bytes item)
{
	struct task *task = task_of(call);
	struct frame frame;

	frame_init(&frame, FRAME_ITEM, task->call_id);
	frame.payload = item;
	task->credit_items--;
	task->credit_bytes -= (int64_t)item.size;
	session_put(task->session, &frame);
}

void call_send(struct call *call, const ProtobufCMessage *item)
{
	size_t size = protobuf_c_message_get_packed_size(item);
	uint8_t *packed = malloc(size + 1);

	if (packed == NULL) {
		session_kill(task_of(call)->session);
		return;
	}
	(void)protobuf_c_message_pack(item, packed);
	call_send_bytes(call, (struct bytes){ packed, size });
	free(packed);
}

void call_finish(struct call *call)
{
	call->finished = true;
}

void call_wake(struct call *call)
{
	struct task *task = task_of(call);

	if (session_mail_task(task->session, task, TASK_WOKEN))
		server_visit_later(task->session);
}
