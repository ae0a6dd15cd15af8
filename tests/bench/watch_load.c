/* Many watchers of a real aside-server, messages at a fixed pace, and how long each took to reach them.
 *
 *     watch_load ADDRESS TOKEN-FILE PAGES THREADS WATCHERS CONNECTIONS PER-SECOND SECONDS
 *
 * Of ten watchers five watch a page, four a thread and one a person's own threads, spread over the pages 1 to PAGES, the
 * persons 1 to THREADS and the connections.  Prints load_print()'s line, of every delivery: from before the call that sent
 * the message to the watcher that has it.  Then "ready", with all watchers still there, until standard input ends. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside/v1/messages.stub.h"
#include "aside/v1/watch.stub.h"
#include "load.h"

#define TOKEN_BYTES 4096
#define TIMEOUT_MS 60000
#define TEXT "My bottle was half empty. Is that how it is meant to be, or was the cap loose? Thank you! %lld"
#define TEXT_BYTES 160

struct watcher {
	struct aside_stream *stream;
};

static struct aside_channel **channels;
static size_t n_channels, n_watchers;
static long long n_pages, n_threads;
static struct load load;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of counting */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t standing, under_way;
static uint64_t sent;

static void give_up(const char *what, const struct aside_status *status)
{
	fprintf(stderr, "watch_load: %s: %s %s: %s\n", what, aside_code_name(status->code), status->reason, status->message);
	exit(EXIT_FAILURE);
}

/* Options of a call in a person's name. */
struct in_name_of {
	char digits[24];
	struct aside_metadata metadata;
	struct aside_call_options options;
};

static const struct aside_call_options *in_name_of(struct in_name_of *as, long long person)
{
	as->metadata = (struct aside_metadata){ "act-as-user", as->digits, 0 };
	as->metadata.value_bytes = (size_t)snprintf(as->digits, sizeof as->digits, "%lld", person);
	as->options = (struct aside_call_options){ .metadata = &as->metadata, .n_metadata = 1 };
	return &as->options;
}

/* ── watching ────────────────────────────────────────────────────────────────────────────────────── */

/* The three kinds of response are laid out alike. */
static void on_item(void *user, ProtobufCMessage *item)
{
	const Aside__V1__WatchPageResponse *response = (const void *)item;
	const char *text = response->event != NULL && response->event->kind_case == ASIDE__V1__EVENT__KIND_MESSAGE ?
			response->event->message->content->text : NULL;
	const char *began = text != NULL ? strrchr(text, ' ') : NULL;
	(void)user;

	pthread_mutex_lock(&mutex);
	if (response->event == NULL && ++standing == n_watchers)
		pthread_cond_signal(&changed);
	if (began != NULL && load.samples != NULL)
		(void)load_count(&load, atoll(began), true);
	pthread_mutex_unlock(&mutex);
	aside_free(item);
}

static void on_end(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	(void)user;
	(void)response;
	give_up("a watch has ended", status);
}

static void watch(size_t i, struct aside_stream **ret_stream)
{
	const struct aside_stream_events events = { .item = on_item, .end = on_end };
	Aside__V1__WatchPageRequest page = ASIDE__V1__WATCH_PAGE_REQUEST__INIT;
	Aside__V1__WatchThreadRequest thread = ASIDE__V1__WATCH_THREAD_REQUEST__INIT;
	Aside__V1__WatchPersonRequest own = ASIDE__V1__WATCH_PERSON_REQUEST__INIT;
	struct aside_channel *channel = channels[i % n_channels];
	struct aside_status status;
	struct in_name_of as;
	enum aside_code code;

	page.page_id = thread.page_id = 1 + (long long)(i / 10) % n_pages;
	thread.user_id = 1 + (long long)(i % 10) % n_threads;
	if (i % 10 < 5)
		code = aside_v1_watch_service_watch_page_start(channel, &page, NULL, &events, ret_stream, &status);
	else if (i % 10 < 9)
		code = aside_v1_watch_service_watch_thread_start(channel, &thread, NULL, &events, ret_stream, &status);
	else /* somebody whose first thread is still to come, like most of those who wait */
		code = aside_v1_watch_service_watch_person_start(channel, &own, in_name_of(&as, n_threads + 1 + (long long)i), &events,
				ret_stream, &status);
	if (code != ASIDE_OK)
		give_up("watch", &status);
}

