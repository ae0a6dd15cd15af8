/* See ledger.h. */
#include "ledger.h"

#include <pthread.h>

#define CHAINS 1024

struct account {
	uint32_t connection;
	bool cut;
	int64_t bytes; /* never 0 */
	struct account *next;
};

struct ledger {
	pthread_mutex_t mutex;
	int64_t bytes_max, bytes; /* of those that are not cut off */
	size_t n_cut;             /* of the others */
	size_t next_chain;        /* to look through for them */
	struct account *chains[CHAINS];
};

struct ledger *ledger_new(uint64_t bytes_max)
{
	struct ledger *ledger = calloc(1, sizeof *ledger);

	if (ledger == NULL)
		return NULL;
	pthread_mutex_init(&ledger->mutex, NULL);
	ledger->bytes_max = (int64_t)bytes_max;
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	for (size_t i = 0; i < CHAINS; i++)
		while (ledger->chains[i] != NULL) {
			struct account *account = ledger->chains[i];
			ledger->chains[i] = account->next;
			free(account);
		}
	pthread_mutex_destroy(&ledger->mutex);
	free(ledger);
}

static uint32_t cut_greediest(struct ledger *ledger)
{
	struct account *most = NULL;

	for (size_t i = 0; i < CHAINS; i++)
		for (struct account *account = ledger->chains[i]; account != NULL; account = account->next)
			if (!account->cut && (most == NULL || account->bytes > most->bytes))
				most = account;
	if (most == NULL)
		return 0;
	most->cut = true;
	ledger->n_cut++;
	ledger->bytes -= most->bytes;
	return most->connection;
}

/* The place of its account, empty if it has none, and there is nothing to put in or no memory for one. */
static struct account **find(struct ledger *ledger, uint32_t connection, int64_t bytes)
{
	struct account **at = &ledger->chains[connection % CHAINS];

	while (*at != NULL && (*at)->connection != connection)
		at = &(*at)->next;
	if (*at == NULL && bytes > 0) {
		*at = calloc(1, sizeof **at);
		if (*at != NULL)
			(*at)->connection = connection;
	}
	return at;
}

uint32_t ledger_count(struct ledger *ledger, uint32_t connection, int64_t bytes)
{
	pthread_mutex_lock(&ledger->mutex);
	struct account **at = find(ledger, connection, bytes), *account = *at;
	if (account != NULL) {
		account->bytes += bytes;
		ledger->bytes += account->cut ? 0 : bytes;
		if (account->bytes == 0) {
			ledger->n_cut -= account->cut;
			*at = account->next;
			free(account);
		}
	}
	uint32_t cut = ledger->bytes > ledger->bytes_max ? cut_greediest(ledger) : 0;
	pthread_mutex_unlock(&ledger->mutex);
	return cut;
}

uint64_t ledger_bytes(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->mutex);
	int64_t bytes = ledger->bytes;
	pthread_mutex_unlock(&ledger->mutex);
	return bytes > 0 ? (uint64_t)bytes : 0;
}

size_t ledger_overdue(struct ledger *ledger, uint32_t *ret_connections, size_t most)
{
	size_t n = 0;

	pthread_mutex_lock(&ledger->mutex);
	for (size_t i = 0; i < CHAINS && n < ledger->n_cut && n < most; i++) {
		const struct account *account = ledger->chains[ledger->next_chain++ % CHAINS];
		for (; account != NULL && n < most; account = account->next)
			if (account->cut)
				ret_connections[n++] = account->connection;
	}
	pthread_mutex_unlock(&ledger->mutex);
	return n;
}
