/* See drive.h. */
#include "drive.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define TOKEN_BYTES 4096

static struct aside_channel *channel;
static drive_make *make;
static struct load load;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of all below, and of counting */
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static size_t under_way;
static bool repeating;
static struct aside_status first_failure;

struct slot {
	int64_t began_us;
};

struct aside_channel *drive_open(const char *address, const char *token_file)
{
	static char token[TOKEN_BYTES];
	struct aside_options options = { .token = token_file != NULL ? token : NULL };
	struct aside_channel *opened = NULL;
	struct aside_status status;
	FILE *file = token_file != NULL ? fopen(token_file, "re") : NULL;

	if (file != NULL && fgets(token, sizeof token, file) != NULL)
		token[strcspn(token, "\n")] = '\0';
	if (file != NULL)
		fclose(file);
	if (aside_channel_open(address, &options, &opened, &status) != ASIDE_OK) {
		fprintf(stderr, "%s: %s\n", address, status.message);
		exit(EXIT_FAILURE);
	}
	return opened;
}

/* splitmix64: never the same twice. */
uint64_t drive_draw(void)
{
	static uint64_t state;
	uint64_t start = 0;

	(void)__atomic_compare_exchange_n(&state, &start, (uint64_t)load_now_us(), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	uint64_t z = __atomic_add_fetch(&state, 0x9E3779B97F4A7C15ull, __ATOMIC_RELAXED);
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

static void start(struct slot *slot);

static bool count(int64_t began_us, const struct aside_status *status)
{
	if (status->code != ASIDE_OK && first_failure.code == ASIDE_OK)
		first_failure = *status;
	return load_count(&load, began_us, status->code == ASIDE_OK);
}

static void done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct slot *slot = user;

	aside_free(response);
	pthread_mutex_lock(&mutex);
	bool more = count(slot->began_us, status) && repeating;
	if (!more && --under_way == 0)
		pthread_cond_signal(&idle);
	pthread_mutex_unlock(&mutex);
	if (more)
		start(slot);
	else
		free(slot);
}

static void start(struct slot *slot)
{
	struct drive_call call = { 0 };
	struct aside_status status = { 0 };

	make(&call);
	slot->began_us = load_now_us();
	if (aside_call_start(channel, call.method, call.request, &call.options, done, slot, NULL, &status) != ASIDE_OK)
		done(slot, NULL, &status);
}

static void start_one(void)
{
	pthread_mutex_lock(&mutex);
	under_way++;
	pthread_mutex_unlock(&mutex);
	start(malloc(sizeof(struct slot)));
}

static void wait_idle(void)
{
	pthread_mutex_lock(&mutex);
	while (under_way > 0)
		pthread_cond_wait(&idle, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void *call_in_turn(void *unused)
{
	for (bool more = true; more;) {
		struct drive_call call = { 0 };
		struct aside_status status = { 0 };
		ProtobufCMessage *response = NULL;
		make(&call);
		int64_t began_us = load_now_us();
		(void)!aside_call(channel, call.method, call.request, &call.options, &response, &status);
		aside_free(response);
		pthread_mutex_lock(&mutex);
		more = count(began_us, &status);
		pthread_mutex_unlock(&mutex);
	}
	return unused;
}

static void run_threads(size_t n)
{
	pthread_t *threads = calloc(n, sizeof *threads);

	for (size_t i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, call_in_turn, NULL) != 0)
			abort();
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

void drive(struct aside_channel *on, drive_make *with, const char *form, size_t n, double seconds)
{
	channel = on;
	make = with;
	load_start(&load, seconds);
	if (strcmp(form, "threads") == 0) {
		run_threads(n);
	} else if (strcmp(form, "rate") == 0) {
		load_pace(&load, (double)n, start_one);
	} else {
		repeating = true;
		for (size_t i = 0; i < n; i++)
			start_one();
	}
	wait_idle();
	load_print(&load);
	if (first_failure.code != ASIDE_OK)
		fprintf(stderr, "a call failed: %s %s: %s\n", aside_code_name(first_failure.code), first_failure.reason,
				first_failure.message);
}
