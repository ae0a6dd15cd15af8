/* See views.h. */
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "transcript.h"

const char *name_of(int64_t user)
{
	switch (user) {
	case ADMIN: return "Ann";
	case MODERATOR: return "Mia";
	case JOHNNY: return "Johnny";
	case FAN: return "Rosa";
	case STRANGER: return "Nora";
	default: return "the platform";
	}
}

_Noreturn void give_up(const char *call)
{
	fflush(stdout);
	fprintf(stderr, "the story broke at %s: %s %s: %s\n", call, aside_code_name(status.code), status.reason,
			status.message);
	aside_harness_show_logs(harness, stderr);
	exit(EXIT_FAILURE);
}

void view_wall(const char *heading)
{
	Aside__V1__ListWallEntriesRequest request = ASIDE__V1__LIST_WALL_ENTRIES_REQUEST__INIT;
	Aside__V1__ListWallEntriesResponse *wall;

	request.page_id = COKE;
	must(wall = ASK(Aside__V1__ListWallEntriesResponse, aside_v1_wall_service_list_wall_entries, &request, SERVICE));
	transcript_view("the wall", "%s", heading);
	for (size_t i = wall->n_entries; i-- > 0;) {
		const Aside__V1__WallEntry *entry = wall->entries[i];
		bool by_page = entry->author_case == ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_PAGE_ID;
		transcript_row("%-7s %s", by_page ? "Coke" : name_of(entry->author_user_id), entry->text);
	}
	transcript_view_end();
	aside_free(wall);
}

static void show_attachment(const Aside__V1__Attachment *attachment)
{
	if (attachment->content_case == ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL)
		transcript_row("               ↳ link   %s", attachment->link_url);
	else
		transcript_row("               ↳ %s  %s, %llu bytes",
				attachment->kind == ASIDE__V1__ATTACHMENT_KIND__ATTACHMENT_KIND_PHOTO ? "photo" : "video",
				attachment->media_type, (unsigned long long)attachment->size_bytes);
}

static void show_message(const Aside__V1__Message *message)
{
	char sender[32] = "Coke";

	if (message->side == PERSON)
		(void)snprintf(sender, sizeof sender, "%s", name_of(message->user_id));
	else if (message->sender_user_id != 0) /* only staff are told */
		(void)snprintf(sender, sizeof sender, "Coke (%s)", name_of(message->sender_user_id));
	transcript_row("%2u  %-10s %s", message->seq, sender, message->content->text);
	if (message->wall_entry != NULL)
		transcript_row("               ↳ in answer to “%s”", message->wall_entry->text);
	for (size_t i = 0; i < message->content->n_attachments; i++)
		show_attachment(message->content->attachments[i]);
}

void view_thread(int64_t reader, int64_t person)
{
	Aside__V1__GetThreadResponse *thread;
	Aside__V1__ListMessagesResponse *page;
	Aside__V1__MarkThreadResponse *marked;
	char who[32];

	must(thread = get_thread(reader, COKE, person));
	must(page = list_messages(reader, COKE, person, 0, 0, 50));
	(void)snprintf(who, sizeof who, "%s sees", name_of(reader));
	transcript_view(who, "thread with %s, %u unread", reader == person ? thread->thread->page_name : name_of(person),
			(reader == person ? thread->thread->person_marks : thread->thread->page_marks)->unread_count);
	for (size_t i = page->n_messages; i-- > 0;)
		show_message(page->messages[i]);
	transcript_view_end();
	must(marked = mark_thread(reader, COKE, person, reader == person ? PERSON : PAGE, 0, thread->thread->last_seq));
	aside_free(thread);
	aside_free(page);
	aside_free(marked);
}

void view_inbox(int64_t staff)
{
	Aside__V1__ListPageThreadsRequest request = ASIDE__V1__LIST_PAGE_THREADS_REQUEST__INIT;
	Aside__V1__ListPageThreadsResponse *inbox;
	char who[32];

	request.page_id = COKE;
	must(inbox = ASK(Aside__V1__ListPageThreadsResponse, aside_v1_thread_service_list_page_threads, &request, staff));
	(void)snprintf(who, sizeof who, "%s sees", name_of(staff));
	transcript_view(who, "Coke's inbox, newest first");
	for (size_t i = 0; i < inbox->n_threads; i++) {
		const Aside__V1__Thread *thread = inbox->threads[i];
		transcript_row("%-7s %u message%s, %u unread%s", name_of(thread->user_id), thread->last_seq,
				thread->last_seq == 1 ? "" : "s", thread->page_marks->unread_count,
				thread->opened_by_private_reply ? ", opened by a private reply" : "");
	}
	transcript_view_end();
	aside_free(inbox);
}

void view_history(int64_t admin, size_t n)
{
	Aside__V1__ListPageSettingsVersionsRequest request = ASIDE__V1__LIST_PAGE_SETTINGS_VERSIONS_REQUEST__INIT;
	Aside__V1__ListPageSettingsVersionsResponse *history;
	char who[32];

	request.page_id = COKE;
	must(history = ASK(Aside__V1__ListPageSettingsVersionsResponse,
			     aside_v1_page_settings_service_list_page_settings_versions, &request, admin));
	must(history->n_versions == n);
	(void)snprintf(who, sizeof who, "%s sees", name_of(admin));
	transcript_view(who, "the history of Coke's settings");
	for (size_t i = n; i-- > 0;) {
		const Aside__V1__PageSettingsVersion *version = history->versions[i];
		time_t changed_s = version->changed_at_us / 1000000;
		char when[32];
		struct tm utc;
		(void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", gmtime_r(&changed_s, &utc));
		transcript_row("%u  %s.%06d UTC  messages %-3s  by %-12s  %s", version->version, when,
				(int)(version->changed_at_us % 1000000), version->settings->messaging_enabled ? "on" : "off",
				name_of(version->changed_by_user_id), version->change_reason);
	}
	transcript_view_end();
	aside_free(history);
}
