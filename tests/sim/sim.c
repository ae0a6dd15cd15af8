/* One client, one or two servers, and a network that is drawn from a seed: the library and the runtime as they ship, all
 * but their two transports (net.h), with threads and time that belong to the simulation (fibers.h).
 *
 *     sim SEED                     one run, with its trace
 *     sim --seeds N [--from S]     N runs from seed S (1) on; the first that fails is told, with the end of its trace
 *
 * A seed draws how the network is, what befalls it and the servers, who calls what, and every turn of every thread: the
 * same seed is the same run, always.  What must hold, whatever befalls:
 *
 *   - a call ends once, at its deadline at the latest; an answer is the answer to its request, and was executed
 *   - a call that is not idempotent is executed once at most; one that certainly was not executed was not
 *   - items of a stream arrive in order, without a gap, none twice, and then the end does
 *   - a reader that stops stops no other call; a drain fails no call (of streams it is an end)
 *   - neither side breaks a rule of the wire (referee.h); once everything is well again, everything succeeds
 *   - in the end no turn, no ticket, no session, no byte in a ledger is left, and nobody says anything more */
#include "sim.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aside/channel.h"
#include "callers.h"
#include "fibers.h"
#include "history.h"
#include "log.h"
#include "net.h"
#include "service.h"

#define NODES_MAX 2
#define CALLERS_MAX 8
#define CALLS_MAX 12
#define SILENCE_US 65000000ll /* after which both sides have given up who keeps silent, and a bit */
#define SETTLE_US 4000000 /* after which the server has done what it was asked: the store is slow at times */
#define IDLE_MESSAGES_MAX 24 /* of two connections in that time: heartbeats */
#define COME_BACK_US 2000000 /* for clients, before a rolling restart goes on ... */
#define LONG_US 5000000 /* ... and for what hangs meanwhile to be seen, before another drain ends it */
#define LONG_ONE_IN 2
#define DRAIN_US_MAX 4000000
#define HANG_SECONDS 20 /* of real time, for one run */
#define LINES_KEPT 500
#define LINE_BYTES 200

static const char *const urls[NODES_MAX] = { "tcp://one:1", "tcp://two:2" };

static struct {
	uint64_t *seed; /* of this run; the parent sees it, too */
	bool loud; /* the trace is printed as it comes */
	char lines[LINES_KEPT][LINE_BYTES];
	uint64_t n_lines;
	uint64_t sum; /* of the trace */
} trace;

/* ── the trace ───────────────────────────────────────────────────────────────────────────────────────── */

void sim_trace(const char *format, ...)
{
	static int64_t began_us;
	char *line = trace.lines[trace.n_lines % LINES_KEPT];
	va_list args;

	if (trace.n_lines++ == 0)
		began_us = fiber_now_us();
	int n = snprintf(line, LINE_BYTES, "%12.6f  ", (double)(fiber_now_us() - began_us) / 1e6);
	va_start(args, format);
	(void)vsnprintf(line + n, LINE_BYTES - (size_t)n, format, args);
	va_end(args);
	for (const char *p = line; *p != '\0'; p++)
		trace.sum = (trace.sum ^ (uint8_t)*p) * 0x100000001B3ull;
	if (trace.loud)
		printf("%s\n", line);
}

static void print_trace(void)
{
	uint64_t first = trace.n_lines > LINES_KEPT ? trace.n_lines - LINES_KEPT : 0;

	for (uint64_t i = first; i < trace.n_lines && !trace.loud; i++)
		printf("%s\n", trace.lines[i % LINES_KEPT]);
}

