#include "config.h"

#include <stddef.h>
#include <string.h>

#include "wire/status.h"

#define HELP_COLUMNS 26

enum kind {
	TEXT,
	SECRET, /* a text that is never shown */
	NUMBER,
	LIST,
	SWITCH,
};

static const struct setting {
	const char *flag, *value, *env, *fallback;
	enum kind kind;
	size_t offset;
	unsigned max; /* of a NUMBER */
	const char *help;
} settings[] = {
#define AT(member) offsetof(struct config, member)
	{ "listen", "ADDRESS", "ASIDE_LISTEN", NULL, LIST, AT(listen), 0,
			"address to serve, again for more: tcp://HOST:PORT, ipc://PATH,\n"
			"tls+tcp://HOST:PORT, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH.  Default: ipc://DATA/aside.sock" },
	{ "database", "DSN", "ASIDE_DATABASE", NULL, SECRET, AT(database), 0,
			"libpq connection string; without it a private PostgreSQL runs in DATA" },
	{ "read-database", "DSN", "ASIDE_READ_DATABASE", NULL, SECRET, AT(read_database), 0,
			"the same, of the database's read replicas: they list threads and messages as the\n"
			"database would at that moment; where they cannot, it does" },
	{ "data", "FOLDER", "ASIDE_DATA", "/var/lib/aside", TEXT, AT(data), 0,
			"folder of the private PostgreSQL and the default socket" },
	{ "cluster-user", "USER", "ASIDE_CLUSTER_USER", "postgres", TEXT, AT(cluster_user), 0,
			"as root: who runs the private PostgreSQL" },
	{ "keys", "FOLDER", "ASIDE_KEYS", NULL, TEXT, AT(keys), 0,
			"folder of public keys KID.pem that sign tokens; without it only ipc is served" },
	{ "audience", "NAME", "ASIDE_AUDIENCE", NULL, TEXT, AT(audience), 0,
			"refuse tokens whose aud is not, or does not have, this; without it aud is not\n"
			"looked at" },
	{ "ipc-user", "UID=WHO", "ASIDE_IPC_USER", NULL, LIST, AT(ipc_user), 0,
			"who an ipc peer's uid is, again for more: UID=person:ID or\n"
			"UID=service:NAME:SCOPE,SCOPE" },
	{ "origin", "ORIGIN", "ASIDE_ORIGIN", NULL, LIST, AT(origin), 0,
			"where web pages that may call by ws come from, again for more: https://HOST;\n"
			"others than the server's own are refused" },
	{ "tls", "FILE", "ASIDE_TLS", NULL, TEXT, AT(tls), 0, "certificate and key, PEM, for tls+tcp and wss" },
	{ "http", "HOST:PORT", "ASIDE_HTTP", NULL, TEXT, AT(http), 0,
			"serve /healthz, /readyz and /metrics there, by HTTP and without\n"
			"credentials: on a loopback address" },
	{ "http-anywhere", NULL, "ASIDE_HTTP_ANYWHERE", NULL, SWITCH, AT(http_anywhere), 0,
			"let --http be an address that others reach" },
	{ "workers", "N", "ASIDE_WORKERS", "0", NUMBER, AT(workers), 256, "threads that handle calls; 0: one a processor" },
	{ "write-lanes", "N", "ASIDE_WRITE_LANES", "0", NUMBER, AT(write_lanes), 16, "connections that write; 0: 2" },
	{ "read-lanes", "N", "ASIDE_READ_LANES", "0", NUMBER, AT(read_lanes), 16, "connections that read; 0: 2" },
	{ "no-hints", NULL, "ASIDE_NO_HINTS", NULL, SWITCH, AT(no_hints), 0,
			"neither tell other servers what happens nor listen: where LISTEN does not work;\n"
			"their watchers wait for a look at the tables, every 3 seconds" },
	{ "keep-messages", "DAYS", "ASIDE_KEEP_MESSAGES", "0", NUMBER, AT(keep_messages), 36500,
			"empty messages so many days after they were sent, and remove their photos and\n"
			"videos; 0: never" },
	{ "keep-events", "DAYS", "ASIDE_KEEP_EVENTS", "0", NUMBER, AT(keep_events), 36500,
			"how long a watch may have been away and miss nothing; 0: as long as messages are\n"
			"kept" },
	{ "peer-memory", "MIB", "ASIDE_PEER_MEMORY", "1024", NUMBER, AT(peer_memory), 1048576,
			"what all peers together may have the server keep: replies not fetched, calls,\n"
			"sessions; beyond it the connection with most of it is cut off; 0: 1024" },
	{ "drain-timeout", "SECONDS", "ASIDE_DRAIN_TIMEOUT", "20", NUMBER, AT(drain_timeout), 3600,
			"how long to finish calls after SIGTERM" },
	{ "log-level", "LEVEL", "ASIDE_LOG_LEVEL", "info", TEXT, AT(log_level), 0, "debug, info, warning or error" },
	{ "check-config", NULL, NULL, NULL, SWITCH, AT(check), 0, "check all of this, print what would run, and exit" },
#undef AT
};
#define N_SETTINGS (sizeof settings / sizeof *settings)

