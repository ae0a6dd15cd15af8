/* See table.h. */
#include "table.h"

#include <stdlib.h>

#define SLOTS_MIN 256

static struct table_entry **slot_of(const struct table *table, uint64_t id)
{
	return &table->slots[id & (table->n_slots - 1)];
}

bool table_init(struct table *table)
{
	*table = (struct table){ .slots = calloc(SLOTS_MIN, sizeof *table->slots), .n_slots = SLOTS_MIN };
	return table->slots != NULL;
}

void table_fini(struct table *table)
{
	free(table->slots);
	table->slots = NULL;
}

static void push(struct table *table, struct table_entry *entry)
{
	struct table_entry **slot = slot_of(table, entry->id);

	entry->next = *slot;
	*slot = entry;
}

static void grow(struct table *table)
{
	struct table larger = { calloc(table->n_slots * 2, sizeof *table->slots), table->n_slots * 2, table->n };

	if (larger.slots == NULL)
		return;
	for (size_t i = 0; i < table->n_slots; i++)
		for (struct table_entry *entry = table->slots[i], *next; entry != NULL; entry = next) {
			next = entry->next;
			push(&larger, entry);
		}
	free(table->slots);
	*table = larger;
}

void table_add(struct table *table, struct table_entry *entry, uint64_t id)
{
	if (table->n >= table->n_slots)
		grow(table);
	entry->id = id;
	push(table, entry);
	table->n++;
}

struct table_entry *table_find(const struct table *table, uint64_t id)
{
	struct table_entry *entry = *slot_of(table, id);

	while (entry != NULL && entry->id != id)
		entry = entry->next;
	return entry;
}

struct table_entry *table_any(const struct table *table)
{
	for (size_t i = 0; i < table->n_slots && table->n > 0; i++)
		if (table->slots[i] != NULL)
			return table->slots[i];
	return NULL;
}

void table_remove(struct table *table, struct table_entry *entry)
{
	struct table_entry **at;

	if (entry->id == 0)
		return;
	for (at = slot_of(table, entry->id); *at != entry; at = &(*at)->next)
		;
	*at = entry->next;
	entry->id = 0;
	table->n--;
}
