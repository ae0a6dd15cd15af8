/* PageSettingsService: the settings and their history (P3, P4).  Knows operations, no SQL; the defaults
 * of a new page are in create_page.sql.  Worker threads. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "aside/v1/pages.pb-c.h"
#include "aside/v1/pages.rpc.h"
#include "service.h"
#include "settings.h"
#include "store/sql.h"

#define YEAR_SECONDS 31536000
#define REASON_CHARS_MAX 500
#define MASK_PATHS_MAX 32
#define CHANGE_ID_BYTES 16

/* The fields of PageSettings, in the order of the statements' columns, with their limits. */
enum setting {
	SETTING_ENABLED,
	SETTING_TEXT_CHARS,
	SETTING_ATTACHMENT_BYTES,
	SETTING_REPLY_WINDOW,
	SETTING_REPLY_BUDGET,
	SETTING_PRIVATE_WINDOW,
	SETTINGS,
};

static const struct {
	const char *name, *field; /* as in a mask; as in the request */
	uint64_t min, max;
} settings[SETTINGS] = {
	{ "messaging_enabled", "settings.messaging_enabled", 0, 1 },
	{ "max_text_chars", "settings.max_text_chars", 1, 10000 },
	{ "max_attachment_bytes", "settings.max_attachment_bytes", 1, 1 << 30 },
	{ "reply_window_seconds", "settings.reply_window_seconds", 0, YEAR_SECONDS },
	{ "reply_budget", "settings.reply_budget", 0, 100 },
	{ "private_reply_window_seconds", "settings.private_reply_window_seconds", 60, YEAR_SECONDS },
};

static uint64_t setting_value(const Aside__V1__PageSettings *in, enum setting which)
{
	switch (which) {
	case SETTING_ENABLED: return in->messaging_enabled ? 1 : 0;
	case SETTING_TEXT_CHARS: return in->max_text_chars;
	case SETTING_ATTACHMENT_BYTES: return in->max_attachment_bytes;
	case SETTING_REPLY_WINDOW: return in->reply_window_seconds;
	case SETTING_REPLY_BUDGET: return in->reply_budget;
	case SETTING_PRIVATE_WINDOW: return in->private_reply_window_seconds;
	case SETTINGS: break;
	}
	return 0;
}

/* The mask as bits; INVALID_ARGUMENT for a path that is no field, or none at all. */
static enum aside_code mask_read(
		const Google__Protobuf__FieldMask *mask, unsigned *ret, struct aside_status *err)
{
	unsigned bits = 0;

	if (mask == NULL || mask->n_paths == 0 || mask->n_paths > MASK_PATHS_MAX)
		return fail_field(err, "update_mask", "must name 1 to %d fields", MASK_PATHS_MAX);
	for (size_t i = 0; i < mask->n_paths; i++) {
		unsigned which = 0;
		while (which < SETTINGS && strcmp(settings[which].name, mask->paths[i]) != 0)
			which++;
		if (which == SETTINGS)
			return fail_field(err, "update_mask", "'%.64s' is no field of PageSettings",
					mask->paths[i]);
		bits |= 1u << which;
	}
	*ret = bits;
	return ASIDE_OK;
}

/* The named fields, comma-separated: what the history shows.  NULL when the arena is full. */
static char *mask_text(struct call *call, unsigned bits)
{
	char text[256] = "";
	size_t size = 0;

	for (unsigned which = 0; which < SETTINGS; which++)
		if (bits & 1u << which)
			size += (size_t)snprintf(text + size, sizeof text - size, "%s%s",
					size > 0 ? "," : "", settings[which].name);
	return call_text(call, text);
}

/* The reverse of mask_text. */
Google__Protobuf__FieldMask *settings_mask(struct arena *arena, const char *text)
{
	Google__Protobuf__FieldMask *mask = arena_alloc(arena, sizeof *mask);
	char *rest = arena_strndup(arena, text, strlen(text));

	if (mask == NULL || rest == NULL)
		return NULL;
	google__protobuf__field_mask__init(mask);
	mask->paths = arena_alloc(arena, SETTINGS * sizeof *mask->paths);
	if (mask->paths == NULL)
		return NULL;
	char *state = NULL;
	for (char *path = strtok_r(rest, ",", &state); path != NULL && mask->n_paths < SETTINGS;
			path = strtok_r(NULL, ",", &state))
		mask->paths[mask->n_paths++] = path;
	return mask;
}

/* From the columns reason, version, the six settings, changed_at, changed_by, changed_fields,
 * change_reason of a row.  NULL when the arena is full. */
