/* See order.h. */
#include "order.h"

#include <string.h>

#include "lane.h"
#include "statement.h"

/* Kinds of claims beside those of statement.h, whose kinds have 32 bits. */
#define KIND_PAGE (1ull << 32)  /* the last operation on the page */
#define KIND_WHOLE (2ull << 32) /* the last one on the whole page */
#define KIND_THREAD (3ull << 32)

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
	return hash ^ hash >> 29;
}

static uint64_t tag_of(const struct op *op, uint64_t kind, const struct op_value *value)
{
	uint64_t tag = mix(mix(kind, (uint64_t)op->page_id), 0);

	if (value == NULL)
		return tag;
	tag = mix(tag, (uint64_t)value->number);
	for (size_t i = 0; i < value->bytes.size; i += sizeof(uint64_t)) {
		uint64_t word = 0;
		size_t left = value->bytes.size - i;
		memcpy(&word, value->bytes.data + i, left < sizeof word ? left : sizeof word);
		tag = mix(tag, word);
	}
	return tag;
}

/* The claim on something; a new one has no `by`. */
static struct claim *find(struct order *order, uint64_t tag)
{
	size_t i = tag % ORDER_CLAIMS;

	while (order->claims[i].generation == order->generation && order->claims[i].tag != tag)
		i = (i + 1) % ORDER_CLAIMS;
	if (order->claims[i].generation != order->generation)
		order->claims[i] = (struct claim){ .tag = tag, .generation = order->generation };
	return &order->claims[i];
}

/* The first execution after the claim's, or the claim's own where a statement may share it. */
static unsigned after(const struct claim *claim, const struct statement *share)
{
	if (claim->by == NULL)
		return 0;
	return claim->by == share ? claim->execution : claim->execution + 1;
}

static unsigned later(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static void take(struct claim *claim, unsigned execution, const struct statement *by)
{
	claim->execution = claim->by == NULL ? execution : later(claim->execution, execution);
	claim->by = by;
}

/* Places one operation; `by_execution` has the statements of the `n` executions so far. */
static unsigned place(struct order *order, const struct op *op, const struct statement *const *by_execution, unsigned n)
{
	const struct statement *statement = op->statement;
	const struct op_value *person = statement->thread >= 0 ? &op->params[statement->thread] : NULL;
	bool whole = person == NULL || person->null;
	struct claim *page = find(order, tag_of(op, KIND_PAGE, NULL)), *wholly = find(order, tag_of(op, KIND_WHOLE, NULL));
	struct claim *thread = whole ? wholly : find(order, tag_of(op, KIND_THREAD, person));
	struct claim *apart[STATEMENT_APART_MAX];
	size_t n_apart = 0;
	unsigned at;

	if (whole && page->by != NULL && wholly->by != NULL && wholly->execution == page->execution)
		at = after(wholly, statement->form == FORM_SET ? statement : NULL);
	else if (whole)
		at = after(page, NULL);
	else
		at = later(after(wholly, NULL), after(thread, statement));
	for (size_t i = 0; i < statement->n_apart; i++) {
		const struct op_value *value = &op->params[statement->apart[i].param];
		if (value->null)
			continue;
		apart[n_apart] = find(order, tag_of(op, statement->apart[i].kind, value));
		at = later(at, after(apart[n_apart++], NULL));
	}
	while (at < n && (statement->form == FORM_SINGLE || by_execution[at] != statement))
		at++;
	take(page, at, statement);
	take(thread, at, statement);
	for (size_t i = 0; i < n_apart; i++)
		take(apart[i], at, statement);
	return at;
}

void order_set(struct order *order, struct op **ops, size_t n)
{
	const struct statement *by_execution[LANE_BATCH_MAX];
	struct op *sorted[LANE_BATCH_MAX] = { NULL };
	size_t first[LANE_BATCH_MAX + 1] = { 0 };
	unsigned n_executions = 0;

	order->generation++;
	for (size_t i = 0; i < n; i++) {
		ops[i]->execution = place(order, ops[i], by_execution, n_executions);
		if (ops[i]->execution == n_executions)
			by_execution[n_executions++] = ops[i]->statement;
		first[ops[i]->execution + 1]++;
	}
	for (unsigned i = 0; i < n_executions; i++)
		first[i + 1] += first[i];
	for (size_t i = 0; i < n; i++)
		sorted[first[ops[i]->execution]++] = ops[i];
	memcpy(ops, sorted, n * sizeof *ops);
}
