/* Callers that race, on two servers of one database: P3, P5, P6, P11. */
#include "world.h"

#include <pthread.h>
#include <stdatomic.h>

#define SERVERS 2

/* Calls under way at once, and how they ended. */
struct race {
	unsigned n, ended, ok;
	uint64_t seen; /* a bit for each number from 1 */
	pthread_mutex_t mutex;
	pthread_cond_t all;
};

#define RACE(n_calls) { .n = (n_calls), .mutex = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER }

static void count_end(void *user, ProtobufCMessage *response, const struct aside_status *ended)
{
	struct race *race = user;
	const Aside__V1__Receipt *receipt = NULL;

	if (response != NULL && response->descriptor == &aside__v1__send_message_response__descriptor)
		receipt = ((Aside__V1__SendMessageResponse *)response)->receipt;
	pthread_mutex_lock(&race->mutex);
	race->ok += ended->code == ASIDE_OK;
	if (receipt != NULL && receipt->seq <= 64)
		race->seen |= 1ull << (receipt->seq - 1);
	if (++race->ended == race->n)
		pthread_cond_signal(&race->all);
	pthread_mutex_unlock(&race->mutex);
	aside_free(response);
}

static void wait_for_all(struct race *race)
{
	pthread_mutex_lock(&race->mutex);
	while (race->ended < race->n)
		pthread_cond_wait(&race->all, &race->mutex);
	pthread_mutex_unlock(&race->mutex);
}

static void first_messages_make_one_thread(void **state)
{
	struct race race = RACE(64);
	int64_t page = new_page();
	(void)state;

	for (uint64_t i = 0; i < race.n; i++) {
		Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
		request.content = text_content("me first");
		request.page_id = page;
		request.client_key = uuid_of(i);
		assert_int_equal(aside_v1_message_service_send_message_start(aside_harness_channel(harness, i % SERVERS),
						 &request, aside_harness_as(JOHNNY), count_end, &race, NULL, &status), ASIDE_OK);
	}
	wait_for_all(&race);
	assert_int_equal(race.ok, 64);
	assert_true(race.seen == UINT64_MAX); /* 1 to 64, each once */
	assert_int_equal(world_sql("SELECT count(*) FROM thread WHERE page_id = %lld", (long long)page), 1);
	assert_counters_right(page);
}

static void one_of_a_hundred_private_replies_is_sent(void **state)
{
	struct race race = RACE(100);
	int64_t page = new_page();
	(void)state;

	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	for (uint64_t i = 0; i < race.n; i++) {
		Aside__V1__SendPrivateReplyRequest request = ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT;
		request.content = text_content("Thanks!");
		request.page_id = page;
		request.entry_id = 1;
		request.client_key = uuid_of(i);
		assert_int_equal(aside_v1_message_service_send_private_reply_start(aside_harness_channel(harness, i % SERVERS),
						 &request, aside_harness_as(MODERATOR), count_end, &race, NULL, &status), ASIDE_OK);
	}
	wait_for_all(&race);
	assert_int_equal(race.ok, 1);
	assert_int_equal(world_sql("SELECT count(*) FROM message WHERE page_id = %lld", (long long)page), 1);
	assert_counters_right(page);
}

/* ── the switch ──────────────────────────────────────────────────────────────────────────────────── */

/* `phase` is even while a switching call is under way, and says what holds until the next one begins:
 * 1 off, 3 on, 5 off … */
struct contest {
	int64_t page;
	atomic_uint phase;
	atomic_uint judged[2]; /* sends that began and ended in one phase: off, on */
	atomic_uint wrong;
	atomic_bool over;
};

struct sender {
	struct contest *contest;
	unsigned number;
	pthread_t thread;
};

static void *keep_sending(void *arg)
{
	struct sender *sender = arg;
	struct contest *contest = sender->contest;

	via = aside_harness_channel(harness, sender->number % SERVERS);
	for (uint64_t i = 0; !atomic_load(&contest->over); i++) {
		unsigned before = atomic_load(&contest->phase);
		bool sent = send_text(1000 + sender->number, contest->page, i, "still open?") != 0;
		if (before != atomic_load(&contest->phase) || before % 2 == 0)
			continue; /* either answer is right */
		bool off = before % 4 == 1;
		atomic_fetch_add(&contest->judged[!off], 1);
		if (off ? sent || strcmp(status.reason, "MESSAGING_DISABLED") != 0 : !sent)
			atomic_fetch_add(&contest->wrong, 1);
	}
	return NULL;
}

static void the_switch_is_exact(void **state)
{
	enum { SENDERS = 8, ROUNDS = 50 };
	struct contest contest = { .page = new_page() };
	struct sender senders[SENDERS];
	(void)state;

	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .contest = &contest, .number = i };
		assert_int_equal(pthread_create(&senders[i].thread, NULL, keep_sending, &senders[i]), 0);
	}
	for (unsigned round = 0; round < 2 * ROUNDS; round++) {
		unsigned before = atomic_load(&contest.judged[round % 2]);
		via = aside_harness_channel(harness, round / 2 % SERVERS);
		assert_done(switch_messaging(ADMIN, contest.page, round % 2 == 1));
		atomic_fetch_add(&contest.phase, 1);
		/* Every phase sees some sends begin and end in it. */
		while (atomic_load(&contest.judged[round % 2]) < before + SENDERS)
			sched_yield();
		atomic_fetch_add(&contest.phase, 1);
	}
	atomic_store(&contest.over, true);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	via = NULL;
	print_message("# %u sends while off, %u while on\n", contest.judged[0], contest.judged[1]);
	assert_int_equal(contest.wrong, 0);
	assert_counters_right(contest.page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_messages_make_one_thread),
		cmocka_unit_test(one_of_a_hundred_private_replies_is_sent),
		cmocka_unit_test(the_switch_is_exact),
	};
	const struct aside_harness_options options = { .servers = SERVERS, .flags = (const char *[]){ "--log-level", "warning", NULL } };

	return WORLD_RUN("races", tests, &options);
}
