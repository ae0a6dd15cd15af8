/* See content.h.  URLs are libcurl's business, hashing OpenSSL's, JSON needs no
 * escapes here: URLs with quotes, backslashes or control characters are refused.  Runs on worker threads. */
#include "content.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static void url_freep(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void curl_textp(char **text)
{
	curl_free(*text);
}

static bool is_web_url(const char *text)
{
	CLEANUP(url_freep) CURLU *url = curl_url();
	CLEANUP(curl_textp) char *scheme = NULL;
	CLEANUP(curl_textp) char *host = NULL;
	/* curl_url_set() mends "http:/host" and "http:///host" as browsers do; neither names a host by itself. */
	const char *slashes = strstr(text, "://");

	return url != NULL && slashes != NULL && slashes[3] != '/' &&
			strcspn(text, ":/?#") == (size_t)(slashes - text) &&
			curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
			curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
			curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '\0' &&
			(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
}

static enum aside_code check_link(const char *url, const char *field, struct aside_status *err)
{
	if (strlen(url) > CONTENT_LINK_BYTES_MAX)
		return fail_field(err, field, "is longer than %d bytes", CONTENT_LINK_BYTES_MAX);
	for (const char *p = url; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == 0x7F)
			return fail_field(err, field, "is not an absolute http or https URL");
	return is_web_url(url) ? ASIDE_OK : fail_field(err, field, "is not an absolute http or https URL");
}

static enum aside_code check_attachment(const Aside__V1__Attachment *in, unsigned i, struct aside_status *err)
{
	char field[64];

	if (in->content_case == ASIDE__V1__ATTACHMENT__CONTENT_ATTACHMENT_ID) {
		(void)snprintf(field, sizeof field, "content.attachments[%u].attachment_id", i);
		return check_uuid(in->attachment_id, field, err);
	}
	(void)snprintf(field, sizeof field, "content.attachments[%u].link_url", i);
	if (in->content_case != ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL)
		return fail_field(err, field, "neither attachment_id nor link_url is set");
	return check_link(in->link_url, field, err);
}

static size_t put_item(char *out, const Aside__V1__Attachment *in, bool first)
{
	char *p = out;

	p += sprintf(p, "%s", first ? "[" : ",");
	if (in->content_case == ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL)
		return (size_t)(p - out) + (size_t)sprintf(p, "{\"l\":\"%s\"}", in->link_url);
	p += sprintf(p, "{\"a\":\"");
	for (unsigned i = 0; i < 16; i++)
		p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", in->attachment_id.data[i]);
	return (size_t)(p + sprintf(p, "\"}") - out);
}

static enum aside_code lay_out(struct call *call, const Aside__V1__Content *in, struct content *ret,
		struct aside_status *err)
{
	size_t size = 2, used = 0;
	char *items;

	ret->items = "";
	ret->has_uploads = false;
	if (in->n_attachments == 0)
		return ASIDE_OK;
	for (size_t i = 0; i < in->n_attachments; i++)
		size += 64 + (in->attachments[i]->content_case == ASIDE__V1__ATTACHMENT__CONTENT_LINK_URL ?
						 strlen(in->attachments[i]->link_url) : 0);
	items = call_alloc(call, size);
	if (items == NULL)
		return call_full(err);
	for (size_t i = 0; i < in->n_attachments; i++) {
		used += put_item(items + used, in->attachments[i], i == 0);
		ret->has_uploads |= in->attachments[i]->content_case == ASIDE__V1__ATTACHMENT__CONTENT_ATTACHMENT_ID;
	}
	memcpy(items + used, "]", 2);
	ret->items = items;
	return ASIDE_OK;
}

static void digest_freep(EVP_MD_CTX **digest)
{
	EVP_MD_CTX_free(*digest);
}

static bool hash_of(const struct content *content, char kind, int64_t user_id, int64_t entry_id, int64_t *ret)
{
	CLEANUP(digest_freep) EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	char head[96];

	int n = snprintf(head, sizeof head, "%c %lld %lld %zu %zu ", kind, (long long)user_id, (long long)entry_id,
			strlen(content->text), strlen(content->items));
	if (sha == NULL || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1 || EVP_DigestUpdate(sha, head, (size_t)n) != 1 ||
			EVP_DigestUpdate(sha, content->text, strlen(content->text)) != 1 ||
			EVP_DigestUpdate(sha, content->items, strlen(content->items)) != 1 ||
			EVP_DigestFinal_ex(sha, digest, NULL) != 1)
		return false;
	memcpy(ret, digest, sizeof *ret);
	return true;
}

enum aside_code content_check(struct call *call, const Aside__V1__Content *in, char kind, int64_t user_id,
		int64_t entry_id, struct content *ret, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	if (in == NULL || (in->text[0] == '\0' && in->n_attachments == 0))
		return fail_field(err, "content", "has neither text nor attachments");
	if (in->n_attachments > CONTENT_ATTACHMENTS_MAX)
		return fail_field(err, "content.attachments", "more than %d", CONTENT_ATTACHMENTS_MAX);
	ret->text = in->text;
	ret->chars = (int64_t)utf8_chars(in->text);
	if (ret->chars > CONTENT_TEXT_MAX)
		return fail_field(err, "content.text", "is longer than %d characters", CONTENT_TEXT_MAX);
	for (unsigned i = 0; i < in->n_attachments && code == ASIDE_OK; i++)
		code = check_attachment(in->attachments[i], i, err);
	if (code == ASIDE_OK)
		code = lay_out(call, in, ret, err);
	if (code == ASIDE_OK && !hash_of(ret, kind, user_id, entry_id, &ret->hash))
		return call_full(err);
	return code;
}
