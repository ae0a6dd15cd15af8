/* aside list and aside health: what a server, or each of several, can do and how it is. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aside/rpc/v1/health.stub.h"
#include "remote.h"
#include "servers.h"
#include "text.h"

#define SENTENCE_BYTES 160

/* ── list ────────────────────────────────────────────────────────────────────────────────────────── */

static const char *callers_of(const struct aside_method *method)
{
	static const char *const names[] = {
		[0] = "nobody", [ASIDE_CALLER_PERSON] = "person", [ASIDE_CALLER_SERVICE] = "service",
		[ASIDE_CALLER_PERSON | ASIDE_CALLER_SERVICE] = "person, service",
	};

	return method->callers & ASIDE_CALLER_ANYONE ? "anyone" : names[method->callers & (ASIDE_CALLER_PERSON | ASIDE_CALLER_SERVICE)];
}

static const char *kind_of(const struct aside_method *method)
{
	static const char *const names[] = { [ASIDE_NOT_IDEMPOTENT] = "write, once", [ASIDE_NO_SIDE_EFFECTS] = "read",
		[ASIDE_IDEMPOTENT] = "write" };

	return aside_method_streams(method) ? "stream" : names[method->idempotency];
}

static void print_methods(const struct catalog *catalog)
{
	static const char *const headers[] = { "  METHOD", "CALLERS", "KIND", "WHAT IT DOES", NULL };
	char sentence[SENTENCE_BYTES];
	struct grid grid;

	grid_init(&grid, headers);
	for (size_t i = 0; i < catalog->n_symbols; i++) {
		const struct symbol *symbol = &catalog->symbols[i];
		if (symbol->kind == SYMBOL_SERVICE)
			grid_section(&grid, symbol->name);
		if (symbol->kind != SYMBOL_METHOD)
			continue;
		grid_add(&grid, "  %s", symbol->type.method.name);
		grid_add(&grid, "%s", callers_of(&symbol->type.method));
		grid_add(&grid, "%s", kind_of(&symbol->type.method));
		grid_add(&grid, "%s", text_sentence(symbol_comment(symbol), sentence, sizeof sentence));
	}
	grid_end(&grid);
}

int list_command(struct invocation *in)
{
	json_t *services = NULL;
	struct aside_status status;
	struct remote remote;
	int rc = 0;

	if (wants_json(in)) {
		rc = call_json(in, "aside.rpc.v1.ReflectionService/ListServices", NULL, &services);
		if (rc == 0)
			print_json(services);
		json_decref(services);
		return rc;
	}
	if (remote_open(in, &remote, &status) == ASIDE_OK)
		print_methods(&remote.catalog);
	else
		rc = remote_complain(in, &status);
	remote_close(&remote);
	return rc;
}

/* ── health ──────────────────────────────────────────────────────────────────────────────────────── */

struct check {
	bool serving;
	const char *state;
	char version[32], why[520];
	double took_ms;
};

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* False where it is no address. */
static bool check_server(const struct invocation *in, const struct server *server, struct check *ret, struct aside_status *err)
{
	Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;
	Aside__Rpc__V1__CheckResponse *response = NULL;
	struct aside_call_options options = { .timeout_ms = remote_timeout_ms(in) };
	struct aside_channel *channel = NULL;
	struct invocation as = *in;
	char trouble[SERVER_WHY_BYTES];
	double began = now_ms();

	*ret = (struct check){ .state = "unreachable" };
	if (server->nowhere) {
		(void)snprintf(ret->why, sizeof ret->why, "%s", server_trouble(in, server, trouble));
		return true;
	}
	if (as.server_name == NULL && server->name[0] != '\0')
		as.server_name = server->name;
	if (remote_channel(&as, server->url, &channel, err) != ASIDE_OK)
		return false;
	if (aside_rpc_v1_health_service_check(channel, &request, &options, &response, err) == ASIDE_OK) {
		ret->serving = response->status == ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING;
		ret->state = ret->serving ? "serving" : "not serving";
		(void)snprintf(ret->version, sizeof ret->version, "%s", response->version);
	}
	ret->took_ms = now_ms() - began;
	if (response == NULL)
		(void)snprintf(ret->why, sizeof ret->why, "%s: %s", err->reason,
				strcmp(err->reason, "NOT_CONNECTED") == 0 ? server_trouble(in, server, trouble) : err->message);
	aside_free(response);
	aside_channel_close(channel);
	return true;
}

static json_t *check_json(const char *server, const struct check *check)
{
	return json_pack("{s:s,s:s,s:s,s:f,s:s}", "server", server, "state", check->state, "version", check->version, "tookMs",
			check->took_ms, "error", check->why);
}

static void print_checks_json(const struct server *servers, const struct check *checks, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, check_json(servers[i].url, &checks[i]));
	print_json(list);
	json_decref(list);
}

static void print_checks(const struct server *servers, const struct check *checks, size_t n)
{
	static const char *const headers[] = { "STATE", "VERSION", "MS", "SERVER", NULL };
	struct grid grid;

	grid_init(&grid, headers);
	for (size_t i = 0; i < n; i++) {
		const struct check *check = &checks[i];
		grid_add(&grid, "%s", check->state);
		grid_add(&grid, "%s", check->version);
		grid_add(&grid, "%.1f", check->took_ms);
		grid_add(&grid, "%s%s%s", servers[i].url, check->why[0] != '\0' ? "  " : "", check->why);
	}
	grid_end(&grid);
}

int health_command(struct invocation *in)
{
	struct server *CLEANUP(freep) servers = NULL;
	struct aside_status status;
	size_t n = 0;
	int rc = servers_find(in, &servers, &n);
	struct check *CLEANUP(freep) checks = calloc(n + 1, sizeof *checks);
	bool all = true;

	if (rc != 0 || checks == NULL)
		return rc != 0 ? rc : EXIT_NO;
	for (size_t i = 0; i < n; i++) {
		if (!check_server(in, &servers[i], &checks[i], &status))
			return complain(&status);
		all = all && checks[i].serving;
	}
	if (wants_json(in))
		print_checks_json(servers, checks, n);
	else
		print_checks(servers, checks, n);
	return all ? 0 : EXIT_NO;
}
