/* What each of the story's actors sees, as the server answers them. */
#pragma once

#include "world.h"

enum { COKE = 1 }; /* the page */

/* "Johnny". */
const char *name_of(int64_t user);

/* Ends the story: a call did not go as it must.  Says how, with the servers' last words. */
#define must(call) ((call) ? (void)0 : give_up(#call))
_Noreturn void give_up(const char *call);

/* The page's wall, as the feed service knows it. */
void view_wall(const char *heading);

/* A thread's messages as `reader`, the person or staff, sees them; then that side has read them. */
void view_thread(int64_t reader, int64_t person);

/* The page's inbox. */
void view_inbox(int64_t staff);

/* The versions of the page's settings, oldest first, which must be `n`. */
void view_history(int64_t admin, size_t n);
