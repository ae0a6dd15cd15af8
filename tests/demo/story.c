/* The story the service was made for, played by its actors through the client library; every line printed
 * was answered by the server.  Exits 1 at the first step that does not go as it must. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/sha.h>

#include "aside/harness.h"
#include "aside/v1/attachments.stub.h"
#include "aside/v1/messages.stub.h"
#include "aside/v1/pages.stub.h"
#include "aside/v1/threads.stub.h"
#include "aside/v1/wall.stub.h"

enum { COKE = 1, ANN_ADMIN = 7, MIA_MODERATOR = 8, JOHNNY = 42, FAN = 43, NEVER_WROTE = 44, COMMENT = 1001 };

static struct aside_channel *channel;
static struct aside_status status;

static void say(const char *who, const char *fmt, ...) ASIDE_PRINTF(2, 3);
static void say(const char *who, const char *fmt, ...)
{
	va_list ap;

	printf("  %-10s ", who);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void must(enum aside_code code, const char *step)
{
	if (code == ASIDE_OK)
		return;
	printf("!! %s: %s %s: %s\n", step, aside_code_name(code), status.reason, status.message);
	exit(EXIT_FAILURE);
}

static void must_refuse(enum aside_code code, const char *reason, const char *who, const char *step)
{
	if (code == ASIDE_OK || strcmp(status.reason, reason) != 0) {
		printf("!! %s: expected %s, got %s %s\n", step, reason, aside_code_name(code), status.reason);
		exit(EXIT_FAILURE);
	}
	say(who, "%s  → refused: %s %s", step, aside_code_name(code), status.reason);
}

static ProtobufCBinaryData new_key(void)
{
	static uint8_t keys[64][16];
	static unsigned n;
	uint8_t *key = keys[n++ % 64];

	memset(key, 0x5A, 16);
	key[0] = (uint8_t)n;
	return (ProtobufCBinaryData){ 16, key };
}

static enum aside_code person_sends(int64_t user, Aside__V1__Content *content)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__SendMessageResponse *response = NULL;

	request.page_id = COKE;
	request.client_key = new_key();
	request.content = content;
	enum aside_code code = aside_v1_message_service_send_message(channel, &request, aside_harness_as(user), &response, &status);
	aside_free(response);
	return code;
}

static Aside__V1__Content *text(const char *words)
{
	static Aside__V1__Content content;

	aside__v1__content__init(&content);
	content.text = (char *)(uintptr_t)words;
	return &content;
}

static enum aside_code page_answers(int64_t user, const char *words)
{
	Aside__V1__ReplyAsPageRequest request = ASIDE__V1__REPLY_AS_PAGE_REQUEST__INIT;
	Aside__V1__ReplyAsPageResponse *response = NULL;

	request.page_id = COKE;
	request.user_id = user;
	request.client_key = new_key();
	request.content = text(words);
	enum aside_code code = aside_v1_message_service_reply_as_page(channel, &request, aside_harness_as(MIA_MODERATOR), &response, &status);
	aside_free(response);
	return code;
}

static enum aside_code private_reply(const char *words)
{
	Aside__V1__SendPrivateReplyRequest request = ASIDE__V1__SEND_PRIVATE_REPLY_REQUEST__INIT;
	Aside__V1__SendPrivateReplyResponse *response = NULL;

	request.page_id = COKE;
	request.entry_id = COMMENT;
	request.client_key = new_key();
	request.content = text(words);
	enum aside_code code = aside_v1_message_service_send_private_reply(channel, &request, aside_harness_as(MIA_MODERATOR), &response, &status);
	aside_free(response);
	return code;
}

/* ── photo and video ─────────────────────────────────────────────────────────────────────────────── */

static const uint8_t photo_head[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0,
	0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xDE };
static const uint8_t video_head[] = { 0, 0, 0, 0x18, 'f', 't', 'y', 'p', 'm', 'p', '4', '2', 0, 0, 0, 0, 'm', 'p', '4', '2',
	'i', 's', 'o', 'm' };

