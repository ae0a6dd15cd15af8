/* What the channel's own files share. */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "endpoint.h"

#define TABLE_SLOTS 4096
#define EVENT_HELLO_BYTES 65536

enum event_kind {
	EVENT_UP,
	EVENT_DOWN,
	EVENT_SENT,
	EVENT_RECEIVED,
};

struct event {
	enum event_kind kind;
	bool ok;
	struct endpoint *endpoint;
	void *handle;
	struct bytes body;
	struct event *next;
};

struct aside_channel {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	pthread_t thread; /* handles events and deadlines, runs callbacks */
	bool started, closing;
	pid_t pid; /* of the process that opened it */
	struct endpoint endpoints[ASIDE_ENDPOINTS_MAX];
	size_t n_endpoints;
	uint32_t timeout_ms, connect_timeout_ms;
	uint8_t *hello; /* the serialized HELLO frame */
	size_t hello_size;
	uint64_t next_id;
	size_t n_calls;
	struct pending *table[TABLE_SLOTS];
	struct event *events, **events_tail;
	struct pending *ended, **ended_tail; /* their callbacks are due */
	int64_t next_deadline_us;
};

/* The frame that opens a session.  Borrowed. */
struct bytes channel_hello(const struct aside_channel *channel);

int64_t channel_now_us(void);
