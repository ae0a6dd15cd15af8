/* The server process of a private PostgreSQL cluster: started, started again whenever it dies, ended.
 *
 *     start ──▶ starting ──answers──▶ running ──stop──▶ ended
 *                  ▲                     │
 *                  └──── 200 ms later ───┘ it died: killed, out of memory, a crash it could not mend by itself
 *
 * A thread of its own starts it: the process dies with that thread, and so with this program, however it ends. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "wire/scope.h"

/* Who a child process runs as (as root; otherwise as this program), and where its output goes.  Borrows `log`. */
struct child {
	uid_t uid;
	gid_t gid;
	const char *log;
};

/* Runs argv[0], a path; -1 as fork() does.  The child gets a SIGINT when the calling thread ends. */
pid_t child_spawn(const struct child *child, char *const argv[]);

struct postmaster {
	struct child child;
	const char *data, *socket, *dsn;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pid_t pid;         /* 0: not running */
	unsigned n_ended;  /* how often it has */
	bool started, stopping;
};

/* Starts a cluster's server and waits until it answers on `dsn`.  Borrows the paths until postmaster_stop(). */
enum aside_code postmaster_start(struct postmaster *postmaster, const struct child *child, const char *data,
		const char *socket, const char *dsn, struct aside_status *err) MUST_CHECK;

/* Fast shutdown, and waits for it; where that takes longer than 20 s an immediate one, and 5 s later the end of all its
 * processes: what is frozen ends, too.  Fine where it was never started. */
void postmaster_stop(struct postmaster *postmaster);
