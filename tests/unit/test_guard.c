/* What nng's sendmsg() is: all of a message, or not yet.  Its epoll_wait(): no failures.  Its sysconf(): few processors. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "wire/guard.h"

#define SIZE 1000000

static uint8_t sent[SIZE], received[SIZE];

static void connect_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* The message in three parts, the cuts of which fall anywhere. */
static ssize_t send_all(int fd, const uint8_t *bytes)
{
	struct iovec parts[] = { { (void *)(uintptr_t)bytes, 9 }, { (void *)(uintptr_t)(bytes + 9), 70000 },
		{ (void *)(uintptr_t)(bytes + 70009), SIZE - 70009 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = N_OF(parts) };

	return sendmsg_whole(fd, &message, MSG_NOSIGNAL);
}

static void a_message_is_sent_whole_or_not_yet(void **state)
{
	size_t got = 0;
	unsigned waits = 0;
	ssize_t n;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		sent[i] = (uint8_t)rand();
	connect_pair(fds);
	while ((n = send_all(fds[0], sent)) < 0) {
		assert_int_equal(errno, EAGAIN);
		waits++;
		ssize_t some = read(fds[1], received + got, 12345);
		assert_true(some > 0);
		got += (size_t)some;
	}
	assert_int_equal(n, SIZE);
	assert_true(waits > 1);
	while ((n = read(fds[1], received + got, SIZE - got)) > 0)
		got += (size_t)n;
	assert_int_equal(got, SIZE);
	assert_memory_equal(sent, received, SIZE);
	close(fds[0]);
	close(fds[1]);
}

/* Its number is used again, and even the message looks the same. */
static void a_new_socket_begins_anew(void **state)
{
	int fds[2], again[2];

	(void)state;
	connect_pair(fds);
	assert_int_equal(send_all(fds[0], sent), -1);
	close(fds[0]);
	close(fds[1]);
	connect_pair(again);
	assert_int_equal(again[0], fds[0]);
	assert_int_equal(send_all(again[0], sent), -1);
	assert_int_equal(read(again[1], received, 9), 9);
	assert_memory_equal(sent, received, 9);
	close(again[0]);
	close(again[1]);
}

static void a_peer_that_is_gone_takes_everything(void **state)
{
	int fds[2];

	(void)state;
	connect_pair(fds);
	close(fds[1]);
	assert_int_equal(send_all(fds[0], sent), SIZE); /* EPIPE would end nng's listener */
	close(fds[0]);
}

/* Whoever waits for the failure of both would end a read that is not under way. */
static void a_failure_is_a_time_to_read_and_to_write(void **state)
{
	struct epoll_event event = { .events = EPOLLERR | EPOLLONESHOT };
	int epoll = epoll_create1(EPOLL_CLOEXEC), fds[2];

	(void)state;
	connect_pair(fds);
	assert_int_equal(send_all(fds[0], sent), -1);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event), 0);
	assert_int_equal(epoll_wait_plain(epoll, &event, 1, 0), 0);
	close(fds[1]); /* with something unread */
	assert_int_equal(epoll_wait_plain(epoll, &event, 1, -1), 1);
	assert_int_equal(event.events, EPOLLIN | EPOLLOUT);
	close(fds[0]);
	close(epoll);
}

static ssize_t receive(int fd)
{
	struct iovec part = { received, 100 };

	return readv_to_the_end(fd, &part, 1);
}

