/* Holds many connections, each of which has made one call, or many open streams of one connection, and does nothing
 * with them.
 *
 *     idle_load ADDRESS connections|streams N      prints "ready", ends with its standard input */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echo.stub.h"
#include "load.h"

static struct aside_status status;

static struct aside_channel *connect_one(const char *address)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	struct aside_channel *channel = NULL;

	if (aside_channel_open(address, NULL, &channel, &status) != ASIDE_OK ||
			echo_v1_echo_service_echo(channel, &request, NULL, &response, &status) != ASIDE_OK)
		return NULL;
	aside_free(response);
	return channel;
}

/* Open, and known to the server: it has sent its one item. */
static bool open_one(struct aside_channel *channel)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	struct aside_call_options long_lived = { .timeout_ms = 3600000 };
	struct aside_stream *stream = NULL;
	Echo__V1__EchoResponse *item = NULL;

	request.count = 1;
	request.stay_open = true;
	if (echo_v1_echo_service_repeat_open(channel, &request, &long_lived, &stream, &status) != ASIDE_OK ||
			echo_v1_echo_service_repeat_receive(stream, &item, &status) != ASIDE_OK)
		return false;
	aside_free(item);
	return true;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: idle_load ADDRESS connections|streams N\n");
		return 2;
	}
	bool streams = strcmp(argv[2], "streams") == 0;
	struct aside_channel *one = streams ? connect_one(argv[1]) : NULL;
	for (long i = 0, n = strtol(argv[3], NULL, 10); i < n; i++)
		if (streams ? one == NULL || !open_one(one) : connect_one(argv[1]) == NULL) {
			fprintf(stderr, "idle_load: %s %s: %s\n", aside_code_name(status.code), status.reason, status.message);
			return EXIT_FAILURE;
		}
	load_hold();
	_Exit(EXIT_SUCCESS); /* the kernel closes them faster */
}