static Aside__V1__PageSettingsVersion *version_of(struct call *call, unsigned row)
{
	const struct op *op = call->op;
	Aside__V1__PageSettingsVersion *version = call_alloc(call, sizeof *version);
	Aside__V1__PageSettings *in_force = call_alloc(call, sizeof *in_force);

	if (version == NULL || in_force == NULL)
		return NULL;
	aside__v1__page_settings__init(in_force);
	in_force->messaging_enabled = op_row_bool(op, row, 2);
	in_force->max_text_chars = (uint32_t)op_row_int(op, row, 3);
	in_force->max_attachment_bytes = (uint64_t)op_row_int(op, row, 4);
	in_force->reply_window_seconds = (uint32_t)op_row_int(op, row, 5);
	in_force->reply_budget = (uint32_t)op_row_int(op, row, 6);
	in_force->private_reply_window_seconds = (uint32_t)op_row_int(op, row, 7);

	aside__v1__page_settings_version__init(version);
	version->version = (uint32_t)op_row_int(op, row, 1);
	version->settings = in_force;
	version->changed_at_us = op_row_int(op, row, 8);
	version->changed_by_user_id = op_row_int(op, row, 9);
	version->changed_fields = settings_mask(&call->arena, op_row_text(op, row, 10));
	version->change_reason = call_text(call, op_row_text(op, row, 11));
	return version->changed_fields == NULL || version->change_reason == NULL ? NULL : version;
}

