/*
 * sqlite_table.h: a data file configuration's table: how its columns are declared, making it, and telling how an
 * existing one differs. Internal to sink/.
 */
#ifndef SINK_SQLITE_TABLE_H
#define SINK_SQLITE_TABLE_H

#include "sink/sqlite_db.h"
#include "tenant/data_file.h"

/* "INTEGER", "TEXT", "REAL", "FLOAT", "BOOLEAN", "BLOB": what the column is declared as. BOOLEAN and FLOAT are there
 * for readers: SQLite keeps 0/1 and a double, query --json prints true/false and the shortest float. */
const char *sqlite_column_type(const struct field *f);

/* A field's type as the store remembers it: without null, symbols or sizes. */
const char *sqlite_type_text(const struct field *f, char out[64]);

/* CREATE TABLE name (...) for df. Tables lie in the order of their key, append tables in that of file and row. */
void sqlite_create_sql(const struct data_file *df, const char *name, struct buf *out);

/* "A","B" of the schema, then the lineage columns. */
void sqlite_columns_sql(const struct data_file *df, struct buf *out);
/* The primary key: the schema's, or file and row. */
void sqlite_key_sql(const struct data_file *df, struct buf *out);

/* Does a table of df's name exist? */
enum err_code sqlite_table_exists(sqlite3 *db, const struct data_file *df, bool *ret, struct err *e) MUST_USE;
/* What differs, as text for people ("column \"X\" was int, is string now; ..."); empty when df's rows can go into the
 * table as it is. *ret_widened: only types that hold all older values changed. */
enum err_code sqlite_table_compare(sqlite3 *db, const struct data_file *df, struct buf *out, bool *ret_widened,
				   struct err *e) MUST_USE;
/* Remember columns and key (inside a transaction). */
enum err_code sqlite_table_remember(sqlite3 *db, const struct data_file *df, struct err *e) MUST_USE;
/* Make it, or compare: ERR_CONFLICT with the difference. */
enum err_code sqlite_table_ensure(sqlite3 *db, const struct data_file *df, struct err *e) MUST_USE;

#endif
