#include "config.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "wire/status.h"

enum kind {
	TEXT,
	NUMBER,
	LIST,
	SWITCH,
};

static const struct setting {
	const char *flag, *env, *fallback;
	enum kind kind;
	size_t offset;
	const char *help;
} settings[] = {
#define AT(member) offsetof(struct config, member)
	{ "listen", "ASIDE_LISTEN", NULL, LIST, AT(listen), "address to serve, again for more: tcp://HOST:PORT, ipc://PATH,\n"
			"tls+tcp://HOST:PORT, ws://HOST:PORT/PATH.  Default: ipc://DATA/aside.sock" },
	{ "database", "ASIDE_DATABASE", NULL, TEXT, AT(database), "libpq connection string; without it a private PostgreSQL runs in DATA" },
	{ "data", "ASIDE_DATA", "/var/lib/aside", TEXT, AT(data), "folder of the private PostgreSQL and the default socket" },
	{ "cluster-user", "ASIDE_CLUSTER_USER", "postgres", TEXT, AT(cluster_user), "as root: who runs the private PostgreSQL" },
	{ "keys", "ASIDE_KEYS", NULL, TEXT, AT(keys), "folder of public keys KID.pem that sign tokens; without it only ipc is served" },
	{ "ipc-user", "ASIDE_IPC_USER", NULL, LIST, AT(ipc_user), "who an ipc peer's uid is: UID=person:ID or UID=service:NAME:SCOPE,SCOPE" },
	{ "tls", "ASIDE_TLS", NULL, TEXT, AT(tls), "PEM file with certificate and key, for tls+tcp" },
	{ "workers", "ASIDE_WORKERS", "0", NUMBER, AT(workers), "threads that handle calls; 0: one a processor" },
	{ "write-lanes", "ASIDE_WRITE_LANES", "0", NUMBER, AT(write_lanes), "connections that write; 0: 2" },
	{ "read-lanes", "ASIDE_READ_LANES", "0", NUMBER, AT(read_lanes), "connections that read; 0: 2" },
	{ "no-hints", NULL, NULL, SWITCH, AT(no_hints), "neither tell other servers what happens nor listen: where LISTEN does not work;\n"
			"their watchers wait for a look at the tables, every 3 seconds" },
	{ "drain-timeout", "ASIDE_DRAIN_TIMEOUT", "20", NUMBER, AT(drain_timeout), "seconds to finish calls after SIGTERM" },
	{ "log-level", "ASIDE_LOG_LEVEL", "info", TEXT, AT(log_level), "debug, info, warning or error" },
	{ "check-config", NULL, NULL, SWITCH, AT(check), "print what would run, and exit" },
#undef AT
};
#define N_SETTINGS (sizeof settings / sizeof *settings)

static void *member_of(struct config *config, const struct setting *setting)
{
	return (char *)config + setting->offset;
}

static enum aside_code set(struct config *config, const struct setting *setting, const char *value,
		struct aside_status *err)
{
	const char **list = member_of(config, setting);
	size_t n = 0;

	switch (setting->kind) {
	case SWITCH: *(bool *)member_of(config, setting) = true; return ASIDE_OK;
	case NUMBER:
		if (value[0] == '\0' || strspn(value, "0123456789") != strlen(value) || strlen(value) > 6)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s: %s is no number", setting->flag, value);
		list[0] = value;
		return ASIDE_OK;
	case TEXT: list[0] = value; return ASIDE_OK;
	case LIST: break;
	}
	while (list[n] != NULL)
		n++;
	if (n == CONFIG_LIST_MAX)
		return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s: too many", setting->flag);
	list[n] = value;
	return ASIDE_OK;
}

static const struct setting *find(const char *flag, size_t length)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strlen(settings[i].flag) == length && memcmp(settings[i].flag, flag, length) == 0)
			return &settings[i];
	return NULL;
}

static enum aside_code read_defaults(struct config *config, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;

	for (size_t i = 0; i < N_SETTINGS && code == ASIDE_OK; i++) {
		const char *value = settings[i].env != NULL ? getenv(settings[i].env) : NULL;
		if (settings[i].kind == SWITCH || *(const char **)member_of(config, &settings[i]) != NULL)
			continue;
		if (value == NULL || value[0] == '\0')
			value = settings[i].fallback;
		if (value != NULL)
			code = set(config, &settings[i], value, err);
	}
	return code;
}

enum aside_code config_read(struct config *config, int argc, char **argv, char ***ret_rest, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;
	int i;

	*config = (struct config){ 0 };
	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0 && code == ASIDE_OK; i++) {
		const char *flag = argv[i] + 2, *value = strchr(flag, '=');
		size_t length = value != NULL ? (size_t)(value++ - flag) : strlen(flag);
		const struct setting *setting = find(flag, length);
		if (setting == NULL)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%.*s: no such flag", (int)length, flag);
		if (setting->kind != SWITCH && value == NULL && ++i == argc)
			return fail(err, ASIDE_INVALID_ARGUMENT, "BAD_FLAG", "--%s needs a value", setting->flag);
		code = set(config, setting, setting->kind == SWITCH || value != NULL ? value : argv[i], err);
	}
	*ret_rest = argv + i;
	return code == ASIDE_OK ? read_defaults(config, err) : code;
}

unsigned config_number(const char *value)
{
	return (unsigned)strtoul(value, NULL, 10);
}

void config_print(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const char *const *list = (const void *)((const char *)config + settings[i].offset);
		if (settings[i].kind == SWITCH)
			continue;
		if (settings[i].kind != LIST)
			fprintf(out, "%s=%s\n", settings[i].flag, strcmp(settings[i].flag, "database") == 0 && list[0] != NULL ?
							"(set)" : list[0] != NULL ? list[0] : "");
		for (; settings[i].kind == LIST && *list != NULL; list++)
			fprintf(out, "%s=%s\n", settings[i].flag, *list);
	}
}

void config_help(FILE *out)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		fprintf(out, "  --%s%s\n", settings[i].flag, settings[i].kind == SWITCH ? "" : settings[i].kind == NUMBER ? " N" : " VALUE");
		for (const char *line = settings[i].help; line != NULL;) {
			size_t length = strcspn(line, "\n");
			fprintf(out, "        %.*s\n", (int)length, line);
			line = line[length] == '\n' ? line + length + 1 : NULL;
		}
		if (settings[i].env != NULL)
			fprintf(out, "        %s%s%s\n", settings[i].env, settings[i].fallback != NULL ? ", default " : "",
					settings[i].fallback != NULL ? settings[i].fallback : "");
	}
}