/* ── sending ─────────────────────────────────────────────────────────────────────────────────────── */

static void on_sent(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	(void)user;
	if (status->code != ASIDE_OK)
		give_up("SendMessage", status);
	aside_free(response);
	pthread_mutex_lock(&mutex);
	if (--under_way == 0)
		pthread_cond_signal(&changed);
	pthread_mutex_unlock(&mutex);
}

static void send_one(void)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;
	uint64_t key[2] = { (uint64_t)load_now_us(), ++sent };
	char text[TEXT_BYTES];
	struct aside_status status;
	struct in_name_of as;

	(void)snprintf(text, sizeof text, TEXT, (long long)load_now_us());
	content.text = text;
	request.page_id = 1 + (long long)(sent * 7919) % n_pages;
	request.client_key = (ProtobufCBinaryData){ sizeof key, (uint8_t *)key };
	request.content = &content;
	pthread_mutex_lock(&mutex);
	under_way++;
	pthread_mutex_unlock(&mutex);
	const struct aside_call_options *options = in_name_of(&as, 1 + (long long)(sent * 104729) % n_threads);
	if (aside_v1_message_service_send_message_start(channels[0], &request, options, on_sent, NULL, NULL, &status) != ASIDE_OK)
		give_up("SendMessage", &status);
}

/* ── the run ─────────────────────────────────────────────────────────────────────────────────────── */

static void open_channels(const char *address, const char *token_file)
{
	static char token[TOKEN_BYTES];
	struct aside_options options = { .token = token };
	struct aside_status status;
	FILE *file = fopen(token_file, "re");

	if (file == NULL || fgets(token, sizeof token, file) == NULL)
		exit(2);
	fclose(file);
	token[strcspn(token, "\n")] = '\0';
	channels = calloc(n_channels, sizeof *channels);
	for (size_t i = 0; i < n_channels; i++)
		if (aside_channel_open(address, &options, &channels[i], &status) != ASIDE_OK)
			give_up("channel", &status);
}

static void wait_for(const size_t *counter, size_t value)
{
	pthread_mutex_lock(&mutex);
	while (*counter != value)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

int main(int argc, char **argv)
{
	struct watcher *watchers;
	struct load fresh;

	if (argc != 9) {
		fprintf(stderr, "usage: watch_load ADDRESS TOKEN-FILE PAGES THREADS WATCHERS CONNECTIONS PER-SECOND SECONDS\n");
		return 2;
	}
	n_pages = atoll(argv[3]);
	n_threads = atoll(argv[4]);
	n_watchers = strtoul(argv[5], NULL, 10);
	n_channels = strtoul(argv[6], NULL, 10);
	open_channels(argv[1], argv[2]);
	watchers = calloc(n_watchers, sizeof *watchers);
	for (size_t i = 0; i < n_watchers; i++)
		watch(i, &watchers[i].stream);
	wait_for(&standing, n_watchers);
	load_start(&fresh, atof(argv[8]));
	pthread_mutex_lock(&mutex);
	load = fresh;
	pthread_mutex_unlock(&mutex);
	load_pace(&load, atof(argv[7]), send_one);
	wait_for(&under_way, 0);
	pthread_mutex_lock(&mutex);
	load_print(&load);
	load.samples = NULL;
	pthread_mutex_unlock(&mutex);
	load_hold();
	_Exit(EXIT_SUCCESS); /* the kernel closes the streams faster */
}
