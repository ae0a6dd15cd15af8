/* The embedded migrations, applied and undone; golang-migrate's file names, with checksums. */
#pragma once

#include <stdio.h>

#include "wire/scope.h"

/* Applies what is missing, each in a transaction of its own, under a lock that cannot wait for ever.  Refuses
 * a database whose applied migrations are not the embedded ones.  Blocks. */
enum aside_code migrate_up(const char *dsn, struct aside_status *err) MUST_CHECK;

/* Undoes the newest one. */
enum aside_code migrate_down(const char *dsn, struct aside_status *err) MUST_CHECK;

/* Prints a line for each: version, name, applied or pending. */
enum aside_code migrate_status(const char *dsn, FILE *out, struct aside_status *err) MUST_CHECK;

/* Whether the database has exactly the embedded ones: a server does not start on another schema. */
enum aside_code migrate_check(const char *dsn, struct aside_status *err) MUST_CHECK;
