/* See requests.h.  The requests are JSON, read as the `aside` command reads them. */
#include "requests.h"

#include <stdio.h>

#include "aside/rpc/v1/health.rpc.h"
#include "aside/rpc/v1/reflection.rpc.h"
#include "aside/v1/attachments.rpc.h"
#include "aside/v1/messages.rpc.h"
#include "aside/v1/pages.rpc.h"
#include "aside/v1/threads.rpc.h"
#include "aside/v1/wall.rpc.h"
#include "aside/v1/watch.rpc.h"
#include "cli/json.h"
#include "wire/varint.h"
#include "world.h"

#define UUID "\"MDEyMzQ1Njc4OWFiY2RlZg==\""
#define SHA "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\""
#define CONTENT "{\"text\":\"Hello\",\"attachments\":[{\"linkUrl\":\"https://example.com/\"}]}"
#define ALL_SETTINGS                                                                                   \
	"{\"messagingEnabled\":true,\"maxTextChars\":2000,\"maxAttachmentBytes\":\"1000\"," \
	"\"replyWindowSeconds\":3600,\"replyBudget\":5,\"privateReplyWindowSeconds\":3600}"
#define ALL_FIELDS                                                           \
	"\"messagingEnabled,maxTextChars,maxAttachmentBytes,replyWindowSeconds," \
	"replyBudget,privateReplyWindowSeconds\""

