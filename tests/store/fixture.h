/* A store on a private PostgreSQL of its own, and operations for it: what the store's tests share. */
#pragma once

#include "../unit/test.h"

#include <libpq-fe.h>

#include "sql.h"
#include "store/store.h"

#define NOW_US 1700000000000000ll

struct fixture {
	char folder[64];
	struct cluster *cluster;
	struct store *store;
};

/* For cmocka: a cluster, migrated, without pages; and a store on it with so many write lanes. */
int fixture_start(void **state, unsigned write_lanes);
int fixture_stop(void **state);

/* Hands an operation over; it gets 30 s unless it has a deadline. */
void submit(struct fixture *fixture, struct op *op);

/* Waits until at most so many of all that was submitted are unanswered. */
void wait_until_left(size_t left);

/* Submits one and waits for it and all before it. */
void carry_out(struct fixture *fixture, struct op *op);

/* The one number that SQL answers, asked as the owner; -1 where there is none. */
long query_number(struct fixture *fixture, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ── operations ──────────────────────────────────────────────────────────────────────────────────── */

/* 16 bytes that only `number` gives. */
struct bytes key_of(struct arena *arena, uint32_t number);

struct op *create_page(struct arena *arena, int64_t page_id);
struct op *send_message(struct arena *arena, int64_t page_id, int64_t user_id, struct bytes key);

/* A version like the one before. */
struct op *change_settings(struct arena *arena, int64_t page_id, struct bytes change_id);