static void *member_of(struct config *config, const struct setting *setting)
{
	return (char *)config + setting->offset;
}

enum aside_code config_bad(struct aside_status *err, const char *flag, const char *value, const char *why)
{
	return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s %.120s: %s", flag, value, why);
}

static enum aside_code set_switch(struct config *config, const struct setting *setting, const char *value, struct aside_status *err)
{
	static const char *const words[] = { "0", "1", "no", "yes", "false", "true" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(value, words[i]) == 0) {
			*(bool *)member_of(config, setting) = i % 2 == 1;
			return ASIDE_OK;
		}
	return config_bad(err, setting->flag, value, "yes or no");
}

static enum aside_code set(struct config *config, const struct setting *setting, const char *value, struct aside_status *err)
{
	const char **list = member_of(config, setting);
	size_t n = 0, length = strlen(value);

	if (length == 0)
		return config_bad(err, setting->flag, "''", "is empty");
	switch (setting->kind) {
	case SWITCH: return set_switch(config, setting, value, err);
	case NUMBER:
		if (strspn(value, "0123456789") != length)
			return config_bad(err, setting->flag, value, "is no number");
		if (length > 6 || config_number(value) > setting->max)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s %s: at most %u", setting->flag, value, setting->max);
		list[0] = value;
		return ASIDE_OK;
	case SECRET:
	case TEXT: list[0] = value; return ASIDE_OK;
	case LIST: break;
	}
	for (; list[n] != NULL; n++)
		if (strcmp(list[n], value) == 0)
			return config_bad(err, setting->flag, value, "is given twice");
	if (n == CONFIG_LIST_MAX)
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s: at most %d of them", setting->flag, CONFIG_LIST_MAX);
	list[n] = value;
	return ASIDE_OK;
}

/* A variable holds the elements of a list with blanks between them. */
static enum aside_code set_list(struct config *config, const struct setting *setting, const char *values, struct aside_status *err)
{
	char *copy = strdup(values), *state = NULL; /* lives as long as the program: the list points into it */
	enum aside_code code = ASIDE_OK;

	if (copy == NULL)
		return fail(err, ASIDE_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
	for (char *word = strtok_r(copy, " \t\n", &state); word != NULL && code == ASIDE_OK; word = strtok_r(NULL, " \t\n", &state))
		code = set(config, setting, word, err);
	return code;
}

static const struct setting *find(const char *flag, size_t length)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strlen(settings[i].flag) == length && memcmp(settings[i].flag, flag, length) == 0)
			return &settings[i];
	return NULL;
}

