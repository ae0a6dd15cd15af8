/* See checker.h. */
#include "checker.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536
#define COPY "\\copy "

static bool ended_well(PGconn *pg, PGresult *result, ExecStatusType expected)
{
	bool well = PQresultStatus(result) == expected;

	if (!well)
		fprintf(stderr, "checker: %s", PQerrorMessage(pg));
	PQclear(result);
	return well;
}

bool checker_execute(PGconn *pg, const char *sql)
{
	return ended_well(pg, PQexec(pg, sql), PGRES_COMMAND_OK);
}

/* ── taking over ─────────────────────────────────────────────────────────────────────────────────── */

static bool copy_file(PGconn *pg, FILE *file, const char *table)
{
	static char chunk[CHUNK_BYTES];
	char sql[128];
	size_t n;

	(void)snprintf(sql, sizeof sql, "COPY %s FROM STDIN", table);
	if (!ended_well(pg, PQexec(pg, sql), PGRES_COPY_IN))
		return false;
	while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
		(void)PQputCopyData(pg, chunk, (int)n);
	(void)PQputCopyEnd(pg, ferror(file) ? "unreadable" : NULL);
	bool well = ended_well(pg, PQgetResult(pg), PGRES_COMMAND_OK);
	PQclear(PQgetResult(pg));
	return well;
}

/* "\copy FILE TABLE" */
static bool copy(PGconn *pg, const char *line, const char *folder)
{
	char name[64], table[64], path[512];

	if (sscanf(line, COPY "%63s %63s", name, table) != 2)
		return false;
	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "re");
	bool well = file != NULL && copy_file(pg, file, table);
	if (file != NULL)
		fclose(file);
	return well;
}

/* Runs the statements before each \copy, and then that. */
static bool run_script(PGconn *pg, char *script, const char *folder)
{
	char *at;

	while ((at = strstr(script, "\n" COPY)) != NULL) {
		*at = '\0';
		if (script[0] != '\0' && !checker_execute(pg, script))
			return false;
		if (!copy(pg, at + 1, folder))
			return false;
		script = strchr(at + 1, '\n');
	}
	return checker_execute(pg, script);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (file == NULL)
		return NULL;
	if (getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

PGconn *checker_open(const char *database, const char *sql_file, const char *folder)
{
	PGconn *pg = PQconnectdb(database);
	char *script = read_file(sql_file);
	bool well = script != NULL && PQstatus(pg) == CONNECTION_OK &&
			checker_execute(pg, "SET client_min_messages = warning; SET work_mem = '64MB'") &&
			run_script(pg, script, folder);

	free(script);
	if (well)
		return pg;
	fprintf(stderr, "checker: %s and %s cannot be compared: %s\n", sql_file, folder, PQerrorMessage(pg));
	PQfinish(pg);
	return NULL;
}

/* ── checking ────────────────────────────────────────────────────────────────────────────────────── */

int checker_run(PGconn *pg)
{
	PGresult *result = PQexec(pg, "SELECT rule, page_id, user_id, what, n FROM (SELECT *, count(*) OVER () AS n,"
				      " row_number() OVER (PARTITION BY rule ORDER BY page_id, user_id, what) AS nth FROM violation) v"
				      " WHERE nth <= 5 ORDER BY rule, nth");
	int n = 0;

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		(void)ended_well(pg, result, PGRES_TUPLES_OK);
		return -1;
	}
	if (PQntuples(result) > 0)
		n = atoi(PQgetvalue(result, 0, 4));
	for (int i = 0; i < PQntuples(result); i++)
		printf("# %s: page %s, person %s: %s\n", PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
				PQgetvalue(result, i, 2), PQgetvalue(result, i, 3));
	PQclear(result);
	return n;
}
