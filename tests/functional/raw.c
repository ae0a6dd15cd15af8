/* See raw.h. */
#include "raw.h"

#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 30000
#define REPLY_BYTES_MAX (8u << 20)

bool raw_open(struct raw *raw, const char *url)
{
	raw->reply = NULL;
	raw->timeout_us = 0;
	return nng_req0_open(&raw->socket) == 0 &&
			nng_socket_set_ms(raw->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) == 0 &&
			nng_socket_set_ms(raw->socket, NNG_OPT_RECVTIMEO, TIMEOUT_MS) == 0 &&
			nng_socket_set_ms(raw->socket, NNG_OPT_SENDTIMEO, TIMEOUT_MS) == 0 &&
			nng_socket_set_size(raw->socket, NNG_OPT_RECVMAXSZ, REPLY_BYTES_MAX) == 0 &&
			nng_dial(raw->socket, url, NULL, 0) == 0;
}

void raw_close(struct raw *raw)
{
	nng_msg_free(raw->reply);
	raw->reply = NULL;
	(void)nng_close(raw->socket);
}

struct bytes raw_exchange(struct raw *raw, struct bytes body)
{
	nng_msg *msg = NULL;

	nng_msg_free(raw->reply);
	raw->reply = NULL;
	if (nng_msg_alloc(&msg, body.size) != 0)
		return (struct bytes){ NULL, 0 };
	if (body.size > 0)
		memcpy(nng_msg_body(msg), body.data, body.size);
	if (nng_sendmsg(raw->socket, msg, 0) != 0) {
		nng_msg_free(msg);
		return (struct bytes){ NULL, 0 };
	}
	if (nng_recvmsg(raw->socket, &raw->reply, 0) != 0)
		return (struct bytes){ NULL, 0 };
	return (struct bytes){ nng_msg_body(raw->reply), nng_msg_len(raw->reply) };
}

bool raw_first_frame(struct bytes body, struct frame *ret)
{
	struct envelope_reader reader;
	bool more;

	envelope_read(&reader, body);
	return body.data != NULL && envelope_next(&reader, ret, &more, NULL) == ASIDE_OK && more;
}

bool raw_call(struct raw *raw, const char *method, struct bytes payload, int64_t user, struct frame *ret_reply)
{
	struct frame call = { .call_id = 1, .kind = FRAME_CALL, .payload = payload, .timeout_us = raw->timeout_us };
	char digits[24];
	CLEANUP(freep) uint8_t *body = NULL;
	size_t size;

	call.method = (struct bytes){ (const uint8_t *)method, strlen(method) };
	if (user != 0) {
		int n = snprintf(digits, sizeof digits, "%lld", (long long)user);
		call.metadata[0].key = (struct bytes){ (const uint8_t *)"act-as-user", 11 };
		call.metadata[0].value = (struct bytes){ (const uint8_t *)digits, (size_t)n };
		call.n_metadata = 1;
	}
	size = envelope_frame_size(&call);
	body = malloc(size);
	if (body == NULL)
		return false;
	(void)envelope_frame_write(&call, body);
	return raw_first_frame(raw_exchange(raw, (struct bytes){ body, size }), ret_reply) &&
			ret_reply->kind == FRAME_REPLY && ret_reply->call_id == 1;
}
