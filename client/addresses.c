/* See addresses.h. */
#include "addresses.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX 65536
#define TLS_SCHEME "tls+tcp://"

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

void addresses_add(struct addresses *to, const char *url)
{
	for (size_t i = 0; i < to->n; i++)
		if (strcmp(to->url[i], url) == 0)
			return;
	if (to->n < ASIDE_ENDPOINTS_MAX)
		(void)snprintf(to->url[to->n++], ASIDE_ADDRESS_MAX, "%s", url);
}

static bool read_file(const char *path, struct addresses *ret)
{
	size_t room = 0, total = 0;
	char *line = NULL;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return false;
	for (ssize_t n; total < FILE_BYTES_MAX && (n = getline(&line, &room, file)) >= 0; total += (size_t)n) {
		char *begin = line + strspn(line, " \t");
		begin[strcspn(begin, "# \t\r\n")] = '\0';
		if (strstr(begin, "://") != NULL && strlen(begin) < ASIDE_ADDRESS_MAX)
			addresses_add(ret, begin);
	}
	bool whole = feof(file) != 0;
	free(line);
	fclose(file);
	return whole && ret->n > 0; /* an empty file is one that is being written */
}

/* HOST:PORT of a name to look up. */
static const char *host_of(const char *name)
{
	return begins(name, TLS_SCHEME) ? name + strlen(TLS_SCHEME) : name;
}

static bool look_up(const char *name, struct addresses *ret)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	const char *scheme = begins(name, TLS_SCHEME) ? TLS_SCHEME : "tcp://";
	char host[ASIDE_ADDRESS_MAX], url[ASIDE_ADDRESS_MAX];
	struct addrinfo *all = NULL;

	(void)snprintf(host, sizeof host, "%s", host_of(name));
	char *port = strrchr(host, ':');
	if (port == NULL)
		return false;
	*port++ = '\0';
	if (getaddrinfo(host, port, &hints, &all) != 0)
		return false;
	for (const struct addrinfo *one = all; one != NULL; one = one->ai_next) {
		char number[64];
		if (getnameinfo(one->ai_addr, one->ai_addrlen, number, sizeof number, NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		int n = snprintf(url, sizeof url, one->ai_family == AF_INET6 ? "%s[%s]:%s" : "%s%s:%s", scheme, number, port);
		if (n > 0 && (size_t)n < sizeof url)
			addresses_add(ret, url);
	}
	freeaddrinfo(all);
	return ret->n > 0;
}

/* ── what addresses stand for ────────────────────────────────────────────────────────────────────── */

bool addresses_change(const char *text)
{
	return begins(text, "file:") || begins(text, "dns:");
}

const char *addresses_name(const char *text)
{
	return begins(text, "dns:") ? host_of(text + strlen("dns:")) : NULL;
}

bool addresses_certified(const char *text)
{
	return begins(text, "dns:" TLS_SCHEME);
}

bool addresses_look_up(const char *text, struct addresses *ret)
{
	if (begins(text, "file:"))
		return read_file(text + strlen("file:"), ret);
	if (begins(text, "dns:"))
		return look_up(text + strlen("dns:"), ret);
	addresses_add(ret, text);
	return true;
}
