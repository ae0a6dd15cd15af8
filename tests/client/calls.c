/* See calls.h. */
#include "../unit/test.h"

#include "calls.h"

static void on_done(void *user, ProtobufCMessage *response, const struct aside_status *status)
{
	struct ending *ending = user;

	aside_free(response);
	ending->status = *status;
	sem_post(&ending->ended);
}

void start(struct aside_channel *channel, const struct aside_method *method, const struct aside_call_options *options,
		struct ending *ending)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	struct aside_status status;

	if (method == NULL)
		method = &echo_v1_echo_service.methods[echo_v1_echo_service_echo_index];
	sem_init(&ending->ended, 0, 0);
	assert_int_equal(aside_call_start(channel, method, &request.base, options, on_done, ending, &ending->call_id, &status),
			ASIDE_OK);
}

enum aside_code wait_for(struct ending *ending)
{
	while (sem_wait(&ending->ended) != 0)
		;
	sem_destroy(&ending->ended);
	return ending->status.code;
}

struct aside_channel *open_channel(const char *urls, const struct aside_options *options)
{
	struct aside_channel *channel = NULL;
	struct aside_status status = { 0 };

	assert_int_equal(aside_channel_open(urls, options, &channel, &status), ASIDE_OK);
	return channel;
}

void answer(struct peer *peer, enum aside_code code, bool not_executed, uint64_t retry_after_us)
{
	uint64_t id = peer_hear(peer, FRAME_CALL)->call_id;
	struct frame reply = peer_reply(id, code, not_executed, retry_after_us);

	peer_say(peer, &reply, 1);
}
