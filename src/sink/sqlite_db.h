/*
 * sqlite_db.h: opening a KEY_SPACE.db of ours: its format and migrations, modes, errors, quoting. Internal to sink/.
 */
#ifndef SINK_SQLITE_DB_H
#define SINK_SQLITE_DB_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <sqlite3.h>

#include <stdbool.h>
#include <stdint.h>

#define SQLITE_DB_APPLICATION 0x6d736462 /* "msdb" */
#define SQLITE_DB_FORMAT 1
#define SQLITE_DB_PAGE 16384
#define SQLITE_DB_BUSY_MS 2000 /* how long a lock is waited for before ERR_BUSY */

/* Columns behind the schema's own in every table. */
#define COL_FILE "_mysimbdp_file"
#define COL_ROW "_mysimbdp_row"
#define COL_VERSION "_mysimbdp_version"

/* dir/key_space.db in the arena; ERR_INVALID when the name could leave the directory. */
enum err_code sqlite_db_path(const char *dir, const char *key_space, struct arena *a, char **ret,
			     struct err *e) MUST_USE;

/* For writing: made (mode 0600) or migrated when need be. */
enum err_code sqlite_db_open(const char *path, sqlite3 **ret, struct err *e) MUST_USE;
/* For reading; ERR_NOT_FOUND when there is none. Old formats are read as they are, newer ones refused. */
enum err_code sqlite_db_open_read(const char *path, sqlite3 **ret, struct err *e) MUST_USE;

/* For queries: any SQLite database, but a newer format of ours is refused. */
enum err_code sqlite_db_open_query(const char *path, sqlite3 **ret, struct err *e) MUST_USE;

/* The last error of db as ours: "PATH: what: SQLite's text". */
enum err_code sqlite_db_err(sqlite3 *db, int rc, const char *what, struct err *e);

enum err_code sqlite_db_exec(sqlite3 *db, const char *sql, struct err *e) MUST_USE;
enum err_code sqlite_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct err *e) MUST_USE;
/* Run a statement that gives no rows, and reset it. */
enum err_code sqlite_db_run(sqlite3 *db, sqlite3_stmt *st, struct err *e) MUST_USE;
/* One integer; found (may be NULL) tells whether there was a row. The statement is reset. */
enum err_code sqlite_db_int(sqlite3 *db, sqlite3_stmt *st, int64_t *ret, bool *ret_found, struct err *e) MUST_USE;
void sqlite_db_rollback(sqlite3 *db);

/* name as an SQL identifier, whatever is in it. */
void sql_name(struct buf *b, const char *name);
void sql_text(struct buf *b, const char *text);

#endif