noreturn void sim_fail(const char *format, ...)
{
	va_list args;

	print_trace();
	printf("seed %llu: ", (unsigned long long)*trace.seed);
	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

/* ── what befalls ────────────────────────────────────────────────────────────────────────────────────── */

/* What a seed may have befall. */
struct fate {
	unsigned nodes;
	bool losses, crashes, partitions, garble, drains, refusals;
	uint32_t idle_ms, age_ms; /* of the channel's connections: aside/channel.h */
	int64_t pause_us_max;
};

static struct {
	struct fate fate;
	struct node *nodes[NODES_MAX];
	struct aside_channel *channel;
	bool calm, still; /* nothing more shall happen; nothing does */
	unsigned dying;
} events;

static void draw_fate(struct fate *fate, struct weather *weather)
{
	uint64_t kind = chance_below(10);

	*fate = (struct fate){ .nodes = 1 + (unsigned)chance_below(NODES_MAX),
		.pause_us_max = chance_between(20000, 3000000) };
	fate->losses = kind == 1 || kind == 4;
	fate->crashes = kind == 2 || kind == 4;
	fate->partitions = kind == 3 || kind == 4;
	fate->garble = kind == 4 || (kind == 3 && chance_one_in(2));
	fate->drains = kind >= 4;
	fate->refusals = kind == 4 || (fate->losses && chance_one_in(2));
	fate->idle_ms = chance_one_in(3) ? (uint32_t)chance_between(1, 2000) : 0;
	fate->age_ms = chance_one_in(4) ? (uint32_t)chance_between(50, 20000) : 0;
	weather->delay_us_max = chance_between(0, 100000);
	weather->hand_over_us_max = chance_between(0, 5000);
	/* Longer than it takes to connect again; but within what a server waits at the end of a drain. */
	weather->slow_us_max = fate->drains ? 80000 : fate->losses || fate->crashes ? 1000000 : 300000;
	weather->slow_one_in = chance_one_in(2) ? 4 : 30;
}

/* Ends after its network: the dead execute what they have. */
static void *bury(void *node)
{
	node_bury(node);
	events.dying--;
	fiber_wake(&events);
	return NULL;
}

static void crash(unsigned i)
{
	net_crash(urls[i], chance_one_in(2));
	events.dying++;
	fiber_start("the dead", bury, events.nodes[i]);
	fiber_sleep(chance_between(0, 3000000));
	events.nodes[i] = node_start(urls[i], events.fate.refusals);
}

static void restart(unsigned i)
{
	int64_t began_us = fiber_now_us();

	sim_trace("%s drains", urls[i]);
	unsigned left = node_drain(events.nodes[i]);
	sim_trace("%s has drained in %lld us", urls[i], (long long)(fiber_now_us() - began_us));
	if (left > 0)
		sim_fail("a drain has left %u calls", left);
	fiber_sleep(chance_between(0, 500000));
	events.nodes[i] = node_start(urls[i], events.fate.refusals);
	fiber_sleep(COME_BACK_US + (chance_one_in(LONG_ONE_IN) ? LONG_US : 0));
}

static void cut_off(unsigned i)
{
	net_cut_off(urls[i], fiber_now_us() + chance_between(1000, chance_one_in(3) ? 90000000 : 2000000));
}

static void garble(unsigned i)
{
	net_garble(urls[i], fiber_now_us() + chance_between(1000, 30000000));
}

static void lose(unsigned i)
{
	(void)i;
	net_lose_one();
}

/* One of the things that may, to one of the servers. */
static void befall(void)
{
	const struct {
		bool may;
		void (*run)(unsigned i);
	} all[] = { { events.fate.losses, lose }, { events.fate.crashes, crash }, { events.fate.partitions, cut_off },
		{ events.fate.garble, garble }, { events.fate.drains, restart } };
	unsigned n = 0, drawn = 0;

	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].may && chance_one_in(++n))
			drawn = i;
	if (n > 0)
		all[drawn].run((unsigned)chance_below(events.fate.nodes));
}

static void *run_events(void *arg)
{
	(void)arg;
	while (!events.calm) {
		fiber_sleep(chance_between(0, events.fate.pause_us_max));
		befall();
	}
	events.still = true;
	fiber_wake(&events);
	return NULL;
}

static void *watch(void *arg)
{
	(void)arg;
	while (!events.still) {
		fiber_sleep(1000000);
		history_check_late();
	}
	return NULL;
}

