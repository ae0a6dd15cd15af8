/* Real echo servers, each a process on an ipc address that outlives it.  Whatever goes wrong fails the test. */
#pragma once

#include <sys/types.h>

struct echo_process {
	pid_t pid; /* 0: not running */
	char url[128];
	char tcp[128]; /* another address of it, with a port that each start chooses */
};

/* Starts one, and waits until it serves.  $ECHO_SERVER is its program. */
void echo_start(struct echo_process *server, const char *name);

/* Again, after its end. */
void echo_restart(struct echo_process *server);

/* SIGTERM, or another signal, and waits for its end: its exit status, 128 and the signal's number where that ended it. */
int echo_end(struct echo_process *server, int signal);

/* The same, and removes its address. */
void echo_remove(struct echo_process *server);
