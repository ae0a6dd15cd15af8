/* Pages, people and staff of a functional test, and what they do: one line each over the client library.
 *
 * A verb makes its call through the thread's `via` (server 0 unless set) and leaves the outcome in the
 * thread's `status`.  Sends answer the message's number, or 0; questions the response, which is the test's to
 * aside_free(), or NULL. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* cmocka's macro; ours is a function of wire/status.h. */
#undef fail
#undef fail_msg
#define fail_msg(...)                          \
	do {                                   \
		print_error("" __VA_ARGS__);   \
		print_error("\n");             \
		_fail(__FILE__, __LINE__);     \
		abort(); /* for analyzers: not reached */ \
	} while (0)

#include "aside/harness.h"
#include "aside/v1/attachments.stub.h"
#include "aside/v1/messages.stub.h"
#include "aside/v1/pages.stub.h"
#include "aside/v1/threads.stub.h"
#include "aside/v1/wall.stub.h"

#define N_OF(array) (sizeof(array) / sizeof *(array))

enum { ADMIN = 7, EDITOR = 8, MODERATOR = 9, ANALYST = 10, JOHNNY = 42, FAN = 43, STRANGER = 99 };
enum { SERVICE = 0 }; /* instead of a person: the test's own uid, which has every scope */

#define DAY_US INT64_C(86400000000)

/* The test's servers.  All threads. */
extern struct aside_harness *harness;

/* How the thread's last call ended, and the channel its calls take; NULL: server 0's. */
extern _Thread_local struct aside_status status;
extern _Thread_local struct aside_channel *via;

/* Starts servers (`options` as of harness.h), runs the tests, stops the servers.  Fails as well when a server
 * logged an error, and shows the logs when anything failed.  For main() to return. */
int world_run(const char *name, const struct CMUnitTest *tests, size_t n, const struct aside_harness_options *options);
#define WORLD_RUN(name, tests, options) world_run(name, tests, N_OF(tests), options)

/* Runs SQL in the servers' database and answers the first column of its one row, 0 where there is none: to
 * make time pass, and to look where no call can. */
int64_t world_sql(const char *fmt, ...) ASIDE_PRINTF(1, 2);

/* SQL that this constraint must refuse. */
void world_sql_refused(const char *constraint, const char *fmt, ...) ASIDE_PRINTF(2, 3);

/* The channel of this thread's calls. */
struct aside_channel *world_via(void);

/* Now, since 1970. */
int64_t world_now_us(void);

/* One call as `user`: the response, or NULL with `status`. */
#define ASK(Response, function, request, user)                                                     \
	__extension__({                                                                            \
		Response *response_ = NULL;                                                        \
		(void)!function(world_via(), request, aside_harness_as(user), &response_, &status); \
		response_;                                                                         \
	})

/* A call that is to be refused: an answer of 0 or NULL with this reason. */
#define assert_refused(call, expected)                        \
	do {                                                  \
		assert_true(!(call));                         \
		assert_string_equal(status.reason, expected); \
	} while (0)

#define assert_done(call)                                                                           \
	do {                                                                                        \
		if (!(call))                                                                        \
			fail_msg("%s: %s %s: %s", #call, aside_code_name(status.code), status.reason, \
					status.message);                                            \
	} while (0)

/* 16 bytes that only `n` gives; of 64 at a time. */
ProtobufCBinaryData uuid_of(uint64_t n);

/* ── pages ───────────────────────────────────────────────────────────────────────────────────────── */

/* A page of its own for a test, with the four members of staff above; of default settings. */
int64_t new_page(void);
bool set_role(int64_t caller, int64_t page, int64_t user, Aside__V1__Role role);

/* A change of settings: fields of `settings` named in `mask`, comma-separated.  Its version, or 0. */
uint32_t change_settings(int64_t caller, int64_t page, const Aside__V1__PageSettings *settings, const char *mask,
		uint32_t expected_version);
bool switch_messaging(int64_t caller, int64_t page, bool on);

bool record_entry(int64_t page, int64_t entry, int64_t author, int64_t posted_at_us);
bool remove_entry(int64_t page, int64_t entry);

/* Holds the lock that every write to `page` takes first, so that a write stays under way; and waits for one. */
struct world_lock;
struct world_lock *lock_page(int64_t page);
void unlock_page(struct world_lock *lock);
void wait_for_a_blocked_write(void);

/* ── messages ────────────────────────────────────────────────────────────────────────────────────── */

/* Borrowed until the thread's next call of it. */
Aside__V1__Content *text_content(const char *text);

uint32_t send_content(int64_t person, int64_t page, uint64_t key, Aside__V1__Content *content);
uint32_t send_text(int64_t person, int64_t page, uint64_t key, const char *text);
uint32_t reply_content(int64_t staff, int64_t page, int64_t person, uint64_t key, Aside__V1__Content *content,
		uint32_t expected_last_seq);
uint32_t reply_text(int64_t staff, int64_t page, int64_t person, uint64_t key, const char *text);
uint32_t private_reply(int64_t staff, int64_t page, int64_t entry, uint64_t key);

Aside__V1__ListMessagesResponse *list_messages(int64_t reader, int64_t page, int64_t person, uint32_t before_seq,
		uint32_t after_seq, uint32_t page_size);
Aside__V1__CanSendResponse *can_send(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side, int64_t entry);

/* ── threads ─────────────────────────────────────────────────────────────────────────────────────── */

Aside__V1__GetThreadResponse *get_thread(int64_t reader, int64_t page, int64_t person);
Aside__V1__MarkThreadResponse *mark_thread(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side,
		uint32_t delivered_seq, uint32_t read_seq);
bool set_block(int64_t caller, int64_t page, int64_t person, Aside__V1__Side side, bool blocked);

/* The page's counters are what its messages say (P14). */
void assert_counters_right(int64_t page);

/* Shorter names for what tests say most. */
#define PERSON ASIDE__V1__SIDE__SIDE_PERSON
#define PAGE ASIDE__V1__SIDE__SIDE_PAGE
