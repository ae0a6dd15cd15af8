/* See text.h. */
#include "text.h"

#include <ctype.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define WIDTH_DEFAULT 100
#define WIDTH_MIN 40
#define HEIGHT_DEFAULT 24
#define GAP 2

static struct {
	bool terminal, styled;
	unsigned width, height;
} screen;

void text_init(void)
{
	struct winsize size = { 0 };
	const char *plain = getenv("NO_COLOR"), *term = getenv("TERM");

	(void)setlocale(LC_CTYPE, "");
	if (MB_CUR_MAX == 1)
		(void)setlocale(LC_CTYPE, "C.UTF-8"); /* what we print is UTF-8 in any case */
	screen.terminal = isatty(STDOUT_FILENO);
	screen.styled = screen.terminal && (plain == NULL || plain[0] == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
	screen.width = WIDTH_DEFAULT;
	screen.height = HEIGHT_DEFAULT;
	if (!screen.terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return;
	if (size.ws_col >= WIDTH_MIN)
		screen.width = size.ws_col;
	if (size.ws_row > 0)
		screen.height = size.ws_row;
}

unsigned text_width(void)
{
	return screen.width;
}

unsigned text_height(void)
{
	return screen.height;
}

bool text_is_terminal(void)
{
	return screen.terminal;
}

static void begin(enum style style)
{
	if (screen.styled && style != STYLE_PLAIN)
		fputs(style == STYLE_BOLD ? "\033[1m" : "\033[2m", stdout);
}

static void end(enum style style)
{
	if (screen.styled && style != STYLE_PLAIN)
		fputs("\033[0m", stdout);
}

void text_print(enum style style, const char *fmt, ...)
{
	va_list ap;

	begin(style);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	end(style);
}

/* The character at `text`: its bytes, and its columns; what is none, or controls, takes one column. */
static size_t take(const char *text, size_t left, int *ret_columns, bool *ret_control)
{
	mbstate_t state = { 0 };
	wchar_t wide = 0;
	size_t n = mbrtowc(&wide, text, left, &state);

	*ret_control = n == 0 || n > left || (wide < 0x20) || (wide >= 0x7F && wide < 0xA0);
	*ret_columns = *ret_control ? 1 : wcwidth(wide);
	if (*ret_columns < 0)
		*ret_columns = 1;
	return n == 0 || n > left ? 1 : n;
}

size_t text_columns(const char *text)
{
	size_t columns = 0, left = strlen(text);
	bool control;
	int width;

	while (left > 0) {
		size_t n = take(text, left, &width, &control);
		columns += (size_t)width;
		text += n;
		left -= n;
	}
	return columns;
}

/* ── prose ───────────────────────────────────────────────────────────────────────────────────────── */

static const char *skip_blanks(const char *text, bool *ret_paragraph)
{
	unsigned feeds = 0;

	for (; isspace((unsigned char)*text); text++)
		feeds += *text == '\n';
	*ret_paragraph = feeds > 1;
	return text;
}

static void print_word(const char *word, size_t length)
{
	bool control;
	int width;

	for (size_t n; length > 0; word += n, length -= n) {
		n = take(word, length, &width, &control);
		if (control)
			fputs("\xef\xbf\xbd", stdout); /* U+FFFD */
		else
			fwrite(word, 1, n, stdout);
	}
}

void text_wrap(enum style style, unsigned at, unsigned indent, const char *text)
{
	char word[512];
	bool first = true, paragraph;

	begin(style);
	for (text = skip_blanks(text, &paragraph); *text != '\0'; text = skip_blanks(text, &paragraph)) {
		size_t length = strcspn(text, " \t\n\r\f\v");
		(void)snprintf(word, sizeof word, "%.*s", (int)length, text);
		unsigned columns = (unsigned)text_columns(word);
		if (!first && (paragraph || at + 1 + columns > screen.width)) {
			printf("%s\n%*s", paragraph ? "\n" : "", (int)indent, "");
			at = indent;
		} else if (!first) {
			putchar(' ');
			at++;
		}
		print_word(text, length);
		at += columns;
		first = false;
		text += length;
	}
	end(style);
	putchar('\n');
}

const char *text_sentence(const char *comment, char *out, size_t size)
{
	size_t n = 0;
	bool gap = false;

	for (; *comment != '\0' && n + 2 < size; comment++) {
		if (isspace((unsigned char)*comment)) {
			if (n > 0 && (out[n - 1] == '.' || strncmp(comment, "\n\n", 2) == 0))
				break;
			gap = n > 0;
			continue;
		}
		if (gap)
			out[n++] = ' ';
		gap = false;
		out[n++] = *comment;
	}
	out[n] = '\0';
	return out;
}

/* ── tables ──────────────────────────────────────────────────────────────────────────────────────── */

void grid_init(struct grid *grid, const char *const *headers)
{
	*grid = (struct grid){ 0 };
	for (; headers[grid->n_columns] != NULL; grid->n_columns++)
		grid->headers[grid->n_columns] = headers[grid->n_columns];
}

/* Takes `cell`; NULL in all cells but the first makes a row a section's title. */
static void put_cell(struct grid *grid, char *cell)
{
	if (grid->n_cells == grid->room) {
		grid->room = grid->room * 2 + 64;
		char **more = realloc(grid->cells, grid->room * sizeof *more);
		if (more == NULL)
			abort();
		grid->cells = more;
	}
	grid->cells[grid->n_cells++] = cell;
}

void grid_add(struct grid *grid, const char *fmt, ...)
{
	va_list ap;
	char *cell;

	va_start(ap, fmt);
	int n = vasprintf(&cell, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	put_cell(grid, cell);
}

void grid_section(struct grid *grid, const char *title)
{
	grid_add(grid, "%s", title);
	for (size_t i = 1; i < grid->n_columns; i++)
		put_cell(grid, NULL);
}

static bool is_section(const struct grid *grid, size_t first)
{
	return grid->n_columns > 1 && grid->cells[first + 1] == NULL;
}

static bool is_number(const char *text)
{
	return text[strspn(text, "0123456789.,-")] == '\0';
}

static void measure(const struct grid *grid, size_t column, size_t *ret_columns, bool *ret_right)
{
	*ret_columns = text_columns(grid->headers[column]);
	*ret_right = grid->n_cells > 0;
	for (size_t i = column; i < grid->n_cells; i += grid->n_columns) {
		if (is_section(grid, i - column))
			continue;
		size_t columns = text_columns(grid->cells[i]);
		*ret_columns = columns > *ret_columns ? columns : *ret_columns;
		*ret_right = *ret_right && is_number(grid->cells[i]);
	}
}

/* At most `room` columns of a cell, on one line. */
static void print_cut(const char *text, size_t room)
{
	bool cut = text_columns(text) > room, control;
	size_t left = strlen(text), used = 0;
	int width;

	while (left > 0) {
		size_t n = take(text, left, &width, &control);
		if (used + (size_t)width + cut > room)
			break;
		if (control)
			fputs(*text == '\n' ? " " : "\xef\xbf\xbd", stdout);
		else
			fwrite(text, 1, n, stdout);
		used += (size_t)width;
		text += n;
		left -= n;
	}
	if (cut)
		fputs("\xe2\x80\xa6", stdout); /* … */
}

static void print_row(const struct grid *grid, const char *const *cells, const size_t *columns, const bool *right)
{
	size_t at = 0;

	for (size_t i = 0; i < grid->n_columns; i++) {
		size_t width = text_columns(cells[i]), pad = columns[i] > width ? columns[i] - width : 0;
		bool last = i + 1 == grid->n_columns;
		if (right[i])
			printf("%*s", (int)pad, "");
		print_cut(cells[i], last && screen.terminal && screen.width > at ? screen.width - at : SIZE_MAX);
		if (!last)
			printf("%*s", (int)((right[i] ? 0 : pad) + GAP), "");
		at += columns[i] + GAP;
	}
	putchar('\n');
}

void grid_end(struct grid *grid)
{
	size_t columns[GRID_COLUMNS_MAX];
	bool right[GRID_COLUMNS_MAX];

	for (size_t i = 0; i < grid->n_columns; i++)
		measure(grid, i, &columns[i], &right[i]);
	begin(STYLE_BOLD);
	print_row(grid, grid->headers, columns, right);
	end(STYLE_BOLD);
	for (size_t i = 0; i < grid->n_cells; i += grid->n_columns)
		if (is_section(grid, i))
			text_print(STYLE_BOLD, "\n%s\n", grid->cells[i]);
		else
			print_row(grid, (const char *const *)&grid->cells[i], columns, right);
	for (size_t i = 0; i < grid->n_cells; i++)
		free(grid->cells[i]);
	free(grid->cells);
	*grid = (struct grid){ 0 };
}
