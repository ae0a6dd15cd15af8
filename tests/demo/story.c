/* The story the service was made for, played by its actors through the client library on two servers and one
 * PostgreSQL; every line printed was answered by a server.  Exits 1 at the first step that does not go as it
 * must.
 *
 *   story ASIDE-SERVER FOLDER     the folder has photo.jpg and video.mp4 */
#include <stdio.h>
#include <stdlib.h>

#include "transcript.h"
#include "uploads.h"
#include "views.h"

enum { QUESTION = 1000, COMMENT = 1001 };

static const char *folder;
static uint64_t n_keys;

/* What `who` tries is refused for this reason. */
#define refused(call, expected)                                             \
	do {                                                                \
		must(!(call) && strcmp(status.reason, expected) == 0);      \
		transcript_refused(&status);                                \
	} while (0)

static void person_writes(int64_t person, const char *text)
{
	uint32_t seq;

	transcript_act(name_of(person), "writes: %s", text);
	must(seq = send_text(person, COKE, ++n_keys, text));
	transcript_done("message %u", seq);
}

static void page_writes(int64_t staff, int64_t person, const char *text)
{
	uint32_t seq;

	transcript_act(name_of(staff), "answers %s: %s", name_of(person), text);
	must(seq = reply_text(staff, COKE, person, ++n_keys, text));
	transcript_done("message %u", seq);
}

/* ── 1 ───────────────────────────────────────────────────────────────────────────────────────────── */

static void ask_on_the_wall(void)
{
	Aside__V1__RecordWallEntryRequest request = ASIDE__V1__RECORD_WALL_ENTRY_REQUEST__INIT;
	Aside__V1__RecordWallEntryResponse *recorded;
	Aside__V1__WallEntry post = ASIDE__V1__WALL_ENTRY__INIT;

	post.page_id = COKE;
	post.entry_id = QUESTION;
	post.kind = ASIDE__V1__WALL_ENTRY_KIND__WALL_ENTRY_KIND_POST;
	post.author_case = ASIDE__V1__WALL_ENTRY__AUTHOR_AUTHOR_PAGE_ID;
	post.author_page_id = COKE;
	post.text = (char *)"Why do you like Coke more than Pepsi?";
	post.posted_at_us = world_now_us();
	request.entry = &post;
	must(recorded = ASK(Aside__V1__RecordWallEntryResponse, aside_v1_wall_service_record_wall_entry, &request, SERVICE));
	aside_free(recorded);
}

static void the_wall(void)
{
	transcript_chapter(1, "On the wall");
	must(new_page() == COKE);
	transcript_act("the platform", "makes the page Coke known: Ann is its admin, Mia a moderator");
	ask_on_the_wall();
	must(record_entry(COKE, COMMENT, JOHNNY, world_now_us()));
	transcript_act("the platform", "records a post and a comment; Johnny, who wrote it, does not like the page");
	view_wall("what everybody sees");
}

/* ── 2 ───────────────────────────────────────────────────────────────────────────────────────────── */

static void the_private_reply(void)
{
	uint32_t seq;

	transcript_chapter(2, "The page answers him privately");
	transcript_act("Mia", "presses Message beside the comment: Thanks for sticking with us!");
	must(seq = private_reply(MODERATOR, COKE, COMMENT, ++n_keys));
	transcript_done("message %u of a new thread", seq);
	view_thread(JOHNNY, JOHNNY);
	transcript_act("Nora", "a stranger, asks for that thread");
	refused(get_thread(STRANGER, COKE, JOHNNY), "THREAD_NOT_FOUND");
	transcript_act("Mia", "writes again, before Johnny has answered");
	refused(reply_text(MODERATOR, COKE, JOHNNY, ++n_keys, "Still there?"), "AWAITING_PERSON");
	view_wall("the same as before");
}

/* ── 3 ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct upload load(Aside__V1__AttachmentKind kind, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	return upload_load(COKE, FAN, PERSON, kind, path);
}

static void complete(const struct upload *upload)
{
	Aside__V1__CompleteAttachmentResponse *completed;

	must(completed = upload_complete(upload));
	transcript_done("complete in %u %s: SHA-256 right, %s", upload->chunk_count,
			upload->chunk_count == 1 ? "chunk" : "chunks", completed->attachment->media_type);
	aside_free(completed);
}

static struct upload upload_photo(void)
{
	struct upload photo = load(PHOTO, "photo.jpg");
	Aside__V1__BeginAttachmentResponse *begun;

	transcript_act("Rosa", "uploads photo.jpg, %zu bytes", photo.size);
	must(begun = upload_begin(&photo));
	must(begun->chunk_count == 1 && upload_chunk(&photo, 0));
	complete(&photo);
	aside_free(begun);
	return photo;
}

/* The connection is lost after the first chunk: what is missing goes through the other server. */
static struct upload upload_video(void)
{
	struct upload video = load(VIDEO, "video.mp4");
	Aside__V1__BeginAttachmentResponse *begun, *again;

