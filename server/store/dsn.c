/* See dsn.h. */
#include "dsn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const PQconninfoOption *options, const char *key)
{
	const char *value = NULL;

	for (const PQconninfoOption *option = options; option->keyword != NULL; option++)
		if (strcmp(option->keyword, key) == 0)
			value = option->val;
	return value;
}

static unsigned count_hosts(const PQconninfoOption *options)
{
	const char *hosts = value_of(options, "hostaddr");
	unsigned n = 1;

	if (hosts == NULL)
		hosts = value_of(options, "host");
	for (; hosts != NULL && *hosts != '\0'; hosts++)
		n += *hosts == ',';
	return n;
}

enum aside_code dsn_parse(const char *text, struct dsn *ret, struct aside_status *err)
{
	char *why = NULL;

	*ret = (struct dsn){ .options = PQconninfoParse(text, &why), .n_hosts = 1 };
	if (ret->options == NULL) {
		(void)fail(err, ASIDE_INVALID_ARGUMENT, "BAD_DSN", "%.*s", why != NULL ? (int)strcspn(why, "\n") : 0,
				why != NULL ? why : "");
		PQfreemem(why);
		return ASIDE_INVALID_ARGUMENT;
	}
	const char *timeout = value_of(ret->options, "connect_timeout");
	long seconds = strtol(timeout != NULL ? timeout : DSN_CONNECT_TIMEOUT_S, NULL, 10);
	ret->n_hosts = count_hosts(ret->options);
	ret->connect_timeout_us = 1000000 * (int64_t)(seconds > 0 && seconds < INT32_MAX ? seconds : INT32_MAX);
	return ASIDE_OK;
}

void dsn_fini(struct dsn *dsn)
{
	PQconninfoFree(dsn->options);
	dsn->options = NULL;
}

void dsn_add_param(struct dsn_params *params, const char *key, const char *value)
{
	assert(params->n < DSN_PARAMS_MAX);
	params->keys[params->n] = key;
	params->values[params->n++] = value;
}

/* The element of a list with commas; of a list of one, that one; false: it is too long. */
static bool pick(const char *list, unsigned index, char *ret)
{
	if (strchr(list, ',') == NULL)
		index = 0;
	for (; index > 0 && list != NULL; index--) {
		list = strchr(list, ',');
		list = list != NULL ? list + 1 : NULL;
	}
	size_t size = list != NULL ? strcspn(list, ",") : 0;
	if (size >= DSN_VALUE_MAX)
		return false;
	memcpy(ret, list != NULL ? list : "", size);
	ret[size] = '\0';
	return true;
}

void dsn_add(const struct dsn *dsn, unsigned host, struct dsn_params *params)
{
	static const char *const lists[] = { "host", "hostaddr", "port" };

	for (const PQconninfoOption *option = dsn->options; option->keyword != NULL; option++) {
		const char *value = option->val;
		for (size_t i = 0; value != NULL && i < sizeof lists / sizeof *lists; i++)
			if (strcmp(option->keyword, lists[i]) == 0 && pick(value, host, params->own[i]))
				value = params->own[i];
		if (value != NULL)
			dsn_add_param(params, option->keyword, value);
	}
}