/* Uploads `size` bytes that begin with `head`, reads them back and compares. */
static void upload(ProtobufCBinaryData id, Aside__V1__AttachmentKind kind, const void *head, size_t head_size, size_t size)
{
	Aside__V1__BeginAttachmentRequest begin = ASIDE__V1__BEGIN_ATTACHMENT_REQUEST__INIT;
	Aside__V1__BeginAttachmentResponse *begun = NULL;
	Aside__V1__CompleteAttachmentRequest complete = ASIDE__V1__COMPLETE_ATTACHMENT_REQUEST__INIT;
	Aside__V1__CompleteAttachmentResponse *completed = NULL;
	Aside__V1__ReadAttachmentRequest read = ASIDE__V1__READ_ATTACHMENT_REQUEST__INIT;
	Aside__V1__ReadAttachmentResponse *part = NULL;
	uint8_t *file = malloc(size), sha[32];

	if (file == NULL)
		exit(EXIT_FAILURE);
	for (size_t i = 0; i < size; i++)
		file[i] = (uint8_t)(i * 31 >> 3);
	memcpy(file, head, head_size);
	(void)SHA256(file, size, sha);
	begin.page_id = complete.page_id = read.page_id = COKE;
	begin.attachment_id = complete.attachment_id = read.attachment_id = id;
	begin.side = ASIDE__V1__SIDE__SIDE_PERSON;
	begin.kind = kind;
	begin.size_bytes = size;
	begin.sha256 = (ProtobufCBinaryData){ 32, sha };
	must(aside_v1_attachment_service_begin_attachment(channel, &begin, aside_harness_as(FAN), &begun, &status), "BeginAttachment");
	for (uint32_t i = 0; i < begun->chunk_count; i++) {
		Aside__V1__UploadChunkRequest chunk = ASIDE__V1__UPLOAD_CHUNK_REQUEST__INIT;
		Aside__V1__UploadChunkResponse *stored = NULL;
		size_t at = (size_t)i * begun->chunk_bytes, left = size - at;
		chunk.page_id = COKE;
		chunk.attachment_id = id;
		chunk.chunk_index = i;
		chunk.data = (ProtobufCBinaryData){ left < begun->chunk_bytes ? left : begun->chunk_bytes, file + at };
		must(aside_v1_attachment_service_upload_chunk(channel, &chunk, aside_harness_as(FAN), &stored, &status), "UploadChunk");
		aside_free(stored);
	}
	must(aside_v1_attachment_service_complete_attachment(channel, &complete, aside_harness_as(FAN), &completed, &status), "CompleteAttachment");
	for (read.offset_bytes = 0; read.offset_bytes < size; read.offset_bytes += part->data.len, aside_free(part)) {
		must(aside_v1_attachment_service_read_attachment(channel, &read, aside_harness_as(FAN), &part, &status), "ReadAttachment");
		if (part->data.len == 0 || memcmp(part->data.data, file + read.offset_bytes, part->data.len) != 0) {
			printf("!! what was read back is not what was uploaded\n");
			exit(EXIT_FAILURE);
		}
	}
	say("the fan", "uploads %s, %zu bytes in %u chunks; reads it back byte for byte", completed->attachment->media_type, size, begun->chunk_count);
	aside_free(begun);
	aside_free(completed);
	free(file);
}

/* ── what each sees ──────────────────────────────────────────────────────────────────────────────── */

