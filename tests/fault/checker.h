/* The checker: what callers and watchers saw (history.h) beside what the database holds, by the rules of check.sql. */
#pragma once

#include <stdbool.h>

#include <libpq-fe.h>

/* Connects to the database and takes over the history in `folder` and what the database holds of its pages; later
 * changes of either are not seen.  NULL where that fails, and stderr says why.  The caller's to PQfinish(). */
PGconn *checker_open(const char *database, const char *sql_file, const char *folder);

/* How many violations there are, up to five of each rule on stdout; -1 where it fails. */
int checker_run(PGconn *pg);

/* Runs a statement on what was taken over; false where it fails, and stderr says why. */
bool checker_execute(PGconn *pg, const char *sql);
