/* See transcript.h. */
#include "transcript.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 100
#define NAME_WIDTH 14 /* columns of who acts or sees */

static unsigned n_done, n_refused;

/* The escape sequence on a terminal, nothing elsewhere. */
static const char *style(const char *escape)
{
	static int colours = -1;

	if (colours < 0) {
		const char *term = getenv("TERM");
		colours = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL && term != NULL && strcmp(term, "dumb") != 0;
	}
	return colours ? escape : "";
}
#define BOLD style("\033[1m")
#define FAINT style("\033[2m")
#define RED style("\033[31m")
#define GREEN style("\033[32m")
#define CYAN style("\033[1;36m")
#define PLAIN style("\033[0m")

/* Columns of a text in UTF-8. */
static int columns(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xC0) != 0x80;
	return n;
}

static void name(const char *who)
{
	printf("   %s%s%s%*s", BOLD, who, PLAIN, columns(who) < NAME_WIDTH ? NAME_WIDTH - columns(who) : 1, "");
}

void transcript_title(const char *title, const char *subtitle)
{
	printf("\n%s%s%s\n%s%s%s\n", BOLD, title, PLAIN, FAINT, subtitle, PLAIN);
}

void transcript_chapter(unsigned number, const char *title)
{
	printf("\n%s━━ %u  %s ", CYAN, number, title);
	for (int at = columns(title) + 7; at < WIDTH; at++)
		printf("━");
	printf("%s\n\n", PLAIN);
}

void transcript_act(const char *who, const char *fmt, ...)
{
	va_list ap;

	name(who);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void transcript_done(const char *fmt, ...)
{
	va_list ap;

	n_done++;
	printf("%*s%s✔%s %s", NAME_WIDTH + 3, "", GREEN, PLAIN, FAINT);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("%s\n", PLAIN);
}

void transcript_refused(const struct aside_status *status)
{
	n_refused++;
	printf("%*s%s✘ %s  %s%s  %s%s%s\n", NAME_WIDTH + 3, "", RED, aside_code_name(status->code), status->reason, PLAIN,
			FAINT, status->message, PLAIN);
}

void transcript_view(const char *who, const char *fmt, ...)
{
	va_list ap;

	name(who);
	printf("%s╭%s ", FAINT, PLAIN);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void transcript_row(const char *fmt, ...)
{
	va_list ap;

	printf("%*s%s│%s ", NAME_WIDTH + 3, "", FAINT, PLAIN);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void transcript_view_end(void)
{
	printf("%*s%s╰%s\n", NAME_WIDTH + 3, "", FAINT, PLAIN);
}

void transcript_end(const char *words)
{
	printf("\n%s%s%s %s%u done, %u refused as they must be.%s\n\n", BOLD, words, PLAIN, FAINT, n_done, n_refused, PLAIN);
}
