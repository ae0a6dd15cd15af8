/* Who sees what: roles (P18), and outsiders, to whom nothing is public (P9). */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "raw.h"

/* ── roles ───────────────────────────────────────────────────────────────────────────────────────── */

static int64_t page_with_a_thread(void)
{
	int64_t page = new_page();

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	return page;
}

static bool lists_staff(int64_t reader, int64_t page)
{
	Aside__V1__ListStaffRequest request = ASIDE__V1__LIST_STAFF_REQUEST__INIT;
	Aside__V1__ListStaffResponse *response;

	request.page_id = page;
	response = ASK(Aside__V1__ListStaffResponse, aside_v1_page_service_list_staff, &request, reader);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

static bool sees_settings(int64_t reader, int64_t page)
{
	Aside__V1__GetPageSettingsRequest request = ASIDE__V1__GET_PAGE_SETTINGS_REQUEST__INIT;
	Aside__V1__GetPageSettingsResponse *response;

	request.page_id = page;
	response = ASK(Aside__V1__GetPageSettingsResponse, aside_v1_page_settings_service_get_page_settings, &request, reader);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

static bool sees_figures(int64_t reader, int64_t page)
{
	Aside__V1__VerifyCountersRequest request = ASIDE__V1__VERIFY_COUNTERS_REQUEST__INIT;
	Aside__V1__VerifyCountersResponse *response;

	request.page_id = page;
	response = ASK(Aside__V1__VerifyCountersResponse, aside_v1_thread_service_verify_counters, &request, reader);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

static bool reads_messages(int64_t reader, int64_t page)
{
	Aside__V1__ListMessagesResponse *response = list_messages(reader, page, JOHNNY, 0, 0, 0);
	bool done = response != NULL;

	aside_free(response);
	return done;
}

static bool sees_inbox(int64_t reader, int64_t page)
{
	Aside__V1__ListPageThreadsRequest request = ASIDE__V1__LIST_PAGE_THREADS_REQUEST__INIT;
	Aside__V1__ListPageThreadsResponse *response;

	request.page_id = page;
	response = ASK(Aside__V1__ListPageThreadsResponse, aside_v1_thread_service_list_page_threads, &request, reader);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

static bool answers(int64_t staff, int64_t page)
{
	return reply_text(staff, page, JOHNNY, (uint64_t)staff, "Hello") != 0;
}

static bool switches(int64_t staff, int64_t page)
{
	return switch_messaging(staff, page, true);
}

static bool gives_roles(int64_t staff, int64_t page)
{
	return set_role(staff, page, FAN, ASIDE__V1__ROLE__ROLE_ANALYST);
}

static void each_role_can_what_it_must(void **state)
{
	enum { NOBODY, ANALYSTS, MODERATORS, ADMINS };
	static const struct {
		bool (*act)(int64_t, int64_t);
		int least;
	} acts[] = {
		{ lists_staff, ANALYSTS }, { sees_settings, ANALYSTS }, { sees_figures, ANALYSTS },
		{ reads_messages, MODERATORS }, { sees_inbox, MODERATORS }, { answers, MODERATORS },
		{ switches, ADMINS }, { gives_roles, ADMINS },
	};
	static const struct {
		int64_t user;
		int rank;
	} people[] = { { STRANGER, NOBODY }, { ANALYST, ANALYSTS }, { MODERATOR, MODERATORS }, { EDITOR, MODERATORS }, { ADMIN, ADMINS } };
	int64_t page = page_with_a_thread();
	(void)state;

	for (size_t i = 0; i < N_OF(acts); i++)
		for (size_t k = 0; k < N_OF(people); k++) {
			bool done = acts[i].act(people[k].user, page);
			if (done != (people[k].rank >= acts[i].least))
				fail_msg("act %zu by %lld: %s", i, (long long)people[k].user, status.reason);
			if (!done && people[k].rank == NOBODY)
				assert_int_equal(status.code, ASIDE_NOT_FOUND);
		}
	/* A page's staff are nobody on another one. */
	int64_t other = new_page();
	assert_done(set_role(ADMIN, other, MODERATOR, ASIDE__V1__ROLE__ROLE_UNSPECIFIED));
	assert_false(sees_inbox(MODERATOR, other));
	assert_true(sees_inbox(MODERATOR, page));
}

static void the_last_admin_stays(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_refused(set_role(ADMIN, page, ADMIN, ASIDE__V1__ROLE__ROLE_UNSPECIFIED), "LAST_ADMIN");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_refused(set_role(ADMIN, page, ADMIN, ASIDE__V1__ROLE__ROLE_EDITOR), "LAST_ADMIN");
	assert_refused(set_role(SERVICE, page, ADMIN, ASIDE__V1__ROLE__ROLE_EDITOR), "LAST_ADMIN");
	assert_done(set_role(ADMIN, page, ADMIN, ASIDE__V1__ROLE__ROLE_ADMIN));
	assert_done(set_role(ADMIN, page, EDITOR, ASIDE__V1__ROLE__ROLE_ADMIN));
	assert_done(set_role(EDITOR, page, ADMIN, ASIDE__V1__ROLE__ROLE_UNSPECIFIED));
	assert_refused(set_role(ADMIN, page, ADMIN, ASIDE__V1__ROLE__ROLE_ADMIN), "PAGE_NOT_FOUND"); /* gone at once */
	assert_refused(set_role(EDITOR, page, EDITOR, ASIDE__V1__ROLE__ROLE_UNSPECIFIED), "LAST_ADMIN");
	assert_counters_right(page);
}

static void staff_are_listed_by_id(void **state)
{
	Aside__V1__ListStaffRequest request = ASIDE__V1__LIST_STAFF_REQUEST__INIT;
	static const struct {
		int64_t user;
		Aside__V1__Role role;
	} expected[] = { { ADMIN, ASIDE__V1__ROLE__ROLE_ADMIN }, { EDITOR, ASIDE__V1__ROLE__ROLE_EDITOR },
		{ MODERATOR, ASIDE__V1__ROLE__ROLE_MODERATOR }, { ANALYST, ASIDE__V1__ROLE__ROLE_ANALYST } };
	char token[128] = "";
	size_t seen = 0;
	(void)state;

	request.page_id = new_page();
	request.page_size = 3;
	request.page_token = token;
	do {
		Aside__V1__ListStaffResponse *list = ASK(Aside__V1__ListStaffResponse, aside_v1_page_service_list_staff, &request, ADMIN);
		assert_done(list);
		for (size_t i = 0; i < list->n_members; i++, seen++) {
			assert_true(seen < N_OF(expected));
			assert_int_equal(list->members[i]->user_id, expected[seen].user);
			assert_int_equal(list->members[i]->role, expected[seen].role);
		}
		(void)snprintf(token, sizeof token, "%s", list->next_page_token);
		aside_free(list);
	} while (token[0] != '\0');
	assert_int_equal(seen, N_OF(expected));
}

static void a_page_is_created_once(void **state)
{
	Aside__V1__CreatePageRequest request = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
	Aside__V1__GetPageRequest get = ASIDE__V1__GET_PAGE_REQUEST__INIT;
	(void)state;

	request.page_id = get.page_id = new_page();
	request.name = (char *)"Coke";
	request.admin_user_id = ADMIN;
	aside_free(ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &request, SERVICE));
	request.name = (char *)"Pepsi";
	assert_refused(ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &request, SERVICE), "PAGE_EXISTS");
	assert_int_equal(status.code, ASIDE_ALREADY_EXISTS);
	request.name = (char *)"Coke";
	request.admin_user_id = STRANGER;
	assert_refused(ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &request, SERVICE), "PAGE_EXISTS");
	assert_refused(ASK(Aside__V1__CreatePageResponse, aside_v1_page_service_create_page, &request, STRANGER), "CALLER_NOT_ALLOWED");
	Aside__V1__GetPageResponse *page = ASK(Aside__V1__GetPageResponse, aside_v1_page_service_get_page, &get, STRANGER);
	assert_done(page);
	assert_string_equal(page->page->name, "Coke");
	aside_free(page);
}

/* ── outsiders ───────────────────────────────────────────────────────────────────────────────────── */

/* The bytes of a refusal; freed by the caller. */
static struct bytes refusal(struct raw *raw, const char *method, const ProtobufCMessage *request, int64_t user)
{
	uint8_t *packed = malloc(protobuf_c_message_get_packed_size(request) + 1), *copy;
	struct frame reply;

	assert_non_null(packed);
	size_t size = protobuf_c_message_pack(request, packed);
	assert_true(raw_call(raw, method, (struct bytes){ packed, size }, user, &reply));
	assert_true(reply.code != ASIDE_OK);
	copy = malloc(reply.status.size);
	assert_non_null(copy);
	memcpy(copy, reply.status.data, reply.status.size);
	free(packed);
	return (struct bytes){ copy, reply.status.size };
}

/* FAN asks about Johnny's thread, once with a page where there is one, once where there is none. */
static void assert_no_difference(struct raw *raw, const char *method, ProtobufCMessage *there, ProtobufCMessage *absent)
{
	struct bytes one = refusal(raw, method, there, FAN), other = refusal(raw, method, absent, FAN);

	if (one.size != other.size || memcmp(one.data, other.data, one.size) != 0)
		fail_msg("%s tells an outsider whether there is a thread", method);
	free((void *)(uintptr_t)one.data);
	free((void *)(uintptr_t)other.data);
}

static void outsiders_cannot_tell_whether_there_is_a_thread(void **state)
{
	Aside__V1__GetThreadRequest thread[2] = { ASIDE__V1__GET_THREAD_REQUEST__INIT, ASIDE__V1__GET_THREAD_REQUEST__INIT };
	Aside__V1__ListMessagesRequest list[2] = { ASIDE__V1__LIST_MESSAGES_REQUEST__INIT, ASIDE__V1__LIST_MESSAGES_REQUEST__INIT };
	Aside__V1__MarkThreadRequest mark[2] = { ASIDE__V1__MARK_THREAD_REQUEST__INIT, ASIDE__V1__MARK_THREAD_REQUEST__INIT };
	Aside__V1__SetBlockRequest block[2] = { ASIDE__V1__SET_BLOCK_REQUEST__INIT, ASIDE__V1__SET_BLOCK_REQUEST__INIT };
	Aside__V1__CanSendRequest question[2] = { ASIDE__V1__CAN_SEND_REQUEST__INIT, ASIDE__V1__CAN_SEND_REQUEST__INIT };
	Aside__V1__ReplyAsPageRequest reply[2] = { ASIDE__V1__REPLY_AS_PAGE_REQUEST__INIT, ASIDE__V1__REPLY_AS_PAGE_REQUEST__INIT };
	Aside__V1__SendPrivateReplyRequest answer[2] = { ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT,
		ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT };
	struct raw raw;
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		int64_t page = i == 0 ? page_with_a_thread() : new_page();
		thread[i].page_id = list[i].page_id = mark[i].page_id = block[i].page_id = question[i].page_id = page;
		reply[i].page_id = answer[i].page_id = page;
		thread[i].user_id = list[i].user_id = mark[i].user_id = block[i].user_id = question[i].user_id = JOHNNY;
		reply[i].user_id = JOHNNY;
		answer[i].entry_id = 1;
		mark[i].side = block[i].side = question[i].side = PERSON;
		mark[i].read_seq = 1;
		reply[i].client_key = answer[i].client_key = uuid_of(1);
		reply[i].content = answer[i].content = text_content("Hello");
	}
	assert_true(raw_open(&raw, aside_harness_address(harness, 0)));
	assert_no_difference(&raw, "/aside.v1.ThreadService/GetThread", &thread[0].base, &thread[1].base);
	assert_no_difference(&raw, "/aside.v1.MessageService/ListMessages", &list[0].base, &list[1].base);
	assert_no_difference(&raw, "/aside.v1.ThreadService/MarkThread", &mark[0].base, &mark[1].base);
	assert_no_difference(&raw, "/aside.v1.ThreadService/SetBlock", &block[0].base, &block[1].base);
	assert_no_difference(&raw, "/aside.v1.MessageService/CanSend", &question[0].base, &question[1].base);
	mark[0].side = mark[1].side = question[0].side = question[1].side = block[0].side = block[1].side = PAGE;
	assert_no_difference(&raw, "/aside.v1.ThreadService/MarkThread", &mark[0].base, &mark[1].base);
	assert_no_difference(&raw, "/aside.v1.ThreadService/SetBlock", &block[0].base, &block[1].base);
	assert_no_difference(&raw, "/aside.v1.MessageService/CanSend", &question[0].base, &question[1].base);
	assert_no_difference(&raw, "/aside.v1.MessageService/ReplyAsPage", &reply[0].base, &reply[1].base);
	assert_no_difference(&raw, "/aside.v1.MessageService/SendPrivateReply", &answer[0].base, &answer[1].base);
	raw_close(&raw);
}

static void the_log_has_no_content(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_done(send_text(JOHNNY, page, 1, "tangerine"));
	assert_refused(send_text(JOHNNY, page, 1, "tangerines"), "KEY_REUSED");
	assert_true(aside_harness_logged(harness, 0, "method=/aside.v1.MessageService/SendMessage"));
	assert_false(aside_harness_logged(harness, 0, "tangerine"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_can_what_it_must),
		cmocka_unit_test(the_last_admin_stays),
		cmocka_unit_test(staff_are_listed_by_id),
		cmocka_unit_test(a_page_is_created_once),
		cmocka_unit_test(outsiders_cannot_tell_whether_there_is_a_thread),
		cmocka_unit_test(the_log_has_no_content),
	};

	return WORLD_RUN("privacy", tests, NULL);
}
