/* Photos, videos and links: P13, and who may read them (P9, P18). */
#include "uploads.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/attachments.h"

#define HOUR_US INT64_C(3600000000)

/* ── uploading ───────────────────────────────────────────────────────────────────────────────────── */

static void chunks_come_in_any_order_and_again(void **state)
{
	struct upload photo = upload_new(new_page(), JOHNNY, PERSON, PHOTO, NULL, 1200000);
	Aside__V1__BeginAttachmentResponse *begun;
	(void)state;

	assert_done(begun = upload_begin(&photo));
	assert_int_equal(begun->chunk_count, 5);
	assert_int_equal(begun->n_missing_chunks, 5);
	assert_false(begun->complete);
	aside_free(begun);
	assert_done(upload_chunk(&photo, 4)); /* the last, which is shorter */
	assert_done(upload_chunk(&photo, 1));
	assert_done(upload_chunk(&photo, 1));
	assert_refused(upload_complete(&photo), "ATTACHMENT_INCOMPLETE");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	char received[24];
	(void)snprintf(received, sizeof received, "%u", 2 * photo.chunk_bytes - (5 * photo.chunk_bytes - 1200000));
	assert_string_equal(aside_status_fact(&status, "received_bytes"), received);
	/* Whoever begins again learns what is missing, from any server. */
	via = aside_harness_channel(harness, 1);
	assert_done(begun = upload_begin(&photo));
	assert_int_equal(begun->n_missing_chunks, 3);
	assert_int_equal(begun->missing_chunks[0], 0);
	assert_int_equal(begun->missing_chunks[1], 2);
	assert_int_equal(begun->missing_chunks[2], 3);
	aside_free(begun);
	for (uint32_t i = 0; i < 4; i++)
		assert_done(upload_chunk(&photo, i));
	for (unsigned i = 0; i < 2; i++) { /* completing is repeatable, too */
		Aside__V1__CompleteAttachmentResponse *completed = upload_complete(&photo);
		assert_done(completed);
		assert_string_equal(completed->attachment->media_type, "image/png");
		assert_int_equal(completed->attachment->size_bytes, 1200000);
		aside_free(completed);
		via = NULL;
	}
	assert_done(begun = upload_begin(&photo));
	assert_true(begun->complete);
	assert_int_equal(begun->n_missing_chunks, 0);
	aside_free(begun);
	upload_free(&photo);
}

