/* See history.h.  stdio locks a file for the time of a line. */
#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct history {
	FILE *attempts, *watched;
};

static FILE *make_file(const char *folder, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	return fopen(path, "we");
}

struct history *history_open(const char *folder)
{
	struct history *history = calloc(1, sizeof *history);

	if (history == NULL)
		return NULL;
	history->attempts = make_file(folder, "attempts.tsv");
	history->watched = make_file(folder, "watched.tsv");
	if (history->attempts != NULL && history->watched != NULL)
		return history;
	history_close(history);
	return NULL;
}

void history_close(struct history *history)
{
	if (history == NULL)
		return;
	if (history->attempts != NULL)
		fclose(history->attempts);
	if (history->watched != NULL)
		fclose(history->watched);
	free(history);
}

void history_flush(struct history *history)
{
	fflush(history->attempts);
	fflush(history->watched);
}

static const char *hex(const uint8_t *key, char *ret_hex)
{
	for (size_t i = 0; i < KEY_BYTES; i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", key[i]);
	return ret_hex;
}

void history_add_attempt(struct history *history, const struct attempt *attempt)
{
	const struct call *call = attempt->call;
	char key[2 * KEY_BYTES + 1];

	fprintf(history->attempts, "%s\t%d\t%" PRId64 "\t%" PRId64 "\t%s\t%s\t%" PRIu32 "\t%" PRId64 "\t%" PRId64 "\t%d\t%s\t%" PRIu32 "\n",
			call->mark ? "mark" : "send", call->side, call->page, call->person,
			call->mark ? "\\N" : hex(call->key, key), call->text, call->asked_seq, attempt->began_us,
			attempt->ended_us, (int)attempt->status->code, attempt->status->reason, attempt->seq);
}

void history_add_watched(struct history *history, const struct watched *watched)
{
	fprintf(history->watched, "%u\t%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%s\t%" PRId64 "\t%d\t%" PRIu32 "\t%" PRIu32 "\t%s\n",
			watched->watcher, watched->page, watched->number, watched->told_number, watched->kind,
			watched->person, watched->side, watched->seq, watched->unread, watched->text);
}