static void show_thread(int64_t user, int64_t reader, const char *who)
{
	Aside__V1__ListMessagesRequest request = ASIDE__V1__LIST_MESSAGES_REQUEST__INIT;
	Aside__V1__ListMessagesResponse *response = NULL;

	request.page_id = COKE;
	request.user_id = user;
	request.page_size = 50;
	request.before_seq = 1000;
	enum aside_code code = aside_v1_message_service_list_messages(channel, &request, aside_harness_as(reader), &response, &status);
	if (reader == NEVER_WROTE) {
		must_refuse(code, "THREAD_NOT_FOUND", who, "tries to read the thread");
		return;
	}
	must(code, "ListMessages");
	say(who, "sees:");
	for (size_t i = response->n_messages; i-- > 0;) {
		const Aside__V1__Message *message = response->messages[i];
		printf("%15s#%u %-6s %s", "", message->seq, message->side == ASIDE__V1__SIDE__SIDE_PAGE ? "page" : "person", message->content->text);
		for (size_t k = 0; k < message->content->n_attachments; k++)
			printf(" [%s]", message->content->attachments[k]->content_case == ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL ?
							message->content->attachments[k]->link_url : message->content->attachments[k]->media_type);
		if (message->wall_entry != NULL)
			printf("   (in answer to: \"%s\")", message->wall_entry->text);
		printf("\n");
	}
	aside_free(response);
}

static enum aside_code switch_messages(int64_t user, bool on)
{
	Aside__V1__UpdatePageSettingsRequest request = ASIDE__V1__UPDATE_PAGE_SETTINGS_REQUEST__INIT;
	Aside__V1__UpdatePageSettingsResponse *response = NULL;
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *paths[] = { (char *)"messaging_enabled" };

	settings.messaging_enabled = on;
	mask.paths = paths;
	mask.n_paths = 1;
	request.page_id = COKE;
	request.settings = &settings;
	request.update_mask = &mask;
	request.change_reason = (char *)(on ? "staffed again" : "nobody here tonight");
	enum aside_code code = aside_v1_page_settings_service_update_page_settings(channel, &request, aside_harness_as(user), &response, &status);
	aside_free(response);
	return code;
}

/* ── the five points ─────────────────────────────────────────────────────────────────────────────── */

static void the_wall(void)
{
	Aside__V1__CreatePageRequest page = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
	Aside__V1__CreatePageResponse *made = NULL;
	Aside__V1__SetStaffRoleRequest role = ASIDE__V1__SET_STAFF_ROLE_REQUEST__INIT;
	Aside__V1__SetStaffRoleResponse *set = NULL;
	Aside__V1__RecordWallEntryRequest record = ASIDE__V1__RECORD_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__RecordWallEntryResponse *recorded = NULL;
	Aside__V1__WallEntry comment = ASIDE__V1__WALL_ENTRY__INIT;

	printf("1. On the wall\n");
	page.page_id = role.page_id = comment.page_id = COKE;
	page.name = (char *)"Coke";
	page.admin_user_id = ANN_ADMIN;
	must(aside_v1_page_service_create_page(channel, &page, NULL, &made, &status), "CreatePage");
	role.user_id = MIA_MODERATOR;
	role.role = ASIDE__V1__ROLE__ROLE_MODERATOR;
	must(aside_v1_page_service_set_staff_role(channel, &role, aside_harness_as(ANN_ADMIN), &set, &status), "SetStaffRole");
	comment.entry_id = COMMENT;
	comment.kind = ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_COMMENT;
	comment.author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_USER_ID;
	comment.author_user_id = JOHNNY;
	comment.text = (char *)"Because nothing tastes as good as a Coke!";
	comment.posted_at_us = (int64_t)time(NULL) * 1000000;
	record.entry = &comment;
	must(aside_v1_wall_service_record_wall_entry(channel, &record, NULL, &recorded, &status), "RecordWallEntry");
	say("Coke", "asks in public: Why do you like Coke more than Pepsi?");
	say("Johnny", "who does not like the page, comments: %s", comment.text);
	aside_free(made);
	aside_free(set);
	aside_free(recorded);
}