	must(begun = upload_begin(&video));
	must(begun->chunk_count > 1 && upload_chunk(&video, 0));
	transcript_act("Rosa", "uploads video.mp4, %zu bytes, and loses the network after chunk 1 of %u", video.size,
			video.chunk_count);
	via = aside_harness_channel(harness, 1);
	must(again = upload_begin(&video));
	must(again->n_missing_chunks == video.chunk_count - 1);
	transcript_act("Rosa", "goes on through another server, which misses %zu of them", again->n_missing_chunks);
	for (size_t i = 0; i < again->n_missing_chunks; i++)
		must(upload_chunk(&video, again->missing_chunks[i]));
	complete(&video);
	via = NULL;
	aside_free(begun);
	aside_free(again);
	return video;
}

static void complain(const struct upload *photo, const struct upload *video)
{
	Aside__V1__Attachment items[3], *attachments[] = { &items[0], &items[1], &items[2] };
	const char *text = "My bottle came half empty. See for yourselves!";
	Aside__V1__Content *content;
	uint32_t seq;

	items[0] = *upload_content(photo, text)->attachments[0];
	content = upload_content(video, text);
	items[1] = *content->attachments[0];
	aside__v1__attachment__init(&items[2]);
	items[2].content_case = ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL;
	items[2].link_url = (char *)"https://shop.example/receipts/17?item=6";
	content->attachments = attachments;
	content->n_attachments = N_OF(attachments);
	transcript_act("Rosa", "writes: %s  + photo, video and link", text);
	must(seq = send_content(FAN, COKE, ++n_keys, content));
	transcript_done("message %u", seq);
}

static void download(int64_t reader, const struct upload *upload)
{
	size_t at = 0;

	while (at < upload->size) {
		Aside__V1__ReadAttachmentResponse *part;
		must(part = upload_read(upload, reader, at, 0));
		must(part->data.len > 0 && memcmp(part->data.data, upload->file + at, part->data.len) == 0);
		at += part->data.len;
		aside_free(part);
	}
	transcript_done("%zu bytes, every one as Rosa sent it", at);
}

static void open_the_box(void)
{
	Aside__V1__OpenThreadRequest request = ASIDE__V1__OPEN_THREAD_REQUEST__INIT;
	Aside__V1__OpenThreadResponse *box;

	request.page_id = COKE;
	must(box = ASK(Aside__V1__OpenThreadResponse, aside_v1_thread_service_open_thread, &request, FAN));
	must(box->can_send && box->thread->last_seq == 0);
	transcript_act("Rosa", "another fan, opens the page's message box");
	transcript_done("empty, and she may write");
	aside_free(box);
}

static void the_complaint(void)
{
	transcript_chapter(3, "Johnny answers, Rosa complains");
	person_writes(JOHNNY, "My pleasure. Any news of the vanilla one?");
	open_the_box();
	struct upload photo = upload_photo(), video = upload_video();
	complain(&photo, &video);
	view_inbox(MODERATOR);
	transcript_act("Mia", "looks at the photo and the video");
	download(MODERATOR, &photo);
	download(MODERATOR, &video);
	page_writes(MODERATOR, FAN, "We are so sorry! A full case is on its way to you.");
	view_thread(MODERATOR, FAN);
	view_thread(FAN, FAN);
	transcript_act("Johnny", "asks for Rosa's messages, then for her photo");
	refused(list_messages(JOHNNY, COKE, FAN, 0, 0, 0), "THREAD_NOT_FOUND");
	refused(upload_read(&photo, JOHNNY, 0, 0), "ATTACHMENT_NOT_FOUND");
	view_wall("still the same");
	upload_free(&photo);
	upload_free(&video);
}

/* ── 4 ───────────────────────────────────────────────────────────────────────────────────────────── */

static void the_refusals(void)
{
	Aside__V1__CanSendResponse *answer;

	transcript_chapter(4, "What the page may not do");
	transcript_act("Mia", "writes to Nora, who never wrote: Buy one, get one free!");
	refused(reply_text(MODERATOR, COKE, STRANGER, ++n_keys, "Buy one, get one free!"), "PERSON_MUST_START");
	must(answer = can_send(MODERATOR, COKE, STRANGER, PAGE, 0));
	must(!answer->allowed && strcmp(answer->refusal_reason, "PERSON_MUST_START") == 0);
	transcript_act("Mia", "could have asked first");
	transcript_done("CanSend: no, %s", answer->refusal_reason);
	transcript_act("Mia", "answers the same comment privately once more");
	refused(private_reply(MODERATOR, COKE, COMMENT, ++n_keys), "ALREADY_REPLIED");
	aside_free(answer);
}

