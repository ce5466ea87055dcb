/*
 * sqlite_vtab.h: packed rows as a table that SQL can read: "REPLACE INTO t SELECT * FROM _mysimbdp_rows".
 *
 * One statement takes thousands of rows this way, so the B-tree cursor stays where it is between neighbours; that is
 * what makes loading fast. The table exists in one connection only and shows whatever rows_set said last. Columns: the
 * schema's fields, then file, row and version. Internal to sink/.
 */
#ifndef SINK_SQLITE_VTAB_H
#define SINK_SQLITE_VTAB_H

#include "record/packed.h"

#include <sqlite3.h>

#define ROWS_TABLE "_mysimbdp_rows"

struct rows_source;

/* The module belongs to the connection and dies with it; plan has to live as long. */
enum err_code rows_source_new(sqlite3 *db, const struct packed_plan *plan, struct rows_source **ret, struct err *e) MUST_USE;
/* What the next statement reads. */
void rows_set(struct rows_source *s, const struct packed_row *const *rows, uint32_t n, int64_t file, int64_t version_base);

#endif
