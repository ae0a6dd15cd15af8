/* The product's rules, through a real server, a real socket and a real PostgreSQL. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "aside/rpc/v1/health.stub.h"
#include "aside/v1/attachments.stub.h"
#include "aside/v1/messages.stub.h"
#include "aside/v1/pages.stub.h"
#include "aside/v1/threads.stub.h"
#include "aside/v1/wall.stub.h"
#include "harness.h"

enum { ADMIN = 7, MODERATOR = 8, JOHNNY = 42, FAN = 43, STRANGER = 99 };

static struct harness *harness;
static struct aside_channel *channel;
static struct aside_status status;
static int64_t next_page = 1000;
static int64_t now_us;

static void key_of(uint64_t n, uint8_t out[16])
{
	memset(out, 0xA5, 16);
	memcpy(out, &n, sizeof n);
}

static int64_t new_page(void)
{
	Aside__V1__CreatePageRequest request = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
	Aside__V1__CreatePageResponse *response = NULL;
	Aside__V1__SetStaffRoleRequest role = ASIDE__V1__SET_STAFF_ROLE_REQUEST__INIT;
	Aside__V1__SetStaffRoleResponse *set = NULL;

	request.page_id = role.page_id = ++next_page;
	request.name = (char *)"Coke";
	request.admin_user_id = ADMIN;
	assert_int_equal(aside_v1_page_service_create_page(channel, &request, NULL, &response, &status), ASIDE_OK);
	now_us = response->page->created_at_us;
	aside_free(response);
	role.user_id = MODERATOR;
	role.role = ASIDE__V1__ROLE__ROLE_MODERATOR;
	assert_int_equal(aside_v1_page_service_set_staff_role(channel, &role, harness_as(ADMIN), &set, &status), ASIDE_OK);
	aside_free(set);
	return request.page_id;
}

/* A person's message; its number, or 0 with `status`. */
static uint32_t send_as(int64_t user, int64_t page, uint64_t key, const char *text)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__SendMessageResponse *response = NULL;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
	uint8_t uuid[16];

	key_of(key, uuid);
	content.text = (char *)(uintptr_t)text;
	request.page_id = page;
	request.client_key = (ProtobufCBinaryData){ 16, uuid };
	request.content = &content;
	if (aside_v1_message_service_send_message(channel, &request, harness_as(user), &response, &status) != ASIDE_OK)
		return 0;
	uint32_t seq = response->receipt->seq;
	aside_free(response);
	return seq;
}

static uint32_t reply_to(int64_t staff, int64_t page, int64_t user, uint64_t key, uint32_t expected)
{
	Aside__V1__ReplyAsPageRequest request = ASIDE__V1__REPLY_AS_PAGE_REQUEST__INIT;
	Aside__V1__ReplyAsPageResponse *response = NULL;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
	uint8_t uuid[16];

	key_of(key, uuid);
	content.text = (char *)"Thank you!";
	request.page_id = page;
	request.user_id = user;
	request.client_key = (ProtobufCBinaryData){ 16, uuid };
	request.content = &content;
	request.expected_last_seq = expected;
	if (aside_v1_message_service_reply_as_page(channel, &request, harness_as(staff), &response, &status) != ASIDE_OK)
		return 0;
	uint32_t seq = response->receipt->seq;
	aside_free(response);
	return seq;
}

static void record_comment(int64_t page, int64_t entry, int64_t author, int64_t posted_at_us)
{
	Aside__V1__RecordWallEntryRequest request = ASIDE__V1__RECORD_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__RecordWallEntryResponse *response = NULL;
	Aside__V1__WallEntry wall = ASIDE__V1__WALL_ENTRY__INIT;

	wall.page_id = page;
	wall.entry_id = entry;
	wall.kind = ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_COMMENT;
	wall.author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	wall.author_user_id = author;
	wall.text = (char *)"Because nothing tastes as good as a Coke!";
	wall.posted_at_us = posted_at_us;
	request.entry = &wall;
	assert_int_equal(aside_v1_wall_service_record_wall_entry(channel, &request, NULL, &response, &status), ASIDE_OK);
	aside_free(response);
}

static uint32_t private_reply(int64_t page, int64_t entry, uint64_t key)
{
	Aside__V1__SendPrivateReplyRequest request = ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT;
	Aside__V1__SendPrivateReplyResponse *response = NULL;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
	uint8_t uuid[16];

	key_of(key, uuid);
	content.text = (char *)"Thanks for sticking with us!";
	request.page_id = page;
	request.entry_id = entry;
	request.client_key = (ProtobufCBinaryData){ 16, uuid };
	request.content = &content;
	if (aside_v1_message_service_send_private_reply(channel, &request, harness_as(MODERATOR), &response, &status) != ASIDE_OK)
		return 0;
	uint32_t seq = response->receipt->seq;
	aside_free(response);
	return seq;
}