/* Whoever does not wait for it would never learn of it: see guard.c. */
static void the_end_of_tls_can_be_read_later(void **state)
{
	static const uint8_t hello[] = { 22, 3, 1, 0, 1, 1 }, data[] = { 23, 3, 3, 0, 1, 1 };
	int fds[2];

	(void)state;
	connect_pair(fds);
	assert_int_equal(write(fds[1], hello, sizeof hello), sizeof hello);
	assert_int_equal(receive(fds[0]), sizeof hello);
	assert_int_equal(receive(fds[0]), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(write(fds[1], data, sizeof data), sizeof data);
	close(fds[1]);
	assert_int_equal(receive(fds[0]), sizeof data);
	assert_int_equal(receive(fds[0]), 7);
	assert_int_equal(received[0], 21);
	assert_int_equal(receive(fds[0]), 0);
	close(fds[0]);
}

static void other_ends_are_told_at_once(void **state)
{
	int fds[2];

	(void)state;
	connect_pair(fds); /* with the number of one that had TLS */
	assert_int_equal(write(fds[1], "abc", 3), 3);
	close(fds[1]);
	assert_int_equal(receive(fds[0]), 3);
	assert_int_equal(receive(fds[0]), 0);
	close(fds[0]);
}

/* How many threads of this process have that name. */
static long count_threads(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	char path[300], line[32];
	long n = 0;

	assert_non_null(tasks);
	for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
		(void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
		FILE *file = fopen(path, "re");
		if (file == NULL)
			continue;
		n += fgets(line, sizeof line, file) != NULL && strcspn(line, "\n") == strlen(name) &&
				strncmp(line, name, strlen(name)) == 0;
		fclose(file);
	}
	closedir(tasks);
	return n;
}

/* What it does with them: a question and its answer, by tcp. */
static void nng_works_with_few_threads(void **state)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	nng_socket asker, answerer;
	nng_listener listener;
	char url[64];
	int port;

	(void)state;
	assert_int_equal(guard_processors(), processors < 8 ? 1 : processors / 4);
	assert_int_equal(nng_rep0_open(&answerer), 0);
	assert_int_equal(nng_req0_open(&asker), 0);
	assert_int_equal(nng_listen(answerer, "tcp://127.0.0.1:0", &listener, 0), 0);
	assert_int_equal(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
	(void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
	assert_int_equal(nng_dial(asker, url, NULL, 0), 0);
	for (unsigned i = 0; i < 100; i++) {
		char question[] = "why", buffer[8];
		size_t size = sizeof buffer;
		assert_int_equal(nng_send(asker, question, 3, 0), 0);
		assert_int_equal(nng_recv(answerer, buffer, &size, 0), 0);
		assert_int_equal(nng_send(answerer, buffer, size, 0), 0);
		size = sizeof buffer;
		assert_int_equal(nng_recv(asker, buffer, &size, 0), 0);
		assert_int_equal(size, 3);
	}
	assert_in_range(count_threads("nng:task"), 1, 2 * guard_processors());
	nng_close(asker);
	nng_close(answerer);
}

static void block(void *semaphore)
{
	sem_wait(semaphore);
}

static void tell(void *semaphore)
{
	sem_post(semaphore);
}

static nng_aio *start(void (*callback)(void *), sem_t *semaphore)
{
	nng_aio *aio;

	assert_int_equal(nng_aio_alloc(&aio, callback, semaphore), 0);
	assert_true(nng_aio_begin(aio));
	nng_aio_finish(aio, 0);
	return aio;
}

/* As many callbacks at once as threads work: another waits for one of them.  And all of them end. */
static void half_of_the_processors_have_a_thread(void **state)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN), threads = processors < 4 ? 1 : 2 * guard_processors();
	nng_aio *blocked[64], *last;
	struct timespec until;
	sem_t release, told;
	(void)state;

	assert_in_range(threads, 1, N_OF(blocked));
	sem_init(&release, 0, 0);
	sem_init(&told, 0, 0);
	for (long i = 0; i < threads; i++)
		blocked[i] = start(block, &release);
	last = start(tell, &told);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	assert_int_equal(sem_timedwait(&told, &until), -1);
	for (long i = 0; i < threads; i++)
		sem_post(&release);
	sem_wait(&told);
	for (long i = 0; i < threads; i++)
		nng_aio_free(blocked[i]);
	nng_aio_free(last);
	nng_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_sent_whole_or_not_yet),
		cmocka_unit_test(a_new_socket_begins_anew),
		cmocka_unit_test(a_peer_that_is_gone_takes_everything),
		cmocka_unit_test(a_failure_is_a_time_to_read_and_to_write),
		cmocka_unit_test(the_end_of_tls_can_be_read_later),
		cmocka_unit_test(other_ends_are_told_at_once),
		cmocka_unit_test(nng_works_with_few_threads),
		cmocka_unit_test(half_of_the_processors_have_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
