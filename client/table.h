/* Things found by a number: an intrusive hash table.  Knows nothing of what it holds; its user locks.
 *
 * Numbers that ascend one by one, as call ids do, spread evenly. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
	uint64_t id; /* 0: in no table */
	struct table_entry *next;
};

struct table {
	struct table_entry **slots;
	size_t n_slots; /* a power of two */
	size_t n;
};

/* False without memory; table_fini() may follow all the same. */
bool table_init(struct table *table);
void table_fini(struct table *table);

/* `id` must be new and not 0.  Grows with what it holds; without memory for that it only gets slower. */
void table_add(struct table *table, struct table_entry *entry, uint64_t id);

/* NULL when there is none such. */
struct table_entry *table_find(const struct table *table, uint64_t id);

/* One of them; NULL when there is none. */
struct table_entry *table_any(const struct table *table);

/* An entry that is in no table is left alone. */
void table_remove(struct table *table, struct table_entry *entry);