static const struct {
	const struct aside_service *service;
	const char *method;
	int64_t caller;
	const char *json; /* PAGE: the page */
} requests[] = {
	{ &aside_v1_page_service, "CreatePage", SERVICE, "{\"pageId\":PAGE,\"name\":\"Coke\",\"adminUserId\":\"7\"}" },
	{ &aside_v1_page_service, "GetPage", JOHNNY, "{\"pageId\":PAGE}" },
	{ &aside_v1_page_service, "SetStaffRole", ADMIN, "{\"pageId\":PAGE,\"userId\":\"8\",\"role\":\"ROLE_EDITOR\"}" },
	{ &aside_v1_page_service, "ListStaff", ADMIN, "{\"pageId\":PAGE,\"pageSize\":10}" },
	{ &aside_v1_page_settings_service, "GetPageSettings", ADMIN, "{\"pageId\":PAGE,\"asOfUs\":\"253402300799999999\"}" },
	{ &aside_v1_page_settings_service, "UpdatePageSettings", ADMIN,
			"{\"pageId\":PAGE,\"settings\":" ALL_SETTINGS ",\"updateMask\":" ALL_FIELDS ",\"changeReason\":\"why\"}" },
	{ &aside_v1_page_settings_service, "ListPageSettingsVersions", ADMIN, "{\"pageId\":PAGE,\"pageSize\":10}" },
	{ &aside_v1_page_settings_service, "GetMessagingAvailability", JOHNNY, "{\"pageId\":PAGE,\"userId\":\"42\"}" },
	{ &aside_v1_wall_service, "RecordWallEntry", SERVICE,
			"{\"entry\":{\"pageId\":PAGE,\"entryId\":\"1\",\"kind\":\"WALL_ENTRY_KIND_POST\",\"authorUserId\":\"42\","
			"\"text\":\"Hi\",\"postedAtUs\":\"1000000\"}}" },
	{ &aside_v1_wall_service, "RemoveWallEntry", SERVICE, "{\"pageId\":PAGE,\"entryId\":\"2\"}" },
	{ &aside_v1_wall_service, "ListWallEntries", ADMIN, "{\"pageId\":PAGE,\"pageSize\":10}" },
	{ &aside_v1_thread_service, "OpenThread", JOHNNY, "{\"pageId\":PAGE}" },
	{ &aside_v1_thread_service, "GetThread", JOHNNY, "{\"pageId\":PAGE,\"userId\":\"42\"}" },
	{ &aside_v1_thread_service, "ListPageThreads", ADMIN, "{\"pageId\":PAGE,\"pageSize\":10}" },
	{ &aside_v1_thread_service, "ListMyThreads", JOHNNY, "{\"pageSize\":10}" },
	{ &aside_v1_thread_service, "MarkThread", JOHNNY,
			"{\"pageId\":PAGE,\"userId\":\"42\",\"side\":\"SIDE_PERSON\",\"deliveredSeq\":1,\"readSeq\":1}" },
	{ &aside_v1_thread_service, "SetBlock", JOHNNY,
			"{\"pageId\":PAGE,\"userId\":\"42\",\"side\":\"SIDE_PERSON\",\"blocked\":false}" },
	{ &aside_v1_thread_service, "VerifyCounters", ADMIN, "{\"pageId\":PAGE}" },
	{ &aside_v1_message_service, "SendMessage", JOHNNY, "{\"pageId\":PAGE,\"clientKey\":" UUID ",\"content\":" CONTENT "}" },
	{ &aside_v1_message_service, "ReplyAsPage", ADMIN,
			"{\"pageId\":PAGE,\"userId\":\"42\",\"clientKey\":" UUID ",\"content\":" CONTENT ",\"expectedLastSeq\":1}" },
	{ &aside_v1_message_service, "SendPrivateReply", ADMIN,
			"{\"pageId\":PAGE,\"entryId\":\"1\",\"clientKey\":" UUID ",\"content\":" CONTENT "}" },
	{ &aside_v1_message_service, "ListMessages", JOHNNY, "{\"pageId\":PAGE,\"userId\":\"42\",\"beforeSeq\":10,\"pageSize\":10}" },
	{ &aside_v1_message_service, "CanSend", ADMIN, "{\"pageId\":PAGE,\"userId\":\"42\",\"side\":\"SIDE_PAGE\",\"entryId\":\"1\"}" },
	{ &aside_v1_attachment_service, "BeginAttachment", JOHNNY,
			"{\"pageId\":PAGE,\"attachmentId\":" UUID ",\"side\":\"SIDE_PERSON\",\"kind\":\"ATTACHMENT_KIND_PHOTO\","
			"\"sizeBytes\":\"5\",\"sha256\":" SHA "}" },
	{ &aside_v1_attachment_service, "UploadChunk", JOHNNY,
			"{\"pageId\":PAGE,\"attachmentId\":" UUID ",\"chunkIndex\":0,\"data\":\"aGVsbG8=\"}" },
	{ &aside_v1_attachment_service, "CompleteAttachment", JOHNNY, "{\"pageId\":PAGE,\"attachmentId\":" UUID "}" },
	{ &aside_v1_attachment_service, "ReadAttachment", JOHNNY,
			"{\"pageId\":PAGE,\"attachmentId\":" UUID ",\"offsetBytes\":\"10\",\"lengthBytes\":10}" },
	{ &aside_v1_watch_service, "SendTyping", JOHNNY, "{\"pageId\":PAGE,\"userId\":\"42\",\"side\":\"SIDE_PERSON\"}" },
	{ &aside_rpc_v1_health_service, "Check", SERVICE, "{\"service\":\"aside.v1.PageService\"}" },
	{ &aside_rpc_v1_reflection_service, "ListServices", SERVICE, "{}" },
	{ &aside_rpc_v1_reflection_service, "GetDescriptors", SERVICE, "{\"symbol\":\"aside.v1.PageService\"}" },
};

/* `text` with the page for PAGE. */
static void fill_in(const char *text, int64_t page, char *out, size_t size)
{
	const char *at = strstr(text, "PAGE,"), *last = strstr(text, "PAGE}");

	if (at == NULL)
		at = last;
	if (at == NULL)
		(void)snprintf(out, size, "%s", text);
	else
		(void)snprintf(out, size, "%.*s\"%lld\"%s", (int)(at - text), text, (long long)page, at + strlen("PAGE"));
}

