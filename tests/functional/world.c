/* See world.h. */
#include "world.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct aside_harness *harness;
_Thread_local struct aside_status status;
_Thread_local struct aside_channel *via;

static unsigned n_servers;
static int64_t next_page;

/* ── the run ─────────────────────────────────────────────────────────────────────────────────────── */

/* What no input and no fault of a peer may bring about. */
static bool logs_are_clean(void)
{
	static const char *const alarming[] = { "level=error", "event=statement_", "Sanitizer", "runtime error:" };
	bool clean = true;

	for (unsigned n = 0; n < n_servers; n++)
		for (size_t i = 0; i < N_OF(alarming); i++)
			if (aside_harness_logged(harness, n, alarming[i])) {
				print_error("server %u logged %s\n", n, alarming[i]);
				clean = false;
			}
	return clean;
}

int world_run(const char *name, const struct CMUnitTest *tests, size_t n, const struct aside_harness_options *options)
{
	int failures;

	n_servers = options != NULL && options->servers != 0 ? options->servers : 1;
	next_page = world_now_us(); /* the database may have seen other runs */
	if (aside_harness_start(options, &harness, &status) != ASIDE_OK) {
		print_error("%s\n", status.message);
		return EXIT_FAILURE;
	}
	failures = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
	failures += !logs_are_clean();
	if (failures != 0)
		aside_harness_show_logs(harness, stderr);
	failures += aside_harness_stop(harness);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The caller clears the result. */
static PGresult *execute(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static PGresult *execute(const char *fmt, va_list ap)
{
	PGconn *pg = PQconnectdb(aside_harness_database(harness));
	char sql[2048];
	int n = vsnprintf(sql, sizeof sql, fmt, ap);
	PGresult *result = PQexec(pg, sql);

	assert_in_range(n, 1, sizeof sql - 1);
	PQfinish(pg);
	return result;
}

int64_t world_sql(const char *fmt, ...)
{
	int64_t value = 0;
	va_list ap;

	va_start(ap, fmt);
	PGresult *result = execute(fmt, ap);
	va_end(ap);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", fmt, PQresultErrorMessage(result));
	if (PQntuples(result) > 0)
		value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return value;
}

void world_sql_refused(const char *constraint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	PGresult *result = execute(fmt, ap);
	va_end(ap);
	const char *refused_by = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	if (refused_by == NULL || strcmp(refused_by, constraint) != 0)
		fail_msg("%s was not refused by %s: %s", fmt, constraint, PQresultErrorMessage(result));
	PQclear(result);
}

struct aside_channel *world_via(void)
{
	return via != NULL ? via : aside_harness_channel(harness, 0);
}

int64_t world_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

ProtobufCBinaryData uuid_of(uint64_t n)
{
	static _Thread_local uint8_t ring[64][16];
	static _Thread_local unsigned used;
	uint8_t *uuid = ring[used++ % N_OF(ring)];

	memset(uuid, 0xA5, 16);
	memcpy(uuid, &n, sizeof n);
	return (ProtobufCBinaryData){ 16, uuid };
}

/* ── pages ───────────────────────────────────────────────────────────────────────────────────────── */

bool set_role(int64_t caller, int64_t page, int64_t user, Aside__V1__Role role)
{
	Aside__V1__SetStaffRoleRequest request = ASIDE__V1__SET_STAFF_ROLE_REQUEST__INIT;
	Aside__V1__SetStaffRoleResponse *response;

	request.page_id = page;
	request.user_id = user;
	request.role = role;
	response = ASK(Aside__V1__SetStaffRoleResponse, aside_v1_page_service_set_staff_role, &request, caller);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

int64_t new_page(void)
{
	Aside__V1__CreatePageRequest request = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
	Aside__V1__CreatePageResponse *response;

	request.page_id = ++next_page;
	request.name = (char *)"Coke";
	request.admin_user_id = ADMIN;
	assert_done(response = ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &request, SERVICE));
	aside_free(response);
	assert_done(set_role(ADMIN, request.page_id, EDITOR, ASIDE__V1__ROLE__ROLE_EDITOR));
	assert_done(set_role(ADMIN, request.page_id, MODERATOR, ASIDE__V1__ROLE__ROLE_MODERATOR));
	assert_done(set_role(ADMIN, request.page_id, ANALYST, ASIDE__V1__ROLE__ROLE_ANALYST));
	return request.page_id;
}

uint32_t change_settings(int64_t caller, int64_t page, const Aside__V1__PageSettings *settings, const char *mask,
		uint32_t expected_version)
{
	Aside__V1__UpdatePageSettingsRequest request = ASIDE__V1__UPDATE_PAGE_SETTINGS_REQUEST__INIT;
	Aside__V1__UpdatePageSettingsResponse *response;
	Google__Protobuf__FieldMask fields = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char words[256], *paths[16], *state = NULL;

	(void)snprintf(words, sizeof words, "%s", mask);
	fields.paths = paths;
	for (char *word = strtok_r(words, ",", &state); word != NULL; word = strtok_r(NULL, ",", &state))
		paths[fields.n_paths++] = word;
	request.page_id = page;
	request.settings = (Aside__V1__PageSettings *)(uintptr_t)settings;
	request.update_mask = &fields;
	request.expected_version = expected_version;
	request.change_reason = (char *)"a test's";
	response = ASK(Aside__V1__UpdatePageSettingsResponse, aside_v1_page_settings_service_update_page_settings,
			&request, caller);
	uint32_t version = response != NULL ? response->version->version : 0;
	aside_free(response);
	return version;
}

bool switch_messaging(int64_t caller, int64_t page, bool on)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;

	settings.messaging_enabled = on;
	return change_settings(caller, page, &settings, "messaging_enabled", 0) != 0;
}

bool record_entry(int64_t page, int64_t entry, int64_t author, int64_t posted_at_us)
{
	Aside__V1__RecordWallEntryRequest request = ASIDE__V1__RECORD_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__RecordWallEntryResponse *response;
	Aside__V1__WallEntry wall = ASIDE__V1__WALL_ENTRY__INIT;

	wall.page_id = page;
	wall.entry_id = entry;
	wall.kind = ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_COMMENT;
	wall.author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	wall.author_user_id = author;
	wall.text = (char *)"Because nothing tastes as good as a Coke!";
	wall.posted_at_us = posted_at_us;
	request.entry = &wall;
	response = ASK(Aside__V1__RecordWallEntryResponse, aside_v1_wall_service_record_wall_entry, &request, SERVICE);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

bool remove_entry(int64_t page, int64_t entry)
{
	Aside__V1__RemoveWallEntryRequest request = ASIDE__V1__REMOVE_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__RemoveWallEntryResponse *response;

	request.page_id = page;
	request.entry_id = entry;
	response = ASK(Aside__V1__RemoveWallEntryResponse, aside_v1_wall_service_remove_wall_entry, &request, SERVICE);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

struct world_lock *lock_page(int64_t page)
{
	PGconn *pg = PQconnectdb(aside_harness_database(harness));
	char sql[128];

	(void)snprintf(sql, sizeof sql, "BEGIN; SELECT FROM page WHERE page_id = %lld FOR UPDATE", (long long)page);
	PGresult *result = PQexec(pg, sql);
	assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
	PQclear(result);
	return (struct world_lock *)pg;
}

void unlock_page(struct world_lock *lock)
{
	PQfinish((PGconn *)lock);
}

void wait_for_a_blocked_write(void)
{
	while (world_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aside-server' AND wait_event_type = 'Lock'") == 0)
		;
}

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

Aside__V1__Content *text_content(const char *text)
{
	static _Thread_local Aside__V1__Content content;

	aside__v1__content__init(&content);
	content.text = (char *)(uintptr_t)text;
	return &content;
}

/* The number in a send's response, which is freed; 0 for none. */
static uint32_t seq_of(void *response, const Aside__V1__Receipt *receipt)
{
	uint32_t seq = receipt != NULL ? receipt->seq : 0;

	aside_free(response);
	return seq;
}

uint32_t send_content(int64_t person, int64_t page, uint64_t key, Aside__V1__Content *content)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__SendMessageResponse *response;

	request.page_id = page;
	request.client_key = uuid_of(key);
	request.content = content;
	response = ASK(Aside__V1__SendMessageResponse, aside_v1_message_service_send_message, &request, person);
	return seq_of(response, response != NULL ? response->receipt : NULL);
}

uint32_t send_text(int64_t person, int64_t page, uint64_t key, const char *text)
{
	return send_content(person, page, key, text_content(text));
}

uint32_t reply_content(int64_t staff, int64_t page, int64_t person, uint64_t key, Aside__V1__Content *content,
		uint32_t expected_last_seq)
{
	Aside__V1__ReplyAsPageRequest request = ASIDE__V1__REPLY_AS_PAGE_REQUEST__INIT;
	Aside__V1__ReplyAsPageResponse *response;

	request.page_id = page;
	request.user_id = person;
	request.client_key = uuid_of(key);
	request.content = content;
	request.expected_last_seq = expected_last_seq;
	response = ASK(Aside__V1__ReplyAsPageResponse, aside_v1_message_service_reply_as_page, &request, staff);
	return seq_of(response, response != NULL ? response->receipt : NULL);
}

uint32_t reply_text(int64_t staff, int64_t page, int64_t person, uint64_t key, const char *text)
{
	return reply_content(staff, page, person, key, text_content(text), 0);
}

uint32_t private_reply(int64_t staff, int64_t page, int64_t entry, uint64_t key)
{
	Aside__V1__SendPrivateReplyRequest request = ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT;
	Aside__V1__SendPrivateReplyResponse *response;

	request.page_id = page;
	request.entry_id = entry;
	request.client_key = uuid_of(key);
	request.content = text_content("Thanks for sticking with us!");
	response = ASK(Aside__V1__SendPrivateReplyResponse, aside_v1_message_service_send_private_reply, &request, staff);
	return seq_of(response, response != NULL ? response->receipt : NULL);
}

Aside__V1__ListMessagesResponse *list_messages(int64_t reader, int64_t page, int64_t person, uint32_t before_seq,
		uint32_t after_seq, uint32_t page_size)
{
	Aside__V1__ListMessagesRequest request = ASIDE__V1__LIST_MESSAGES_REQUEST__INIT;

	request.page_id = page;
	request.user_id = person;
	request.before_seq = before_seq;
	request.after_seq = after_seq;
	request.page_size = page_size;
	return ASK(Aside__V1__ListMessagesResponse, aside_v1_message_service_list_messages, &request, reader);
}

Aside__V1__CanSendResponse *can_send(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side, int64_t entry)
{
	Aside__V1__CanSendRequest request = ASIDE__V1__CAN_SEND_REQUEST__INIT;

	request.page_id = page;
	request.user_id = person;
	request.side = side;
	request.entry_id = entry;
	return ASK(Aside__V1__CanSendResponse, aside_v1_message_service_can_send, &request, caller);
}

/* ── threads ─────────────────────────────────────────────────────────────────────────────────────── */

Aside__V1__GetThreadResponse *get_thread(int64_t reader, int64_t page, int64_t person)
{
	Aside__V1__GetThreadRequest request = ASIDE__V1__GET_THREAD_REQUEST__INIT;

	request.page_id = page;
	request.user_id = person;
	return ASK(Aside__V1__GetThreadResponse, aside_v1_thread_service_get_thread, &request, reader);
}

Aside__V1__MarkThreadResponse *mark_thread(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side,
		uint32_t delivered_seq, uint32_t read_seq)
{
	Aside__V1__MarkThreadRequest request = ASIDE__V1__MARK_THREAD_REQUEST__INIT;

	request.page_id = page;
	request.user_id = person;
	request.side = side;
	request.delivered_seq = delivered_seq;
	request.read_seq = read_seq;
	return ASK(Aside__V1__MarkThreadResponse, aside_v1_thread_service_mark_thread, &request, caller);
}

bool set_block(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side, bool blocked)
{
	Aside__V1__SetBlockRequest request = ASIDE__V1__SET_BLOCK_REQUEST__INIT;
	Aside__V1__SetBlockResponse *response;

	request.page_id = page;
	request.user_id = person;
	request.side = side;
	request.blocked = blocked;
	response = ASK(Aside__V1__SetBlockResponse, aside_v1_thread_service_set_block, &request, caller);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

void assert_counters_right(int64_t page)
{
	Aside__V1__VerifyCountersRequest request = ASIDE__V1__VERIFY_COUNTERS_REQUEST__INIT;
	Aside__V1__VerifyCountersResponse *response;

	request.page_id = page;
	assert_done(response = ASK(Aside__V1__VerifyCountersResponse, aside_v1_thread_service_verify_counters, &request,
				    SERVICE));
	for (size_t i = 0; i < response->n_differences; i++)
		print_error("with %lld: %s is %lld and must be %lld\n", (long long)response->differences[i]->user_id,
				response->differences[i]->counter, (long long)response->differences[i]->stored,
				(long long)response->differences[i]->counted);
	assert_int_equal(response->n_differences, 0);
	aside_free(response);
}
