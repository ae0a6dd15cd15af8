/* See origin.h. */
#include "origin.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

struct text {
	const char *begin;
	size_t size;
};

/* The value of the first header of this name; { NULL }: there is none. */
static struct text find_header(const char *headers, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = headers; *line != '\0'; line += strspn(line, "\r\n")) {
		size_t size = strcspn(line, "\r\n");
		if (size > length && strncasecmp(line, name, length) == 0 && line[length] == ':') {
			const char *value = line + length + 1 + strspn(line + length + 1, " \t");
			return (struct text){ value, (size_t)(line + size - value) };
		}
		line += size;
	}
	return (struct text){ NULL, 0 };
}

static bool is(struct text text, const char *other, size_t size)
{
	return text.size == size && strncasecmp(text.begin, other, size) == 0;
}

/* The same host and port, by whichever scheme: a proxy may have taken TLS off. */
static bool is_own(struct text origin, struct text host)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < sizeof schemes / sizeof *schemes && host.begin != NULL; i++) {
		size_t length = strlen(schemes[i]);
		if (origin.size > length && strncasecmp(origin.begin, schemes[i], length) == 0 &&
				is((struct text){ origin.begin + length, origin.size - length }, host.begin, host.size))
			return true;
	}
	return false;
}

bool origin_allowed(const char *headers, const char *const *allowed)
{
	struct text origin = find_header(headers, "Origin");

	if (origin.begin == NULL || is_own(origin, find_header(headers, "Host")))
		return true;
	for (; allowed != NULL && *allowed != NULL; allowed++)
		if (is(origin, *allowed, strlen(*allowed)))
			return true;
	return false;
}
