/* Statuses: filled by whoever fails, carried as aside.rpc.v1.Status.  See status.h. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "validate.h"

#define TYPE_PREFIX "type.googleapis.com/"
/* ErrorInfo.metadata's key for aside_status.not_executed. */
#define NOT_EXECUTED "not_executed"
#define US_PER_SECOND 1000000ull
/* A day; a peer that names a longer wait is not believed. */
#define RETRY_SECONDS_MAX 86400

static const char *const code_names[] = {
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
};
#define N_CODES (sizeof code_names / sizeof *code_names)

const char *aside_code_name(enum aside_code code)
{
	return (unsigned)code < N_CODES ? code_names[code] : "UNKNOWN";
}

const char *aside_status_fact(const struct aside_status *status, const char *key)
{
	for (unsigned i = 0; i < status->n_facts; i++)
		if (strcmp(status->facts[i].key, key) == 0)
			return status->facts[i].value;
	return NULL;
}

/* Copies as much as fits and never cuts a UTF-8 character in two. */
static void copy_text(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text != NULL ? text : "", size);

	if (length == size) {
		length--;
		while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
			length--;
	}
	if (length > 0)
		memcpy(out, text, length);
	out[length] = '\0';
}

static void set_message(char *out, size_t size, const char *fmt, va_list ap) ASIDE_PRINTF(3, 0);
static void set_message(char *out, size_t size, const char *fmt, va_list ap)
{
	char text[1024];

	(void)vsnprintf(text, sizeof text, fmt, ap);
	copy_text(out, size, text);
}

