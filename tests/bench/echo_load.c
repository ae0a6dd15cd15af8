/* Keeps a number of echo calls under way over one channel, and says how many end a second.
 *
 *     echo_load ADDRESS OUTSTANDING SECONDS */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "echo.stub.h"
#include "load.h"

#define PAYLOAD_BYTES 128

static struct aside_channel *channel;
static struct load load;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static unsigned under_way;

struct slot {
	int64_t began_us;
};

static void start(struct slot *slot);

static void done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct slot *slot = user;

	aside_free(response);
	pthread_mutex_lock(&mutex);
	bool more = load_count(&load, slot->began_us, status->code == ASIDE_OK);
	if (!more && --under_way == 0)
		pthread_cond_signal(&idle);
	pthread_mutex_unlock(&mutex);
	if (more)
		start(slot);
}

static void start(struct slot *slot)
{
	static uint8_t payload[PAYLOAD_BYTES];
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_status status;

	request.payload = (ProtobufCBinaryData){ sizeof payload, payload };
	slot->began_us = load_now_us();
	if (echo_v1_echo_service_echo_start(channel, &request, NULL, done, slot, NULL, &status) != ASIDE_OK) {
		fprintf(stderr, "echo_load: %s\n", status.message);
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	struct aside_status status;

	if (argc != 4 || aside_channel_open(argv[1], NULL, &channel, &status) != ASIDE_OK) {
		fprintf(stderr, "usage: echo_load ADDRESS OUTSTANDING SECONDS\n");
		return 2;
	}
	under_way = (unsigned)atoi(argv[2]);
	struct slot *slots = calloc(under_way, sizeof *slots);
	load_start(&load, atof(argv[3]));
	for (unsigned i = 0, n = under_way; i < n; i++)
		start(&slots[i]);
	pthread_mutex_lock(&mutex);
	while (under_way > 0)
		pthread_cond_wait(&idle, &mutex);
	pthread_mutex_unlock(&mutex);
	aside_channel_close(channel);
	free(slots);
	load_print(&load);
	return load.n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
