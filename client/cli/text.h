/* What people read: bold and dim words, wrapped prose, tables.  Plain where standard output is no terminal, or
 * NO_COLOR is set.  Widths are those of the terminal's characters, not bytes; control characters, which a message's
 * text may bring along, are shown and not obeyed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "aside/status.h"

#define GRID_COLUMNS_MAX 10

enum style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_DIM,
};

/* Looks at standard output and the locale; once, before the others. */
void text_init(void);

/* Columns of the terminal; 100 where there is none. */
unsigned text_width(void);

/* Its lines; 24 where there is none. */
unsigned text_height(void);

/* Whether standard output is a terminal. */
bool text_is_terminal(void);

void text_print(enum style style, const char *fmt, ...) ASIDE_PRINTF(2, 3);

/* Columns that `text` takes. */
size_t text_columns(const char *text);

/* Prose: lines are joined, empty ones part paragraphs.  Begins at the column `at`, goes on at `indent`, ends with a
 * line feed. */
void text_wrap(enum style style, unsigned at, unsigned indent, const char *text);

/* The first sentence of a comment, in one line; at most `size` bytes of it. */
const char *text_sentence(const char *comment, char *out, size_t size);

/* Rows under headers.  Columns of numbers stand to the right; the last column ends where the terminal does. */
struct grid {
	const char *headers[GRID_COLUMNS_MAX];
	size_t n_columns;
	char **cells;
	size_t n_cells, room;
};

/* Borrows `headers`, which NULL ends, as long as the grid lives. */
void grid_init(struct grid *grid, const char *const *headers);

/* The next cell, from the left and from the top; copied. */
void grid_add(struct grid *grid, const char *fmt, ...) ASIDE_PRINTF(2, 3);

/* A title over the rows that follow.  After whole rows. */
void grid_section(struct grid *grid, const char *title);

/* Prints and frees. */
void grid_end(struct grid *grid);