/* ── a run ───────────────────────────────────────────────────────────────────────────────────────────── */

static void check_nodes(bool gone)
{
	for (unsigned i = 0; i < NODES_MAX; i++) {
		const char *leftover = events.nodes[i] != NULL ? node_leftover(events.nodes[i], gone) : NULL;
		if (leftover != NULL)
			sim_fail("%s is left at %s", leftover, urls[i]);
	}
}

static struct aside_channel *open_channel(void)
{
	struct aside_options options = { .idle_ms = events.fate.idle_ms, .connection_age_ms = events.fate.age_ms };
	struct aside_channel *channel = NULL;
	struct aside_status status;
	char addresses[64];

	(void)snprintf(addresses, sizeof addresses, "%s%s%s", urls[0], events.fate.nodes > 1 ? "," : "",
			events.fate.nodes > 1 ? urls[1] : "");
	if (aside_channel_open(addresses, &options, &channel, &status) != ASIDE_OK)
		sim_fail("no channel: %s", status.message);
	return channel;
}

/* Whatever has befallen, a while later everything is as it was. */
static void call_again(struct calling calling)
{
	net_heal();
	for (unsigned i = 0; i < events.fate.nodes; i++)
		node_take_all(events.nodes[i]);
	fiber_sleep(SILENCE_US);
	sim_trace("everything is well again");
	calling.well = calling.patient = true;
	calling.drained = false;
	calling.calls = 1 + (unsigned)chance_below(3);
	callers_start(&calling, 1 + (unsigned)chance_below(CALLERS_MAX));
	callers_wait();
}

/* Nobody calls: a channel stays connected all the same, unless it closes what is idle. */
static void check_connected(void)
{
	enum aside_state state = aside_channel_state(events.channel);
	int64_t until_us = fiber_now_us() + COME_BACK_US;

	while (events.fate.idle_ms == 0 && state != ASIDE_STATE_READY && fiber_now_us() < until_us)
		state = aside_channel_wait(events.channel, state, COME_BACK_US / 1000);
	if (events.fate.idle_ms == 0 && state != ASIDE_STATE_READY)
		sim_fail("a channel that should be ready is not");
}

/* Everybody has come to rest: both sides let go of everything, in time. */
static void take_leave(void)
{
	fiber_sleep(SETTLE_US);
	check_connected();
	check_nodes(false);
	fiber_sleep(SILENCE_US);
	uint64_t arrived = net_arrived();
	fiber_sleep(SILENCE_US);
	arrived = net_arrived() - arrived;
	if (arrived > IDLE_MESSAGES_MAX && events.fate.age_ms == 0)
		sim_fail("%llu messages while nobody called", (unsigned long long)arrived);
	callers_close();
	fiber_sleep(SILENCE_US);
	check_nodes(true);
	for (unsigned i = 0; i < NODES_MAX; i++) {
		int64_t began_us = fiber_now_us();
		if (events.nodes[i] == NULL)
			continue;
		if (node_drain(events.nodes[i]) > 0 || fiber_now_us() - began_us > DRAIN_US_MAX)
			sim_fail("%s did not drain, although it had nothing to do", urls[i]);
	}
}

