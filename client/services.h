/* The services this release was built with, in no order; NULL-terminated. */
#pragma once

#include "aside/method.h"

extern const struct aside_service *const built_in_services[];
