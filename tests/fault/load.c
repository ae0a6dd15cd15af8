/* See load.h.
 *
 *     FREE ──begin──▶ UNDER_WAY ──done──▶ ENDED ──▶ FREE       answered
 *                         ▲                 └─────▶ WAITING    not, or to be repeated: again when it is due
 *                         └───────again──────────────┘
 *
 * One thread moves all slots; only UNDER_WAY → ENDED happens on the library's. */
#include "load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aside/v1/messages.stub.h"
#include "aside/v1/threads.stub.h"
#include "history.h"

#define PAUSE_US 20000          /* before a call is made again */
#define PATIENCE_US 60000000    /* for the next answer */
#define STOP_US 120000000
#define REPLIES 25              /* of 100 calls */
#define MARKS 15
#define REPEATED 5              /* of 100 answered sends */
#define HASTY 20                /* of 100 attempts: those give up after so long, and do not know what came of it */
#define HASTY_MS 30

enum state { FREE, UNDER_WAY, ENDED, WAITING };

struct slot {
	struct load *load;
	enum state state;
	struct call call;
	uint32_t timeout_ms; /* of the next attempt */
	int64_t began_us, due_us;
	/* How the last attempt ended. */
	int64_t ended_us;
	struct aside_status status;
	uint32_t seq;
	bool once_more;
};

struct load {
	struct load_options options;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
	bool stopping;
	size_t n_busy;
	uint64_t made, answered, unknown, random;
	uint32_t *known; /* by page and person: the highest number acknowledged */
	struct slot slots[];
};

int64_t load_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* xorshift64 */
static uint64_t draw(struct load *load, uint64_t below)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random % below;
}

/* False at `until_us`. */
static bool wait_until(struct load *load, int64_t until_us)
{
	struct timespec at = { until_us / 1000000, until_us % 1000000 * 1000 };

	return pthread_cond_timedwait(&load->changed, &load->mutex, &at) == 0;
}

/* ── a call ──────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t *known_of(struct load *load, const struct call *call)
{
	size_t page = 0;

	while (load->options.pages[page] != call->page)
		page++;
	return &load->known[page * load->options.n_persons + (size_t)call->person - 1];
}

static void make_call(struct load *load, struct call *ret_call)
{
	uint64_t number = ++load->made, kind = draw(load, 100);

	*ret_call = (struct call){ .side = ASIDE__V1__SIDE__SIDE_PERSON,
		.page = load->options.pages[draw(load, load->options.n_pages)],
		.person = 1 + (int64_t)draw(load, load->options.n_persons) };
	uint32_t known = *known_of(load, ret_call);
	if (known > 0 && kind < REPLIES + MARKS) {
		ret_call->mark = kind >= REPLIES;
		if (!ret_call->mark || draw(load, 2) == 0)
			ret_call->side = ASIDE__V1__SIDE__SIDE_PAGE;
	}
	if (ret_call->mark) {
		ret_call->asked_seq = known - (uint32_t)draw(load, known < 4 ? known : 4);
		return;
	}
	memcpy(ret_call->key, &number, sizeof number);
	memcpy(ret_call->key + sizeof number, &load->options.seed, sizeof load->options.seed);
	(void)snprintf(ret_call->text, sizeof ret_call->text, "call %llu", (unsigned long long)number);
}

static void ended(struct slot *slot, uint32_t seq, const struct aside_status *status)
{
	struct load *load = slot->load;
	int64_t now_us = load_now_us();

	pthread_mutex_lock(&load->mutex);
	slot->state = ENDED;
	slot->ended_us = now_us;
	slot->status = *status;
	slot->seq = seq;
	pthread_cond_broadcast(&load->changed);
	pthread_mutex_unlock(&load->mutex);
}

/* The two sends' responses are laid out alike. */
static void on_sent(void *user, ProtobufCMessage *message, const struct aside_status *status)
{
	const Aside__V1__SendMessageResponse *response = (const void *)message;

	ended(user, response != NULL ? response->receipt->seq : 0, status);
	aside_free(message);
}

static void on_marked(void *user, ProtobufCMessage *message, const struct aside_status *status)
{
	const Aside__V1__MarkThreadResponse *response = (const void *)message;

	ended(user, response != NULL ? response->marks->read_seq : 0, status);
	aside_free(message);
}

static enum aside_code start_mark(struct slot *slot, const struct aside_call_options *options, struct aside_status *err)
{
	Aside__V1__MarkThreadRequest request = ASIDE__V1__MARK_THREAD_REQUEST__INIT;

	request.page_id = slot->call.page;
	request.user_id = slot->call.person;
	request.side = (Aside__V1__Side)slot->call.side;
	request.read_seq = slot->call.asked_seq;
	return aside_v1_thread_service_mark_thread_start(slot->load->options.channel, &request, options, on_marked, slot, NULL, err);
}

static enum aside_code start_send(struct slot *slot, const struct aside_call_options *options, struct aside_status *err)
{
	struct aside_channel *channel = slot->load->options.channel;
	Aside__V1__SendMessageRequest send = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__ReplyAsPageRequest reply = ASIDE__V1__REPLY_AS_PAGE_REQUEST__INIT;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;

	content.text = slot->call.text;
	send.content = reply.content = &content;
	send.page_id = reply.page_id = slot->call.page;
	send.client_key = reply.client_key = (ProtobufCBinaryData){ KEY_BYTES, slot->call.key };
	reply.user_id = slot->call.person;
	if (slot->call.side == ASIDE__V1__SIDE__SIDE_PERSON)
		return aside_v1_message_service_send_message_start(channel, &send, options, on_sent, slot, NULL, err);
	return aside_v1_message_service_reply_as_page_start(channel, &reply, options, on_sent, slot, NULL, err);
}

