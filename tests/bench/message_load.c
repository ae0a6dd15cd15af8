/* Keeps a number of calls under way on a real aside-server, and says how many end a second.
 *
 *     message_load fill|send|read ADDRESS TOKEN-FILE PAGES THREADS OUTSTANDING SECONDS
 *
 * Pages are 1…PAGES, a page's threads those of the persons 1…THREADS.  fill: creates the pages and writes one
 * message into every thread, however long it takes; send: messages into random threads; read: the newest 20
 * messages of random threads. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside/v1/messages.stub.h"
#include "aside/v1/pages.stub.h"
#include "load.h"

#define TOKEN_BYTES 4096
#define NEWEST 20

static const char text[] = "My bottle was half empty. Is that how it is meant to be, or was the cap loose? Thank you!";

static struct aside_channel *channel;
static struct load load;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static unsigned under_way;
static int64_t n_pages, n_threads, next_fill;
static uint64_t next_random;
static bool filling, reading;

struct slot {
	int64_t began_us;
};

static void give_up(const char *what, const struct aside_status *status)
{
	fprintf(stderr, "message_load: %s: %s\n", what, status->message);
	exit(EXIT_FAILURE);
}

/* splitmix64: numbers without a pattern, and never the same twice. */
static uint64_t draw(void)
{
	uint64_t z = __atomic_add_fetch(&next_random, 0x9E3779B97F4A7C15ull, __ATOMIC_RELAXED);

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

static void start(struct slot *slot);

static void done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct slot *slot = user;

	aside_free(response);
	if (status->code != ASIDE_OK)
		give_up("call", status);
	pthread_mutex_lock(&mutex);
	bool more = filling ? next_fill < n_pages * n_threads : load_count(&load, slot->began_us, true);
	if (!more && --under_way == 0)
		pthread_cond_signal(&idle);
	pthread_mutex_unlock(&mutex);
	if (more)
		start(slot);
}

static void send_to(struct slot *slot, int64_t page, const struct aside_call_options *options)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
	struct aside_status status;
	uint64_t key[2] = { draw(), draw() };

	content.text = (char *)(uintptr_t)text;
	request.page_id = page;
	request.client_key = (ProtobufCBinaryData){ sizeof key, (uint8_t *)key };
	request.content = &content;
	if (aside_v1_message_service_send_message_start(channel, &request, options, done, slot, NULL, &status) != ASIDE_OK)
		give_up("SendMessage", &status);
}

static void read_newest(struct slot *slot, int64_t page, int64_t person, const struct aside_call_options *options)
{
	Aside__V1__ListMessagesRequest request = ASIDE__V1__LIST_MESSAGES_REQUEST__INIT;
	struct aside_status status;

	request.page_id = page;
	request.user_id = person;
	request.page_size = NEWEST;
	if (aside_v1_message_service_list_messages_start(channel, &request, options, done, slot, NULL, &status) != ASIDE_OK)
		give_up("ListMessages", &status);
}

static void start(struct slot *slot)
{
	int64_t at = filling ? __atomic_fetch_add(&next_fill, 1, __ATOMIC_RELAXED) : (int64_t)(draw() >> 1);
	int64_t page = at % n_pages + 1, person = at / n_pages % n_threads + 1;
	char digits[24];
	struct aside_metadata metadata = { "act-as-user", digits, 0 };
	struct aside_call_options options = { .timeout_ms = 60000, .metadata = &metadata, .n_metadata = 1 };

	metadata.value_bytes = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)person);
	slot->began_us = load_now_us();
	if (reading)
		read_newest(slot, page, person, &options);
	else
		send_to(slot, page, &options);
}

static void create_pages(void)
{
	for (int64_t page = 1; page <= n_pages; page++) {
		Aside__V1__CreatePageRequest request = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
		Aside__V1__CreatePageResponse *response = NULL;
		struct aside_status status;
		request.page_id = page;
		request.name = (char *)(uintptr_t)"Coke";
		request.admin_user_id = 1;
		if (aside_v1_page_service_create_page(channel, &request, NULL, &response, &status) != ASIDE_OK)
			give_up("CreatePage", &status);
		aside_free(response);
	}
}

static void run(unsigned outstanding)
{
	struct slot *slots = calloc(outstanding, sizeof *slots);

	under_way = outstanding;
	for (unsigned i = 0; i < outstanding; i++)
		start(&slots[i]);
	pthread_mutex_lock(&mutex);
	while (under_way > 0)
		pthread_cond_wait(&idle, &mutex);
	pthread_mutex_unlock(&mutex);
	free(slots);
}

int main(int argc, char **argv)
{
	static char token[TOKEN_BYTES];
	struct aside_options options = { .token = token };
	struct aside_status status;
	FILE *file = argc == 8 ? fopen(argv[3], "re") : NULL;

	if (file == NULL || fgets(token, sizeof token, file) == NULL) {
		fprintf(stderr, "usage: message_load fill|send|read ADDRESS TOKEN-FILE PAGES THREADS OUTSTANDING SECONDS\n");
		return 2;
	}
	fclose(file);
	token[strcspn(token, "\n")] = '\0';
	filling = strcmp(argv[1], "fill") == 0;
	reading = strcmp(argv[1], "read") == 0;
	n_pages = atoll(argv[4]);
	n_threads = atoll(argv[5]);
	next_random = (uint64_t)load_now_us();
	if (aside_channel_open(argv[2], &options, &channel, &status) != ASIDE_OK)
		give_up("channel", &status);
	if (filling)
		create_pages();
	load_start(&load, atof(argv[7]));
	run((unsigned)atoi(argv[6]));
	aside_channel_close(channel);
	load_print(&load);
	return EXIT_SUCCESS;
}