static struct bytes body_of(struct arena *arena, const struct aside_method *method, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	struct json_fault fault;
	ProtobufCMessage *message = json_to_message(json, method->request, arena, &fault);

	if (message == NULL)
		fail_msg("%s: %s %s", method->path, fault.where, fault.why);
	uint8_t *body = arena_alloc(arena, protobuf_c_message_get_packed_size(message) + 1);
	assert_non_null(body);
	size_t size = protobuf_c_message_pack(message, body);
	json_decref(json);
	return (struct bytes){ body, size };
}

static const struct aside_method *find_method(const struct aside_service *service, const char *name)
{
	for (size_t i = 0; i < service->n_methods; i++)
		if (strcmp(service->methods[i].name, name) == 0)
			return &service->methods[i];
	fail_msg("%s has no method %s", service->name, name);
	return NULL;
}

/* Every unary method of every service there is a request for. */
static size_t count_methods(void)
{
	const struct aside_service *seen = NULL;
	size_t n = 0;

	for (size_t i = 0; i < N_OF(requests); i++) {
		const struct aside_service *service = requests[i].service;
		for (size_t k = 0; service != seen && k < service->n_methods; k++)
			n += !service->methods[k].client_streaming && !service->methods[k].server_streaming;
		seen = service;
	}
	return n;
}

size_t requests_make(struct arena *arena, int64_t page, struct request ret[REQUESTS_MAX])
{
	char json[1024];

	assert_int_equal(N_OF(requests), count_methods());
	for (size_t i = 0; i < N_OF(requests); i++) {
		ret[i].method = find_method(requests[i].service, requests[i].method);
		ret[i].caller = requests[i].caller;
		fill_in(requests[i].json, page, json, sizeof json);
		ret[i].body = body_of(arena, ret[i].method, json);
	}
	return N_OF(requests);
}

/* ── bytes ───────────────────────────────────────────────────────────────────────────────────────── */

/* Room for a field of `size` bytes behind its tag and length. */
static uint8_t *room(struct arena *arena, size_t size)
{
	uint8_t *out = arena_alloc(arena, size + 20);

	assert_non_null(out);
	return out;
}

struct bytes raw_number(struct arena *arena, uint32_t field, uint64_t value)
{
	uint8_t *out = room(arena, 0), *end = varint_write(varint_write(out, field << 3 | WIRE_VARINT), value);

	return (struct bytes){ out, (size_t)(end - out) };
}

struct bytes raw_bytes(struct arena *arena, uint32_t field, const void *data, size_t size)
{
	uint8_t *out = room(arena, size), *end = varint_write(varint_write(out, field << 3 | WIRE_BYTES), size);

	if (size > 0)
		memcpy(end, data, size);
	return (struct bytes){ out, (size_t)(end - out) + size };
}

struct bytes raw_fixed(struct arena *arena, uint32_t field, size_t size)
{
	uint8_t *out = room(arena, size), *end = varint_write(out, field << 3 | (size == 4 ? WIRE_FIXED32 : WIRE_FIXED64));

	memset(end, 0, size);
	return (struct bytes){ out, (size_t)(end - out) + size };
}

struct bytes request_with(struct arena *arena, struct bytes body, const uint32_t *path, size_t depth, struct bytes raw)
{
	uint8_t *out = room(arena, body.size + raw.size + 20 * depth), *end = out;
	struct bytes inner = { NULL, 0 }, rest = body;

	while (rest.size > 0) {
		const uint8_t *from = rest.data;
		struct field field = { 0 };
		assert_true(field_take(&rest, &field));
		if (field.number == path[0]) {
			inner = field.bytes;
			continue;
		}
		memcpy(end, from, (size_t)(rest.data - from));
		end += rest.data - from;
	}
	if (depth > 1) {
		struct bytes changed = request_with(arena, inner, path + 1, depth - 1, raw);
		raw = raw_bytes(arena, path[0], changed.data, changed.size);
	}
	if (raw.size > 0)
		memcpy(end, raw.data, raw.size);
	return (struct bytes){ out, (size_t)(end - out) + raw.size };
}