static enum aside_code get_settings_begin(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__GetPageSettingsRequest *in = request;

	if (check_id(in->page_id, "page_id", err))
		return ASIDE_INVALID_ARGUMENT;
	if (check_range((uint64_t)in->as_of_us, "as_of_us", 0, TIME_US_MAX, err))
		return ASIDE_INVALID_ARGUMENT;
	struct op *op = op_new(&call->arena, &sql_get_page_settings, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_ANALYST);
	if (in->as_of_us == 0)
		op_null(op);
	else
		op_int(op, in->as_of_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code get_settings_end(
		struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__GetPageSettingsResponse *out = call_response(call);
	if (out == NULL || (out->version = version_of(call, 0)) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

/* Everything the request says of the change, checked. */
static enum aside_code update_check(const Aside__V1__UpdatePageSettingsRequest *in, unsigned *ret_bits,
		struct aside_status *err)
{
	enum aside_code code = check_id(in->page_id, "page_id", err) |
			check_text(in->change_reason, "change_reason", 0, REASON_CHARS_MAX, err) |
			check_range(in->expected_version, "expected_version", 0, INT32_MAX, err) |
			mask_read(in->update_mask, ret_bits, err);

	if (in->settings == NULL)
		return fail_field(err, "settings", "must be set");
	if (code != ASIDE_OK)
		return ASIDE_INVALID_ARGUMENT;
	for (unsigned which = 0; which < SETTINGS; which++)
		if (*ret_bits & 1u << which)
			code |= check_range(setting_value(in->settings, which), settings[which].field,
					settings[which].min, settings[which].max, err);
	return code == ASIDE_OK ? ASIDE_OK : ASIDE_INVALID_ARGUMENT;
}

static enum aside_code update_settings_begin(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__UpdatePageSettingsRequest *in = request;
	unsigned bits = 0;
	enum aside_code code = update_check(in, &bits, err);
	if (code != ASIDE_OK)
		return code;

	const char *changed_fields = mask_text(call, bits);
	uint8_t *change_id = call_alloc(call, CHANGE_ID_BYTES); /* the store may have to send the statement again */
	struct op *op = op_new(&call->arena, &sql_update_page_settings, in->page_id);
	if (op == NULL || changed_fields == NULL || change_id == NULL)
		return call_full(err);
	if (getrandom(change_id, CHANGE_ID_BYTES, 0) != CHANGE_ID_BYTES)
		return fail(err, ASIDE_INTERNAL, "INTERNAL", "no random bytes");
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_ADMIN);
	op_bytes(op, (struct bytes){ change_id, CHANGE_ID_BYTES });
	op_int(op, in->expected_version);
	for (unsigned which = 0; which < SETTINGS; which++) {
		if (!(bits & 1u << which))
			op_null(op);
		else if (which == SETTING_ENABLED)
			op_bool(op, in->settings->messaging_enabled);
		else
			op_int(op, (int64_t)setting_value(in->settings, which));
	}
	op_text(op, changed_fields);
	op_text(op, in->change_reason);
	op_int(op, call->now_us);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code update_settings_end(
		struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code == ASIDE_ABORTED && strcmp(err->reason, "VERSION_MISMATCH") == 0)
		status_add_fact(err, "current_version", "%" PRId64, op_row_int(call->op, 0, 1));
	if (code != ASIDE_OK)
		return code;

	Aside__V1__UpdatePageSettingsResponse *out = call_response(call);
	if (out == NULL || (out->version = version_of(call, 0)) == NULL)
		return call_full(err);
	return ASIDE_OK;
}

/* What the list needs between begin and end. */
struct version_list {
	unsigned page_size;
};

static enum aside_code list_versions_begin(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListPageSettingsVersionsRequest *in = request;
	struct version_list *list = call->state = call_alloc(call, sizeof *list);
	int64_t before[2] = { 0, INT32_MAX };

	if (list == NULL)
		return call_full(err);
	if (check_id(in->page_id, "page_id", err) | check_page_size(in->page_size, &list->page_size, err))
		return ASIDE_INVALID_ARGUMENT;
	if (page_token_read(in->page_token, 'V', in->page_id, before, 2, err))
		return ASIDE_INVALID_ARGUMENT;
	if (before[1] < 1 || before[1] > INT32_MAX)
		return refuse(err, "PAGE_TOKEN_INVALID");

	struct op *op = op_new(&call->arena, &sql_list_page_settings_versions, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_caller(op, call, ROLE_ANALYST);
	op_int(op, before[1]);
	op_int(op, list->page_size + 1);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code list_versions_end(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__ListPageSettingsVersionsRequest *in = request;
	const struct version_list *list = call->state;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__ListPageSettingsVersionsResponse *out = call_response(call);
	if (out == NULL || (out->versions = call_alloc(call, op->n_rows * sizeof *out->versions)) == NULL)
		return call_full(err);
	for (unsigned row = 0; row < op->n_rows && row < list->page_size; row++) {
		if (op_is_null(op, row, 1))
			break;
		out->versions[row] = version_of(call, row);
		if (out->versions[row] == NULL)
			return call_full(err);
		out->n_versions++;
	}
	if (op->n_rows <= list->page_size)
		return ASIDE_OK;
	int64_t last[2] = { in->page_id, out->versions[out->n_versions - 1]->version };
	out->next_page_token = page_token_new(&call->arena, 'V', last, 2);
	return out->next_page_token == NULL ? call_full(err) : ASIDE_OK;
}

static enum aside_code availability_begin(
		struct call *call, const void *request, struct aside_status *err)
{
	const Aside__V1__GetMessagingAvailabilityRequest *in = request;

	if (check_id(in->page_id, "page_id", err) | check_id(in->user_id, "user_id", err))
		return ASIDE_INVALID_ARGUMENT;
	if (call->principal.kind == PRINCIPAL_PERSON && in->user_id != call->principal.user_id)
		return fail_field(err, "user_id", "must be the caller's own id");
	struct op *op = op_new(&call->arena, &sql_get_messaging_availability, in->page_id);
	if (op == NULL)
		return call_full(err);
	op_int(op, in->page_id);
	op_int(op, in->user_id);
	call->op = op;
	return ASIDE_OK;
}

static enum aside_code availability_end(
		struct call *call, const void *request, struct aside_status *err)
{
	(void)request;
	const struct op *op = call->op;
	enum aside_code code = call_outcome(call, "PAGE_NOT_FOUND", err);
	if (code != ASIDE_OK)
		return code;

	Aside__V1__GetMessagingAvailabilityResponse *out = call_response(call);
	if (out == NULL)
		return call_full(err);
	out->available = op_is_null(op, 0, 1);
	out->unavailable_reason = call_text(call, op_row_text(op, 0, 1));
	out->max_text_chars = (uint32_t)op_row_int(op, 0, 2);
	out->max_attachment_bytes = (uint64_t)op_row_int(op, 0, 3);
	return out->unavailable_reason == NULL ? call_full(err) : ASIDE_OK;
}

static const struct handler handlers[] = {
	{ "GetPageSettings", get_settings_begin, get_settings_end },
	{ "UpdatePageSettings", update_settings_begin, update_settings_end },
	{ "ListPageSettingsVersions", list_versions_begin, list_versions_end },
	{ "GetMessagingAvailability", availability_begin, availability_end },
};

const struct handlers settings_handlers = {
	.service = &aside_v1_page_settings_service,
	.handlers = handlers,
	.n_handlers = sizeof handlers / sizeof *handlers,
};
