/* See outlet.h. */
#include "outlet.h"

#include <pthread.h>
#include <string.h>

/* Responses one after the other, each behind its size. */
struct outlet {
	pthread_mutex_t mutex;
	struct call *call; /* NULL once it is gone */
	uint8_t *data;     /* only while something waits */
	size_t size;
	bool open;    /* the stream had credit when it last looked */
	bool refused; /* `writable` is owed */
	struct aside_status *why; /* it is to end */
	void (*writable)(void *user);
	void *user;
};

struct outlet *outlet_new(struct call *call, void (*writable)(void *user), void *user)
{
	struct outlet *outlet = calloc(1, sizeof *outlet);

	if (outlet == NULL)
		return NULL;
	pthread_mutex_init(&outlet->mutex, NULL);
	*outlet = (struct outlet){ .mutex = outlet->mutex, .call = call, .open = call_writable(call), .writable = writable, .user = user };
	return outlet;
}

void outlet_free(struct outlet *outlet)
{
	if (outlet == NULL)
		return;
	pthread_mutex_destroy(&outlet->mutex);
	free(outlet->data);
	free(outlet->why);
	free(outlet);
}

/* With the mutex held. */
static bool append(struct outlet *outlet, struct bytes response)
{
	size_t need = sizeof response.size + response.size;
	uint8_t *grown;

	if (outlet->size > 0 && outlet->size + need > OUTLET_BYTES_MAX)
		return false;
	grown = realloc(outlet->data, outlet->size + need);
	if (grown == NULL)
		return false;
	memcpy(grown + outlet->size, &response.size, sizeof response.size);
	if (response.size > 0)
		memcpy(grown + outlet->size + sizeof response.size, response.data, response.size);
	outlet->data = grown;
	outlet->size += need;
	return true;
}

bool outlet_put(struct outlet *outlet, struct bytes response)
{
	pthread_mutex_lock(&outlet->mutex);
	bool was_empty = outlet->size == 0;
	bool taken = outlet->call != NULL && outlet->open && append(outlet, response);
	outlet->refused |= !taken;
	/* Still with the mutex: until `gone` has it, the call is there. */
	if ((taken && was_empty) || (!taken && outlet->open && outlet->call != NULL))
		call_wake(outlet->call);
	pthread_mutex_unlock(&outlet->mutex);
	return taken;
}

void outlet_end(struct outlet *outlet, const struct aside_status *why)
{
	struct aside_status *copy = malloc(sizeof *copy);

	if (copy != NULL)
		*copy = *why;
	pthread_mutex_lock(&outlet->mutex);
	if (outlet->why == NULL)
		outlet->why = TAKE(copy);
	if (outlet->call != NULL)
		call_wake(outlet->call);
	pthread_mutex_unlock(&outlet->mutex);
	free(copy);
}

/* With the mutex held: sends what there is credit for. */
static void send_waiting(struct outlet *outlet)
{
	size_t at = 0, size;

	while (at < outlet->size && call_writable(outlet->call)) {
		memcpy(&size, outlet->data + at, sizeof size);
		call_send_bytes(outlet->call, (struct bytes){ outlet->data + at + sizeof size, size });
		at += sizeof size + size;
	}
	outlet->size -= at;
	if (outlet->size > 0) {
		memmove(outlet->data, outlet->data + at, outlet->size);
		return;
	}
	free(outlet->data);
	outlet->data = NULL;
}

enum aside_code outlet_pull(struct outlet *outlet, struct aside_status *err)
{
	enum aside_code code = ASIDE_OK;
	bool owed;

	pthread_mutex_lock(&outlet->mutex);
	send_waiting(outlet);
	outlet->open = call_writable(outlet->call);
	owed = outlet->refused && outlet->open && outlet->size == 0 && outlet->why == NULL;
	outlet->refused &= !owed;
	if (outlet->why != NULL && outlet->size == 0) {
		*err = *outlet->why;
		code = err->code;
	}
	pthread_mutex_unlock(&outlet->mutex);
	if (owed)
		outlet->writable(outlet->user);
	return code;
}

void outlet_gone(struct outlet *outlet)
{
	pthread_mutex_lock(&outlet->mutex);
	outlet->call = NULL;
	pthread_mutex_unlock(&outlet->mutex);
}
