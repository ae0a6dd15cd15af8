/* See callers.h. */
#include "callers.h"

#include <stdlib.h>
#include <string.h>

#include "echo.stub.h"
#include "fibers.h"
#include "history.h"
#include "service.h"
#include "sim.h"

#define SMALL_BYTES_MAX 2000
#define LARGE_BYTES_MAX 200000 /* beyond what a server handles on the network's threads */
#define LARGE_ONE_IN 25
#define ITEM_BYTES_MAX 12000 /* so that credit in bytes runs out, too */
#define ITEMS_MAX 200
#define EMPTY_ONE_IN 3 /* of the streams to the server: half-closed at once, and so made again unseen */
#define FLOOD_MAX 20 /* streams: more than fits into a session's outbox, a window each */
#define FLOOD_ITEMS_MAX 30
#define AHEAD_MAX 12 /* items sent to a conversation and not heard back: within the credit */
#define PATIENT_MS 30000
#define SHORT_MS_MAX 200
#define LONG_MS_MAX 8000
#define ABANDON_ONE_IN 12
#define CUT_OFF_MAX 5 /* calls, by the end of the channel */
#define CLOSE_US_MAX 3000000 /* of which nng may take two thirds */
#define REST_US_MAX 12000000 /* of a reader who stops */

static struct {
	struct calling how;
	unsigned left;
} callers;

/* ── a call ──────────────────────────────────────────────────────────────────────────────────────────── */

/* A call as it is about to be made. */
struct attempt {
	struct record *record;
	struct aside_metadata metadata;
	struct aside_call_options options;
};

static void prepare(struct attempt *attempt, unsigned method)
{
	uint32_t timeout_ms = PATIENT_MS;

	if (!callers.how.patient)
		timeout_ms = (uint32_t)chance_between(1, chance_one_in(4) ? SHORT_MS_MAX : LONG_MS_MAX);
	attempt->record = history_add(&echo_v1_echo_service.methods[method], fiber_now_us() + timeout_ms * 1000ll);
	attempt->record->must_hurry = callers.how.well;
	attempt->metadata = (struct aside_metadata){ CALL_KEY, &attempt->record->id, sizeof attempt->record->id };
	attempt->options = (struct aside_call_options){ .timeout_ms = timeout_ms,
		.metadata = &attempt->metadata,
		.n_metadata = 1,
		.wait_for_ready = chance_one_in(4) };
}

/* Bytes that no other call has.  The caller's to free. */
static ProtobufCBinaryData make_payload(uint64_t id)
{
	size_t size = (size_t)chance_between(0, chance_one_in(LARGE_ONE_IN) ? LARGE_BYTES_MAX : SMALL_BYTES_MAX);
	uint8_t *bytes = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(id * 31 + i);
	return (ProtobufCBinaryData){ size, bytes };
}

static void check_response(
		const struct record *record, const Echo__V1__EchoRequest *request, const Echo__V1__EchoResponse *response)
{
	if (response->payload.len != request->payload.len ||
			(request->payload.len > 0 &&
					memcmp(response->payload.data, request->payload.data, request->payload.len) != 0))
		sim_fail("call %llu has the answer to another", (unsigned long long)record->id);
}

static unsigned draw_unary(void)
{
	static const unsigned methods[] = { echo_v1_echo_service_echo_index, echo_v1_echo_service_note_index,
		echo_v1_echo_service_keep_index };

	return methods[chance_below(sizeof methods / sizeof *methods)];
}

static void call_and_wait(void)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	struct aside_status status;
	struct attempt attempt;

	prepare(&attempt, draw_unary());
	request.payload = make_payload(attempt.record->id);
	if (chance_one_in(4))
		attempt.options.hedge_after_ms = (uint32_t)chance_between(1, 50);
	history_wait(attempt.record, true);
	attempt.record->must_succeed = callers.how.well;
	if (aside_call(callers.how.channel, attempt.record->method, &request.base, &attempt.options, &response, &status) ==
			ASIDE_OK)
		check_response(attempt.record, &request, (void *)response);
	history_ended(attempt.record, &status);
	aside_free(response);
	free(request.payload.data);
}

/* ── a call that calls back ──────────────────────────────────────────────────────────────────────────── */

struct started {
	struct record *record;
	Echo__V1__EchoRequest request;
};

