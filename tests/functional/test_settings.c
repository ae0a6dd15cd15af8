/* The settings, their history, and what they rule: P3, P4. */
#include "world.h"

#include <stdlib.h>

static Aside__V1__PageSettingsVersion *settings_at(int64_t reader, int64_t page, int64_t as_of_us,
		Aside__V1__GetPageSettingsResponse **ret)
{
	Aside__V1__GetPageSettingsRequest request = ASIDE__V1__GET_PAGE_SETTINGS_REQUEST__INIT;

	request.page_id = page;
	request.as_of_us = as_of_us;
	*ret = ASK(Aside__V1__GetPageSettingsResponse, aside_v1_page_settings_service_get_page_settings, &request, reader);
	return *ret != NULL ? (*ret)->version : NULL;
}

static void a_page_begins_with_the_defaults(void **state)
{
	Aside__V1__GetPageSettingsResponse *response;
	int64_t page = new_page();
	(void)state;

	const Aside__V1__PageSettingsVersion *version = settings_at(ADMIN, page, 0, &response);
	assert_done(version);
	assert_int_equal(version->version, 1);
	assert_int_equal(version->changed_by_user_id, 0);
	assert_true(version->settings->messaging_enabled);
	assert_int_equal(version->settings->max_text_chars, 2000);
	assert_int_equal(version->settings->max_attachment_bytes, 25 << 20);
	assert_int_equal(version->settings->reply_window_seconds, 7 * 86400);
	assert_int_equal(version->settings->reply_budget, 5);
	assert_int_equal(version->settings->private_reply_window_seconds, 7 * 86400);
	aside_free(response);
}

static void every_change_is_remembered(void **state)
{
	Aside__V1__ListPageSettingsVersionsRequest request = ASIDE__V1__LIST_PAGE_SETTINGS_VERSIONS_REQUEST__INIT;
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	Aside__V1__ListPageSettingsVersionsResponse *list;
	int64_t page = new_page(), before = world_now_us();
	(void)state;

	settings.reply_budget = 3;
	settings.max_text_chars = 100;
	assert_int_equal(change_settings(ADMIN, page, &settings, "max_text_chars,reply_budget", 0), 2);
	assert_int_equal(switch_messaging(ADMIN, page, false), true);
	request.page_id = page;
	assert_done(list = ASK(Aside__V1__ListPageSettingsVersionsResponse,
				    aside_v1_page_settings_service_list_page_settings_versions, &request, ANALYST));
	assert_int_equal(list->n_versions, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(list->versions[i]->version, 3 - i); /* newest first */
	const Aside__V1__PageSettingsVersion *change = list->versions[1];
	assert_int_equal(change->changed_by_user_id, ADMIN);
	assert_in_range(change->changed_at_us, before, world_now_us());
	assert_string_equal(change->change_reason, "a test's");
	assert_int_equal(change->changed_fields->n_paths, 2);
	assert_string_equal(change->changed_fields->paths[0], "max_text_chars");
	assert_string_equal(change->changed_fields->paths[1], "reply_budget");
	assert_int_equal(change->settings->reply_budget, 3);
	assert_true(change->settings->messaging_enabled); /* not in the mask: as it was */
	assert_false(list->versions[0]->settings->messaging_enabled);
	assert_int_equal(list->versions[0]->settings->max_text_chars, 100);
	aside_free(list);
}

static void the_history_comes_in_pages(void **state)
{
	Aside__V1__ListPageSettingsVersionsRequest request = ASIDE__V1__LIST_PAGE_SETTINGS_VERSIONS_REQUEST__INIT;
	Aside__V1__ListPageSettingsVersionsResponse *list;
	int64_t page = new_page();
	uint32_t expected = 8;
	(void)state;

	for (unsigned i = 0; i < 7; i++)
		assert_done(switch_messaging(ADMIN, page, i % 2 == 1));
	request.page_id = page;
	request.page_size = 3;
	do {
		assert_done(list = ASK(Aside__V1__ListPageSettingsVersionsResponse,
					    aside_v1_page_settings_service_list_page_settings_versions, &request, ADMIN));
		for (size_t i = 0; i < list->n_versions; i++)
			assert_int_equal(list->versions[i]->version, expected--);
		assert_done(switch_messaging(ADMIN, page, true)); /* what is new does not move what is old */
		free(request.page_token != protobuf_c_empty_string ? request.page_token : NULL);
		request.page_token = strdup(list->next_page_token);
		aside_free(list);
	} while (request.page_token[0] != '\0');
	free(request.page_token);
	assert_int_equal(expected, 0);
}

static void what_was_in_force_can_be_asked(void **state)
{
	Aside__V1__GetPageSettingsResponse *response;
	const Aside__V1__PageSettingsVersion *version;
	int64_t page = new_page(), created, off_at;
	(void)state;

	created = settings_at(ADMIN, page, 0, &response)->changed_at_us;
	aside_free(response);
	assert_done(switch_messaging(ADMIN, page, false));
	assert_done(version = settings_at(ADMIN, page, 0, &response));
	off_at = version->changed_at_us;
	aside_free(response);
	assert_done(switch_messaging(ADMIN, page, true));

	assert_done(version = settings_at(SERVICE, page, off_at - 1, &response));
	assert_int_equal(version->version, 1);
	assert_true(version->settings->messaging_enabled);
	aside_free(response);
	assert_done(version = settings_at(MODERATOR, page, off_at, &response));
	assert_int_equal(version->version, 2);
	assert_false(version->settings->messaging_enabled);
	aside_free(response);
	assert_done(version = settings_at(ADMIN, page, world_now_us() + DAY_US, &response));
	assert_int_equal(version->version, 3);
	aside_free(response);
	assert_refused(settings_at(ADMIN, page, created - 1, &response), "PAGE_NOT_FOUND");
}

static void a_change_made_from_an_old_version_is_refused(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page();
	(void)state;

	settings.reply_budget = 1;
	assert_int_equal(change_settings(ADMIN, page, &settings, "reply_budget", 1), 2);
	settings.reply_budget = 2;
	assert_refused(change_settings(ADMIN, page, &settings, "reply_budget", 1), "VERSION_MISMATCH");
	assert_int_equal(status.code, ASIDE_ABORTED);
	assert_string_equal(aside_status_fact(&status, "current_version"), "2");
	assert_int_equal(change_settings(ADMIN, page, &settings, "reply_budget", 2), 3);
}

static void the_mask_names_fields_of_settings(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page();
	(void)state;

	assert_refused(change_settings(ADMIN, page, &settings, "", 0), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "update_mask");
	assert_refused(change_settings(ADMIN, page, &settings, "reply_budget,colour", 0), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "update_mask");
	assert_refused(change_settings(ADMIN, page, NULL, "reply_budget", 0), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "settings");
}

/* A message of settings with one number. */
static Aside__V1__PageSettings with(const char *field, uint64_t value)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	const ProtobufCFieldDescriptor *desc =
			protobuf_c_message_descriptor_get_field_by_name(&aside__v1__page_settings__descriptor, field);

	if (desc->type == PROTOBUF_C_TYPE_UINT64)
		memcpy((char *)&settings + desc->offset, &value, sizeof value);
	else
		memcpy((char *)&settings + desc->offset, &(uint32_t){ (uint32_t)value }, sizeof(uint32_t));
	return settings;
}

