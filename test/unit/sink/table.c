/* table.c: see table.h. */
#include "table.h"

#include "base/fd.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static char dir[64];

void test_dir_remove(void)
{
	struct err e;
	if (dir[0])
		assert_int_equal(dir_remove_all(dir, &e), ERR_OK);
	dir[0] = 0;
}

const char *test_dir(void)
{
	test_dir_remove();
	strcpy(dir, "/tmp/test-sink-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return dir;
}

void assert_ok(enum err_code rc, const struct err *e, const char *what, int line)
{
	if (rc)
		fail_msg("line %d: %s: %s (%s)", line, what, e->msg, e->hint);
}

void rows_init(struct rows *r, const struct data_file *df)
{
	*r = (struct rows){.df = df};
}

void rows_add(struct rows *r, uint64_t number, const char *const *cells)
{
	const struct schema *s = r->df->schema;
	struct packed_plan plan = data_file_packed_plan(r->df);
	struct batch *b = batch_new(s, 1);
	static char data[1 << 20];
	size_t used = 0, key_len;
	b->data = data;
	b->nrow = 1;
	b->first_row = number;
	for (uint32_t f = 0; f < s->nfields; f++) {
		struct value v = {.null = cells[f] == NULL};
		char scratch[CONVERT_SCRATCH];
		if (cells[f] && convert_cell(&s->fields[f], span_str(cells[f]), &v, scratch) != CONVERT_OK)
			fail_msg("cell \"%s\" is no %s", cells[f], s->fields[f].name);
		struct column *c = &b->col[f];
		c->null[0] = v.null;
		if (c->i64)
			c->i64[0] = v.i;
		else if (c->f64)
			c->f64[0] = v.d;
		else if (!v.null) {
			memcpy(data + used, v.s.p, v.s.n);
			c->ref[0] = (struct cell_ref){(uint32_t)used, (uint32_t)v.s.n};
			used += v.s.n;
		}
	}
	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		r->row = realloc(r->row, r->room * sizeof *r->row);
	}
	struct packed_row *row = malloc(packed_size(&plan, b, 0, &key_len));
	packed_write(&plan, b, 0, row);
	r->row[r->n++] = row;
	batch_free(b);
}

static int by_key(const void *a, const void *b)
{
	const struct packed_row *x = *(const struct packed_row *const *)a, *y = *(const struct packed_row *const *)b;
	int c = packed_compare(x, y);
	return c ? c : (x->row > y->row) - (x->row < y->row);
}

void rows_sort(struct rows *r)
{
	if (r->n)
		qsort(r->row, r->n, sizeof *r->row, by_key);
}

void rows_done(struct rows *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		free(r->row[i]);
	free(r->row);
	*r = (struct rows){.df = r->df};
}

void deliver(const char *where, const struct rows *r, int64_t file, int64_t base, uint32_t chunk)
{
	struct err err = {0};
	struct sink *s;
	struct sink_file f = {file, "file.csv", base, 1};
	struct sink_result res;
	struct sink_refusal refusal;
	uint64_t position;
	OK(sink_sqlite.open(where, r->df, &s, &err));
	OK(sink_sqlite.table(s, &err));
	OK(sink_sqlite.begin(s, &f, &position, &err));
	for (uint64_t i = position; i < r->n; i += chunk) {
		uint32_t n = r->n - i < chunk ? (uint32_t)(r->n - i) : chunk;
		struct sink_rows w = {(const struct packed_row *const *)r->row + i, n, i + n, false};
		OK(sink_sqlite.write(s, &w, &res, &refusal, &err));
		assert_int_equal(res.delivered, n);
	}
	OK(sink_sqlite.end(s, &err));
	sink_sqlite.close(s);
}

const char *ask(const char *where, const char *sql)
{
	static char out[1 << 16];
	char path[256];
	sqlite3 *db;
	sqlite3_stmt *st;
	size_t n = 0;
	snprintf(path, sizeof path, "%s/ks.db", where);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL))
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	out[0] = 0;
	while (sqlite3_step(st) == SQLITE_ROW) {
		for (int c = 0; c < sqlite3_column_count(st); c++) {
			const char *t = (const char *)sqlite3_column_text(st, c);
			n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", c ? "|" : n ? "\n" : "", t ? t : "NULL");
			assert_true(n < sizeof out);
		}
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
	return out;
}
