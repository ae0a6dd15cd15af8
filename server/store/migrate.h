/* Migrations: applied in order, undone, listed; golang-migrate's file names, with checksums.  Servers go on during one
 * (script.h), and after it where it says so: expand with one release, contract with a later one.  All functions block. */
#pragma once

#include <stdio.h>

#include "script.h"

struct migration {
	unsigned version;
	unsigned servers; /* those that know this version work with it: itself, or an older one (expand, then contract) */
	const char *name, *sha256;
	struct script up, down;
};

/* The embedded ones are sql_migrations, in the generated sql.h. */
struct migrations {
	const struct migration *list; /* 1, 2, 3… */
	unsigned n;
	const char *citus, *grants; /* citus.sql, grants.sql */
};

/* Applies what is missing, then distributes new tables where there is Citus, then gives the grants.  Refuses a database whose applied migrations are others.  UNAVAILABLE
 * when another migration is under way, or a lock could not be had: what was applied by then stays, the next run goes on. */
enum aside_code migrate_up(const char *dsn, const struct migrations *migrations, struct aside_status *err) MUST_CHECK;

/* Undoes the newest one. */
enum aside_code migrate_down(const char *dsn, const struct migrations *migrations, struct aside_status *err) MUST_CHECK;

/* Prints a line for each migration of either side, and one for what is under way.  Changes nothing, waits for nobody. */
enum aside_code migrate_status(const char *dsn, const struct migrations *migrations, FILE *out, struct aside_status *err) MUST_CHECK;

/* Whether a server that knows these migrations works on the database: all of them are applied, and what came after
 * them was made for such servers, too. */
enum aside_code migrate_check(const char *dsn, const struct migrations *migrations, struct aside_status *err) MUST_CHECK;
