/* See asking.h. */
#include "asking.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "echo.pb-c.h"
#include "echo.rpc.h"
#include "store/op.h"
#include "wire/status.h"

#define WAIT_SECONDS 10

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t asked;
	struct op *ops[16384]; /* not answered yet, in order */
	unsigned n_ops, n_asked;
	atomic_uint n_ended;
	bool full;
} asking = { .mutex = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER };

static enum aside_code submit(void *store, struct op *op, struct aside_status *err)
{
	bool taken;

	(void)store;
	pthread_mutex_lock(&asking.mutex);
	taken = !asking.full && asking.n_ops < N_OF(asking.ops);
	if (taken) {
		asking.ops[asking.n_ops++] = op;
		asking.n_asked++;
		pthread_cond_signal(&asking.asked);
	}
	pthread_mutex_unlock(&asking.mutex);
	return taken ? ASIDE_OK : fail(err, ASIDE_RESOURCE_EXHAUSTED, "QUEUE_FULL", "the store's queue is full");
}

static enum aside_code ask(struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	call->op = call_alloc(call, sizeof *call->op);
	return call->op != NULL ? ASIDE_OK : call_full(err);
}

static bool says(const Echo__V1__EchoRequest *request, const char *text)
{
	return request->payload.len == strlen(text) && memcmp(request->payload.data, text, strlen(text)) == 0;
}

static enum aside_code answered(struct call *call, const void *request, struct aside_status *err)
{
	const Echo__V1__EchoRequest *in = request;
	Echo__V1__EchoResponse *out;

	asking.n_ended++;
	if (says(in, "again") && call->state == NULL) {
		call->state = call;
		return ask(call, request, err);
	}
	if (says(in, "lost"))
		return fail(err, ASIDE_NOT_FOUND, "NO_SUCH_ECHO", "nothing echoes here");
	if (says(in, "mute"))
		return ASIDE_OK;
	out = call_response(call);
	if (out == NULL)
		return call_full(err);
	out->payload = in->payload;
	return ASIDE_OK;
}

static enum aside_code accept(struct call *call, const void *request, struct aside_status *err)
{
	(void)call;
	(void)request;
	(void)err;
	return ASIDE_OK;
}

static const struct handler methods[] = {
	{ .method = "Echo", .begin = ask, .end = answered },
	{ .method = "Note", .begin = ask, .end = answered },
	{ .method = "Keep", .begin = ask, .end = answered },
	{ .method = "Repeat", .begin = accept },
	{ .method = "Collect", .begin = accept, .item = accept },
	{ .method = "Converse", .begin = accept, .item = accept },
};
static const struct handlers handlers = { &echo_v1_echo_service, methods, N_OF(methods) };
static const struct handlers *const all[] = { &handlers, NULL };

struct server *server;
struct peer peer;

int set_up(void **state)
{
	(void)state;
	memset(asking.ops, 0, sizeof asking.ops); /* so that LeakSanitizer finds what nobody frees */
	asking.n_ops = 0;
	asking.n_asked = 0;
	asking.n_ended = 0;
	asking.full = false;
	server = peer_server(all, submit);
	peer_init(&peer, 0);
	return 0;
}

static struct op *first(bool take)
{
	struct timespec until;
	int rv = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&asking.mutex);
	while (asking.n_ops == 0 && rv == 0)
		rv = pthread_cond_timedwait(&asking.asked, &asking.mutex, &until);
	struct op *op = asking.ops[0];
	if (take && rv == 0)
		memmove(asking.ops, asking.ops + 1, --asking.n_ops * sizeof *asking.ops);
	pthread_mutex_unlock(&asking.mutex);
	assert_int_equal(rv, 0);
	return op;
}

const struct op *asking_first(void)
{
	return first(false);
}

void asking_answer(void)
{
	struct op *op = first(true);

	op->outcome = OP_DONE;
	op->done(op);
}

void asking_refuse(void)
{
	pthread_mutex_lock(&asking.mutex);
	asking.full = true;
	pthread_mutex_unlock(&asking.mutex);
}

unsigned asking_asked(void)
{
	pthread_mutex_lock(&asking.mutex);
	unsigned n = asking.n_asked;
	pthread_mutex_unlock(&asking.mutex);
	return n;
}

unsigned asking_ended(void)
{
	return asking.n_ended;
}

static unsigned unanswered(void)
{
	pthread_mutex_lock(&asking.mutex);
	unsigned n = asking.n_ops;
	pthread_mutex_unlock(&asking.mutex);
	return n;
}

int tear_down(void **state)
{
	(void)state;
	peer_stop_time(false);
	asking_refuse();
	while (unanswered() > 0) /* as a store does that closes: nothing else would free its call */
		asking_answer();
	peer_fini(&peer);
	peer_server_close(server);
	return 0;
}

void asking_put(struct peer *caller, uint64_t call_id, const char *text)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;

	request.payload = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	peer_put_call(caller, call_id, ECHO, &request.base);
}

void asking_put_within(struct peer *caller, uint64_t call_id, uint64_t timeout_us)
{
	struct frame call = { .call_id = call_id, .kind = FRAME_CALL, .timeout_us = timeout_us,
		.method = { (const uint8_t *)ECHO, strlen(ECHO) } };

	peer_put(caller, &call);
}

void asking_expect(struct peer *caller, uint64_t call_id, const char *text)
{
	struct frame frame;

	peer_wait(caller, &frame);
	assert_int_equal(frame.kind, FRAME_REPLY);
	assert_int_equal(frame.call_id, call_id);
	assert_int_equal(frame.code, ASIDE_OK);
	Echo__V1__EchoResponse *out = echo__v1__echo_response__unpack(NULL, frame.payload.size, frame.payload.data);
	assert_non_null(out);
	assert_int_equal(out->payload.len, strlen(text));
	assert_memory_equal(out->payload.data, text, strlen(text));
	echo__v1__echo_response__free_unpacked(out, NULL);
}
