/* Echo calls over one channel: how many end a second, and how long one takes.
 *
 *     echo_load ADDRESS SECONDS calls|threads|rate N      see drive.h */
#include <stdio.h>
#include <stdlib.h>

#include "drive.h"
#include "echo.stub.h"

#define PAYLOAD_BYTES 128

static void make_echo(struct drive_call *ret_call)
{
	static uint8_t payload[PAYLOAD_BYTES];
	static _Thread_local Echo__V1__EchoRequest request;

	echo__v1__echo_request__init(&request);
	request.payload = (ProtobufCBinaryData){ sizeof payload, payload };
	ret_call->method = &echo_v1_echo_service.methods[echo_v1_echo_service_echo_index];
	ret_call->request = &request.base;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: echo_load ADDRESS SECONDS calls|threads|rate N\n");
		return 2;
	}
	struct aside_channel *channel = drive_open(argv[1], NULL);
	drive(channel, make_echo, argv[3], strtoul(argv[4], NULL, 10), atof(argv[2]));
	aside_channel_close(channel);
	return EXIT_SUCCESS;
}
