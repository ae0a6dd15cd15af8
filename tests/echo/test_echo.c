/* The runtime alone: a real server, real sockets, no database. */
#include "../unit/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "echo.stub.h"

static pid_t server;
static char tcp[256], ipc[256], folder[] = "/tmp/aside-echo-XXXXXX";

static void echoes(const char *url, size_t size)
{
	Echo__V1__EchoRequest request = ECHO__V1__ECHO_REQUEST__INIT;
	Echo__V1__EchoResponse *response = NULL;
	struct aside_channel *channel = NULL;
	struct aside_status status = { 0 };
	uint8_t *payload = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		payload[i] = (uint8_t)(i * 31);
	request.payload = (ProtobufCBinaryData){ size, payload };
	assert_int_equal(aside_channel_open(url, NULL, &channel, &status), ASIDE_OK);
	assert_int_equal(echo_v1_echo_service_echo(channel, &request, NULL, &response, &status), ASIDE_OK);
	assert_int_equal(response->payload.len, size);
	assert_memory_equal(response->payload.data, payload, size);
	aside_free(response);
	aside_channel_close(channel);
	free(payload);
}

static void what_goes_in_comes_out(void **state)
{
	(void)state;
	for (size_t size = 1; size < 1 << 20; size = size * 37 + 1) {
		echoes(tcp, size);
		echoes(ipc, size);
	}
}

/* More items than a stream begins with credit for. */
static void a_stream_repeats_as_often_as_asked(void **state)
{
	Echo__V1__RepeatRequest request = ECHO__V1__REPEAT_REQUEST__INIT;
	Echo__V1__EchoResponse *item = NULL;
	struct aside_channel *channel = NULL;
	struct aside_stream *stream = NULL;
	struct aside_status status = { 0 };
	unsigned n = 0;

	(void)state;
	request.payload = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t)"again" };
	request.count = 10000;
	assert_int_equal(aside_channel_open(tcp, NULL, &channel, &status), ASIDE_OK);
	assert_int_equal(echo_v1_echo_service_repeat_open(channel, &request, NULL, &stream, &status), ASIDE_OK);
	while (echo_v1_echo_service_repeat_receive(stream, &item, &status) == ASIDE_OK && item != NULL) {
		assert_int_equal(item->payload.len, 5);
		assert_memory_equal(item->payload.data, "again", 5);
		aside_free(item);
		n++;
	}
	assert_int_equal(status.code, ASIDE_OK);
	assert_int_equal(n, request.count);
	aside_stream_close(stream);
	aside_channel_close(channel);
}

/* Each answer is waited for, so that nothing but the order can bring it back. */
static void a_conversation_answers_each_item(void **state)
{
	struct aside_channel *channel = NULL;
	struct aside_stream *stream = NULL;
	struct aside_status status = { 0 };
	Echo__V1__EchoResponse *item = NULL;

	(void)state;
	assert_int_equal(aside_channel_open(ipc, NULL, &channel, &status), ASIDE_OK);
	assert_int_equal(echo_v1_echo_service_converse_open(channel, NULL, &stream, &status), ASIDE_OK);
	for (uint8_t i = 0; i < 100; i++) {
		Echo__V1__EchoRequest said = ECHO__V1__ECHO_REQUEST__INIT;
		said.payload = (ProtobufCBinaryData){ 1, &i };
		assert_int_equal(echo_v1_echo_service_converse_send(stream, &said, &status), ASIDE_OK);
		assert_int_equal(echo_v1_echo_service_converse_receive(stream, &item, &status), ASIDE_OK);
		assert_int_equal(item->payload.data[0], i);
		aside_free(item);
	}
	aside_stream_close_send(stream);
	assert_int_equal(echo_v1_echo_service_converse_receive(stream, &item, &status), ASIDE_OK);
	assert_null(item);
	aside_stream_close(stream);
	aside_channel_close(channel);
}

static int start(void **state)
{
	char address[64], line[512] = "";
	int out[2];

	(void)state;
	if (mkdtemp(folder) == NULL || pipe(out) != 0)
		return -1;
	(void)snprintf(address, sizeof address, "ipc://%s/echo.sock", folder);
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		execl(getenv("ECHO_SERVER"), "echo_server", "tcp://127.0.0.1:0", address, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	FILE *lines = fdopen(out[0], "r");
	bool ready = fgets(line, sizeof line, lines) != NULL && sscanf(line, "ready %255s %255s", tcp, ipc) == 2;
	fclose(lines);
	return ready ? 0 : -1;
}

static int stop(void **state)
{
	int status = -1;
	char path[64];

	(void)state;
	kill(server, SIGTERM);
	waitpid(server, &status, 0);
	(void)snprintf(path, sizeof path, "%s/echo.sock", folder);
	remove(path);
	remove(folder);
	return status;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(a_stream_repeats_as_often_as_asked),
		cmocka_unit_test(a_conversation_answers_each_item),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