enum aside_code fail(struct aside_status *err, enum aside_code code, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	*err = (struct aside_status){ .code = code };
	copy_text(err->reason, sizeof err->reason, reason);
	copy_text(err->domain, sizeof err->domain, DOMAIN_RUNTIME);
	va_start(ap, fmt);
	set_message(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	return code;
}

enum aside_code fail_field(struct aside_status *err, const char *field, const char *fmt, ...)
{
	struct aside_violation *violation;
	va_list ap;

	if (err == NULL)
		return ASIDE_INVALID_ARGUMENT;
	if (err->code != ASIDE_INVALID_ARGUMENT || strcmp(err->reason, "FIELD_INVALID") != 0) {
		(void)fail(err, ASIDE_INVALID_ARGUMENT, "FIELD_INVALID", "%s is not valid", field);
		copy_text(err->domain, sizeof err->domain, DOMAIN_SERVICE);
	}
	if (err->n_violations == ASIDE_VIOLATIONS_MAX)
		return ASIDE_INVALID_ARGUMENT;
	violation = &err->violations[err->n_violations++];
	copy_text(violation->field, sizeof violation->field, field);
	va_start(ap, fmt);
	set_message(violation->description, sizeof violation->description, fmt, ap);
	va_end(ap);
	return ASIDE_INVALID_ARGUMENT;
}

void status_add_fact(struct aside_status *err, const char *key, const char *fmt, ...)
{
	struct aside_fact *fact;
	va_list ap;

	if (err == NULL || err->n_facts == ASIDE_FACTS_MAX)
		return;
	fact = &err->facts[err->n_facts++];
	copy_text(fact->key, sizeof fact->key, key);
	va_start(ap, fmt);
	set_message(fact->value, sizeof fact->value, fmt, ap);
	va_end(ap);
}

/* Puts `detail`, serialized, into the next place of status->details. */
static bool add_detail(Aside__Rpc__V1__Status *status, const ProtobufCMessage *detail, struct arena *arena)
{
	Google__Protobuf__Any *any = arena_alloc(arena, sizeof *any);
	const char *name = detail->descriptor->name;
	size_t size = protobuf_c_message_get_packed_size(detail);
	uint8_t *packed = arena_alloc(arena, size);
	char *url = arena_alloc(arena, sizeof TYPE_PREFIX + strlen(name));

	if (any == NULL || packed == NULL || url == NULL)
		return false;
	google__protobuf__any__init(any);
	protobuf_c_message_pack(detail, packed);
	memcpy(url, TYPE_PREFIX, sizeof TYPE_PREFIX - 1);
	strcpy(url + sizeof TYPE_PREFIX - 1, name);
	any->type_url = url;
	any->value = (ProtobufCBinaryData){ .len = size, .data = packed };
	status->details[status->n_details++] = any;
	return true;
}

static bool add_error_info(Aside__Rpc__V1__Status *out, const struct aside_status *status, struct arena *arena)
{
	Aside__Rpc__V1__ErrorInfo info = ASIDE__RPC__V1__ERROR_INFO__INIT;
	Aside__Rpc__V1__ErrorInfo__MetadataEntry entries[ASIDE_FACTS_MAX + 1];
	Aside__Rpc__V1__ErrorInfo__MetadataEntry *pointers[ASIDE_FACTS_MAX + 1];
	unsigned n = status->n_facts;

	for (unsigned i = 0; i < status->n_facts; i++) {
		aside__rpc__v1__error_info__metadata_entry__init(&entries[i]);
		entries[i].key = (char *)status->facts[i].key;
		entries[i].value = (char *)status->facts[i].value;
		pointers[i] = &entries[i];
	}
	if (status->not_executed && aside_status_fact(status, NOT_EXECUTED) == NULL) {
		aside__rpc__v1__error_info__metadata_entry__init(&entries[n]);
		entries[n].key = (char *)NOT_EXECUTED;
		entries[n].value = (char *)"true";
		pointers[n] = &entries[n];
		n++;
	}
	info.reason = (char *)status->reason;
	info.domain = (char *)status->domain;
	info.n_metadata = n;
	info.metadata = pointers;
	return add_detail(out, &info.base, arena);
}

static bool add_bad_request(Aside__Rpc__V1__Status *out, const struct aside_status *status, struct arena *arena)
{
	Aside__Rpc__V1__BadRequest bad = ASIDE__RPC__V1__BAD_REQUEST__INIT;
	Aside__Rpc__V1__BadRequest__FieldViolation fields[ASIDE_VIOLATIONS_MAX], *pointers[ASIDE_VIOLATIONS_MAX];

	for (unsigned i = 0; i < status->n_violations; i++) {
		aside__rpc__v1__bad_request__field_violation__init(&fields[i]);
		fields[i].field = (char *)status->violations[i].field;
		fields[i].description = (char *)status->violations[i].description;
		pointers[i] = &fields[i];
	}
	bad.n_field_violations = status->n_violations;
	bad.field_violations = pointers;
	return status->n_violations == 0 || add_detail(out, &bad.base, arena);
}

static bool add_retry_info(Aside__Rpc__V1__Status *out, const struct aside_status *status, struct arena *arena)
{
	Aside__Rpc__V1__RetryInfo retry = ASIDE__RPC__V1__RETRY_INFO__INIT;
	Aside__Rpc__V1__RetryInfo__Delay delay = ASIDE__RPC__V1__RETRY_INFO__DELAY__INIT;

	delay.seconds = (int64_t)(status->retry_after_us / US_PER_SECOND);
	delay.nanos = (int32_t)(status->retry_after_us % US_PER_SECOND * 1000);
	retry.retry_delay = &delay;
	return status->retry_after_us == 0 || add_detail(out, &retry.base, arena);
}

Aside__Rpc__V1__Status *status_to_proto(const struct aside_status *status, struct arena *arena)
{
	Aside__Rpc__V1__Status *out = arena_alloc(arena, sizeof *out);
	size_t length = strlen(status->message);

	if (out == NULL)
		return NULL;
	aside__rpc__v1__status__init(out);
	out->code = (int32_t)status->code;
	out->message = arena_strndup(arena, status->message, length);
	out->details = arena_alloc(arena, 3 * sizeof(Google__Protobuf__Any *));
	if (out->message == NULL || out->details == NULL || !add_error_info(out, status, arena) ||
			!add_bad_request(out, status, arena) || !add_retry_info(out, status, arena))
		return NULL;
	return out;
}

static void read_error_info(const Aside__Rpc__V1__ErrorInfo *info, struct aside_status *ret)
{
	copy_text(ret->reason, sizeof ret->reason, info->reason);
	copy_text(ret->domain, sizeof ret->domain, info->domain);
	for (size_t i = 0; i < info->n_metadata; i++)
		if (strcmp(info->metadata[i]->key, NOT_EXECUTED) == 0)
			ret->not_executed = true;
		else
			status_add_fact(ret, info->metadata[i]->key, "%s", info->metadata[i]->value);
}

static void read_bad_request(const Aside__Rpc__V1__BadRequest *bad, struct aside_status *ret)
{
	for (size_t i = 0; i < bad->n_field_violations && ret->n_violations < ASIDE_VIOLATIONS_MAX; i++) {
		struct aside_violation *violation = &ret->violations[ret->n_violations++];
		copy_text(violation->field, sizeof violation->field, bad->field_violations[i]->field);
		copy_text(violation->description, sizeof violation->description,
				bad->field_violations[i]->description);
	}
}

static void read_retry_info(const Aside__Rpc__V1__RetryInfo *retry, struct aside_status *ret)
{
	const Aside__Rpc__V1__RetryInfo__Delay *delay = retry->retry_delay;

	if (delay != NULL && delay->seconds >= 0 && delay->seconds <= RETRY_SECONDS_MAX && delay->nanos >= 0)
		ret->retry_after_us = (uint64_t)delay->seconds * US_PER_SECOND + (uint64_t)delay->nanos / 1000;
}

static void read_detail(const Google__Protobuf__Any *any, struct aside_status *ret)
{
	static const ProtobufCMessageDescriptor *const known[] = {
		&aside__rpc__v1__error_info__descriptor,
		&aside__rpc__v1__bad_request__descriptor,
		&aside__rpc__v1__retry_info__descriptor,
	};
	const char *name = strrchr(any->type_url, '/');

	for (size_t i = 0; name != NULL && i < sizeof known / sizeof *known; i++) {
		if (strcmp(name + 1, known[i]->name) != 0)
			continue;
		if (validate(known[i], (struct bytes){ any->value.data, any->value.len }, NULL) != ASIDE_OK)
			return;
		ProtobufCMessage *detail = protobuf_c_message_unpack(known[i], NULL, any->value.len, any->value.data);
		if (detail == NULL)
			return;
		if (i == 0)
			read_error_info((const void *)detail, ret);
		else if (i == 1)
			read_bad_request((const void *)detail, ret);
		else
			read_retry_info((const void *)detail, ret);
		protobuf_c_message_free_unpacked(detail, NULL);
	}
}

void status_from_proto(const Aside__Rpc__V1__Status *wire, uint32_t code, struct aside_status *ret)
{
	*ret = (struct aside_status){ .code = code < N_CODES ? (enum aside_code)code : ASIDE_UNKNOWN };
	if (wire == NULL)
		return;
	copy_text(ret->message, sizeof ret->message, wire->message);
	for (size_t i = 0; i < wire->n_details; i++)
		read_detail(wire->details[i], ret);
}
