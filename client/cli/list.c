/* aside list and aside health: what a server, or each of several, can do and how it is. */
#include <string.h>
#include <time.h>

#include "aside/rpc/v1/health.stub.h"
#include "remote.h"
#include "text.h"

#define SENTENCE_BYTES 160
#define PATIENCE_MS 6000 /* more than connecting takes */

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
		rc = complain(&status);
	remote_close(&remote);
	return rc;
}

/* ── health ──────────────────────────────────────────────────────────────────────────────────────── */

struct check {
	bool serving;
	const char *state;
	char version[32], why[320];
	double took_ms;
};

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void check_server(const struct invocation *in, const char *server, struct check *ret)
{
	Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;
	Aside__Rpc__V1__CheckResponse *response = NULL;
	struct aside_call_options options = { .timeout_ms = in->timeout_ms > 0 ? (uint32_t)in->timeout_ms : PATIENCE_MS };
	struct aside_channel *channel = NULL;
	struct aside_status status;
	double began = now_ms();

	*ret = (struct check){ .state = "unreachable" };
	if (remote_channel(in, server, &channel, &status) != ASIDE_OK ||
			aside_rpc_v1_health_service_check(channel, &request, &options, &response, &status) != ASIDE_OK) {
		(void)snprintf(ret->why, sizeof ret->why, "%s: %s", status.reason, status.message);
	} else {
		ret->serving = response->status == ASIDE__RPC__V1__CHECK_RESPONSE__SERVING_STATUS__SERVING_STATUS_SERVING;
		ret->state = ret->serving ? "serving" : "not serving";
		(void)snprintf(ret->version, sizeof ret->version, "%s", response->version);
	}
	ret->took_ms = now_ms() - began;
	aside_free(response);
	aside_channel_close(channel);
}

static json_t *check_json(const char *server, const struct check *check)
{
	return json_pack("{s:s,s:s,s:s,s:f,s:s}", "server", server, "state", check->state, "version", check->version, "tookMs",
			check->took_ms, "error", check->why);
}

int health_command(struct invocation *in)
{
	static const char *const headers[] = { "STATE", "VERSION", "MS", "SERVER", NULL };
	char *servers = strdup(in->server), *state = NULL;
	json_t *list = json_array();
	struct grid grid;
	bool all = true;

	grid_init(&grid, headers);
	for (char *server = strtok_r(servers, ",", &state); server != NULL; server = strtok_r(NULL, ",", &state)) {
		struct check check;
		check_server(in, server, &check);
		all = all && check.serving;
		if (wants_json(in)) {
			json_array_append_new(list, check_json(server, &check));
			continue;
		}
		grid_add(&grid, "%s", check.state);
		grid_add(&grid, "%s", check.version);
		grid_add(&grid, "%.1f", check.took_ms);
		grid_add(&grid, "%s%s%s", server, check.why[0] != '\0' ? "  " : "", check.why);
	}
	if (wants_json(in))
		print_json(list);
	else
		grid_end(&grid);
	json_decref(list);
	free(servers);
	return all ? 0 : EXIT_NO;
}