static void the_messages(void)
{
	Aside__V1__Attachment items[3], *pointers[3];
	ProtobufCBinaryData photo = new_key(), video = new_key();
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;

	printf("2. The page answers him privately\n");
	must(private_reply("Thanks for sticking with us!"), "SendPrivateReply");
	show_thread(JOHNNY, JOHNNY, "Johnny");
	show_thread(JOHNNY, NEVER_WROTE, "the public");
	printf("3. Threads\n");
	must(person_sends(JOHNNY, text("My pleasure. Any news on the vanilla one?")), "SendMessage");
	upload(photo, ASIDE__V1__ATTACHMENT_KIND__ATTACHMENT_KIND_PHOTO, photo_head, sizeof photo_head, 70000);
	upload(video, ASIDE__V1__ATTACHMENT_KIND__ATTACHMENT_KIND_VIDEO, video_head, sizeof video_head, 600000);
	for (unsigned i = 0; i < 3; i++) {
		aside__v1__attachment__init(&items[i]);
		items[i].content_case = i < 2 ? ASIDE__V1__ATTACHMENT__CONTENT_ATTACHMENT_ID : ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL;
		pointers[i] = &items[i];
	}
	items[0].attachment_id = photo;
	items[1].attachment_id = video;
	items[2].link_url = (char *)"https://example.com/receipt/17";
	content.text = (char *)"My bottle was half empty. See for yourselves.";
	content.attachments = pointers;
	content.n_attachments = 3;
	must(person_sends(FAN, &content), "SendMessage");
	must(page_answers(FAN, "We are sorry! A case is on its way to you."), "ReplyAsPage");
	show_thread(FAN, FAN, "the fan");
	show_thread(FAN, MIA_MODERATOR, "Mia, staff,");
	show_thread(FAN, NEVER_WROTE, "the public");
}

static void the_refusals(void)
{
	printf("4. What the page may not do\n");
	must_refuse(page_answers(NEVER_WROTE, "Buy one, get one!"), "PERSON_MUST_START", "the page", "writes to a person who never wrote");
	must_refuse(private_reply("Thanks again!"), "ALREADY_REPLIED", "the page", "answers the same comment privately once more");
	printf("5. The switch\n");
	must_refuse(switch_messages(MIA_MODERATOR, false), "ROLE_REQUIRED", "Mia", "switches messages off, as a moderator");
	must(switch_messages(ANN_ADMIN, false), "UpdatePageSettings");
	say("Ann, admin,", "switches messages off");
	must_refuse(person_sends(JOHNNY, text("Hello?")), "MESSAGING_DISABLED", "Johnny", "writes");
	show_thread(JOHNNY, JOHNNY, "Johnny");
	must(switch_messages(ANN_ADMIN, true), "UpdatePageSettings");
	say("Ann, admin,", "switches messages on");
	must(person_sends(JOHNNY, text("Hello again!")), "SendMessage");
	say("Johnny", "writes: Hello again!");
}

static void the_history(void)
{
	Aside__V1__ListPageSettingsVersionsRequest request = ASIDE__V1__LIST_PAGE_SETTINGS_VERSIONS_REQUEST__INIT;
	Aside__V1__ListPageSettingsVersionsResponse *response = NULL;

	request.page_id = COKE;
	must(aside_v1_page_settings_service_list_page_settings_versions(channel, &request, aside_harness_as(ANN_ADMIN), &response, &status), "history");
	say("the history", "of the settings:");
	for (size_t i = response->n_versions; i-- > 0;)
		printf("%15sversion %u  messages %-3s  by %lld  %s\n", "", response->versions[i]->version,
				response->versions[i]->settings->messaging_enabled ? "on" : "off",
				(long long)response->versions[i]->changed_by_user_id, response->versions[i]->change_reason);
	if (response->n_versions != 3)
		exit(EXIT_FAILURE);
	aside_free(response);
}

int main(int argc, char **argv)
{
	const char *flags[] = { "--log-level", "warning", NULL };

	if (argc != 2) {
		fprintf(stderr, "usage: story ASIDE-SERVER\n");
		return 2;
	}
	struct aside_harness_options options = { .program = argv[1], .flags = flags };
	struct aside_harness *harness;
	must(aside_harness_start(&options, &harness, &status), "start");
	channel = aside_harness_channel(harness, 0);
	the_wall();
	the_messages();
	the_refusals();
	the_history();
	if (aside_harness_stop(harness) != 0)
		return EXIT_FAILURE;
	printf("The story is over; nothing is left running.\n");
	return EXIT_SUCCESS;
}
