/* How far pages are: what tells whether a replica's rows are the primary's (replica.h).  Both are asked with the same
 * columns, each by a statement of its own kind of connection.  Knows no operations. */
#pragma once

#include "bind.h"
#include "connection.h"

/* Of a row of the answer. */
enum watermark_column {
	WATERMARK_LAST_EVENT,
	WATERMARK_FIRST_EVENT,
	WATERMARK_FIRST_MESSAGE,
	WATERMARK_TIMELINE, /* of the whole PostgreSQL; NULL: it should be a replica, and is none */
	WATERMARK_CLUSTER,  /* the same, and only in the row of WATERMARK_NO_PAGE */
	WATERMARK_COLUMNS,
};

#define WATERMARK_NO_PAGE 0

/* The statements, prepared as CONNECTION_PAGES: one parameter, int8[]; a row for each of its elements, in their order. */
extern const char watermark_of_primary[], watermark_of_replica[];

/* Asks how far these pages are; does not wait for the answer.  `bind` is a buffer.  false: the connection is lost. */
bool watermark_send(struct connection *connection, struct bind *bind, const int64_t *pages, size_t n);

/* The answer to watermark_send(); the caller's to PQclear().  NULL: the connection is lost, or *ret_error says why not. */
PGresult *watermark_receive(struct connection *connection, struct sql_error *ret_error);

/* Whether two answers agree in a row, or in a cell of it. */
bool watermark_same(const PGresult *a, const PGresult *b, int row);
bool watermark_same_cell(const PGresult *a, const PGresult *b, int row, enum watermark_column column);
