#include "names.h"

#include <ctype.h>
#include <string.h>

/* Writes `full` piece by piece: the dots become `separator`, and an upper-case letter becomes '_' and a
 * lower-case one unless it begins a piece or follows another upper-case letter. */
static const char *lower(const char *full, const char *separator, char out[NAME_MAX_BYTES])
{
	size_t n = 0;
	int was_upper = 1;

	for (full += *full == '.'; *full != '\0' && n + 4 < NAME_MAX_BYTES; full++) {
		if (*full == '.') {
			n += (size_t)(stpcpy(out + n, separator) - (out + n));
			was_upper = 1;
			continue;
		}
		int upper = isupper((unsigned char)*full);
		if (upper && !was_upper)
			out[n++] = '_';
		out[n++] = (char)tolower((unsigned char)*full);
		was_upper = upper;
	}
	out[n] = '\0';
	return out;
}

const char *name_lower(const char *full, char out[NAME_MAX_BYTES])
{
	return lower(full, "__", out);
}

const char *name_symbol(const char *full, char out[NAME_MAX_BYTES])
{
	return lower(full, "_", out);
}

const char *name_type(const char *full, char out[NAME_MAX_BYTES])
{
	size_t n = 0;
	int up = 1;

	for (full += *full == '.'; *full != '\0' && n + 4 < NAME_MAX_BYTES; full++) {
		if (*full == '.') {
			out[n++] = '_';
			out[n++] = '_';
			up = 1;
		} else if (*full == '_') {
			up = 1;
		} else {
			out[n++] = up ? (char)toupper((unsigned char)*full) : *full;
			up = 0;
		}
	}
	out[n] = '\0';
	return out;
}

const char *name_file(const char *path, char out[NAME_MAX_BYTES])
{
	size_t length = strlen(path), n = 0;

	if (length > 6 && strcmp(path + length - 6, ".proto") == 0)
		length -= 6;
	for (; n < length && n + 1 < NAME_MAX_BYTES; n++)
		out[n] = isalnum((unsigned char)path[n]) ? path[n] : '_';
	out[n] = '\0';
	return out;
}