static enum aside_code switch_messaging(int64_t user, int64_t page, bool on)
{
	Aside__V1__UpdatePageSettingsRequest request = ASIDE__V1__UPDATE_PAGE_SETTINGS_REQUEST__INIT;
	Aside__V1__UpdatePageSettingsResponse *response = NULL;
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *paths[] = { (char *)"messaging_enabled" };

	settings.messaging_enabled = on;
	mask.paths = paths;
	mask.n_paths = 1;
	request.page_id = page;
	request.settings = &settings;
	request.update_mask = &mask;
	enum aside_code code = aside_v1_page_settings_service_update_page_settings(channel, &request, harness_as(user),
			&response, &status);
	aside_free(response);
	return code;
}

static void assert_counters_right(int64_t page)
{
	Aside__V1__VerifyCountersRequest request = ASIDE__V1__VERIFY_COUNTERS_REQUEST__INIT;
	Aside__V1__VerifyCountersResponse *response = NULL;

	request.page_id = page;
	assert_int_equal(aside_v1_thread_service_verify_counters(channel, &request, harness_as(ADMIN), &response, &status), ASIDE_OK);
	if (response->n_differences > 0)
		print_message("%s: stored %lld, counted %lld\n", response->differences[0]->counter,
				(long long)response->differences[0]->stored, (long long)response->differences[0]->counted);
	assert_int_equal(response->n_differences, 0);
	aside_free(response);
}

#define assert_refused(call, expected)                        \
	do {                                                  \
		assert_int_equal(call, 0);                    \
		assert_string_equal(status.reason, expected); \
	} while (0)

/* ── tests ───────────────────────────────────────────────────────────────────────────────────────── */

static void the_person_starts_and_the_page_answers(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_refused(reply_to(MODERATOR, page, JOHNNY, 1, 0), "PERSON_MUST_START"); /* P1 */
	assert_int_equal(send_as(JOHNNY, page, 1, "Why so sweet?"), 1);
	assert_int_equal(reply_to(MODERATOR, page, JOHNNY, 2, 1), 2);
	assert_refused(reply_to(MODERATOR, page, JOHNNY, 3, 1), "THREAD_MOVED_ON"); /* P20 */
	assert_string_equal(aside_status_fact(&status, "last_seq"), "2");
	assert_refused(reply_to(STRANGER, page, JOHNNY, 4, 0), "PAGE_NOT_FOUND"); /* P9 */
	assert_counters_right(page);
}

static void a_key_gets_its_first_answer(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_as(JOHNNY, page, 1, "once"), 1);
	assert_int_equal(send_as(JOHNNY, page, 1, "once"), 1);
	assert_refused(send_as(JOHNNY, page, 1, "twice"), "KEY_REUSED");
	assert_int_equal(switch_messaging(ADMIN, page, false), ASIDE_OK);
	assert_int_equal(send_as(JOHNNY, page, 1, "once"), 1);
	harness_crash(harness);
	assert_int_equal(send_as(JOHNNY, page, 1, "once"), 1);
	assert_counters_right(page);
}

static void the_switch_is_exact(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_as(JOHNNY, page, 1, "hello"), 1);
	assert_int_equal(switch_messaging(MODERATOR, page, false), ASIDE_PERMISSION_DENIED);
	assert_string_equal(status.reason, "ROLE_REQUIRED");
	assert_int_equal(switch_messaging(ADMIN, page, false), ASIDE_OK);
	assert_refused(send_as(JOHNNY, page, 2, "hello?"), "MESSAGING_DISABLED");
	assert_int_equal(reply_to(MODERATOR, page, JOHNNY, 3, 0), 2);
	assert_int_equal(switch_messaging(ADMIN, page, true), ASIDE_OK);
	assert_int_equal(send_as(JOHNNY, page, 4, "hello!"), 3);
}

static void one_private_reply_an_entry(void **state)
{
	int64_t page = new_page();
	(void)state;

	record_comment(page, 1, JOHNNY, now_us);
	record_comment(page, 2, FAN, now_us - 8ll * 86400 * 1000000);
	assert_refused(private_reply(page, 2, 1), "PRIVATE_REPLY_EXPIRED");
	assert_refused(private_reply(page, 3, 1), "WALL_ENTRY_NOT_FOUND");
	assert_int_equal(private_reply(page, 1, 2), 1);
	assert_refused(private_reply(page, 1, 3), "ALREADY_REPLIED");
	assert_refused(reply_to(MODERATOR, page, JOHNNY, 4, 0), "AWAITING_PERSON");
	assert_int_equal(send_as(JOHNNY, page, 5, "You're welcome"), 2);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(reply_to(MODERATOR, page, JOHNNY, 6 + i, 0), 3 + i);
	assert_refused(reply_to(MODERATOR, page, JOHNNY, 20, 0), "REPLY_BUDGET_SPENT"); /* P7 */
	assert_counters_right(page);
}

