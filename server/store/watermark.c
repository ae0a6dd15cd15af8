/* See watermark.h. */
#include "watermark.h"

#include <string.h>

#define WATERMARK(timeline) \
	"SELECT p.last_event, p.first_event, p.first_message, " timeline " AS timeline," \
	" CASE i.page_id WHEN 0 THEN (SELECT system_identifier FROM pg_control_system()) END AS cluster" \
	" FROM unnest($1) WITH ORDINALITY AS i(page_id, ord) LEFT JOIN page p ON p.page_id = i.page_id ORDER BY i.ord"

const char watermark_of_primary[] = WATERMARK("(SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8))");

/* By its control file, which may be behind, never ahead. */
const char watermark_of_replica[] = WATERMARK("(SELECT CASE WHEN pg_is_in_recovery() THEN"
		" upper(lpad(to_hex(greatest(c.timeline_id, r.min_recovery_end_timeline)), 8, '0')) END"
		" FROM pg_control_checkpoint() c, pg_control_recovery() r)");

bool watermark_send(struct connection *connection, struct bind *bind, const int64_t *pages, size_t n)
{
	return bind_numbers(bind, pages, n, NULL) == ASIDE_OK && connection_send(connection, CONNECTION_PAGES, bind) &&
			PQpipelineSync(connection->pg) == 1 && connection_flush(connection);
}

PGresult *watermark_receive(struct connection *connection, struct sql_error *ret_error)
{
	PGresult *result = connection_answer(connection);

	sql_error_note(ret_error, result);
	if (result != NULL && connection_sync(connection, ret_error) && PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	PQclear(result);
	return NULL;
}

bool watermark_same_cell(const PGresult *a, const PGresult *b, int row, enum watermark_column column)
{
	int cell = (int)column, size = PQgetlength(a, row, cell);

	return PQgetisnull(a, row, cell) == PQgetisnull(b, row, cell) && size == PQgetlength(b, row, cell) &&
			memcmp(PQgetvalue(a, row, cell), PQgetvalue(b, row, cell), (size_t)size) == 0;
}

bool watermark_same(const PGresult *a, const PGresult *b, int row)
{
	bool same = true;

	for (int column = 0; column < WATERMARK_COLUMNS && same; column++)
		same = watermark_same_cell(a, b, row, (enum watermark_column)column);
	return same;
}
