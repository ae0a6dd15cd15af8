/* What replicas are compared by (watermark.h): a write that changes anything of a page that a statement `lane: replica` reads
 * moves last_event, first_event or first_message of the page.  A write that did not would be missed by who reads at a replica. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "statement.h"

enum { FIELD_MAX = 128 };

#define UPLOAD "61616161-6161-6161-6161-616161616161" /* the uuid that is written "a" below */

/* A write to page 7, of which 1 is admin: parameters in the order of the head, between bars; "-": NULL; a uuid or a hash as
 * the letter it consists of; 't': now, 'T': later than anything. */
struct step {
	const struct statement *statement;
	const char *params;
	bool changes; /* something that a replica reads; otherwise it may, or not */
};

static const struct step steps[] = {
	{ &sql_create_page, "7|Coke|1|t", true },
	{ &sql_create_page, "7|Coke|1|t", false },
	{ &sql_create_page, "7|Pepsi|2|t", false },
	{ &sql_record_wall_entry, "7|5|2|42|-|Nothing tastes as good|t|t", true },
	{ &sql_record_wall_entry, "7|5|2|42|-|Nothing tastes as good|t|t", false },
	{ &sql_record_wall_entry, "7|5|2|42|-|Nothing tastes better|t|T", false },
	{ &sql_record_wall_entry, "7|6|1|43|-|Coke?|t|t", true },
	{ &sql_send_text, "7|42|k|1|Hi|2||-|t", true },
	{ &sql_send_text, "7|42|k|1|Hi|2||-|t", false },
	{ &sql_begin_attachment, "7|42|1|a|1|1|4|s|t|4", false },
	{ &sql_upload_chunk, "7|42|a|0|data|4", false },
	{ &sql_seal_attachment, "7|42|a|image/png|t", false },
	{ &sql_send_message, "7|42|l|2|Look|4|[{\"a\": \"" UPLOAD "\"}]|42|t", true },
	{ &sql_begin_attachment, "7|42|1|a|1|1|4|s|t|4", false },
	{ &sql_upload_chunk, "7|42|a|0|data|4", false },
	{ &sql_seal_attachment, "7|42|a|image/jpeg|t", false },
	{ &sql_remove_unused_attachments, "7|a|T|1", false },
	{ &sql_page_write, "7|1|2|42|-|0|m|3|Hello|5||-|t", true },
	{ &sql_page_write, "7|1|2|-|6|0|n|4|Hello|5||-|t", true },
	{ &sql_mark_thread, "7|42|42|1|1|3|0|t", true },
	{ &sql_mark_thread, "7|42|42|1|1|3|3|t", true },
	{ &sql_mark_thread, "7|42|1|1|2|0|2|t", true },
	{ &sql_mark_thread, "7|42|1|1|2|1|1|t", false },
	{ &sql_set_block, "7|42|42|1|1|1|t", true },
	{ &sql_set_block, "7|42|42|1|1|0|t", true },
	{ &sql_set_block, "7|42|1|2|2|1|t", true },
	{ &sql_set_block, "7|44|44|1|1|1|t", true }, /* who never wrote */
	{ &sql_set_staff_role, "7|1|4|8|2|t", true },
	{ &sql_set_staff_role, "7|1|4|8|3|t", true },
	{ &sql_set_staff_role, "7|1|4|8|0|t", true },
	{ &sql_set_staff_role, "7|1|4|1|0|t", false },
	{ &sql_update_page_settings, "7|1|4|x|0|0|-|-|-|-|-|messaging_enabled|Holidays|t", true },
	{ &sql_update_page_settings, "7|1|4|x|0|0|-|-|-|-|-|messaging_enabled|Holidays|t", false },
	{ &sql_update_page_settings, "7|1|4|y|0|-|1000|2000|60|5|60|||t", true },
	{ &sql_remove_wall_entry, "7|5|t", true },
	{ &sql_remove_wall_entry, "7|5|t", false },
	{ &sql_remove_old_events, "7|T|1", false },
	{ &sql_remove_old_events, "7|T|500", false },
	{ &sql_remove_old_messages, "7|T|1", true },
	{ &sql_remove_old_messages, "7|T|1", true },
	{ &sql_remove_old_messages, "7|T|500", true },
	{ &sql_remove_old_messages, "7|T|500", false },
	{ &sql_remove_unused_attachments, "7|a|T|1", false },
};

/* These change nothing that a replica reads: not uploads before a message carries them, and no events. */
static const struct statement *const aside[] = { &sql_begin_attachment, &sql_upload_chunk, &sql_seal_attachment,
	&sql_remove_unused_attachments, &sql_remove_old_events };

/* ── operations ──────────────────────────────────────────────────────────────────────────────────── */

