/* libmagic behind two functions.  A magic_t is not thread-safe and costs milliseconds to load: each worker
 * thread keeps one until it ends.  Knows no calls. */
#include "sniff.h"

#include <magic.h>
#include <pthread.h>
#include <string.h>

#define HEAD_BYTES_MAX (256 * 1024)

static pthread_key_t cookie_key;
static pthread_once_t cookie_once = PTHREAD_ONCE_INIT;
static bool cookie_key_made;

static void cookie_close(void *cookie)
{
	magic_close(cookie);
}

static void cookie_key_make(void)
{
	cookie_key_made = pthread_key_create(&cookie_key, cookie_close) == 0;
}

/* This thread's, loaded on its first use; NULL without a database or memory. */
static magic_t cookie_acquire(void)
{
	pthread_once(&cookie_once, cookie_key_make);
	if (!cookie_key_made)
		return NULL;
	magic_t cookie = pthread_getspecific(cookie_key);
	if (cookie != NULL)
		return cookie;

	cookie = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TAR |
			MAGIC_NO_CHECK_ELF);
	if (cookie == NULL)
		return NULL;
	if (magic_load(cookie, NULL) != 0 || pthread_setspecific(cookie_key, cookie) != 0) {
		magic_close(cookie);
		return NULL;
	}
	return cookie;
}

const char *sniff(struct bytes head)
{
	magic_t cookie = cookie_acquire();

	if (cookie == NULL)
		return NULL;
	return magic_buffer(cookie, head.data,
			head.size < HEAD_BYTES_MAX ? head.size : HEAD_BYTES_MAX);
}

bool sniff_fits(int64_t kind, const char *media_type)
{
	static const struct {
		int64_t kind;
		const char *media_type;
	} accepted[] = {
		{ 1, "image/jpeg" },
		{ 1, "image/png" },
		{ 1, "image/gif" },
		{ 1, "image/webp" },
		{ 2, "video/mp4" },
		{ 2, "video/quicktime" },
		{ 2, "video/webm" },
		{ 2, "video/x-matroska" },
	};

	for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
		if (accepted[i].kind == kind && strcmp(accepted[i].media_type, media_type) == 0)
			return true;
	return false;
}