static void every_setting_has_limits(void **state)
{
	static const struct {
		const char *field;
		uint64_t least, most;
	} limits[] = {
		{ "max_text_chars", 1, 10000 },
		{ "max_attachment_bytes", 1, 1 << 30 },
		{ "reply_window_seconds", 0, 365 * 86400 },
		{ "reply_budget", 0, 100 },
		{ "private_reply_window_seconds", 60, 365 * 86400 },
	};
	int64_t page = new_page();
	(void)state;

	for (size_t i = 0; i < N_OF(limits); i++) {
		Aside__V1__PageSettings least = with(limits[i].field, limits[i].least), most = with(limits[i].field, limits[i].most);
		Aside__V1__PageSettings less = with(limits[i].field, limits[i].least - 1), more = with(limits[i].field, limits[i].most + 1);
		char path[64] = "settings.";
		strcat(path, limits[i].field);
		assert_done(change_settings(ADMIN, page, &least, limits[i].field, 0));
		assert_done(change_settings(ADMIN, page, &most, limits[i].field, 0));
		assert_refused(change_settings(ADMIN, page, &more, limits[i].field, 0), "FIELD_INVALID");
		assert_string_equal(status.violations[0].field, path);
		if (limits[i].least == 0)
			continue;
		assert_refused(change_settings(ADMIN, page, &less, limits[i].field, 0), "FIELD_INVALID");
		assert_string_equal(status.violations[0].field, path);
	}
}

static void the_database_itself_keeps_the_limits(void **state)
{
	(void)state;
	world_sql_refused("page_settings_max_text_chars_check", "UPDATE page_settings SET max_text_chars = 10001 WHERE page_id = %lld",
			(long long)new_page());
}

/* ── the switch ──────────────────────────────────────────────────────────────────────────────────── */

/* The button, the question before a send and the send itself agree. */
static void assert_person_may_write(int64_t page, int64_t person, uint64_t key, const char *refusal)
{
	Aside__V1__GetMessagingAvailabilityRequest request = ASIDE__V1__GET_MESSAGING_AVAILABILITY_REQUEST__INIT;
	Aside__V1__OpenThreadRequest open = ASIDE__V1__OPEN_THREAD_REQUEST__INIT;
	Aside__V1__GetMessagingAvailabilityResponse *button;
	Aside__V1__CanSendResponse *question;
	Aside__V1__OpenThreadResponse *box;
	bool allowed = refusal[0] == '\0';

	request.page_id = open.page_id = page;
	request.user_id = person;
	assert_done(button = ASK(Aside__V1__GetMessagingAvailabilityResponse,
				    aside_v1_page_settings_service_get_messaging_availability, &request, person));
	assert_int_equal(button->available, allowed);
	assert_string_equal(button->unavailable_reason, refusal);
	assert_done(question = can_send(person, page, person, PERSON, 0));
	assert_int_equal(question->allowed, allowed);
	assert_string_equal(question->refusal_reason, refusal);
	assert_done(box = ASK(Aside__V1__OpenThreadResponse, aside_v1_thread_service_open_thread, &open, person));
	assert_int_equal(box->can_send, allowed);
	assert_string_equal(box->refusal_reason, refusal);
	status.reason[0] = '\0';
	assert_int_equal(send_text(person, page, key, "Hello") != 0, allowed);
	assert_string_equal(status.reason, refusal);
	aside_free(button);
	aside_free(question);
	aside_free(box);
}

