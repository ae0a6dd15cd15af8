/* Whether the settings can run: what they mean, together and on this machine.  Changes nothing. */
#pragma once

#include "config.h"

/* INVALID_ARGUMENT names the flag at fault and says what is wrong.  Who does not serve, but migrates, needs neither
 * addresses nor keys: only what leads to the database is looked at.  What only starting can tell (a port that is taken,
 * a database that is away) is not looked at. */
enum aside_code config_check(const struct config *config, bool serves, struct aside_status *err) MUST_CHECK;
