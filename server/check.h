/* Whether the settings can run: what they mean, together and on this machine.  Changes nothing. */
#pragma once

#include "config.h"

/* INVALID_ARGUMENT names the flag at fault and says what is wrong.  What only starting can tell (a port that is taken,
 * a database that is away) is not looked at. */
enum aside_code config_check(const struct config *config, struct aside_status *err) MUST_CHECK;
