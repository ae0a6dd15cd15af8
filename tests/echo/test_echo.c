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
	};

	return cmocka_run_group_tests(tests, start, stop);
}
