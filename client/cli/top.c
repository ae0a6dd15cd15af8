/* aside top: what a server is doing, again every second on a terminal, once elsewhere.  One thread; the library's
 * own know nothing of it.  Signals wait while a call is under way: only the pause between two calls lets them in. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "aside/rpc/v1/introspection.stub.h"
#include "remote.h"
#include "text.h"

#define REFRESH_MS 1000
#define SCREEN_BYTES 65536
#define ROWS_OF_HEADERS 7 /* three lines, two grids' headers, an empty line before each */
#define SESSIONS_MAX 1000

typedef Aside__Rpc__V1__GetServerResponse server_state;
typedef Aside__Rpc__V1__MethodState method_state;

/* A method's row: what has changed since the last answer, or since the start. */
struct row {
	const method_state *method;
	uint64_t ended, not_ok, took_us;
};

/* ── the table ───────────────────────────────────────────────────────────────────────────────────── */

static void add_up(const method_state *method, struct row *row, bool minus)
{
	uint64_t sign = minus ? UINT64_MAX : 1; /* in arithmetic modulo 2^64 */

	row->took_us += sign * method->took_us;
	for (size_t i = 0; i < method->n_outcomes; i++) {
		row->ended += sign * method->outcomes[i]->calls;
		row->not_ok += method->outcomes[i]->code != ASIDE_OK ? sign * method->outcomes[i]->calls : 0;
	}
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *one = a, *other = b;

	if (one->method->under_way != other->method->under_way)
		return one->method->under_way < other->method->under_way ? 1 : -1;
	if (one->ended != other->ended)
		return one->ended < other->ended ? 1 : -1;
	return strcmp(one->method->method, other->method->method);
}

/* Rows of all methods, the busiest first; malloc()ed. */
static struct row *make_rows(const server_state *now, const server_state *before)
{
	struct row *rows = calloc(now->n_methods + 1, sizeof *rows);

	for (size_t i = 0; rows != NULL && i < now->n_methods; i++) {
		rows[i].method = now->methods[i];
		add_up(now->methods[i], &rows[i], false);
		for (size_t k = 0; before != NULL && k < before->n_methods; k++)
			if (strcmp(before->methods[k]->method, now->methods[i]->method) == 0)
				add_up(before->methods[k], &rows[i], true);
	}
	if (rows != NULL)
		qsort(rows, now->n_methods, sizeof *rows, compare_rows);
	return rows;
}

static const char *short_name(const char *method)
{
	const char *dot = strrchr(method, '.');

	return dot != NULL ? dot + 1 : method;
}

/* `before`: of the same server; NULL: rates are those since its start. */
static void print_methods(const server_state *now, const server_state *before, size_t rows_max)
{
	static const char *const headers[] = { "UNDER WAY", "OLDEST S", "CALLS/S", "NOT OK", "MEAN MS", "METHOD", NULL };
	int64_t span_us = now->now_us - (before != NULL ? before->now_us : now->started_at_us);
	struct row *rows = make_rows(now, before);
	struct grid grid;

	grid_init(&grid, headers);
	for (size_t i = 0; rows != NULL && i < now->n_methods && i < rows_max; i++) {
		grid_add(&grid, "%u", rows[i].method->under_way);
		grid_add(&grid, "%.1f", (double)rows[i].method->oldest_us / 1e6);
		grid_add(&grid, "%.1f", span_us > 0 ? (double)rows[i].ended * 1e6 / (double)span_us : 0.0);
		grid_add(&grid, "%llu", (unsigned long long)rows[i].not_ok);
		grid_add(&grid, "%.2f", rows[i].ended > 0 ? (double)rows[i].took_us / (double)rows[i].ended / 1e3 : 0.0);
		grid_add(&grid, "%s", short_name(rows[i].method->method));
	}
	grid_end(&grid);
	free(rows);
}

static void print_sessions(const server_state *now, size_t rows_max)
{
	static const char *const headers[] = { "CALLS", "STREAMS", "SILENT S", "CONNECTION", "CALLER", NULL };
	struct grid grid;

	grid_init(&grid, headers);
	for (size_t i = 0; i < now->n_sessions && i < rows_max; i++) {
		const Aside__Rpc__V1__SessionState *session = now->sessions[i];
		grid_add(&grid, "%u", session->calls);
		grid_add(&grid, "%u", session->streams);
		grid_add(&grid, "%.1f", (double)session->silent_us / 1e6);
		grid_add(&grid, "%u", session->connection);
		if (session->service[0] != '\0')
			grid_add(&grid, "service %s", session->service);
		else
			grid_add(&grid, "%s", session->caller == ASIDE__RPC__V1__CALLER__CALLER_PERSON ? "person" : "nobody");
	}
	grid_end(&grid);
}

static void print_queues(const server_state *now, const server_state *before)
{
	int64_t span_us = now->now_us - (before != NULL ? before->now_us : now->started_at_us);

	for (size_t i = 0; i < now->n_queues; i++) {
		const Aside__Rpc__V1__QueueState *queue = now->queues[i], *was = before != NULL && i < before->n_queues ? before->queues[i] : NULL;
		uint64_t operations = queue->operations - (was != NULL ? was->operations : 0);
		uint64_t batches = queue->batches - (was != NULL ? was->batches : 0);
		printf("%s%s: %llu waiting, %.0f/s in batches of %.1f", i > 0 ? "; " : "", queue->name, (unsigned long long)queue->waiting,
				span_us > 0 ? (double)operations * 1e6 / (double)span_us : 0.0,
				batches > 0 ? (double)operations / (double)batches : 0.0);
	}
	if (now->n_queues > 0)
		putchar('\n');
}

