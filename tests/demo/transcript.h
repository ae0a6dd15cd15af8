/* How the story looks: chapters, what somebody does, what comes of it, what somebody sees.
 *
 *     ━━ 2  A private answer ━━━━━━━━━━━━━━━━━━━━━━
 *        Mia, staff   writes: Thanks for sticking with us!
 *                     ✔ message 1
 *                     ✘ FAILED_PRECONDITION  ALREADY_REPLIED
 *        Johnny sees  ╭ Coke
 *                     │ 1  Coke   Thanks for sticking with us!
 *                     ╰
 *
 * On stdout, in colours on a terminal unless $NO_COLOR is set.  Knows no aside but its status.  One thread. */
#pragma once

#include "aside/status.h"

void transcript_title(const char *title, const char *subtitle);
void transcript_chapter(unsigned number, const char *title);

/* Who does what. */
void transcript_act(const char *who, const char *fmt, ...) ASIDE_PRINTF(2, 3);

/* What came of it. */
void transcript_done(const char *fmt, ...) ASIDE_PRINTF(1, 2);
void transcript_refused(const struct aside_status *status);

/* What somebody sees: a frame with a heading, its lines, its end. */
void transcript_view(const char *who, const char *fmt, ...) ASIDE_PRINTF(2, 3);
void transcript_row(const char *fmt, ...) ASIDE_PRINTF(1, 2);
void transcript_view_end(void);

/* The last line: how many acts were done and how many refused. */
void transcript_end(const char *words);
