/* Holds many connections, each of which has made one call, and does nothing with them.
 *
 *     idle_load ADDRESS connections N      prints "ready", ends with its standard input */
#include <stdio.h>
#include <stdlib.h>

#include "echo.stub.h"
#include "load.h"

static void give_up(const struct aside_status *status)
{
	fprintf(stderr, "idle_load: %s\n", status->message);
	exit(EXIT_FAILURE);
}

static struct aside_channel *connect_one(const char *address)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	struct aside_channel *channel = NULL;
	struct aside_status status;

	if (aside_channel_open(address, NULL, &channel, &status) != ASIDE_OK ||
			echo_v1_echo_service_echo(channel, &request, NULL, &response, &status) != ASIDE_OK)
		give_up(&status);
	aside_free(response);
	return channel;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: idle_load ADDRESS connections N\n");
		return 2;
	}
	for (long i = 0, n = strtol(argv[3], NULL, 10); i < n; i++)
		(void)connect_one(argv[1]);
	load_hold();
	_Exit(EXIT_SUCCESS); /* the kernel closes them faster */
}
