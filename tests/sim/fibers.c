/* See fibers.h. */
#include "fibers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>
#include <ucontext.h>

#include "sim.h"

#define STACK_BYTES (256u * 1024) /* beyond this AddressSanitizer maps its shadow anew at each turn */
#define FIBERS_MAX 256
#define BEGINNING_US 1790000000000000ll /* of time: both clocks show the same */
#define YIELD_ONE_IN 5 /* of the mutexes taken and left */
#define STALL_ONE_IN 1024
#define STALL_US_MAX 5000
#define LONG_STALL_ONE_IN 10 /* stalls: the machine is busy */
#define LONG_STALL_US_MAX 100000
#define SPURIOUS_ONE_IN 64 /* of the waits for a condition, which POSIX allows */

enum fiber_state {
	FIBER_READY,
	FIBER_WAITING,
	FIBER_ENDED,
};

struct fiber {
	TAILQ_ENTRY(fiber) entry; /* among all, or (stack kept) the free ones */
	const char *name;
	enum fiber_state state;
	const void *object; /* waited for */
	int64_t until_us;
	bool late; /* until_us came first */
	bool joinable;
	void *(*run)(void *);
	void *arg, *result;
	void *stack;
	ucontext_t context;
};
TAILQ_HEAD(fibers, fiber);

static struct {
	struct fibers all, unused;
	struct fiber *running;
	int64_t now_us;
	uint64_t state; /* of chance */
} world = { .all = TAILQ_HEAD_INITIALIZER(world.all), .unused = TAILQ_HEAD_INITIALIZER(world.unused) };

/* ── chance ──────────────────────────────────────────────────────────────────────────────────────────── */

/* splitmix64: neighbouring seeds have nothing in common. */
uint64_t chance(void)
{
	uint64_t z = world.state += 0x9E3779B97F4A7C15ull;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

uint64_t chance_below(uint64_t n)
{
	return chance() % n;
}

bool chance_one_in(uint64_t n)
{
	return chance() % n == 0;
}

int64_t chance_between(int64_t least, int64_t most)
{
	int64_t span = most - least + 1;

	return least + (int64_t)chance_below(1 + chance_below((uint64_t)span));
}

/* ── turns ───────────────────────────────────────────────────────────────────────────────────────────── */

int64_t fiber_now_us(void)
{
	return world.now_us;
}

static struct fiber *draw_ready(void)
{
	struct fiber *fiber, *ready[FIBERS_MAX];
	unsigned n = 0;

	TAILQ_FOREACH(fiber, &world.all, entry)
		if (fiber->state == FIBER_READY && n < FIBERS_MAX)
			ready[n++] = fiber;
	return n > 0 ? ready[chance_below(n)] : NULL;
}

/* Nothing can run: on to the next moment for which somebody waits. */
static void go_on(void)
{
	struct fiber *fiber;
	int64_t next_us = INT64_MAX;

	TAILQ_FOREACH(fiber, &world.all, entry)
		if (fiber->state == FIBER_WAITING && fiber->until_us < next_us)
			next_us = fiber->until_us;
	if (next_us == INT64_MAX) {
		TAILQ_FOREACH(fiber, &world.all, entry)
			sim_trace("%s waits for %p", fiber->name, fiber->object);
		sim_fail("all threads wait for each other");
	}
	if (next_us > world.now_us)
		world.now_us = next_us;
	TAILQ_FOREACH(fiber, &world.all, entry)
		if (fiber->state == FIBER_WAITING && fiber->until_us <= world.now_us) {
			fiber->state = FIBER_READY;
			fiber->late = true;
		}
}

/* To the next, which may be the same: a switch is a system call, and half of what the simulation takes. */
static void leave_turn(void)
{
	struct fiber *self = world.running, *next;

	while ((next = draw_ready()) == NULL)
		go_on();
	world.running = next;
	if (next != self)
		swapcontext(&self->context, &next->context);
}

bool fiber_wait(const void *object, int64_t until_us)
{
	struct fiber *self = world.running;

	self->object = object;
	self->until_us = until_us;
	self->late = false;
	self->state = FIBER_WAITING;
	leave_turn();
	return !self->late;
}

void fiber_wake(const void *object)
{
	struct fiber *fiber;

	TAILQ_FOREACH(fiber, &world.all, entry)
		if (fiber->state == FIBER_WAITING && fiber->object == object)
			fiber->state = FIBER_READY;
}

/* One of those that wait, as drawn. */
static void wake_one(const void *object)
{
	struct fiber *fiber, *drawn = NULL;
	unsigned n = 0;

	TAILQ_FOREACH(fiber, &world.all, entry)
		if (fiber->state == FIBER_WAITING && fiber->object == object && chance_one_in(++n))
			drawn = fiber;
	if (drawn != NULL)
		drawn->state = FIBER_READY;
}

void fiber_sleep(int64_t us)
{
	(void)fiber_wait(NULL, world.now_us + us);
}

/* Here a real thread might lose its processor. */
static void may_lose_turn(void)
{
	if (chance_one_in(STALL_ONE_IN))
		fiber_sleep(chance_between(0, chance_one_in(LONG_STALL_ONE_IN) ? LONG_STALL_US_MAX : STALL_US_MAX));
	else if (chance_one_in(YIELD_ONE_IN))
		leave_turn();
}

static void retire(struct fiber *fiber)
{
	TAILQ_REMOVE(&world.all, fiber, entry);
	TAILQ_INSERT_HEAD(&world.unused, fiber, entry);
}

static void begin(void)
{
	struct fiber *self = world.running;

	self->result = self->run(self->arg);
	self->state = FIBER_ENDED;
	fiber_wake(self);
	if (!self->joinable)
		retire(self); /* nobody takes its stack before it has left it */
	leave_turn();
}

/* With a stack: of one that has ended, or a new one. */
static struct fiber *take_unused(void)
{
	struct fiber *fiber = TAILQ_FIRST(&world.unused);

	if (fiber != NULL) {
		TAILQ_REMOVE(&world.unused, fiber, entry);
		return fiber;
	}
	fiber = calloc(1, sizeof *fiber);
	fiber->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return fiber;
}

/* Apart, since to gcc it returns twice: nothing here is used after. */
static void __attribute__((noinline)) begin_context(ucontext_t *context)
{
	(void)getcontext(context);
}

static struct fiber *fiber_new(const char *name, void *(*run)(void *), void *arg, bool joinable)
{
	struct fiber *fiber = take_unused();

	fiber->name = name;
	fiber->state = FIBER_READY;
	fiber->joinable = joinable;
	fiber->run = run;
	fiber->arg = arg;
	begin_context(&fiber->context);
	fiber->context.uc_stack.ss_sp = fiber->stack;
	fiber->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&fiber->context, begin, 0);
	TAILQ_INSERT_TAIL(&world.all, fiber, entry);
	return fiber;
}