static void on_done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct started *started = user;

	if (status->code == ASIDE_OK)
		check_response(started->record, &started->request, (void *)response);
	aside_free(response);
	history_ended(started->record, status);
	fiber_wake(started);
}

/* Lasts until its record has ended. */
static void start(struct started *started, bool cancelled, uint64_t *ret_handle)
{
	struct attempt attempt;
	struct aside_status status;

	prepare(&attempt, draw_unary());
	started->request = (Echo__V1__EchoRequest)ECHO__V1__ECHO_REQUEST__INIT;
	started->request.payload = make_payload(attempt.record->id);
	started->record = attempt.record;
	attempt.record->cancelled = cancelled;
	attempt.record->must_succeed = callers.how.well && !cancelled;
	history_wait(attempt.record, true);
	if (aside_call_start(callers.how.channel, attempt.record->method, &started->request.base, &attempt.options, on_done,
			    started, ret_handle, &status) != ASIDE_OK)
		sim_fail("a call cannot be started: %s", status.message);
}

static void call_and_cancel(void)
{
	struct started started;
	uint64_t handle = 0;
	bool cancels = callers.how.cancels && chance_one_in(2);

	start(&started, cancels, &handle);
	if (cancels) {
		fiber_sleep(chance_between(0, 50000));
		aside_call_cancel(callers.how.channel, handle);
	}
	while (!started.record->ended)
		(void)fiber_wait(&started, INT64_MAX);
	free(started.request.payload.data);
}

void callers_close(void)
{
	struct started started[CUT_OFF_MAX];
	unsigned n = (unsigned)chance_below(CUT_OFF_MAX + 1);

	for (unsigned i = 0; i < n; i++)
		start(&started[i], true, NULL);
	fiber_sleep(chance_between(0, 50000));
	int64_t began_us = fiber_now_us();
	aside_channel_close(callers.how.channel);
	if (fiber_now_us() - began_us > CLOSE_US_MAX)
		sim_fail("the channel took %lld us to close", (long long)(fiber_now_us() - began_us));
	for (unsigned i = 0; i < n; i++) {
		if (!started[i].record->ended)
			sim_fail("the channel is closed, and call %llu has not ended",
					(unsigned long long)started[i].record->id);
		free(started[i].request.payload.data);
	}
}

/* ── streams ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A stream of its caller's making. */
struct reader {
	struct attempt attempt;
	struct aside_stream *stream;
	struct aside_status status;
	struct mark next; /* item */
	uint64_t sent, count;
};

/* Of a stream, a drain is an end: it is opened again elsewhere. */
static void end_stream(struct reader *reader, const struct aside_status *status)
{
	struct record *record = reader->attempt.record;

	record->must_succeed = callers.how.well && !record->cancelled &&
			!(callers.how.drained && status->code == ASIDE_UNAVAILABLE &&
					strcmp(status->reason, "DRAINING") == 0);
	history_ended(record, status);
}

static bool open_stream(struct reader *reader, unsigned method, const ProtobufCMessage *request)
{
	prepare(&reader->attempt, method);
	reader->next.id = reader->attempt.record->id;
	if (aside_stream_open(callers.how.channel, reader->attempt.record->method, request, &reader->attempt.options, NULL,
			    &reader->stream, &reader->status) == ASIDE_OK)
		return true;
	sim_fail("a stream cannot be opened: %s", reader->status.message);
}

/* In its turn?  Frees it. */
static void check_item(struct reader *reader, Echo__V1__EchoResponse *item)
{
	if (item->payload.len < sizeof reader->next || memcmp(item->payload.data, &reader->next, sizeof reader->next) != 0)
		sim_fail("call %llu: expected item %llu and got another", (unsigned long long)reader->next.id,
				(unsigned long long)reader->next.n);
	reader->next.n++;
	aside_free(item);
}

/* The next item, checked; false: there is none, or the call has ended. */
static bool receive(struct reader *reader)
{
	Echo__V1__EchoResponse *item = NULL;

	history_wait(reader->attempt.record, true);
	enum aside_code code = aside_stream_receive(reader->stream, (ProtobufCMessage **)(void *)&item, &reader->status);
	history_wait(reader->attempt.record, false);
	if (code == ASIDE_OK)
		reader->status = (struct aside_status){ 0 };
	if (code != ASIDE_OK || item == NULL)
		return false;
	check_item(reader, item);
	return true;
}

