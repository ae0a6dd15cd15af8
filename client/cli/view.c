/* aside threads, inbox and messages: a call whose response is a table. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "text.h"

struct view {
	const char *method;
	const char *words[WORDS_MAX]; /* the fields that the command's words are */
	const char *list;             /* the field of the response that holds the rows */
	bool upwards;                 /* the last row first: what comes newest first reads like a talk */
	struct {
		const char *header, *path; /* "personMarks.unreadCount" */
	} columns[GRID_COLUMNS_MAX];
};

static const struct view threads = { "aside.v1.ThreadService/ListMyThreads", { NULL }, "threads", false,
	{ { "PAGE", "pageId" }, { "NAME", "pageName" }, { "MESSAGES", "lastSeq" }, { "UNREAD", "personMarks.unreadCount" },
			{ "NEWEST", "lastSentAtUs" } } };
static const struct view inbox = { "aside.v1.ThreadService/ListPageThreads", { "pageId" }, "threads", false,
	{ { "PERSON", "userId" }, { "MESSAGES", "lastSeq" }, { "UNREAD", "pageMarks.unreadCount" }, { "NEWEST", "lastSentAtUs" } } };
static const struct view messages = { "aside.v1.MessageService/ListMessages", { "pageId", "userId" }, "messages", true,
	{ { "NUMBER", "seq" }, { "FROM", "side" }, { "SENT", "sentAtUs" }, { "ATTACHED", "content.attachments" },
			{ "TEXT", "content.text" } } };

static const json_t *follow(const json_t *json, const char *path)
{
	char name[64];

	for (size_t length; json != NULL && *path != '\0'; path += length + (path[length] == '.')) {
		length = strcspn(path, ".");
		(void)snprintf(name, sizeof name, "%.*s", (int)length, path);
		json = json_object_get(json, name);
	}
	return json;
}

/* Microseconds since 1970, as this place's clocks show them. */
static void add_time(struct grid *grid, const char *us)
{
	time_t seconds = (time_t)(strtoll(us, NULL, 10) / 1000000);
	char text[32] = "";
	struct tm local;

	if (seconds > 0 && localtime_r(&seconds, &local) != NULL)
		(void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
	grid_add(grid, "%s", text);
}

/* "SIDE_PERSON" is "person" where people read. */
static void add_enum(struct grid *grid, const char *value)
{
	static const char prefix[] = "SIDE_";
	char text[64];

	(void)snprintf(text, sizeof text, "%s", strncmp(value, prefix, strlen(prefix)) == 0 ? value + strlen(prefix) : value);
	for (char *p = text; *p != '\0'; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
	grid_add(grid, "%s", text);
}

/* What is not there is a default: 0 of a number. */
static void add_cell(struct grid *grid, const json_t *row, const char *path)
{
	const json_t *value = follow(row, path);
	size_t length = strlen(path);

	if (json_is_array(value))
		grid_add(grid, "%zu", json_array_size(value));
	else if (json_is_integer(value))
		grid_add(grid, "%" PRIdMAX, (intmax_t)json_integer_value(value));
	else if (!json_is_string(value))
		grid_add(grid, "%s", strstr(path, "unread") != NULL || strstr(path, "attach") != NULL ? "0" : "");
	else if (length > 2 && strcmp(path + length - 2, "Us") == 0)
		add_time(grid, json_string_value(value));
	else if (strcmp(path, "side") == 0)
		add_enum(grid, json_string_value(value));
	else
		grid_add(grid, "%s", json_string_value(value));
}

static void print_rows(const struct view *view, const json_t *response)
{
	const char *headers[GRID_COLUMNS_MAX + 1] = { NULL };
	struct grid grid;
	size_t n;

	for (size_t i = 0; view->columns[i].header != NULL; i++)
		headers[i] = view->columns[i].header;
	grid_init(&grid, headers);
	n = json_array_size(json_object_get(response, view->list));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; view->columns[k].header != NULL; k++)
			add_cell(&grid, json_array_get(json_object_get(response, view->list), view->upwards ? n - 1 - i : i),
					view->columns[k].path);
	grid_end(&grid);
}

static int show(struct invocation *in, const struct view *view)
{
	json_t *request = json_object(), *response = NULL;
	int rc;

	for (size_t i = 0; i < WORDS_MAX && view->words[i] != NULL; i++)
		json_object_set_new(request, view->words[i], json_string(in->words[i]));
	rc = call_json(in, view->method, request, &response);
	if (rc == 0 && wants_json(in))
		print_json(response);
	else if (rc == 0)
		print_rows(view, response);
	json_decref(request);
	json_decref(response);
	return rc;
}

int threads_command(struct invocation *in)
{
	return show(in, &threads);
}

int inbox_command(struct invocation *in)
{
	return show(in, &inbox);
}

int messages_command(struct invocation *in)
{
	return show(in, &messages);
}