/* ── races ───────────────────────────────────────────────────────────────────────────────────────── */

struct race {
	int64_t page;
	unsigned n, ended, ok;
	uint64_t seen; /* a bit for each seq */
	pthread_mutex_t mutex;
	pthread_cond_t all;
};

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

static void first_messages_race_into_one_thread(void **state)
{
	struct race race = { .page = new_page(), .n = 64, .mutex = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER };
	(void)state;

	for (uint64_t i = 0; i < race.n; i++) {
		Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
		Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
		uint8_t uuid[16];
		key_of(i, uuid);
		content.text = (char *)"me first";
		request.page_id = race.page;
		request.client_key = (ProtobufCBinaryData){ 16, uuid };
		request.content = &content;
		assert_int_equal(aside_v1_message_service_send_message_start(channel, &request, harness_as(JOHNNY), count_end,
						 &race, NULL, &status), ASIDE_OK);
	}
	wait_for_all(&race);
	assert_int_equal(race.ok, 64);
	assert_true(race.seen == UINT64_MAX); /* 1 to 64, each once */
	assert_counters_right(race.page);
}

static void private_replies_race_for_one_comment(void **state)
{
	struct race race = { .page = new_page(), .n = 100, .mutex = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER };
	(void)state;

	record_comment(race.page, 1, JOHNNY, now_us);
	for (uint64_t i = 0; i < race.n; i++) {
		Aside__V1__SendPrivateReplyRequest request = ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT;
		Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
		uint8_t uuid[16];
		key_of(i, uuid);
		content.text = (char *)"Thanks!";
		request.page_id = race.page;
		request.entry_id = 1;
		request.client_key = (ProtobufCBinaryData){ 16, uuid };
		request.content = &content;
		assert_int_equal(aside_v1_message_service_send_private_reply_start(channel, &request, harness_as(MODERATOR),
						 count_end, &race, NULL, &status), ASIDE_OK);
	}
	wait_for_all(&race);
	assert_int_equal(race.ok, 1);
	assert_counters_right(race.page);
}

/* ── bad input, and peers that misbehave ─────────────────────────────────────────────────────────── */

static void bad_input_is_refused_with_a_reason(void **state)
{
	int64_t page = new_page();
	char longest[2002];
	(void)state;

	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_refused(send_as(JOHNNY, page, 1, longest), "TEXT_TOO_LONG");
	assert_string_equal(aside_status_fact(&status, "limit"), "2000");
	assert_refused(send_as(JOHNNY, page, 1, ""), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "content");
	assert_refused(send_as(JOHNNY, -1, 1, "x"), "FIELD_INVALID");
	assert_refused(send_as(JOHNNY, 1, 1, "x"), "PAGE_NOT_FOUND");
	assert_refused(send_as(JOHNNY, page, 1, "\xff\xfe"), "MALFORMED_REQUEST");
	assert_refused(send_as(0, page, 1, "x"), "CALLER_NOT_ALLOWED");
}

static void connections_that_close_at_once_do_no_harm(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)state;

	snprintf(address.sun_path, sizeof address.sun_path, "%s", harness_address(harness) + 6);
	for (unsigned i = 0; i < 1000; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd >= 0);
		(void)connect(fd, (struct sockaddr *)&address, sizeof address);
		close(fd);
	}
	struct aside_channel *fresh = NULL;
	Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;
	Aside__Rpc__V1__CheckResponse *response = NULL;
	assert_int_equal(aside_channel_open(harness_address(harness), NULL, &fresh, &status), ASIDE_OK);
	assert_int_equal(aside_rpc_v1_health_service_check(fresh, &request, NULL, &response, &status), ASIDE_OK);
	assert_int_equal(response->status, ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING);
	aside_free(response);
	aside_channel_close(fresh);
}

static int start(void **state)
{
	(void)state;
	harness = harness_start(getenv("ASIDE_SERVER"), NULL);
	channel = harness_channel(harness);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	return harness_stop(harness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_person_starts_and_the_page_answers),
		cmocka_unit_test(a_key_gets_its_first_answer),
		cmocka_unit_test(the_switch_is_exact),
		cmocka_unit_test(one_private_reply_an_entry),
		cmocka_unit_test(first_messages_race_into_one_thread),
		cmocka_unit_test(private_replies_race_for_one_comment),
		cmocka_unit_test(bad_input_is_refused_with_a_reason),
		cmocka_unit_test(connections_that_close_at_once_do_no_harm),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
