/* Starts a real aside-server, on a private PostgreSQL cluster in a folder of its own, for a test.
 *
 *     struct harness *harness = harness_start("/usr/bin/aside-server", NULL);
 *     ... harness_address(harness), harness_channel(harness) ...
 *     harness_stop(harness);
 *
 * The server listens on ipc; the process's own uid is a service with every scope, so that a call with the
 * metadata `act-as-user` is that person's.  Single-threaded; what fails ends the test with a message. */
#pragma once

#include "aside/channel.h"

struct harness;

/* `server`: the program.  `flags`: further flags, NULL-terminated, or NULL.  Waits until calls are served. */
struct harness *harness_start(const char *server, const char *const *flags);

/* "ipc:///tmp/…/aside.sock".  Borrowed. */
const char *harness_address(const struct harness *harness);

/* The address of the nth --listen among `flags`, with its real port: 1 for the first.  Borrowed until the next
 * call. */
const char *harness_extra_address(struct harness *harness, unsigned nth);

/* A channel to it, open as long as the harness.  Borrowed. */
struct aside_channel *harness_channel(const struct harness *harness);

/* kill -9, and a new server on the same data. */
void harness_crash(struct harness *harness);

/* SIGTERM, waits for the end, removes the folder.  Returns the server's exit status. */
int harness_stop(struct harness *harness);

/* Options of a call in a person's name.  Static storage of the calling thread, until the next call. */
const struct aside_call_options *harness_as(int64_t user_id);
