/*
 * db.h: a thin layer over one SQLite connection: opening with a format number, cached statements, typed binding,
 * errors.
 *
 *   db_open(path, &format, DB_WRITE, &db, &err);
 *   db_exec(db, &err, "UPDATE t SET a = ?1 WHERE id = ?2", "ti", text, id);
 *   db_query(db, &st, &err, "SELECT a FROM t WHERE id = ?1", "i", id);
 *   while (db_next(db, st, &more, &err) == ERR_OK && more) use(db_text(st, 0));
 *
 * Every statement is prepared and every value is bound; the text of a statement must be a string that lives as long as
 * the connection (a literal), for the cache is keyed by its address. Bind codes: i int64_t, d int, f double, t text
 * (NULL binds null), s struct span as text, b struct span as blob.
 *
 * The format number is PRAGMA user_version: a list of steps brings an older database up in one transaction, a newer one
 * is ERR_VERSION naming the program that wrote it. One thread at a time uses a connection; the caller guards it.
 * Used by catalog/ and ingest/.
 */
#ifndef CATALOG_DB_H
#define CATALOG_DB_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct db_format {
	const char *what;	  /* "ledger", for messages */
	int32_t application_id;	  /* in the file's header: another program's database is not touched */
	const char *const *steps; /* SQL from format i to i + 1; each ends with its own PRAGMA user_version */
	int nsteps;		  /* = the format this program writes */
};

#define DB_STATEMENTS 256 /* distinct statements a connection may have; a power of two */

struct db_cached {
	const char *sql;
	sqlite3_stmt *st;
};

struct db {
	sqlite3 *h;
	char *path;
	struct db_cached cache[DB_STATEMENTS];
};

enum db_mode { DB_WRITE, DB_READ }; /* DB_READ: never creates or migrates, and cannot write */

/* WAL, synchronous=FULL, mode 0600 when made. ERR_NOT_FOUND when DB_READ finds no file. */
enum err_code db_open(const char *path, const struct db_format *f, enum db_mode mode, struct db **ret,
		      struct err *e) MUST_USE;
void db_close(struct db *d);

/* Run to the end. */
enum err_code db_exec(struct db *d, struct err *e, const char *sql, const char *types, ...) MUST_USE;
/* Rows the last statement changed. */
int64_t db_changes(const struct db *d);
int64_t db_last_id(const struct db *d);

/* A statement ready for its first row. One that is not run to its end needs db_reset before the transaction ends. */
enum err_code db_query(struct db *d, sqlite3_stmt **ret, struct err *e, const char *sql, const char *types,
		       ...) MUST_USE;
/* *ret_row false at the end; the statement is reset then, and after an error. */
enum err_code db_next(struct db *d, sqlite3_stmt *st, bool *ret_row, struct err *e) MUST_USE;
void db_reset(sqlite3_stmt *st);
/* All that an early return left half-way: such a statement would hold on to its old snapshot. */
void db_reset_all(struct db *d);

/* Columns of the current row. Text is valid until the next step; "" for null. */
const char *db_text(sqlite3_stmt *st, int col);
struct span db_blob(sqlite3_stmt *st, int col);
char *db_text_copy(sqlite3_stmt *st, int col, struct arena *a); /* NULL without memory */
static inline int64_t db_int(sqlite3_stmt *st, int col)
{
	return sqlite3_column_int64(st, col);
}

/* The first column of the first row; dflt without a row. */
enum err_code db_int_of(struct db *d, int64_t dflt, int64_t *ret, struct err *e, const char *sql, const char *types,
			...) MUST_USE;

/* An SQLite result code as an error, with the database's path and SQLite's own text. */
enum err_code db_error(struct db *d, int rc, struct err *e);

#endif
