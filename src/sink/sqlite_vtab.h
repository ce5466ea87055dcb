/*
 * sqlite_vtab.h: packed rows as SQL sees them, in one connection, in two ways.
 *
 * As a table: "INSERT INTO t SELECT * FROM _mysimbdp_rows" takes thousands of rows in one statement. Columns: the
 * schema's fields, then file, row and version.
 *
 * As functions, for a scan of the stored table that meets the rows on its way (both are in key order):
 *   _mysimbdp_at(key columns..., version or null)  true when the next of our rows has this key and is newer than
 * version _mysimbdp_value(i)                             column i of that row A row that was met is not in the table
 * any more. Internal to sink/.
 */
#ifndef SINK_SQLITE_VTAB_H
#define SINK_SQLITE_VTAB_H

#include "record/packed.h"

#include <sqlite3.h>

#define ROWS_TABLE "_mysimbdp_rows"

struct rows_source;

#define ROWS_AT "_mysimbdp_at"
#define ROWS_VALUE "_mysimbdp_value"

/* Table and functions belong to the connection and die with it; plan has to live as long. */
enum err_code rows_source_new(sqlite3 *db, const struct packed_plan *plan, struct rows_source **ret,
			      struct err *e) MUST_USE;
/* What the next statements read: at most ROWS_SET_MAX rows in key order. */
#define ROWS_SET_MAX 8192u
void rows_set(struct rows_source *s, const struct packed_row *const *rows, uint32_t n, int64_t file,
	      int64_t version_base);
/* Of them, met by a scan so far, and those that were older than what they met. */
uint32_t rows_met(const struct rows_source *s, uint32_t *ret_older);
/* Bind the key of row i to nkey parameters from `first` on. */
void rows_bind_key(struct rows_source *s, uint32_t i, sqlite3_stmt *st, int first);

#endif
