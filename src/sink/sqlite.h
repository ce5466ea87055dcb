/*
 * sqlite.h: what other folders may ask of the SQLite coredms beyond sink.h.
 *
 * Each KEY_SPACE.db has the tenants' tables, _mysimbdp_meta (format number), _mysimbdp_position (file, name, position,
 * epoch, version_base, done) and for every table the columns _mysimbdp_file (output id), _mysimbdp_row,
 * _mysimbdp_version behind the schema's own.
 */
#ifndef SINK_SQLITE_H
#define SINK_SQLITE_H

#include "base/buf.h"
#include "base/err.h"
#include "sink/query.h"
#include "tenant/data_file.h"

#include <stdatomic.h>

/* Rebuild the table for a changed schema or key in one transaction; versions and lineage are kept. Values that do not
 * fit the new type make it fail with ERR_CONFLICT, naming one. No table yet: nothing to do. */
enum err_code sqlite_rebuild(const char *dir, const struct data_file *df, uint64_t *ret_rows, struct err *e) MUST_USE;

/* Rows by lineage: how many rows of the table came from output id (for ledger check: <= delivered). */
enum err_code sqlite_count_rows(const char *dir, const struct data_file *df, int64_t file, uint64_t *ret,
				struct err *e) MUST_USE;
/* Position and completeness of a file; *ret_found false when the store never saw it. */
enum err_code sqlite_position(const char *dir, const struct data_file *df, int64_t file, bool *ret_found,
			      uint64_t *ret_position, bool *ret_done, struct err *e) MUST_USE;

/* The write-ahead log may grow to this (default 256 MiB) while a reader keeps it from being emptied; then writes answer
 * ERR_BUSY, retriable, until the reader is gone. For a sink of class sqlite. */
struct sink;
void sqlite_sink_limit_wal(struct sink *s, uint64_t bytes);

/* ---- read-only queries (verb query): a forward-only cursor over untrusted SQL. Only one statement, only reading
 * (sqlite3_stmt_readonly and an authorizer: no ATTACH, no PRAGMA beyond table_info, no writing functions). */
struct sqlite_query;

/* All KEY_SPACE.db of dir are attached under their names, the first is main: "SELECT * FROM t" works when only one
 * has t. A single .db file may be given instead of a directory. */
enum err_code sqlite_query_open(const char *dir_or_file, const char *sql, struct sqlite_query **ret,
				struct err *e) MUST_USE;
/* Rows stop coming after so many seconds (0: never; ERR_TIMEOUT) or when *stop is set (may be NULL; ERR_INTERRUPTED).
 */
void sqlite_query_limit(struct sqlite_query *q, double seconds, const atomic_bool *stop);
int sqlite_query_columns(const struct sqlite_query *q);
const char *sqlite_query_column(const struct sqlite_query *q, int i);
/* *ret_row false at the end. */
enum err_code sqlite_query_next(struct sqlite_query *q, bool *ret_row, struct err *e) MUST_USE;
struct query_value sqlite_query_value(const struct sqlite_query *q, int i);
void sqlite_query_close(struct sqlite_query *q);

#endif
