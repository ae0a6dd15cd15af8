/* The simulation's threads, their time and their chance: nothing else decides what happens next.
 *
 * The program's threads are fibers of one real thread.  The linker's --wrap puts this file's functions in the place of
 * pthread_create(), mutexes, conditions, semaphores, nanosleep(), clock_gettime() and getrandom(), so that the code under
 * test is what ships, and has no seam for it.  One fiber runs until it waits, or (drawn from the seed) loses its turn or
 * stalls where it takes or leaves a mutex; the next is drawn among those that can run; when none can, time goes on to the
 * first moment for which one waits.  So a seed says all there is to say of a run.
 *
 * What it does not show: two threads within the same critical section, or anything else between two mutexes: that is
 * TSan's, over the real threads of the other tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fiber;

/* Runs `run` as the first fiber, until it returns.  Ends the program (sim_fail()) when all fibers wait for each
 * other. */
void fibers_run(uint64_t seed, void (*run)(void));

/* Those that have not ended, but for the one that asks. */
unsigned fibers_left(void);

int64_t fiber_now_us(void);
void fiber_sleep(int64_t us);

/* Another fiber; nobody joins it. */
void fiber_start(const char *name, void *(*run)(void *), void *arg);

/* Until fiber_wake() of the same object, or `until_us`: then false.  INT64_MAX: for ever. */
bool fiber_wait(const void *object, int64_t until_us);
void fiber_wake(const void *object);

/* ── chance ──────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t chance(void);
uint64_t chance_below(uint64_t n);
bool chance_one_in(uint64_t n);
/* From `least` to `most`, small ones more often. */
int64_t chance_between(int64_t least, int64_t most);