/* An attempt, without the mutex: `done` may run before this returns. */
static void begin(struct slot *slot)
{
	const struct call *call = &slot->call;
	int64_t caller = call->side == ASIDE__V1__SIDE__SIDE_PERSON ? call->person : slot->load->options.staff;
	char digits[24];
	struct aside_metadata person = { "act-as-user", digits, 0 };
	struct aside_call_options options = { .metadata = &person, .n_metadata = 1, .timeout_ms = slot->timeout_ms };
	struct aside_status status = { 0 };

	person.value_bytes = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)caller);
	slot->began_us = load_now_us();
	if ((call->mark ? start_mark : start_send)(slot, &options, &status) != ASIDE_OK)
		ended(slot, 0, &status);
}

/* ── the slots ───────────────────────────────────────────────────────────────────────────────────── */

static bool may_be_repeated(enum aside_code code)
{
	return code == ASIDE_UNAVAILABLE || code == ASIDE_DEADLINE_EXCEEDED || code == ASIDE_RESOURCE_EXHAUSTED;
}

/* An attempt is over: writes it down, and says what becomes of its call. */
static void conclude(struct load *load, struct slot *slot)
{
	bool again = may_be_repeated(slot->status.code);

	history_add_attempt(load->options.history,
			&(struct attempt){ &slot->call, slot->began_us, slot->ended_us, &slot->status, slot->seq });
	load->unknown += again && !slot->status.not_executed;
	if (!again && !slot->once_more) {
		uint32_t *known = known_of(load, &slot->call);
		load->answered++;
		if (!slot->call.mark && slot->seq > *known)
			*known = slot->seq;
		slot->once_more = again = !slot->call.mark && draw(load, 100) < REPEATED;
	}
	slot->due_us = slot->ended_us + PAUSE_US;
	slot->state = again ? WAITING : FREE;
	load->n_busy -= !again;
}

/* Moves a slot on as far as it goes; whether there is an attempt to begin. */
static bool move(struct load *load, struct slot *slot, int64_t now_us)
{
	if (slot->state == ENDED)
		conclude(load, slot);
	if (slot->state == FREE && !load->stopping) {
		make_call(load, &slot->call);
		slot->once_more = false;
		load->n_busy++;
	} else if (slot->state != WAITING || slot->due_us > now_us)
		return false;
	slot->timeout_ms = draw(load, 100) < HASTY ? HASTY_MS : 0;
	slot->state = UNDER_WAY;
	return true;
}

static void *run(void *arg)
{
	struct load *load = arg;
	int64_t last_us = INT64_MAX;

	pthread_mutex_lock(&load->mutex);
	while ((!load->stopping || load->n_busy > 0) && load_now_us() < last_us) {
		int64_t now_us = load_now_us();
		for (unsigned i = 0; i < load->options.under_way; i++)
			if (move(load, &load->slots[i], now_us)) {
				pthread_mutex_unlock(&load->mutex);
				begin(&load->slots[i]);
				pthread_mutex_lock(&load->mutex);
			}
		if (load->stopping && last_us == INT64_MAX)
			last_us = now_us + STOP_US;
		pthread_cond_broadcast(&load->changed); /* to who waits for answers */
		(void)wait_until(load, now_us + PAUSE_US);
	}
	pthread_mutex_unlock(&load->mutex);
	return NULL;
}

/* ── from outside ────────────────────────────────────────────────────────────────────────────────── */

static void prepare(struct load *load)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&load->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&load->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	load->random = UINT64_C(88172645463325252) + load->options.seed;
	for (unsigned i = 0; i < load->options.under_way; i++)
		load->slots[i].load = load;
}

struct load *load_start(const struct load_options *options)
{
	struct load *load = calloc(1, sizeof *load + options->under_way * sizeof load->slots[0]);

	if (load == NULL)
		return NULL;
	load->options = *options;
	load->known = calloc(options->n_pages * options->n_persons, sizeof *load->known);
	prepare(load);
	if (load->known != NULL && pthread_create(&load->thread, NULL, run, load) == 0)
		return load;
	free(load->known);
	free(load);
	return NULL;
}

bool load_wait(struct load *load, uint64_t n)
{
	int64_t until_us = load_now_us() + PATIENCE_US;

	pthread_mutex_lock(&load->mutex);
	uint64_t target = load->answered + n;
	while (load->answered < target && load_now_us() < until_us)
		(void)wait_until(load, until_us);
	bool reached = load->answered >= target;
	pthread_mutex_unlock(&load->mutex);
	return reached;
}

uint64_t load_answered(struct load *load)
{
	pthread_mutex_lock(&load->mutex);
	uint64_t n = load->answered;
	pthread_mutex_unlock(&load->mutex);
	return n;
}

uint64_t load_unknown(struct load *load)
{
	pthread_mutex_lock(&load->mutex);
	uint64_t n = load->unknown;
	pthread_mutex_unlock(&load->mutex);
	return n;
}

bool load_stop(struct load *load)
{
	pthread_mutex_lock(&load->mutex);
	load->stopping = true;
	pthread_cond_broadcast(&load->changed);
	pthread_mutex_unlock(&load->mutex);
	pthread_join(load->thread, NULL);
	if (load->n_busy > 0)
		return false; /* calls under way still point here */
	pthread_cond_destroy(&load->changed);
	pthread_mutex_destroy(&load->mutex);
	free(load->known);
	free(load);
	return true;
}
