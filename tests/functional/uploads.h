/* Files and their uploads, step by step (P13). */
#pragma once

#include "world.h"

#define PHOTO ASIDE__V1__ATTACHMENT_KIND__ATTACHMENT_KIND_PHOTO
#define VIDEO ASIDE__V1__ATTACHMENT_KIND__ATTACHMENT_KIND_VIDEO

/* A file on its way. */
struct upload {
	int64_t page, uploader;
	Aside__V1__Side side;
	Aside__V1__AttachmentKind kind;
	uint8_t id[16], sha256[32];
	uint8_t *file; /* malloc()ed */
	size_t size;
	uint32_t chunk_bytes, chunk_count; /* once begun */
};

/* What a file may begin with. */
extern const struct file_head {
	const char *bytes;
	size_t size;
} png_head, mp4_head, executable_head;

/* A file of `size` bytes that begins with `head`, a PNG's for a photo and an MP4's for a video unless given.
 * Every call gives other content and another id. */
struct upload upload_new(int64_t page, int64_t uploader, Aside__V1__Side side, Aside__V1__AttachmentKind kind,
		const struct file_head *head, size_t size);
/* The file at `path`, which must be there. */
struct upload upload_load(int64_t page, int64_t uploader, Aside__V1__Side side, Aside__V1__AttachmentKind kind,
		const char *path);
void upload_free(struct upload *upload);

/* The steps.  Begin keeps the chunks' size and number and answers the response or NULL; the others whether
 * they were done. */
Aside__V1__BeginAttachmentResponse *upload_begin(struct upload *upload);
bool upload_chunk(const struct upload *upload, uint32_t index);
Aside__V1__CompleteAttachmentResponse *upload_complete(const struct upload *upload);

/* All of them. */
bool upload_all(struct upload *upload);

/* Asks for a range; the response or NULL. */
Aside__V1__ReadAttachmentResponse *upload_read(const struct upload *upload, int64_t reader, uint64_t offset_bytes,
		uint32_t length_bytes);

/* A message's content that carries this file, with a text.  Borrowed until the thread's next call. */
Aside__V1__Content *upload_content(const struct upload *upload, const char *text);