/* What no flag has said: by the environment, or by default. */
static enum aside_code read_defaults(struct config *config, const bool given[], struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (size_t i = 0; i < N_SETTINGS && code == ASIDE_OK; i++) {
		const char *value = settings[i].env != NULL ? getenv(settings[i].env) : NULL;
		if (given[i])
			continue;
		if (value == NULL || value[0] == '\0')
			value = settings[i].fallback;
		if (value != NULL)
			code = settings[i].kind == LIST ? set_list(config, &settings[i], value, err) : set(config, &settings[i], value, err);
	}
	return code;
}

enum aside_code config_read(struct config *config, int argc, char **argv, char ***ret_rest, struct aside_status *err)
{
	bool given[N_SETTINGS] = { false };
	enum aside_code code = ASIDE_OK;
	int i;

	*config = (struct config){ 0 };
	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0 && code == ASIDE_OK; i++) {
		const char *flag = argv[i] + 2, *value = strchr(flag, '=');
		size_t length = value != NULL ? (size_t)(value++ - flag) : strlen(flag);
		const struct setting *setting = find(flag, length);
		if (setting == NULL)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%.*s: no such flag", (int)length, flag);
		if (value == NULL && setting->kind == SWITCH)
			value = "yes";
		else if (value == NULL && (value = argv[++i]) == NULL)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s needs a value", setting->flag);
		if (given[setting - settings] && setting->kind != LIST)
			return config_bad(err, setting->flag, value, "is given twice");
		given[setting - settings] = true;
		code = set(config, setting, value, err);
	}
	*ret_rest = argv + i;
	return code == ASIDE_OK ? read_defaults(config, given, err) : code;
}

unsigned config_number(const char *value)
{
	return (unsigned)strtoul(value, NULL, 10);
}

void config_print(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const void *member = (const char *)config + settings[i].offset;
		const char *const *list = member;
		if (settings[i].kind == SWITCH && settings[i].env != NULL)
			fprintf(out, "%s=%s\n", settings[i].flag, *(const bool *)member ? "yes" : "no");
		if (settings[i].kind == TEXT || settings[i].kind == SECRET || settings[i].kind == NUMBER)
			fprintf(out, "%s=%s\n", settings[i].flag, list[0] == NULL ? "" : settings[i].kind == SECRET ? "(set)" : list[0]);
		for (; settings[i].kind == LIST && *list != NULL; list++)
			fprintf(out, "%s=%s\n", settings[i].flag, *list);
	}
}

void config_help(FILE *out)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *setting = &settings[i];
		int n = fprintf(out, "  --%s%s%s", setting->flag, setting->value != NULL ? " " : "", setting->value != NULL ? setting->value : "");
		const char *line = setting->help;
		for (size_t length; line != NULL; line = line[length] == '\n' ? line + length + 1 : NULL) {
			length = strcspn(line, "\n");
			fprintf(out, "%*s%.*s\n", n < HELP_COLUMNS ? HELP_COLUMNS - n : 1, "", (int)length, line);
			n = 0;
		}
		if (setting->env != NULL)
			fprintf(out, "%*s%s%s%s\n", HELP_COLUMNS, "", setting->env, setting->fallback != NULL ? ", default " : "",
					setting->fallback != NULL ? setting->fallback : "");
	}
}

/* A cell of code, or nothing. */
static void put_code(const char *text, FILE *out)
{
	fprintf(out, text != NULL ? " `%s` |" : "%s |", text != NULL ? text : "");
}

void config_markdown(FILE *out)
{
	fputs("| flag | variable | default | |\n|---|---|---|---|\n", out);
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *setting = &settings[i];
		fprintf(out, "| `--%s%s%s` |", setting->flag, setting->value != NULL ? " " : "", setting->value != NULL ? setting->value : "");
		put_code(setting->env, out);
		put_code(setting->fallback, out);
		fputc(' ', out);
		for (const char *text = setting->help; *text != '\0'; text++)
			fputc(*text == '\n' ? ' ' : *text, out);
		fputs(" |\n", out);
	}
}
