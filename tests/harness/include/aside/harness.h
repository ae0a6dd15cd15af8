/* Real aside servers for a test: as many as it needs, on one database, in a folder of their own.
 *
 *     struct aside_harness *harness;
 *     if (aside_harness_start(NULL, &harness, &status) != ASIDE_OK)
 *             errx(1, "%s", status.message);
 *     ... aside_v1_page_service_create_page(aside_harness_channel(harness, 0), &request, NULL, ...) ...
 *     return aside_harness_stop(harness);
 *
 * Server 0 keeps the private PostgreSQL of its data folder, the others use it, too: a crash of server 0 is a
 * crash of the database.  Each server listens on ipc, where the test's own uid is a service with every scope,
 * so that a call with aside_harness_as(42) is made in person 42's name.
 *
 * Nothing outlives the test, however it ends: servers die with the thread that started them, PostgreSQL with
 * its server, and a keeper process removes the folder once the last of them has let go of it (unless
 * $ASIDE_HARNESS_KEEP is set: for a look at its logs).
 *
 * A harness is used by one thread at a time; what it hands out (addresses, channels) by any.  Works as root,
 * where PostgreSQL runs as the user postgres, and as anyone else.  Linux only. */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "aside/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ASIDE_HARNESS_SERVERS_MAX 8
#define ASIDE_HARNESS_FLAGS_MAX 32

struct aside_harness;

/* Start from { 0 }; every zero is a sensible default. */
struct aside_harness_options {
	const char *program;      /* the server; NULL: $ASIDE_SERVER_PROGRAM, or else aside-server in $PATH */
	unsigned servers;         /* 0: 1; at most ASIDE_HARNESS_SERVERS_MAX */
	const char *const *flags; /* more flags of every server, NULL-terminated; NULL: none.  Relative paths
	                           * are in the harness's folder; addresses end in ":0", see
	                           * aside_harness_listener() */
	const char *database;     /* libpq connection string of a database to migrate and use;
	                           * NULL: $ASIDE_HARNESS_DATABASE, or else the private PostgreSQL */
	const char *principal;    /* who the test's uid is over ipc, as in --ipc-user: "person:42"; "": nobody;
	                           * NULL: a service with every scope */
	/* Puts files that `flags` speak of into the folder, before the first start.  False: gives up.  May be
	 * NULL. */
	bool (*prepare)(const char *folder);
};

/* Starts the servers, one after the other, and waits until each serves.  `options` (NULL: all defaults) and
 * what it points to are borrowed as long as the harness lives.  On failure nothing is left, *ret_status says
 * why, and the servers' last words are printed on stderr. */
ASIDE_API enum aside_code aside_harness_start(const struct aside_harness_options *options,
		struct aside_harness **ret_harness, struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Asks the servers that still run to end (SIGTERM), waits for them and for the folder's removal, frees.
 * Returns 0 when every server that was asked has drained and nothing is left; otherwise 1, and stderr says
 * what is wrong.  NULL is fine: 0. */
ASIDE_API int aside_harness_stop(struct aside_harness *harness);

/* In what follows `server` is a server's number, from 0. */

/* "ipc:///tmp/…/server-0.sock"; NULL if there are not so many servers.  Borrowed from the harness.  Stays the same over restarts. */
ASIDE_API const char *aside_harness_address(const struct aside_harness *harness, unsigned server);

/* The nth address, from 0, among the --listen flags and then --http ("http://127.0.0.1:PORT"), with its real
 * port, as it was last started.  NULL if there are not so many, of either.  Borrowed until the server's next start. */
ASIDE_API const char *aside_harness_listener(const struct aside_harness *harness, unsigned server, unsigned nth);

/* A channel to one server, open as long as the harness; NULL if there are not so many.  Borrowed. */
ASIDE_API struct aside_channel *aside_harness_channel(const struct aside_harness *harness, unsigned server);

/* What the servers connect to, for libpq.  Borrowed from the harness. */
ASIDE_API const char *aside_harness_database(const struct aside_harness *harness);

/* The folder of all this, for files of the test's own, too.  Borrowed from the harness. */
ASIDE_API const char *aside_harness_folder(const struct aside_harness *harness);

/* The server's process; 0 when it has ended. */
ASIDE_API pid_t aside_harness_pid(const struct aside_harness *harness, unsigned server);

/* kill -9, and waits for the end. */
ASIDE_API void aside_harness_crash(struct aside_harness *harness, unsigned server);

/* SIGTERM, and waits for the end: its exit status, or 128 and the number of the signal that ended it.  A
 * server that has not ended after a minute is killed.  -1 of one that has ended already. */
ASIDE_API int aside_harness_terminate(struct aside_harness *harness, unsigned server);

/* Starts a server that has ended, and waits until it serves.  Fails as aside_harness_start() does, but leaves
 * the others running. */
ASIDE_API enum aside_code aside_harness_restart(struct aside_harness *harness, unsigned server,
		struct aside_status *ret_status) ASIDE_MUST_CHECK;

/* Whether a line of the server's log, over all its starts, has `text`. */
ASIDE_API bool aside_harness_logged(const struct aside_harness *harness, unsigned server, const char *text);

/* The last lines of every server's log: what to print when a test has failed. */
ASIDE_API void aside_harness_show_logs(const struct aside_harness *harness, FILE *out);

/* Options of a call in a person's name; 0: in the service's own, NULL.  Storage of the calling thread, until
 * its next call. */
ASIDE_API const struct aside_call_options *aside_harness_as(int64_t user_id);

#ifdef __cplusplus
}
#endif
