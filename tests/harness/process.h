/* One server process: started, watched, ended.  Knows no harness and no aside but the line "ready …". */
#pragma once

#include <sys/types.h>

#include "aside/status.h"

#define READY_BYTES 1024

struct process {
	pid_t pid;               /* 0: ended */
	const char *folder;      /* it works there; borrowed */
	char log[128];           /* path: its stderr, appended to over restarts */
	char ready[READY_BYTES]; /* what it said once it served: addresses */
};

/* Runs argv[0], which may be a name in $PATH, and waits for its line "ready …".  The child dies with the
 * calling thread, inherits `keep_fd`, and writes to process->log.  UNAVAILABLE says how it ended instead. */
enum aside_code process_start(struct process *process, char *const argv[], int keep_fd,
		struct aside_status *err) ASIDE_MUST_CHECK;

/* Runs argv[0] to its end: its exit status as of process_end(). */
int process_run(struct process *process, char *const argv[], int keep_fd);

/* Sends `signal` (0: none) and waits; after `timeout_ms` the process is killed.  Its exit status, 128 and the
 * signal's number, or -1 for one that had ended before. */
int process_end(struct process *process, int signal, int timeout_ms);

/* Waits for a child that may not end: false after `timeout_ms`.  *ret_status as of waitpid(). */
bool process_wait(pid_t pid, int timeout_ms, int *ret_status);