static void the_switch_rules_what_people_may_write(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_person_may_write(page, JOHNNY, 1, "");
	assert_done(switch_messaging(ADMIN, page, false));
	assert_person_may_write(page, JOHNNY, 2, "MESSAGING_DISABLED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_person_may_write(page, FAN, 2, "MESSAGING_DISABLED");
	assert_done(switch_messaging(ADMIN, page, true));
	assert_person_may_write(page, JOHNNY, 2, "");
	assert_person_may_write(page, FAN, 2, "");
	assert_done(set_block(MODERATOR, page, FAN, PAGE, true));
	assert_person_may_write(page, FAN, 3, "BLOCKED");
}

static void a_page_that_is_off_still_answers_and_reads(void **state)
{
	Aside__V1__ListMessagesResponse *list;
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_done(record_entry(page, 1, JOHNNY, world_now_us()));
	assert_done(record_entry(page, 2, FAN, world_now_us()));
	assert_done(switch_messaging(ADMIN, page, false));
	assert_int_equal(reply_text(MODERATOR, page, JOHNNY, 2, "We are closed"), 2);
	assert_int_equal(private_reply(MODERATOR, page, 1, 3), 3);
	assert_refused(private_reply(MODERATOR, page, 2, 4), "MESSAGING_DISABLED"); /* it would open a thread */
	assert_done(list = list_messages(JOHNNY, page, JOHNNY, 0, 0, 0));
	assert_int_equal(list->n_messages, 3);
	aside_free(list);
	Aside__V1__MarkThreadResponse *marks = mark_thread(JOHNNY, page, JOHNNY, PERSON, 0, 3);
	assert_done(marks);
	aside_free(marks);
}

static void only_an_admin_switches(void **state)
{
	static const int64_t others[] = { EDITOR, MODERATOR, ANALYST };
	int64_t page = new_page();
	(void)state;

	for (size_t i = 0; i < N_OF(others); i++) {
		assert_refused(switch_messaging(others[i], page, false), "ROLE_REQUIRED");
		assert_int_equal(status.code, ASIDE_PERMISSION_DENIED);
	}
	assert_refused(switch_messaging(STRANGER, page, false), "PAGE_NOT_FOUND");
	assert_refused(switch_messaging(SERVICE, page, false), "CALLER_NOT_ALLOWED");
}

static void a_person_asks_for_themselves_only(void **state)
{
	Aside__V1__GetMessagingAvailabilityRequest request = ASIDE__V1__GET_MESSAGING_AVAILABILITY_REQUEST__INIT;
	(void)state;

	request.page_id = new_page();
	request.user_id = JOHNNY;
	assert_refused(ASK(Aside__V1__GetMessagingAvailabilityResponse,
				       aside_v1_page_settings_service_get_messaging_availability, &request, FAN), "FIELD_INVALID");
	Aside__V1__GetMessagingAvailabilityResponse *button = ASK(Aside__V1__GetMessagingAvailabilityResponse,
			aside_v1_page_settings_service_get_messaging_availability, &request, SERVICE);
	assert_done(button);
	assert_int_equal(button->max_text_chars, 2000);
	assert_int_equal(button->max_attachment_bytes, 25 << 20);
	aside_free(button);
	request.page_id = 1;
	assert_refused(ASK(Aside__V1__GetMessagingAvailabilityResponse,
				       aside_v1_page_settings_service_get_messaging_availability, &request, JOHNNY), "PAGE_NOT_FOUND");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_begins_with_the_defaults),
		cmocka_unit_test(every_change_is_remembered),
		cmocka_unit_test(the_history_comes_in_pages),
		cmocka_unit_test(what_was_in_force_can_be_asked),
		cmocka_unit_test(a_change_made_from_an_old_version_is_refused),
		cmocka_unit_test(the_mask_names_fields_of_settings),
		cmocka_unit_test(every_setting_has_limits),
		cmocka_unit_test(the_database_itself_keeps_the_limits),
		cmocka_unit_test(the_switch_rules_what_people_may_write),
		cmocka_unit_test(a_page_that_is_off_still_answers_and_reads),
		cmocka_unit_test(only_an_admin_switches),
		cmocka_unit_test(a_person_asks_for_themselves_only),
	};

	return WORLD_RUN("settings", tests, NULL);
}