static void put(struct arena *arena, struct op *op, const struct value_def *param, const char *field, size_t size)
{
	uint8_t *bytes = arena_alloc(arena, FIELD_MAX);
	bool is_hash = strcmp(param->name, "sha256") == 0;

	assert_in_range(size, 0, FIELD_MAX - 1);
	memcpy(bytes, field, size);
	bytes[size] = '\0';
	if (strcmp(field, "-") == 0 || strncmp(field, "-|", 2) == 0)
		op_null(op);
	else if (param->type == VALUE_TEXT)
		op_text(op, (const char *)bytes);
	else if (param->type == VALUE_UUID || is_hash)
		op_bytes(op, (struct bytes){ memset(bytes, field[0], 32), is_hash ? 32 : 16 });
	else if (param->type == VALUE_BYTEA)
		op_bytes(op, (struct bytes){ bytes, size });
	else if (param->type == VALUE_TIMESTAMPTZ)
		op_int(op, field[0] == 't' ? NOW_US : NOW_US + 1000000);
	else
		op_int(op, strtoll(field, NULL, 10));
}

static struct op *make(struct arena *arena, const struct step *step)
{
	struct op *op = op_new(arena, step->statement, 7);
	const char *field = step->params;

	for (size_t i = 0; i < step->statement->n_params; i++) {
		size_t size = strcspn(field, "|");
		put(arena, op, &step->statement->params[i], field, size);
		assert_true((field[size] == '|') == (i + 1 < step->statement->n_params));
		field += size + 1;
	}
	return op;
}

/* ── the test ────────────────────────────────────────────────────────────────────────────────────── */

/* All that replicas read of the page, but for the watermark. */
static long state_of_page(struct fixture *fixture)
{
	return query_number(fixture, "SELECT hashtextextended(string_agg(r, ' ' ORDER BY r), 0) FROM ("
			" SELECT (to_jsonb(p) - ARRAY['last_event', 'first_event', 'first_message'])::text FROM page p WHERE page_id = 7"
			" UNION ALL SELECT t::text FROM thread t WHERE page_id = 7"
			" UNION ALL SELECT m::text FROM message m WHERE page_id = 7"
			" UNION ALL SELECT x::text FROM message_attachment x WHERE page_id = 7"
			" UNION ALL SELECT a::text FROM attachment a WHERE page_id = 7 AND seq > 0"
			" UNION ALL SELECT s::text FROM page_staff s WHERE page_id = 7"
			" UNION ALL SELECT v::text FROM page_settings v WHERE page_id = 7"
			" UNION ALL SELECT w::text FROM wall_entry w WHERE page_id = 7) AS rows(r)");
}

static long watermark_of_page(struct fixture *fixture)
{
	return query_number(fixture, "SELECT hashtextextended(string_agg(concat_ws(' ', last_event, first_event, first_message), ''), 0)"
			" FROM page WHERE page_id = 7");
}

static bool is_aside(const struct statement *statement)
{
	bool is = false;

	for (size_t i = 0; i < N_OF(aside); i++)
		is = is || aside[i] == statement;
	return is;
}

static void what_changes_a_page_moves_its_watermark(void **state)
{
	struct fixture *fixture = *state;
	bool changed[SQL_STATEMENTS] = { false }, ran[SQL_STATEMENTS] = { false };

	for (size_t i = 0; i < N_OF(steps); i++) {
		const struct statement *statement = steps[i].statement;
		long before = state_of_page(fixture), watermark = watermark_of_page(fixture);
		struct arena arena;
		struct op *op;
		arena_init(&arena, 1 << 20);
		carry_out(fixture, op = make(&arena, &steps[i]));
		bool changes = state_of_page(fixture) != before, moves = watermark_of_page(fixture) != watermark;
		if ((changes && !moves) || (steps[i].changes && !changes))
			print_error("%s %s: reason \"%s\", %s, %s\n", statement->name, steps[i].params,
					op->n_rows > 0 ? op_row_text(op, 0, 0) : "no row", changes ? "changes the page" : "changes nothing",
					moves ? "moves its watermark" : "does not move its watermark");
		assert_true(moves || !changes);
		assert_true(changes || !steps[i].changes);
		changed[statement->index] = changed[statement->index] || changes;
		ran[statement->index] = true;
		op_release(op);
		arena_fini(&arena);
	}
	for (const struct statement *const *s = sql_statements; *s != NULL; s++)
		if ((*s)->lane == LANE_WRITE && !(is_aside(*s) ? ran : changed)[(*s)->index])
			fail_msg("%s.sql is not tried here, or not so that it changes anything", (*s)->name);
}

static int set_up(void **state)
{
	return fixture_start(state, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_changes_a_page_moves_its_watermark) };

	return cmocka_run_group_tests(tests, set_up, fixture_stop);
}