static bool send_next(struct reader *reader)
{
	Echo__V1__EchoRequest item = ECHO__V1__ECHO_REQUEST__INIT;
	struct mark mark = { reader->attempt.record->id, reader->sent };
	size_t size = sizeof mark + (size_t)chance_between(0, ITEM_BYTES_MAX);

	item.payload = (ProtobufCBinaryData){ size, calloc(1, size) };
	memcpy(item.payload.data, &mark, sizeof mark);
	history_wait(reader->attempt.record, true);
	enum aside_code code = aside_stream_send(reader->stream, &item.base, &reader->status);
	history_wait(reader->attempt.record, false);
	free(item.payload.data);
	reader->sent += code == ASIDE_OK;
	return code == ASIDE_OK;
}

/* Now and then a caller has enough; true: it has. */
static bool may_abandon(struct reader *reader)
{
	static const struct aside_status cancelled = { .code = ASIDE_CANCELLED };

	if (!callers.how.cancels || !chance_one_in(ABANDON_ONE_IN * 10))
		return false;
	reader->attempt.record->cancelled = true;
	if (chance_one_in(2))
		aside_stream_cancel(reader->stream);
	aside_stream_close(reader->stream);
	reader->stream = NULL;
	end_stream(reader, &cancelled);
	return true;
}

static void read_repeated(void)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	size_t size = (size_t)chance_between(0, chance_one_in(3) ? ITEM_BYTES_MAX : 20);
	struct reader reader = { 0 };
	bool rests = chance_one_in(4);

	request.count = (uint64_t)chance_between(0, ITEMS_MAX);
	request.payload = (ProtobufCBinaryData){ size, calloc(1, size + 1) };
	(void)open_stream(&reader, echo_v1_echo_service_repeat_index, &request.base);
	while (receive(&reader) && !may_abandon(&reader))
		if (rests && chance_one_in(20))
			fiber_sleep(chance_between(0, REST_US_MAX / (callers.how.patient ? 20 : 1)));
	free(request.payload.data);
	if (reader.stream == NULL)
		return;
	if (reader.status.code == ASIDE_OK && reader.next.n != request.count)
		sim_fail("call %llu ends well after %llu items of %llu", (unsigned long long)reader.next.id,
				(unsigned long long)reader.next.n, (unsigned long long)request.count);
	end_stream(&reader, &reader.status);
	aside_stream_close(reader.stream);
}

/* The same by callbacks. */
static void on_item(void *user, ProtobufCMessage *item)
{
	struct reader *reader = user;

	check_item(reader, (void *)item);
	if (reader->attempt.record->cancelled && chance_one_in(ABANDON_ONE_IN))
		aside_stream_cancel(reader->stream);
}

static void on_end(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct reader *reader = user;

	aside_free(response);
	if (status->code == ASIDE_OK && reader->next.n != reader->count)
		sim_fail("call %llu ends well after %llu items", (unsigned long long)reader->next.id,
				(unsigned long long)reader->next.n);
	end_stream(reader, status);
	fiber_wake(reader);
}

static void open_heard(struct reader *reader, unsigned method, const ProtobufCMessage *request, bool cancelled)
{
	struct aside_stream_events events = { .item = on_item, .end = on_end, .user = reader };

	prepare(&reader->attempt, method);
	reader->next.id = reader->attempt.record->id;
	reader->attempt.record->cancelled = callers.how.cancels && cancelled;
	history_wait(reader->attempt.record, true);
	if (aside_stream_open(callers.how.channel, reader->attempt.record->method, request, &reader->attempt.options, &events,
			    &reader->stream, &reader->status) != ASIDE_OK)
		sim_fail("a stream cannot be opened: %s", reader->status.message);
}

static void hear_repeated(void)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	struct reader reader = { .count = (uint64_t)chance_between(0, ITEMS_MAX) };

	request.count = reader.count;
	open_heard(&reader, echo_v1_echo_service_repeat_index, &request.base, chance_one_in(2));
	while (!reader.attempt.record->ended && !(reader.attempt.record->cancelled && chance_one_in(2)))
		(void)fiber_wait(&reader, fiber_now_us() + 100000);
	aside_stream_close(reader.stream);
	if (!reader.attempt.record->ended)
		sim_fail("call %llu is closed, and its end was not told", (unsigned long long)reader.next.id);
}

/* Until all have ended, or their caller has had enough of them. */
static void await_all(struct reader *readers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct record *record = readers[i].attempt.record;
		while (!record->ended && !(record->cancelled && chance_one_in(8)))
			(void)fiber_wait(&readers[i], fiber_now_us() + 10000);
		aside_stream_close(readers[i].stream);
	}
}

