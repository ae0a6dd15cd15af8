/* The table of refusals, in the order of aside/v1/reason.proto.  Knows no calls and no SQL: statements
 * and handlers name a reason, this says which canonical code it is.  Any thread. */
#include "reason.h"

#include <stdio.h>
#include <string.h>

struct reason {
	const char *name;
	enum aside_code code;
	const char *message;
};

static const struct reason reasons[] = {
	{ "FIELD_INVALID", ASIDE_INVALID_ARGUMENT, "a field is out of its limits" },
	{ "PAGE_NOT_FOUND", ASIDE_NOT_FOUND, "no such page" },
	{ "THREAD_NOT_FOUND", ASIDE_NOT_FOUND, "no such thread" },
	{ "WALL_ENTRY_NOT_FOUND", ASIDE_NOT_FOUND, "no such wall entry on this page" },
	{ "ATTACHMENT_NOT_FOUND", ASIDE_NOT_FOUND, "no such attachment" },
	{ "PAGE_EXISTS", ASIDE_ALREADY_EXISTS, "the page id is taken, with other content" },
	{ "KEY_REUSED", ASIDE_ALREADY_EXISTS, "the client key was used before, with other content" },
	{ "ROLE_REQUIRED", ASIDE_PERMISSION_DENIED, "the method needs a higher role on this page" },
	{ "MESSAGING_DISABLED", ASIDE_FAILED_PRECONDITION, "the page takes no messages" },
	{ "BLOCKED", ASIDE_FAILED_PRECONDITION, "one side has blocked the other" },
	{ "PERSON_MUST_START", ASIDE_FAILED_PRECONDITION, "only the person can start a thread" },
	{ "AWAITING_PERSON", ASIDE_FAILED_PRECONDITION,
			"the person has not answered the private reply yet" },
	{ "REPLY_WINDOW_CLOSED", ASIDE_FAILED_PRECONDITION,
			"the person's last message is older than the reply window" },
	{ "REPLY_BUDGET_SPENT", ASIDE_FAILED_PRECONDITION,
			"too many page messages in a row without an answer" },
	{ "ALREADY_REPLIED", ASIDE_FAILED_PRECONDITION,
			"the wall entry was answered privately before" },
	{ "PRIVATE_REPLY_EXPIRED", ASIDE_FAILED_PRECONDITION,
			"the wall entry is older than the private reply window" },
	{ "AUTHOR_IS_PAGE", ASIDE_FAILED_PRECONDITION, "the wall entry's author is a page" },
	{ "VERSION_MISMATCH", ASIDE_ABORTED, "the settings have another version" },
	{ "THREAD_MOVED_ON", ASIDE_ABORTED, "the thread has newer messages" },
	{ "TEXT_TOO_LONG", ASIDE_INVALID_ARGUMENT, "the text is longer than the page allows" },
	{ "ATTACHMENT_TOO_LARGE", ASIDE_INVALID_ARGUMENT,
			"the attachment is larger than the page allows" },
	{ "ATTACHMENT_TYPE_MISMATCH", ASIDE_INVALID_ARGUMENT,
			"the bytes are not of the declared kind" },
	{ "ATTACHMENT_HASH_MISMATCH", ASIDE_INVALID_ARGUMENT,
			"the bytes do not have the declared SHA-256" },
	{ "ATTACHMENT_INCOMPLETE", ASIDE_FAILED_PRECONDITION, "not all bytes are there yet" },
	{ "ATTACHMENT_SEALED", ASIDE_FAILED_PRECONDITION,
			"the upload is complete, or has other bytes there" },
	{ "ATTACHMENT_USED", ASIDE_FAILED_PRECONDITION,
			"the attachment is part of another message" },
	{ "LAST_ADMIN", ASIDE_FAILED_PRECONDITION, "the page would be left without an admin" },
	{ "RANGE_BEYOND_END", ASIDE_OUT_OF_RANGE, "the range begins beyond the attachment's end" },
	{ "MESSAGE_NOT_FOUND", ASIDE_NOT_FOUND, "no such message" },
	{ "WALL_ENTRY_EXISTS", ASIDE_ALREADY_EXISTS,
			"the wall entry was recorded before, with other content" },
	{ "PAGE_TOKEN_INVALID", ASIDE_INVALID_ARGUMENT, "not a page token of this method" },
	{ "CURSOR_INVALID", ASIDE_INVALID_ARGUMENT, "not a cursor of this watch" },
	{ "TOO_MANY_THREADS", ASIDE_RESOURCE_EXHAUSTED, "more threads than can be watched at once" },
};

enum aside_code refuse(struct aside_status *err, const char *reason)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		if (strcmp(reasons[i].name, reason) != 0)
			continue;
		fail(err, reasons[i].code, reason, "%s", reasons[i].message);
		if (err != NULL)
			(void)snprintf(err->domain, sizeof err->domain, "%s", DOMAIN_SERVICE);
		return reasons[i].code;
	}
	return fail(err, ASIDE_INTERNAL, "INTERNAL", "a statement answered what it should not");
}