static void stored_chunks_do_not_change(void **state)
{
	struct upload photo = upload_new(new_page(), JOHNNY, PERSON, PHOTO, NULL, 300000);
	(void)state;

	aside_free(upload_begin(&photo));
	assert_done(upload_chunk(&photo, 0));
	photo.file[1000] ^= 1;
	assert_refused(upload_chunk(&photo, 0), "ATTACHMENT_SEALED");
	photo.file[1000] ^= 1;
	assert_done(upload_chunk(&photo, 1));
	aside_free(upload_complete(&photo));
	assert_done(upload_chunk(&photo, 1)); /* a late repeat */
	photo.file[300000 - 1] ^= 1;
	assert_refused(upload_chunk(&photo, 1), "ATTACHMENT_SEALED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	upload_free(&photo);
}

static void a_chunk_has_its_place_and_size(void **state)
{
	struct upload photo = upload_new(new_page(), JOHNNY, PERSON, PHOTO, NULL, 300000);
	(void)state;

	aside_free(upload_begin(&photo));
	photo.size -= 1;
	assert_refused(upload_chunk(&photo, 1), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "data");
	photo.size += 1;
	Aside__V1__UploadChunkRequest request = ASIDE__V1__UPLOAD_CHUNK_REQUEST__INIT;
	request.page_id = photo.page;
	request.attachment_id = (ProtobufCBinaryData){ 16, photo.id };
	request.data = (ProtobufCBinaryData){ 1, photo.file };
	request.chunk_index = 2;
	assert_refused(ASK(Aside__V1__UploadChunkResponse, aside_v1_attachment_service_upload_chunk, &request, JOHNNY),
			"FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "chunk_index");
	request.chunk_index = 0;
	assert_refused(ASK(Aside__V1__UploadChunkResponse, aside_v1_attachment_service_upload_chunk, &request, FAN),
			"ATTACHMENT_NOT_FOUND");
	upload_free(&photo);
}

static void an_id_is_one_files(void **state)
{
	struct upload photo = upload_new(new_page(), JOHNNY, PERSON, PHOTO, NULL, 1000);
	(void)state;

	aside_free(upload_begin(&photo));
	photo.size--;
	assert_refused(upload_begin(&photo), "KEY_REUSED");
	assert_int_equal(status.code, ASIDE_ALREADY_EXISTS);
	photo.size++;
	photo.sha256[0] ^= 1;
	assert_refused(upload_begin(&photo), "KEY_REUSED");
	photo.sha256[0] ^= 1;
	photo.kind = VIDEO;
	assert_refused(upload_begin(&photo), "KEY_REUSED");
	upload_free(&photo);
}

static void the_hash_decides(void **state)
{
	struct upload photo = upload_new(new_page(), JOHNNY, PERSON, PHOTO, NULL, 600000);
	(void)state;

	photo.sha256[31] ^= 1;
	assert_refused(upload_all(&photo), "ATTACHMENT_HASH_MISMATCH");
	assert_int_equal(status.code, ASIDE_INVALID_ARGUMENT);
	upload_free(&photo);
}

static void a_name_does_not_make_a_photo(void **state)
{
	static const struct file_head html = { "<html><script>alert(1)</script></html>", 38 };
	static const struct file_head svg = { "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>", 62 };
	static const struct {
		Aside__V1__AttachmentKind kind;
		const struct file_head *head;
		const char *detected;
	} lies[] = {
		{ PHOTO, &executable_head, "application/x-sharedlib" },
		{ VIDEO, &executable_head, "application/x-sharedlib" },
		{ PHOTO, &mp4_head, "video/mp4" },
		{ VIDEO, &png_head, "image/png" },
		{ PHOTO, &html, "text/html" },
		{ PHOTO, &svg, "image/svg+xml" },
	};
	int64_t page = new_page();
	(void)state;

	for (size_t i = 0; i < N_OF(lies); i++) {
		struct upload file = upload_new(page, JOHNNY, PERSON, lies[i].kind, lies[i].head, lies[i].head->size);
		assert_refused(upload_all(&file), "ATTACHMENT_TYPE_MISMATCH");
		assert_int_equal(status.code, ASIDE_INVALID_ARGUMENT);
		assert_string_equal(aside_status_fact(&status, "detected"), lies[i].detected);
		upload_free(&file);
	}
}

static void the_page_sets_the_largest_size(void **state)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page();
	struct upload fits = upload_new(page, JOHNNY, PERSON, PHOTO, NULL, 1000), large = fits;
	(void)state;

	large.size = (25 << 20) + 1; /* only announced */
	large.id[8] ^= 1;
	assert_refused(upload_begin(&large), "ATTACHMENT_TOO_LARGE");
	assert_int_equal(status.code, ASIDE_INVALID_ARGUMENT);
	assert_string_equal(aside_status_fact(&status, "limit"), "26214400");
	settings.max_attachment_bytes = 1000;
	assert_done(change_settings(ADMIN, page, &settings, "max_attachment_bytes", 0));
	assert_done(upload_all(&fits));
	large.size = 1001;
	assert_refused(upload_begin(&large), "ATTACHMENT_TOO_LARGE");
	settings.max_attachment_bytes = 1 << 30;
	assert_done(change_settings(ADMIN, page, &settings, "max_attachment_bytes", 0));
	large.size = 1 << 30;
	Aside__V1__BeginAttachmentResponse *begun = upload_begin(&large);
	assert_done(begun);
	assert_int_equal(begun->chunk_count, 4096);
	assert_int_equal(begun->n_missing_chunks, 1000); /* as many as are listed */
	aside_free(begun);
	upload_free(&fits);
}

/* ── sending ─────────────────────────────────────────────────────────────────────────────────────── */

static void a_message_carries_what_its_sender_completed(void **state)
{
	int64_t page = new_page();
	struct upload photo = upload_new(page, JOHNNY, PERSON, PHOTO, NULL, 1000);
	struct upload staffs = upload_new(page, MODERATOR, PAGE, VIDEO, NULL, 1000);
	(void)state;

	assert_refused(send_content(JOHNNY, page, 1, upload_content(&photo, "")), "ATTACHMENT_NOT_FOUND");
	aside_free(upload_begin(&photo));
	assert_refused(send_content(JOHNNY, page, 1, upload_content(&photo, "")), "ATTACHMENT_INCOMPLETE");
	assert_done(upload_all(&photo));
	assert_done(upload_all(&staffs));
	assert_refused(send_content(FAN, page, 1, upload_content(&photo, "mine")), "ATTACHMENT_NOT_FOUND");
	assert_int_equal(send_content(JOHNNY, page, 1, upload_content(&photo, "")), 1);
	assert_int_equal(send_content(JOHNNY, page, 1, upload_content(&photo, "")), 1);
	assert_refused(send_content(JOHNNY, page, 2, upload_content(&photo, "again")), "ATTACHMENT_USED");
	assert_int_equal(status.code, ASIDE_FAILED_PRECONDITION);
	assert_refused(reply_content(EDITOR, page, JOHNNY, 3, upload_content(&staffs, ""), 0), "ATTACHMENT_NOT_FOUND");
	assert_int_equal(reply_content(MODERATOR, page, JOHNNY, 3, upload_content(&staffs, ""), 0), 2);

	Aside__V1__ListMessagesResponse *list = list_messages(JOHNNY, page, JOHNNY, 0, 0, 0);
	assert_done(list);
	assert_int_equal(list->messages[1]->content->n_attachments, 1);
	const Aside__V1__Attachment *carried = list->messages[1]->content->attachments[0];
	assert_int_equal(carried->kind, PHOTO);
	assert_int_equal(carried->size_bytes, 1000);
	assert_string_equal(carried->media_type, "image/png");
	assert_memory_equal(carried->attachment_id.data, photo.id, 16);
	assert_string_equal(list->messages[0]->content->attachments[0]->media_type, "video/mp4");
	aside_free(list);
	upload_free(&photo);
	upload_free(&staffs);
}

/* `n` links, of which the caller's content is made; the last is `url`. */
static Aside__V1__Content *links(size_t n, const char *url)
{
	static Aside__V1__Attachment items[11];
	static Aside__V1__Attachment *pointers[11];
	Aside__V1__Content *content = text_content("");

	for (size_t i = 0; i < n; i++) {
		aside__v1__attachment__init(&items[i]);
		items[i].content_case = ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL;
		items[i].link_url = (char *)(uintptr_t)(i == n - 1 ? url : "https://example.com/");
		pointers[i] = &items[i];
	}
	content->attachments = pointers;
	content->n_attachments = n;
	return content;
}

static void links_are_absolute_web_addresses(void **state)
{
	static const char *const good[] = { "http://example.com", "https://example.com/receipt?id=17#top",
		"https://user@example.com:8443/%C3%BC", "http://[::1]/", "https://xn--bcher-kva.example/" };
	static const char *const bad[] = { "", "example.com", "//example.com/x", "/receipt", "ftp://example.com/",
		"javascript:alert(1)", "file:///etc/passwd", "https://", "https:///x", "http:/example.com", "https://exa mple.com/",
		"https://example.com:99999/", "https://example.com/\n", "https://example.com/\"", " https://example.com/" };
	char longest[2049 + 1] = "https://example.com/";
	int64_t page = new_page();
	uint64_t key = 0;
	(void)state;

	for (size_t i = 0; i < N_OF(good); i++)
		assert_done(send_content(JOHNNY, page, ++key, links(1, good[i])));
	for (size_t i = 0; i < N_OF(bad); i++) {
		status.reason[0] = '\0';
		if (send_content(JOHNNY, page, ++key, links(2, bad[i])) != 0 || strcmp(status.reason, "FIELD_INVALID") != 0)
			fail_msg("%s: %s", bad[i], status.reason);
		assert_string_equal(status.violations[0].field, "content.attachments[1].link_url");
	}
	memset(longest + 20, 'x', sizeof longest - 21);
	assert_refused(send_content(JOHNNY, page, ++key, links(1, longest)), "FIELD_INVALID");
	longest[2048] = '\0';
	assert_done(send_content(JOHNNY, page, ++key, links(1, longest)));
}

static void ten_attachments_are_the_most(void **state)
{
	int64_t page = new_page();
	(void)state;

	assert_int_equal(send_content(JOHNNY, page, 1, links(10, "https://example.com/last")), 1);
	assert_refused(send_content(JOHNNY, page, 2, links(11, "https://example.com/last")), "FIELD_INVALID");
	assert_string_equal(status.violations[0].field, "content.attachments");
	Aside__V1__ListMessagesResponse *list = list_messages(MODERATOR, page, JOHNNY, 0, 0, 0);
	assert_done(list);
	assert_int_equal(list->messages[0]->content->n_attachments, 10);
	assert_string_equal(list->messages[0]->content->attachments[9]->link_url, "https://example.com/last"); /* in order */
	assert_int_equal(list->messages[0]->content->attachments[9]->kind, ASIDE__V1__ATTACHMENT_KIND__ATTACHMENT_KIND_LINK);
	aside_free(list);
}

/* ── reading ─────────────────────────────────────────────────────────────────────────────────────── */

static void assert_range(const struct upload *file, int64_t reader, uint64_t offset, uint32_t length, size_t expected)
{
	Aside__V1__ReadAttachmentResponse *part = upload_read(file, reader, offset, length);

	assert_done(part);
	assert_int_equal(part->data.len, expected);
	assert_int_equal(part->size_bytes, file->size);
	assert_memory_equal(part->data.data, file->file + offset, expected);
	aside_free(part);
}

static void bytes_are_read_by_range(void **state)
{
	struct upload video = upload_new(new_page(), JOHNNY, PERSON, VIDEO, NULL, 1200000);
	(void)state;

	assert_done(upload_all(&video));
	assert_range(&video, JOHNNY, 0, 0, 262144); /* by default */
	assert_range(&video, JOHNNY, 0, 1, 1);
	assert_range(&video, JOHNNY, 262143, 2, 2); /* over the edge of a chunk */
	assert_range(&video, JOHNNY, 100000, 1 << 20, 1 << 20);
	assert_range(&video, JOHNNY, 1199999, 1000, 1);
	assert_range(&video, JOHNNY, 1000000, 1 << 20, 200000);
	assert_refused(upload_read(&video, JOHNNY, 1200000, 1), "RANGE_BEYOND_END");
	assert_int_equal(status.code, ASIDE_OUT_OF_RANGE);
	assert_refused(upload_read(&video, JOHNNY, UINT64_MAX, 1), "RANGE_BEYOND_END");
	assert_refused(upload_read(&video, JOHNNY, 0, (1 << 20) + 1), "FIELD_INVALID");
	upload_free(&video);
}

static void only_readers_of_the_message_read_its_photo(void **state)
{
	int64_t page = new_page();
	struct upload photo = upload_new(page, JOHNNY, PERSON, PHOTO, NULL, 1000), unknown = photo;
	struct aside_status absent;
	(void)state;

	unknown.id[8] ^= 1;
	assert_done(upload_all(&photo));
	assert_range(&photo, JOHNNY, 0, 0, 1000); /* the uploader, before it is sent */
	assert_refused(upload_read(&photo, MODERATOR, 0, 0), "ATTACHMENT_NOT_FOUND"); /* nothing was sent to the page yet */
	assert_int_equal(send_content(JOHNNY, page, 1, upload_content(&photo, "")), 1);
	assert_range(&photo, MODERATOR, 0, 0, 1000);
	assert_range(&photo, SERVICE, 0, 0, 1000);
	assert_refused(upload_read(&photo, ANALYST, 0, 0), "ROLE_REQUIRED");
	assert_refused(upload_read(&unknown, ANALYST, 0, 0), "ROLE_REQUIRED");
	assert_refused(upload_read(&unknown, FAN, 0, 0), "ATTACHMENT_NOT_FOUND");
	absent = status;
	assert_refused(upload_read(&photo, FAN, 0, 0), "ATTACHMENT_NOT_FOUND");
	assert_memory_equal(&absent, &status, sizeof status); /* the outsider learns nothing */
	upload_free(&photo);
}

static void staff_who_leave_read_no_more(void **state)
{
	int64_t page = new_page();
	struct upload video = upload_new(page, MODERATOR, PAGE, VIDEO, NULL, 1000);
	(void)state;

	assert_int_equal(send_text(JOHNNY, page, 1, "Hello"), 1);
	assert_done(upload_all(&video));
	assert_range(&video, MODERATOR, 0, 0, 1000);
	assert_int_equal(reply_content(MODERATOR, page, JOHNNY, 2, upload_content(&video, ""), 0), 2);
	assert_range(&video, JOHNNY, 0, 0, 1000);
	assert_done(set_role(ADMIN, page, MODERATOR, ASIDE__V1__ROLE__ROLE_UNSPECIFIED));
	assert_refused(upload_read(&video, MODERATOR, 0, 0), "ATTACHMENT_NOT_FOUND");
	assert_range(&video, JOHNNY, 0, 0, 1000);
	upload_free(&video);
}

/* ── what no message uses ────────────────────────────────────────────────────────────────────────── */

/* The server's own hourly sweep, as if it were `now_us`. */
static unsigned sweep_at(int64_t now_us)
{
	struct store_options options = { .database = aside_harness_database(harness) };
	struct store *store = NULL;
	unsigned removed = 0;

	assert_int_equal(store_open(&options, &store, &status), ASIDE_OK);
	assert_int_equal(attachments_sweep(store, now_us, INT64_MAX, &removed, &status), ASIDE_OK);
	store_close(store, INT64_MAX);
	return removed;
}

static void unused_uploads_go_after_a_day(void **state)
{
	int64_t page = new_page(), now = world_now_us();
	struct upload used = upload_new(page, JOHNNY, PERSON, PHOTO, NULL, 1000);
	struct upload unused = upload_new(page, JOHNNY, PERSON, VIDEO, NULL, 600000);
	struct upload unfinished = upload_new(page, JOHNNY, PERSON, VIDEO, NULL, 600000);
	(void)state;

	world_sql("DELETE FROM attachment WHERE seq IS NULL"); /* other tests' */
	assert_done(upload_all(&used));
	assert_int_equal(send_content(JOHNNY, page, 1, upload_content(&used, "")), 1);
	assert_done(upload_all(&unused));
	aside_free(upload_begin(&unfinished));
	assert_done(upload_chunk(&unfinished, 1));
	assert_int_equal(sweep_at(now + 24 * HOUR_US - 1000000), 0);
	assert_range(&unused, JOHNNY, 0, 10, 10);
	assert_int_equal(sweep_at(now + 25 * HOUR_US), 2);
	assert_refused(upload_read(&unused, JOHNNY, 0, 0), "ATTACHMENT_NOT_FOUND");
	assert_refused(send_content(JOHNNY, page, 2, upload_content(&unused, "")), "ATTACHMENT_NOT_FOUND");
	assert_range(&used, JOHNNY, 0, 0, 1000);
	assert_int_equal(world_sql("SELECT count(*) FROM attachment_chunk WHERE page_id = %lld", (long long)page), 1);
	assert_int_equal(sweep_at(now + 25 * HOUR_US), 0);
	upload_free(&used);
	upload_free(&unused);
	upload_free(&unfinished);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_come_in_any_order_and_again),
		cmocka_unit_test(stored_chunks_do_not_change),
		cmocka_unit_test(a_chunk_has_its_place_and_size),
		cmocka_unit_test(an_id_is_one_files),
		cmocka_unit_test(the_hash_decides),
		cmocka_unit_test(a_name_does_not_make_a_photo),
		cmocka_unit_test(the_page_sets_the_largest_size),
		cmocka_unit_test(a_message_carries_what_its_sender_completed),
		cmocka_unit_test(links_are_absolute_web_addresses),
		cmocka_unit_test(ten_attachments_are_the_most),
		cmocka_unit_test(bytes_are_read_by_range),
		cmocka_unit_test(only_readers_of_the_message_read_its_photo),
		cmocka_unit_test(staff_who_leave_read_no_more),
		cmocka_unit_test(unused_uploads_go_after_a_day),
	};
	const struct aside_harness_options options = { .servers = 2 };

	return WORLD_RUN("attachments", tests, &options);
}
