/* See uploads.h. */
#include "uploads.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const struct file_head png_head = { "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90\x77\x53\xDE", 33 };
const struct file_head mp4_head = { "\0\0\0\x18"
				    "ftypmp42\0\0\0\0mp42isom", 24 };
const struct file_head executable_head = { "\x7F"
					   "ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\x3E\0\1\0\0\0", 24 };

/* Gives the content its id, unlike any other's, and its SHA-256. */
static void identify(struct upload *upload)
{
	static uint64_t made;

	memcpy(upload->id, uuid_of(UINT64_MAX - ++made).data, sizeof upload->id);
	(void)SHA256(upload->file, upload->size, upload->sha256);
}

struct upload upload_new(int64_t page, int64_t uploader, Aside__V1__Side side, Aside__V1__AttachmentKind kind,
		const struct file_head *head, size_t size)
{
	static uint64_t made;
	struct upload upload = { .page = page, .uploader = uploader, .side = side, .kind = kind, .size = size };
	uint64_t seed = ++made;

	if (head == NULL)
		head = kind == PHOTO ? &png_head : &mp4_head;
	upload.file = malloc(size);
	assert_non_null(upload.file);
	for (size_t i = 0; i < size; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		upload.file[i] = (uint8_t)(seed >> 56);
	}
	memcpy(upload.file, head->bytes, head->size < size ? head->size : size);
	identify(&upload);
	return upload;
}

struct upload upload_load(int64_t page, int64_t uploader, Aside__V1__Side side, Aside__V1__AttachmentKind kind,
		const char *path)
{
	struct upload upload = { .page = page, .uploader = uploader, .side = side, .kind = kind };
	FILE *file = fopen(path, "re");
	struct stat stat;

	if (file == NULL || fstat(fileno(file), &stat) != 0)
		fail_msg("%s cannot be read", path);
	upload.size = (size_t)stat.st_size;
	upload.file = malloc(upload.size);
	assert_non_null(upload.file);
	assert_int_equal(fread(upload.file, 1, upload.size, file), upload.size);
	fclose(file);
	identify(&upload);
	return upload;
}

void upload_free(struct upload *upload)
{
	free(upload->file);
}

static ProtobufCBinaryData id_of(const struct upload *upload)
{
	return (ProtobufCBinaryData){ sizeof upload->id, (uint8_t *)(uintptr_t)upload->id };
}

Aside__V1__BeginAttachmentResponse *upload_begin(struct upload *upload)
{
	Aside__V1__BeginAttachmentRequest request = ASIDE__V1__BEGIN_ATTACHMENT_REQUEST__INIT;
	Aside__V1__BeginAttachmentResponse *response;

	request.page_id = upload->page;
	request.attachment_id = id_of(upload);
	request.side = upload->side;
	request.kind = upload->kind;
	request.size_bytes = upload->size;
	request.sha256 = (ProtobufCBinaryData){ sizeof upload->sha256, upload->sha256 };
	response = ASK(Aside__V1__BeginAttachmentResponse, aside_v1_attachment_service_begin_attachment, &request,
			upload->uploader);
	if (response != NULL) {
		upload->chunk_bytes = response->chunk_bytes;
		upload->chunk_count = response->chunk_count;
	}
	return response;
}

bool upload_chunk(const struct upload *upload, uint32_t index)
{
	Aside__V1__UploadChunkRequest request = ASIDE__V1__UPLOAD_CHUNK_REQUEST__INIT;
	Aside__V1__UploadChunkResponse *response;
	size_t at = (size_t)index * upload->chunk_bytes, left = upload->size - at;

	request.page_id = upload->page;
	request.attachment_id = id_of(upload);
	request.chunk_index = index;
	request.data = (ProtobufCBinaryData){ left < upload->chunk_bytes ? left : upload->chunk_bytes, upload->file + at };
	response = ASK(Aside__V1__UploadChunkResponse, aside_v1_attachment_service_upload_chunk, &request, upload->uploader);
	bool done = response != NULL;
	aside_free(response);
	return done;
}

Aside__V1__CompleteAttachmentResponse *upload_complete(const struct upload *upload)
{
	Aside__V1__CompleteAttachmentRequest request = ASIDE__V1__COMPLETE_ATTACHMENT_REQUEST__INIT;

	request.page_id = upload->page;
	request.attachment_id = id_of(upload);
	return ASK(Aside__V1__CompleteAttachmentResponse, aside_v1_attachment_service_complete_attachment, &request,
			upload->uploader);
}

bool upload_all(struct upload *upload)
{
	Aside__V1__BeginAttachmentResponse *begun = upload_begin(upload);
	Aside__V1__CompleteAttachmentResponse *completed = NULL;
	bool ok = begun != NULL;

	for (uint32_t i = 0; ok && i < upload->chunk_count; i++)
		ok = upload_chunk(upload, i);
	if (ok)
		completed = upload_complete(upload);
	ok = completed != NULL;
	aside_free(begun);
	aside_free(completed);
	return ok;
}

Aside__V1__ReadAttachmentResponse *upload_read(const struct upload *upload, int64_t reader, uint64_t offset_bytes,
		uint32_t length_bytes)
{
	Aside__V1__ReadAttachmentRequest request = ASIDE__V1__READ_ATTACHMENT_REQUEST__INIT;

	request.page_id = upload->page;
	request.attachment_id = id_of(upload);
	request.offset_bytes = offset_bytes;
	request.length_bytes = length_bytes;
	return ASK(Aside__V1__ReadAttachmentResponse, aside_v1_attachment_service_read_attachment, &request, reader);
}

Aside__V1__Content *upload_content(const struct upload *upload, const char *text)
{
	static _Thread_local Aside__V1__Attachment attachment;
	static _Thread_local Aside__V1__Attachment *attachments[1];
	Aside__V1__Content *content = text_content(text);

	aside__v1__attachment__init(&attachment);
	attachment.content_case = ASIDE__V1__ATTACHMENT__CONTENT_ATTACHMENT_ID;
	attachment.attachment_id = id_of(upload);
	attachments[0] = &attachment;
	content->attachments = attachments;
	content->n_attachments = 1;
	return content;
}
