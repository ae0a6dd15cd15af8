/* Streams of items over one channel: how many come a second.
 *
 *     stream_load ADDRESS SECONDS callbacks|threads N      N streams; threads: one each, that waits for items */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echo.stub.h"
#include "load.h"

#define PAYLOAD_BYTES 128

static struct aside_channel *channel;
static uint64_t n_items;

static void give_up(const struct aside_status *status)
{
	fprintf(stderr, "stream_load: %s %s: %s\n", aside_code_name(status->code), status->reason, status->message);
	exit(EXIT_FAILURE);
}

static void on_item(void *user, ProtobufCMessage *item)
{
	(void)user;
	aside_free(item);
	__atomic_fetch_add(&n_items, 1, __ATOMIC_RELAXED);
}

static void on_end(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	(void)user;
	(void)response;
	give_up(status); /* they outlast the run */
}

static const struct aside_call_options long_lived = { .timeout_ms = 3600000 };

static void endless(Echo__V1__RepeatRequest *ret_request)
{
	static uint8_t payload[PAYLOAD_BYTES];

	echo__v1__repeat_request__init(ret_request);
	ret_request->payload = (ProtobufCBinaryData){ sizeof payload, payload };
	ret_request->count = UINT64_MAX;
}

static void start_one(void)
{
	static const struct aside_stream_events events = { .item = on_item, .end = on_end };
	Echo__V1__RepeatRequest request;
	struct aside_stream *stream;
	struct aside_status status;

	endless(&request);
	if (echo_v1_echo_service_repeat_start(channel, &request, &long_lived, &events, &stream, &status) != ASIDE_OK)
		give_up(&status);
}

static void *receive(void *unused)
{
	Echo__V1__RepeatRequest request;
	Echo__V1__EchoResponse *item;
	struct aside_stream *stream;
	struct aside_status status;

	endless(&request);
	if (echo_v1_echo_service_repeat_open(channel, &request, &long_lived, &stream, &status) == ASIDE_OK)
		while (echo_v1_echo_service_repeat_receive(stream, &item, &status) == ASIDE_OK)
			on_item(NULL, &item->base);
	give_up(&status);
	return unused;
}

int main(int argc, char **argv)
{
	struct aside_status status;
	pthread_t thread;

	if (argc != 5 || aside_channel_open(argv[1], NULL, &channel, &status) != ASIDE_OK) {
		fprintf(stderr, "usage: stream_load ADDRESS SECONDS callbacks|threads N\n");
		return 2;
	}
	for (long i = 0, n = strtol(argv[4], NULL, 10); i < n; i++)
		if (strcmp(argv[3], "callbacks") == 0)
			start_one();
		else if (pthread_create(&thread, NULL, receive, NULL) != 0)
			return EXIT_FAILURE;
	load_print_growth(&n_items, atof(argv[2]));
	fflush(stdout);
	_Exit(EXIT_SUCCESS); /* the streams never end */
}
