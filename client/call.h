/* A call under way. */
#pragma once

#include "aside/channel.h"
#include "wire/envelope.h"
#include "wire/scope.h"

struct endpoint;

enum pending_state {
	PENDING_WAITING, /* no server yet */
	PENDING_QUEUED,  /* at an endpoint, not sent */
	PENDING_SENT,
};

struct pending {
	uint64_t id;
	enum pending_state state;
	const struct aside_method *method;
	uint8_t *request; /* serialized, then the metadata */
	size_t request_size;
	struct metadata metadata[METADATA_MAX]; /* into `request` */
	size_t n_metadata;
	int64_t deadline_us, give_up_waiting_us;
	struct endpoint *endpoint;
	aside_call_done done;
	void *user;
	struct pending *next;       /* in the endpoint's queue, or among those to end */
	struct pending *table_next; /* in the channel's table */
	struct aside_status status; /* once it has ended */
	ProtobufCMessage *response;
};
