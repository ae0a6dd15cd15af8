/* Calls to a real aside-server: how many end a second, and how long one takes.
 *
 *     message_load ADDRESS TOKEN-FILE WHAT FIRST-LAST THREADS SECONDS calls|threads|rate N      see drive.h
 *
 * On the pages FIRST to LAST, a page's threads those of the persons 1 to THREADS, all drawn at random.  WHAT:
 * "send" sends messages, "read" reads the newest 20 of a thread, "inbox" the newest 20 threads of a page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside/v1/messages.stub.h"
#include "aside/v1/threads.stub.h"
#include "drive.h"

#define NEWEST 20

/* As long as the peer's, in peer/send.sql. */
static const char text[] = "My bottle was half empty. Is that how it is meant to be, or was the cap loose? Thank you!";

static int64_t first_page, n_pages, n_threads;

static int64_t draw_page(void)
{
	return first_page + (int64_t)(drive_draw() % (uint64_t)n_pages);
}

/* A person, in whose name the call is made. */
static int64_t draw_person(struct drive_call *call)
{
	static _Thread_local char digits[24];
	static _Thread_local struct aside_metadata metadata;
	int64_t person = 1 + (int64_t)(drive_draw() % (uint64_t)n_threads);

	metadata = (struct aside_metadata){ "act-as-user", digits, 0 };
	metadata.value_bytes = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)person);
	call->options.metadata = &metadata;
	call->options.n_metadata = 1;
	return person;
}

static void make_send(struct drive_call *ret_call)
{
	static _Thread_local Aside__V1__SendMessageRequest request;
	static _Thread_local Aside__V1__Content content;
	static _Thread_local uint64_t key[2];

	(void)draw_person(ret_call);
	aside__v1__content__init(&content);
	content.text = (char *)(uintptr_t)text;
	key[0] = drive_draw();
	key[1] = drive_draw();
	aside__v1__send_message_request__init(&request);
	request.page_id = draw_page();
	request.client_key = (ProtobufCBinaryData){ sizeof key, (uint8_t *)key };
	request.content = &content;
	ret_call->method = &aside_v1_message_service.methods[aside_v1_message_service_send_message_index];
	ret_call->request = &request.base;
}

static void make_read(struct drive_call *ret_call)
{
	static _Thread_local Aside__V1__ListMessagesRequest request;

	aside__v1__list_messages_request__init(&request);
	request.page_id = draw_page();
	request.user_id = draw_person(ret_call);
	request.page_size = NEWEST;
	ret_call->method = &aside_v1_message_service.methods[aside_v1_message_service_list_messages_index];
	ret_call->request = &request.base;
}

static void make_inbox(struct drive_call *ret_call)
{
	static _Thread_local Aside__V1__ListPageThreadsRequest request;

	aside__v1__list_page_threads_request__init(&request);
	request.page_id = draw_page();
	request.page_size = NEWEST;
	ret_call->method = &aside_v1_thread_service.methods[aside_v1_thread_service_list_page_threads_index];
	ret_call->request = &request.base;
}

static drive_make *what(const char *name)
{
	return strcmp(name, "send") == 0 ? make_send : strcmp(name, "read") == 0 ? make_read : make_inbox;
}

int main(int argc, char **argv)
{
	long long first, last;

	if (argc != 9 || sscanf(argv[4], "%lld-%lld", &first, &last) != 2) {
		fprintf(stderr, "usage: message_load ADDRESS TOKEN-FILE send|read|inbox FIRST-LAST THREADS SECONDS"
				" calls|threads|rate N\n");
		return 2;
	}
	struct aside_channel *channel = drive_open(argv[1], argv[2]);
	first_page = first;
	n_pages = last - first + 1;
	n_threads = atoll(argv[5]);
	drive(channel, what(argv[3]), argv[7], strtoul(argv[8], NULL, 10), atof(argv[6]));
	aside_channel_close(channel);
	return EXIT_SUCCESS;
}
