/* What a stream is, for the channel.  Under the channel's mutex, but for what is said otherwise. */
#pragma once

#include "aside/stream.h"
#include "call.h"

/* Credit with which the server's half begins; given back as items are taken. */
#define STREAM_ITEMS 64
#define STREAM_BYTES (256 * 1024)

/* An item that came and was not taken yet. */
struct arrived {
	struct arrived *next;
	struct received *received; /* `payload` borrows from it */
	struct bytes payload;
};

/* Ours: OPEN ──close_send──▶ CLOSED; both: ──REPLY, cancel, deadline──▶ ended. */
struct aside_stream {
	struct aside_channel *channel;
	struct pending *call; /* the stream's, before and after its end */
	struct aside_stream_events events;
	bool has_events;
	pthread_cond_t changed;
	/* Sending. */
	int64_t credit_items, credit_bytes;
	bool begun; /* an item was sent, or has come: the call cannot be made again */
	bool half_closed, told_half_closed, wants_credit;
	/* Receiving. */
	struct arrived *items, **items_tail;
	int64_t given_items, given_bytes; /* credit the server has left */
	uint32_t taken_items;             /* since credit was last given */
	uint64_t taken_bytes;
	bool ended, told_end;
	/* Callbacks. */
	bool due, running;
	bool abandoned; /* closed in a callback: freed after it */
	struct aside_stream *next_due;
};

/* False: its connection is of no use any more. */
bool stream_on_item(struct aside_stream *stream, struct received *received, struct bytes payload) MUST_CHECK;
void stream_on_credit(struct aside_stream *stream, const struct frame *frame);
/* The call has a server; the server has said HELLO, and with it how much credit streams begin. */
void stream_on_placed(struct aside_stream *stream);
void stream_on_greeted(struct aside_stream *stream);

/* Whether its call may be made again elsewhere, unseen. */
bool stream_may_repeat(const struct aside_stream *stream);
void stream_on_end(struct aside_stream *stream);

/* Runs the callbacks of `streams`, a list.  The channel's thread, without the mutex. */
void stream_run_callbacks(struct aside_stream *streams);