/* ── 5 ───────────────────────────────────────────────────────────────────────────────────────────── */

/* The version of the settings it made, or 0. */
static uint32_t turn(int64_t admin, bool on, const char *why)
{
	Aside__V1__UpdatePageSettingsRequest request = ASIDE__V1__UPDATE_PAGE_SETTINGS_REQUEST__INIT;
	Aside__V1__UpdatePageSettingsResponse *response;
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *paths[] = { (char *)"messaging_enabled" };

	settings.messaging_enabled = on;
	mask.paths = paths;
	mask.n_paths = N_OF(paths);
	request.page_id = COKE;
	request.settings = &settings;
	request.update_mask = &mask;
	request.change_reason = (char *)(uintptr_t)why;
	response = ASK(Aside__V1__UpdatePageSettingsResponse, aside_v1_page_settings_service_update_page_settings, &request,
			admin);
	uint32_t version = response != NULL ? response->version->version : 0;
	aside_free(response);
	return version;
}

static void look_for_the_button(int64_t person)
{
	Aside__V1__GetMessagingAvailabilityRequest request = ASIDE__V1__GET_MESSAGING_AVAILABILITY_REQUEST__INIT;
	Aside__V1__GetMessagingAvailabilityResponse *button;

	request.page_id = COKE;
	request.user_id = person;
	must(button = ASK(Aside__V1__GetMessagingAvailabilityResponse,
			     aside_v1_page_settings_service_get_messaging_availability, &request, person));
	transcript_act(name_of(person), "looks for the page's Message button");
	transcript_done("%s%s", button->available ? "it is there" : "none: ", button->unavailable_reason);
	aside_free(button);
}

static void the_switch(void)
{
	uint32_t version;

	transcript_chapter(5, "The switch");
	transcript_act("Mia", "a moderator, switches messages off");
	refused(turn(MODERATOR, false, "too much to do"), "ROLE_REQUIRED");
	transcript_act("Ann", "the admin, switches messages off");
	must(version = turn(ADMIN, false, "nobody is here tonight"));
	transcript_done("version %u of the settings", version);
	via = aside_harness_channel(harness, 1);
	transcript_act("Johnny", "writes through the other server: Hello?");
	refused(send_text(JOHNNY, COKE, ++n_keys, "Hello?"), "MESSAGING_DISABLED");
	look_for_the_button(JOHNNY);
	view_thread(JOHNNY, JOHNNY);
	page_writes(MODERATOR, JOHNNY, "Vanilla is back on Monday. We close for tonight.");
	transcript_act("Ann", "switches messages on");
	must(version = turn(ADMIN, true, "staffed again"));
	transcript_done("version %u of the settings", version);
	via = NULL;
	look_for_the_button(JOHNNY);
	person_writes(JOHNNY, "See you on Monday, then!");
	view_history(ADMIN, 3);
}

static void the_books(void)
{
	Aside__V1__VerifyCountersRequest request = ASIDE__V1__VERIFY_COUNTERS_REQUEST__INIT;
	Aside__V1__VerifyCountersResponse *books;

	request.page_id = COKE;
	must(books = ASK(Aside__V1__VerifyCountersResponse, aside_v1_thread_service_verify_counters, &request, SERVICE));
	must(books->n_differences == 0);
	transcript_act("the platform", "recounts %llu threads from their messages", (unsigned long long)books->threads_counted);
	transcript_done("every counter is right");
	aside_free(books);
}

int main(int argc, char **argv)
{
	const char *flags[] = { "--log-level", "warning", NULL };

	if (argc != 3) {
		fprintf(stderr, "usage: story ASIDE-SERVER FOLDER\n");
		return 2;
	}
	folder = argv[2];
	struct aside_harness_options options = { .program = argv[1], .servers = 2, .flags = flags };
	if (aside_harness_start(&options, &harness, &status) != ASIDE_OK)
		give_up("the start");
	transcript_title("aside: what a page, its fans and its staff say to each other, and nobody else sees",
			"Two servers, one PostgreSQL, real sockets; every line below is a server's answer.");
	the_wall();
	the_private_reply();
	the_complaint();
	the_refusals();
	the_switch();
	the_books();
	if (aside_harness_stop(harness) != 0)
		return EXIT_FAILURE;
	transcript_end("The story is over, and nothing is left running.");
	return EXIT_SUCCESS;
}