static void print_server(const server_state *now, const server_state *before)
{
	bool serving = now->status == ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING;
	long long up = (now->now_us - now->started_at_us) / 1000000;
	size_t room = text_is_terminal() && text_height() > ROWS_OF_HEADERS ? text_height() - ROWS_OF_HEADERS - 1 : SIZE_MAX;
	size_t methods = now->n_methods < room - room / 3 ? now->n_methods : room - room / 3;
	const Aside__Rpc__V1__Load *load = now->load;

	text_print(STYLE_BOLD, "aside %s", now->version);
	printf("  %s, up %lld d %02lld:%02lld:%02lld, %u sessions\n", serving ? "serving" : "not serving", up / 86400,
			up / 3600 % 24, up / 60 % 60, up % 60, now->session_count);
	if (load != NULL)
		printf("%u calls of %u under way, %u streams of %u, %llu calls refused\n", load->calls, load->calls_limit,
				load->streams, load->streams_max, (unsigned long long)load->refused);
	print_queues(now, before);
	putchar('\n');
	print_methods(now, before, methods);
	putchar('\n');
	print_sessions(now, room - methods);
}

/* ── the terminal ────────────────────────────────────────────────────────────────────────────────── */

static struct termios cooked;
static bool keys;
static volatile sig_atomic_t interrupted;
static sigset_t open_mask;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* Signals are let in by pause_until() only: the library's threads, which come later, never see them. */
static void hold_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = interrupt };
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		sigaddset(&mask, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &mask, &open_mask);
}

/* Another screen than the shell's, without cursor, and keys that come at once and unseen. */
static void enter_screen(void)
{
	struct termios raw;

	(void)setvbuf(stdout, NULL, _IOFBF, SCREEN_BYTES);
	keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &cooked) == 0;
	if (keys) {
		raw = cooked;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	fputs("\033[?1049h\033[?25l", stdout);
}

static void leave_screen(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	(void)fflush(stdout);
	if (keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

/* Waits for the next refresh; false: the user wants to leave. */
static bool pause_screen(void)
{
	struct timespec left = { REFRESH_MS / 1000, REFRESH_MS % 1000 * 1000000l };
	struct pollfd in = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
	char key = 0;

	(void)fflush(stdout);
	int n = ppoll(&in, 1, &left, &open_mask);
	if (n > 0 && read(STDIN_FILENO, &key, 1) <= 0)
		return false; /* the terminal is gone */
	return !interrupted && key != 'q' && key != 'Q';
}

/* ── the command ─────────────────────────────────────────────────────────────────────────────────── */

static enum aside_code ask(const struct invocation *in, struct aside_channel *channel, server_state **ret, struct aside_status *err)
{
	Aside__Rpc__V1__GetServerRequest request = ASIDE__RPC__V1__GET_SERVER_REQUEST__INIT;
	struct aside_call_options options = { .timeout_ms = remote_timeout_ms(in) };

	request.max_sessions = text_is_terminal() && !in->once ? 0 : SESSIONS_MAX;
	return aside_rpc_v1_introspection_service_get_server(channel, &request, &options, ret, err);
}

/* Until the user leaves.  A server that is away, or another one at its address, does not end it.  Takes `now`. */
static void refresh(const struct invocation *in, struct aside_channel *channel, server_state *now)
{
	server_state *before = NULL, *next;
	struct aside_status status = { 0 };

	enter_screen();
	for (bool more = true; more;) {
		text_init(); /* the window may have another size */
		fputs("\033[H\033[2J", stdout);
		if (now != NULL)
			print_server(now, before != NULL && before->started_at_us == now->started_at_us ? before : NULL);
		else
			printf("%s %s: %s\n", aside_code_name(status.code), status.reason, status.message);
		more = pause_screen();
		next = NULL;
		if (more)
			(void)!ask(in, channel, &next, &status);
		aside_free(before);
		before = now;
		now = next;
	}
	leave_screen();
	aside_free(before);
	aside_free(now);
}

int top_command(struct invocation *in)
{
	json_t *response = NULL;
	bool stays = text_is_terminal() && !in->once;
	struct aside_channel *channel = NULL;
	server_state *now = NULL;
	struct aside_status status;
	int rc = 0;

	if (wants_json(in)) {
		rc = call_json(in, "aside.rpc.v1.IntrospectionService/GetServer", NULL, &response);
		if (rc == 0)
			print_json(response);
		json_decref(response);
		return rc;
	}
	if (stays)
		hold_signals();
	if (remote_channel(in, in->server, &channel, &status) != ASIDE_OK || ask(in, channel, &now, &status) != ASIDE_OK) {
		rc = remote_complain(in, &status);
	} else if (stays) {
		refresh(in, channel, now);
	} else {
		print_server(now, NULL);
		aside_free(now);
	}
	aside_channel_close(channel);
	return rc;
}