void fiber_start(const char *name, void *(*run)(void *), void *arg)
{
	(void)fiber_new(name, run, arg, false);
}

unsigned fibers_left(void)
{
	struct fiber *fiber;
	unsigned n = 0;

	TAILQ_FOREACH(fiber, &world.all, entry)
		n += fiber != world.running;
	return n;
}

void fibers_run(uint64_t seed, void (*run)(void))
{
	struct fiber first = { .name = "main" };

	world.state = seed;
	world.now_us = BEGINNING_US;
	TAILQ_INSERT_TAIL(&world.all, &first, entry);
	world.running = &first;
	run();
	TAILQ_REMOVE(&world.all, &first, entry);
	world.running = NULL;
}

/* ── what the linker puts in the place of libc's ─────────────────────────────────────────────────────── */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **ret_result);
pthread_t __wrap_pthread_self(void);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value);
int __wrap_sem_wait(sem_t *semaphore);
int __wrap_sem_post(sem_t *semaphore);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_nanosleep(const struct timespec *span, struct timespec *ret_left);
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	(void)attributes;
	*ret = (pthread_t)(uintptr_t)fiber_new("a thread", run, arg, true);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret_result)
{
	struct fiber *fiber = (struct fiber *)(uintptr_t)thread;

	while (fiber->state != FIBER_ENDED)
		(void)fiber_wait(fiber, INT64_MAX);
	if (ret_result != NULL)
		*ret_result = fiber->result;
	retire(fiber);
	return 0;
}

pthread_t __wrap_pthread_self(void)
{
	return (pthread_t)(uintptr_t)world.running;
}

/* A mutex is the fiber that holds it, or zeros, as PTHREAD_MUTEX_INITIALIZER is. */
static struct fiber **holder_of(pthread_mutex_t *mutex)
{
	return (struct fiber **)(void *)mutex;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	(void)attributes;
	*holder_of(mutex) = NULL;
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	if (*holder_of(mutex) != NULL)
		sim_fail("a mutex is destroyed that %s holds", (*holder_of(mutex))->name);
	return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	may_lose_turn();
	if (*holder_of(mutex) == world.running)
		sim_fail("a mutex is taken twice");
	while (*holder_of(mutex) != NULL)
		(void)fiber_wait(mutex, INT64_MAX);
	*holder_of(mutex) = world.running;
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (*holder_of(mutex) != world.running)
		sim_fail("a mutex is left that another holds");
	*holder_of(mutex) = NULL;
	fiber_wake(mutex);
	may_lose_turn();
	return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
	(void)cond;
	(void)attributes;
	return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	(void)cond;
	return 0;
}

static int wait_for(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_us)
{
	bool in_time = true;

	*holder_of(mutex) = NULL;
	fiber_wake(mutex);
	if (chance_one_in(SPURIOUS_ONE_IN))
		leave_turn();
	else
		in_time = fiber_wait(cond, until_us);
	while (*holder_of(mutex) != NULL)
		(void)fiber_wait(mutex, INT64_MAX);
	*holder_of(mutex) = world.running;
	return in_time ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	return wait_for(cond, mutex, INT64_MAX);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	return wait_for(cond, mutex, (int64_t)until->tv_sec * 1000000 + until->tv_nsec / 1000);
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	wake_one(cond);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	fiber_wake(cond);
	return 0;
}

static unsigned *value_of(sem_t *semaphore)
{
	return (unsigned *)(void *)semaphore;
}

int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value)
{
	(void)shared;
	*value_of(semaphore) = value;
	return 0;
}

int __wrap_sem_wait(sem_t *semaphore)
{
	while (*value_of(semaphore) == 0)
		(void)fiber_wait(semaphore, INT64_MAX);
	--*value_of(semaphore);
	return 0;
}

int __wrap_sem_post(sem_t *semaphore)
{
	++*value_of(semaphore);
	wake_one(semaphore);
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ world.now_us / 1000000, world.now_us % 1000000 * 1000 };
	return 0;
}

int __wrap_nanosleep(const struct timespec *span, struct timespec *ret_left)
{
	(void)ret_left;
	fiber_sleep((int64_t)span->tv_sec * 1000000 + span->tv_nsec / 1000);
	return 0;
}

ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
	uint8_t *out = buffer;

	(void)flags;
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)chance();
	return (ssize_t)size;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
