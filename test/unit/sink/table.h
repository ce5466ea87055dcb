/* table.h: what the tests of the SQLite sink share: making rows from text, a directory of their own, looking with SQL.
 */
#ifndef TEST_SINK_TABLE_H
#define TEST_SINK_TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/packed.h"
#include "sink/sink.h"
#include "sink/sqlite.h"

/* A fresh directory; the one before is removed. */
const char *test_dir(void);
void test_dir_remove(void);

/* Rows as a batch of text cells, converted by their fields' types; NULL is null. */
struct rows {
	const struct data_file *df;
	struct packed_row **row;
	uint32_t n, room;
};
void rows_init(struct rows *r, const struct data_file *df);
void rows_add(struct rows *r, uint64_t number, const char *const *cells);
/* By key, then by number, as the engine delivers. */
void rows_sort(struct rows *r);
void rows_done(struct rows *r);

/* All rows in one file of given id and version base: open, table, begin, write in `chunk`s (a transaction each), end.
 */
void deliver(const char *dir, const struct rows *r, int64_t file, int64_t base, uint32_t chunk);

/* The first column of all rows of a query on DIR/ks.db, "|" between columns, "\n" between rows; static. */
const char *ask(const char *dir, const char *sql);

#define OK(call) assert_ok(call, &err, #call, __LINE__)
void assert_ok(enum err_code rc, const struct err *e, const char *what, int line);

#endif