static void run(void)
{
	struct weather weather;

	memset(&events, 0, sizeof events);
	draw_fate(&events.fate, &weather);
	const struct fate *fate = &events.fate;
	sim_trace("%u servers;%s%s%s%s%s%s; messages take up to %lld us, and %lld us; idle after %u ms, old after %u ms",
			fate->nodes, fate->losses ? " losses" : "", fate->crashes ? " crashes" : "",
			fate->partitions ? " partitions" : "", fate->garble ? " garble" : "", fate->drains ? " drains" : "",
			fate->refusals ? " refusals" : "", (long long)weather.delay_us_max,
			(long long)weather.hand_over_us_max, fate->idle_ms, fate->age_ms);
	history_open();
	net_open(&weather);
	for (unsigned i = 0; i < fate->nodes && i < NODES_MAX; i++)
		events.nodes[i] = node_start(urls[i], events.fate.refusals);
	events.channel = open_channel();
	struct calling calling = { .channel = events.channel,
		.calls = 1 + (unsigned)chance_below(fate->drains ? CALLS_MAX * 4 : CALLS_MAX),
		.pause_us_max = chance_between(1, 2000000),
		.well = !fate->losses && !fate->crashes && !fate->partitions,
		.drained = fate->drains };
	calling.patient = calling.well;
	calling.cancels = !calling.well || chance_one_in(2);
	callers_start(&calling, 1 + (unsigned)chance_below(CALLERS_MAX));
	fiber_start("fate", run_events, NULL);
	fiber_start("the watch", watch, NULL);
	callers_wait();
	events.calm = true;
	while (!events.still || events.dying > 0)
		(void)fiber_wait(&events, INT64_MAX);
	if (!calling.well)
		call_again(calling);
	take_leave();
	if (net_turns() > 0)
		sim_fail("%u turns were not given back", net_turns());
	net_close();
	fiber_sleep(2000000);
	if (fibers_left() > 0)
		sim_fail("%u threads are left", fibers_left());
	history_check();
	history_close();
}

/* ── runs ────────────────────────────────────────────────────────────────────────────────────────────── */

/* Seeds from `first` to `last`. */
struct range {
	uint64_t first, last;
};

static uint64_t run_seed(uint64_t seed)
{
	*trace.seed = seed;
	trace.n_lines = 0;
	trace.sum = seed;
	alarm(HANG_SECONDS);
	fibers_run(seed, run);
	alarm(0);
	return trace.sum;
}

static void run_all(const struct range *range)
{
	uint64_t sum = run_seed(range->first);

	if (!trace.loud && run_seed(range->first) != sum) /* what a seed promises */
		sim_fail("the same seed was another run");
	for (uint64_t seed = range->first + 1; seed <= range->last; seed++)
		(void)run_seed(seed);
}

/* In a process of its own, so that a crash, a run that does not end and what a sanitizer finds are told with their seed. */
static int run_apart(const struct range *range)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		run_all(range);
		exit(EXIT_SUCCESS);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
		printf("seed %llu failed (%s); again, with its trace: sim %llu\n", (unsigned long long)*trace.seed,
				child >= 0 && WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above",
				(unsigned long long)*trace.seed);
		return EXIT_FAILURE;
	}
	printf("seeds %llu to %llu passed\n", (unsigned long long)range->first, (unsigned long long)range->last);
	return EXIT_SUCCESS;
}

static bool read_number(const char *text, uint64_t *ret)
{
	char *end;

	*ret = strtoull(text, &end, 10);
	return end != text && *end == '\0';
}

static bool read_range(int argc, char **argv, struct range *ret)
{
	uint64_t n = 1;
	bool many = argc >= 3 && strcmp(argv[1], "--seeds") == 0, from = argc == 5 && strcmp(argv[3], "--from") == 0, ok;

	ret->first = 1;
	trace.loud = argc == 2;
	if (argc == 2)
		ok = read_number(argv[1], &ret->first);
	else
		ok = many && (argc == 3 || from) && read_number(argv[2], &n) && (!from || read_number(argv[4], &ret->first));
	ret->last = ret->first + n - 1;
	return ok && n > 0;
}

int main(int argc, char **argv)
{
	struct range range;

	if (!read_range(argc, argv, &range)) {
		fprintf(stderr, "usage: sim SEED\n       sim --seeds N [--from S]\n");
		return 2;
	}
	log_init(LOG_ERROR);
	/* Large messages come and go: half of the time went into giving their pages back, and getting them again. */
	(void)mallopt(M_MMAP_MAX, 0);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	setvbuf(stdout, NULL, _IOLBF, 0); /* a trace ends where its run does */
	trace.seed = mmap(NULL, sizeof *trace.seed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (trace.seed == MAP_FAILED)
		return EXIT_FAILURE;
	return run_apart(&range);
}
