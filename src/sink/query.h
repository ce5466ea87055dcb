/*
 * query.h: reading a store for people: a forward-only cursor over one SELECT, whatever the store is.
 *
 *   store_query_open("cassandra:HOST?...", sql, &limit, &q, &err);   // or a directory, or a KEY_SPACE.db
 *   while (store_query_next(q, &row, &err) == ERR_OK && row)
 *       for each column i: store_query_value(q, i);         // valid until the next call
 *   store_query_close(q);
 *
 * The text is untrusted; nothing but reading is possible. SQLite: sqlite.h. Cassandra: pages of some thousand rows.
 */
#ifndef SINK_QUERY_H
#define SINK_QUERY_H

#include "base/err.h"
#include "base/span.h"

#include <stdatomic.h>
#include <stdint.h>

enum query_type {
	QUERY_NULL,
	QUERY_INT,
	QUERY_REAL,
	QUERY_TEXT,
	QUERY_BLOB,
	QUERY_BOOL,  /* i is 0 or 1; the column is declared BOOLEAN */
	QUERY_FLOAT, /* d; of single precision, the column is declared FLOAT */
};

struct query_value {
	enum query_type type;
	int64_t i;
	double d;
	struct span s;
};

struct store_query;

/* The query ends after so many seconds (0: never; ERR_TIMEOUT), or when *stop is set (may be NULL; ERR_INTERRUPTED). */
struct query_limit {
	double seconds;
	const atomic_bool *stop;
};

/* A store that can be read. open gets what follows the colon; the functions get what it returned. */
struct query_class {
	const char *name;
	enum err_code (*open)(const char *target, const char *sql, const struct query_limit *limit, void **ret,
			      struct err *e);
	int (*columns)(const void *q);
	const char *(*column)(const void *q, int i);
	enum err_code (*next)(void *q, bool *ret_row, struct err *e);
	struct query_value (*value)(const void *q, int i);
	void (*close)(void *q);
};

extern const struct query_class query_sqlite, query_cassandra;

enum err_code store_query_open(const char *where, const char *sql, const struct query_limit *limit,
			       struct store_query **ret, struct err *e) MUST_USE;
int store_query_columns(const struct store_query *q);
const char *store_query_column(const struct store_query *q, int i);
/* *ret_row false at the end. */
enum err_code store_query_next(struct store_query *q, bool *ret_row, struct err *e) MUST_USE;
struct query_value store_query_value(const struct store_query *q, int i);
void store_query_close(struct store_query *q);

#endif
