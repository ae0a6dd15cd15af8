/* Servers that are killed: what was acknowledged stays, what is repeated is not done twice (P10, P11, P13). */
#include "uploads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "aside/rpc/v1/health.stub.h"

#define SERVERS 2

static void crash_and_restart(unsigned server)
{
	aside_harness_crash(harness, server);
	assert_int_equal(aside_harness_restart(harness, server, &status), ASIDE_OK);
}

static void an_upload_goes_on_after_a_crash(void **state)
{
	struct upload video = upload_new(new_page(), JOHNNY, PERSON, VIDEO, NULL, 3000000);
	Aside__V1__BeginAttachmentResponse *begun;
	(void)state;

	aside_free(upload_begin(&video));
	for (uint32_t i = 0; i < 5; i++)
		assert_done(upload_chunk(&video, i));
	crash_and_restart(0); /* and the database with it */
	assert_done(begun = upload_begin(&video));
	assert_int_equal(begun->n_missing_chunks, video.chunk_count - 5);
	assert_int_equal(begun->missing_chunks[0], 5);
	aside_free(begun);
	crash_and_restart(1); /* and the other one, while nobody looks */
	via = aside_harness_channel(harness, 1);
	for (uint32_t i = 5; i < video.chunk_count; i++)
		assert_done(upload_chunk(&video, i));
	aside_free(upload_complete(&video));
	assert_int_equal(send_content(JOHNNY, video.page, 1, upload_content(&video, "")), 1);
	for (uint64_t at = 0; at < video.size;) {
		Aside__V1__ReadAttachmentResponse *part = upload_read(&video, MODERATOR, at, 1 << 20);
		assert_done(part);
		assert_memory_equal(part->data.data, video.file + at, part->data.len);
		at += part->data.len;
		aside_free(part);
	}
	via = NULL;
	upload_free(&video);
}

/* ── sends ───────────────────────────────────────────────────────────────────────────────────────── */

enum { SENDERS = 6, FIRST = 100 };

struct sender {
	int64_t page;
	unsigned number;
	pthread_t thread;
	uint32_t n_acknowledged; /* keys 1, 2, 3 … of this sender have these numbers */
	uint32_t seqs[65536];
	unsigned refused;
};

static atomic_bool over;
static atomic_uint acknowledged;

/* Sends one message after the other; what was not acknowledged is sent again with its key. */
static void *keep_sending(void *arg)
{
	struct sender *sender = arg;
	char words[24];

	via = aside_harness_channel(harness, sender->number % SERVERS);
	while (!atomic_load(&over) && sender->n_acknowledged < N_OF(sender->seqs)) {
		uint64_t key = sender->n_acknowledged + 1;
		(void)snprintf(words, sizeof words, "%llu", (unsigned long long)key);
		uint32_t seq = send_text(FIRST + sender->number, sender->page, key, words);
		if (seq != 0) {
			sender->seqs[sender->n_acknowledged++] = seq;
			atomic_fetch_add(&acknowledged, 1);
		} else if (status.code != ASIDE_UNAVAILABLE && status.code != ASIDE_DEADLINE_EXCEEDED) {
			print_message("# %s: %s\n", status.reason, status.message);
			sender->refused++;
			break;
		}
	}
	return NULL;
}

/* The thread is exactly what was acknowledged, perhaps with one more that nobody heard of. */
static void assert_nothing_lost_nor_twice(const struct sender *sender)
{
	Aside__V1__GetThreadResponse *thread = get_thread(MODERATOR, sender->page, FIRST + sender->number);
	uint32_t expected, before = 0;

	assert_done(thread);
	expected = thread->thread->last_seq;
	aside_free(thread);
	assert_in_range(expected, sender->n_acknowledged, sender->n_acknowledged + 1);
	for (uint32_t i = 0; i < sender->n_acknowledged; i++)
		assert_int_equal(sender->seqs[i], i + 1);
	do {
		Aside__V1__ListMessagesResponse *list =
				list_messages(MODERATOR, sender->page, FIRST + sender->number, before, 0, 200);
		assert_done(list);
		for (size_t i = 0; i < list->n_messages; i++, expected--) {
			assert_int_equal(list->messages[i]->seq, expected);
			assert_int_equal(strtoul(list->messages[i]->content->text, NULL, 10), expected);
		}
		before = list->has_more ? expected + 1 : 0;
		aside_free(list);
	} while (before != 0);
	assert_int_equal(expected, 0);
}

static void sends_survive_crashes(void **state)
{
	enum { CRASHES = 4, BETWEEN = 200 };
	static struct sender senders[SENDERS];
	int64_t page = new_page();
	(void)state;

	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].page = page;
		senders[i].number = i;
		assert_int_equal(pthread_create(&senders[i].thread, NULL, keep_sending, &senders[i]), 0);
	}
	for (unsigned crash = 0; crash < CRASHES; crash++) {
		for (unsigned from = atomic_load(&acknowledged); atomic_load(&acknowledged) < from + BETWEEN;)
			sched_yield();
		crash_and_restart(crash % SERVERS);
	}
	atomic_store(&over, true);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	for (unsigned i = 0; i < SENDERS; i++) {
		assert_int_equal(senders[i].refused, 0);
		assert_nothing_lost_nor_twice(&senders[i]);
	}
	print_message("# %u messages over %d crashes\n", atomic_load(&acknowledged), CRASHES);
	assert_counters_right(page);
}

/* Asks server 1 for its health until it is so; a minute at most. */
static void wait_for_health(Aside__Rpc__V1__CheckResponse__ServingStatus expected)
{
	int64_t deadline = world_now_us() + 60000000;
	int answer;

	via = aside_harness_channel(harness, 1);
	do {
		Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;
		Aside__Rpc__V1__CheckResponse *health =
				ASK(Aside__Rpc__V1__CheckResponse, aside_rpc_v1_health_service_check, &request, SERVICE);
		assert_done(health);
		answer = (int)health->status;
		aside_free(health);
	} while (answer != (int)expected && world_now_us() < deadline);
	via = NULL;
	assert_int_equal(answer, expected);
}

/* The database goes with server 0.  Nobody calls server 1 meanwhile. */
static void health_tells_of_the_database(void **state)
{
	(void)state;
	wait_for_health(ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	aside_harness_crash(harness, 0);
	wait_for_health(ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_NOT_SERVING);
	assert_int_equal(aside_harness_restart(harness, 0, &status), ASIDE_OK);
	wait_for_health(ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upload_goes_on_after_a_crash),
		cmocka_unit_test(sends_survive_crashes),
		cmocka_unit_test(health_tells_of_the_database),
	};
	const struct aside_harness_options options = { .servers = SERVERS, .flags = (const char *[]){ "--log-level", "warning", NULL } };

	return WORLD_RUN("crash", tests, &options);
}