/* So many at once, of large items, that streams wait for each other at the server (OUTBOX_STREAMS_MAX). */
static void hear_flood(void)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	unsigned n = FLOOD_MAX / 2 + (unsigned)chance_below(FLOOD_MAX / 2);
	struct reader readers[FLOOD_MAX];

	request.payload = (ProtobufCBinaryData){ ITEM_BYTES_MAX, calloc(1, ITEM_BYTES_MAX) };
	for (unsigned i = 0; i < n; i++) {
		request.count = chance_below(FLOOD_ITEMS_MAX);
		readers[i] = (struct reader){ .count = request.count };
		open_heard(&readers[i], echo_v1_echo_service_repeat_index, &request.base, chance_one_in(8));
	}
	free(request.payload.data);
	await_all(readers, n);
}

/* Many that have nothing to say: half-closed at once, and made again unseen where the server did not take them. */
static void collect_nothing(void)
{
	unsigned n = 1 + (unsigned)chance_below(FLOOD_MAX);
	struct reader readers[FLOOD_MAX];

	for (unsigned i = 0; i < n; i++) {
		readers[i] = (struct reader){ 0 };
		open_heard(&readers[i], echo_v1_echo_service_collect_index, NULL, chance_one_in(8));
		aside_stream_close_send(readers[i].stream);
	}
	await_all(readers, n);
}

/* How many items go to the server. */
static uint64_t draw_count(int64_t most)
{
	return chance_one_in(EMPTY_ONE_IN) ? 0 : (uint64_t)chance_between(0, most);
}

static void have_collected(void)
{
	uint64_t count = draw_count(ITEMS_MAX);
	ProtobufCMessage *response = NULL;
	struct reader reader = { 0 };

	(void)open_stream(&reader, echo_v1_echo_service_collect_index, NULL);
	while (reader.sent < count && send_next(&reader))
		if (may_abandon(&reader))
			return;
	history_wait(reader.attempt.record, true);
	if (aside_stream_finish(reader.stream, &response, &reader.status) == ASIDE_OK &&
			((Echo__V1__CollectResponse *)(void *)response)->items != count)
		sim_fail("call %llu: not all items were collected", (unsigned long long)reader.next.id);
	end_stream(&reader, &reader.status);
	aside_free(response);
	aside_stream_close(reader.stream);
}

static void converse(void)
{
	uint64_t count = draw_count(ITEMS_MAX / 2);
	struct reader reader = { 0 };
	bool open = true;

	(void)open_stream(&reader, echo_v1_echo_service_converse_index, NULL);
	while (open && reader.sent < count) {
		open = send_next(&reader);
		while (open && reader.sent - reader.next.n > chance_below(AHEAD_MAX))
			open = receive(&reader);
		if (may_abandon(&reader))
			return;
	}
	aside_stream_close_send(reader.stream);
	while (receive(&reader))
		;
	if (reader.status.code == ASIDE_OK && reader.next.n != count)
		sim_fail("call %llu: ends well after %llu answers to %llu items", (unsigned long long)reader.next.id,
				(unsigned long long)reader.next.n, (unsigned long long)count);
	end_stream(&reader, &reader.status);
	aside_stream_close(reader.stream);
}

/* ── callers ─────────────────────────────────────────────────────────────────────────────────────────── */

static void *call(void *arg)
{
	static void (*const kinds[])(void) = { call_and_wait, call_and_wait, call_and_wait, call_and_cancel,
		call_and_cancel, read_repeated, hear_repeated, have_collected, have_collected, converse, converse,
		hear_flood, collect_nothing };

	(void)arg;
	for (unsigned i = 0; i < callers.how.calls; i++) {
		kinds[chance_below(sizeof kinds / sizeof *kinds)]();
		if (!chance_one_in(3))
			fiber_sleep((int64_t)chance_below((uint64_t)callers.how.pause_us_max));
	}
	callers.left--;
	fiber_wake(&callers);
	return NULL;
}

void callers_start(const struct calling *calling, unsigned n)
{
	callers.how = *calling;
	for (callers.left = 0; callers.left < n; callers.left++)
		fiber_start("a caller", call, NULL);
}

void callers_wait(void)
{
	while (callers.left > 0)
		(void)fiber_wait(&callers, INT64_MAX);
}
