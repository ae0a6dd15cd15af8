/* Serves EchoService on the addresses it is given: the RPC runtime with no store behind it.
 *
 *     echo_server [--log] URL...      prints "ready URL..." and serves until TERM */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "echo_service.h"
#include "log.h"
#include "rpc/builtin.h"
#include "rpc/server.h"

#define URL_BYTES 256
#define DRAIN_US 10000000

static const struct handlers *const all[] = { &echo_handlers, &health_handlers, &reflection_handlers, NULL };

static enum aside_code serve(char **urls, struct auth **ret_auth, struct server **ret, struct aside_status *err)
{
	struct auth_options none = { 0 };
	struct listen_options plain = { 0 };
	enum aside_code code = auth_open(&none, ret_auth, err);

	if (code == ASIDE_OK)
		code = server_open(&(struct server_options){ .handlers = all, .auth = *ret_auth }, ret, err);
	if (code != ASIDE_OK)
		return code;
	builtin_init(*ret, all);
	printf("ready");
	for (; *urls != NULL && code == ASIDE_OK; urls++) {
		char url[URL_BYTES];
		code = server_listen(*ret, *urls, &plain, url, sizeof url, err);
		printf(" %s", url);
	}
	if (code != ASIDE_OK)
		return code;
	code = server_start(*ret, err);
	printf("\n");
	fflush(stdout);
	return code;
}

int main(int argc, char **argv)
{
	bool log = argc > 1 && strcmp(argv[1], "--log") == 0;
	struct aside_status err = { 0 };
	struct server *server = NULL;
	struct auth *auth = NULL;
	sigset_t signals;
	int signal;

	log_init(log ? LOG_INFO : LOG_WARNING);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (argc < 2 + log || serve(argv + 1 + log, &auth, &server, &err) != ASIDE_OK) {
		fprintf(stderr, "echo_server: %s\n", err.message);
		return EXIT_FAILURE;
	}
	(void)sigwait(&signals, &signal);
	(void)server_drain(server, clock_monotonic_us() + DRAIN_US);
	server_close(server);
	auth_close(auth);
	return EXIT_SUCCESS;
}
