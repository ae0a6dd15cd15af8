/* A log that goes into a pipe which nobody reads. */
#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside/rpc/v1/health.stub.h"

#define PATIENCE_MS 60000 /* of a test that waits in vain */

static int pipe_fd; /* both ends of it: it has a reader, which reads nothing */

static void call_often(unsigned n)
{
	Aside__Rpc__V1__CheckRequest request = ASIDE__RPC__V1__CHECK_REQUEST__INIT;

	for (unsigned i = 0; i < n; i++) {
		Aside__Rpc__V1__CheckResponse *response = ASK(Aside__Rpc__V1__CheckResponse, aside_rpc_v1_health_service_check,
				&request, SERVICE);
		assert_done(response);
		aside_free(response);
	}
}

/* Reads on until a whole line has `words`; that line, until the next call. */
static const char *read_until(const char *words)
{
	static char line[4096];
	size_t used = 0;

	for (;;) {
		struct pollfd readable = { pipe_fd, POLLIN, 0 };
		if (poll(&readable, 1, PATIENCE_MS) != 1)
			fail_msg("no line has %s", words);
		assert_int_equal(read(pipe_fd, line + used, 1), 1);
		if (used < sizeof line - 2 && line[used] != '\n') {
			used++;
			continue;
		}
		line[used] = '\0';
		used = 0;
		if (strstr(line, words) != NULL)
			return line;
	}
}

static bool is_full(void)
{
	struct pollfd writable = { pipe_fd, POLLOUT, 0 };

	return poll(&writable, 1, 0) == 0;
}

static void lines_that_find_no_room_are_counted(void **state)
{
	unsigned long long lost = 0;
	(void)state;

	call_often(3000);
	assert_true(is_full());
	(void)read_until("event=call");
	while (is_full()) /* a pipe has room again once a page of it has been read to its end */
		(void)read_until("event=call");
	call_often(1);
	const char *line = read_until("event=log_lost");
	assert_int_equal(sscanf(strstr(line, "event=log_lost"), "event=log_lost n=%llu", &lost), 1);
	assert_in_range(lost, 2500, 3100);
	assert_non_null(strstr(line, "level=warning"));
	(void)read_until("event=call"); /* and the log goes on */
}

static void a_server_whose_log_is_full_ends(void **state)
{
	(void)state;

	call_often(1000);
	assert_true(is_full());
	assert_int_equal(aside_harness_terminate(harness, 0), 0);
}

/* What the harness starts: the server, with its log in the pipe. */
static bool write_program(const char *path, const char *pipe_path)
{
	FILE *file = fopen(path, "we");

	if (file == NULL)
		return false;
	fprintf(file, "#!/bin/sh\nexec '%s' \"$@\" 2>'%s'\n", getenv("ASIDE_SERVER_PROGRAM"), pipe_path);
	return fclose(file) == 0 && chmod(path, 0755) == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_find_no_room_are_counted),
		cmocka_unit_test(a_server_whose_log_is_full_ends),
	};
	char folder[] = "/tmp/aside-log-XXXXXX", pipe_path[64], program[64];
	const struct aside_harness_options options = { .program = program };

	if (mkdtemp(folder) == NULL)
		return EXIT_FAILURE;
	(void)snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
	(void)snprintf(program, sizeof program, "%s/program", folder);
	int failures = mkfifo(pipe_path, 0600) != 0 || (pipe_fd = open(pipe_path, O_RDWR | O_CLOEXEC)) < 0 ||
			fcntl(pipe_fd, F_SETPIPE_SZ, 16384) < 0 || !write_program(program, pipe_path);
	failures = failures != 0 ? failures : WORLD_RUN("log", tests, &options);
	(void)unlink(program);
	(void)unlink(pipe_path);
	(void)rmdir(folder);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
