/*
 * sqlite_vtab.c: see sqlite_vtab.h. Sources: SQLite's documentation, "The Virtual Table Mechanism Of SQLite"
 * (eponymous-only tables) and "Application-Defined SQL Functions".
 */
#include "sink/sqlite_vtab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMATTED 40

enum kind { KIND_I64, KIND_F64, KIND_TEXT, KIND_BLOB, KIND_FORMATTED };

struct rows_source {
	struct packed_plan plan;
	enum kind *kind;
	struct value *value;	      /* of the current row */
	char (*formatted)[FORMATTED]; /* dates and times as text */
	const struct packed_row *const *rows;
	uint32_t n;
	int64_t file, version_base;

	/* a scan's walk over the rows */
	uint32_t at, met, older;
	bool loaded; /* value holds row `at` */
	bool was_met[ROWS_SET_MAX];
};

struct rows_table {
	sqlite3_vtab base;
	struct rows_source *source;
};

struct rows_cursor {
	sqlite3_vtab_cursor base;
	struct rows_source *source;
	uint32_t i;
};

static void source_free(void *p)
{
	struct rows_source *s = p;
	if (!s)
		return;
	free(s->kind);
	free(s->value);
	free(s->formatted);
	free(s);
}

static int rows_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **ret, char **ret_msg)
{
	struct rows_source *s = aux;
	struct buf sql;
	buf_init(&sql, 1 << 20);
	buf_str(&sql, "CREATE TABLE x(");
	for (uint32_t f = 0; f < s->plan.schema->nfields; f++)
		buf_printf(&sql, "c%u,", f);
	buf_str(&sql, "file,row,version)");
	int rc = sql.failed ? SQLITE_NOMEM : sqlite3_declare_vtab(db, buf_cstr(&sql));
	buf_done(&sql);
	struct rows_table *t = rc == SQLITE_OK ? calloc(1, sizeof *t) : NULL;
	if (!t)
		return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
	t->source = s;
	*ret = &t->base;
	return SQLITE_OK;
}

static int rows_disconnect(sqlite3_vtab *t)
{
	free(t);
	return SQLITE_OK;
}

static int rows_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
	info->estimatedCost = 1e6;
	info->estimatedRows = 1000000;
	return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *t, sqlite3_vtab_cursor **ret)
{
	struct rows_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return SQLITE_NOMEM;
	c->source = ((struct rows_table *)t)->source;
	*ret = &c->base;
	return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *c)
{
	free(c);
	return SQLITE_OK;
}

/* To row i or the next one that no scan met. */
static void row_load(struct rows_cursor *c, uint32_t i)
{
	const struct rows_source *s = c->source;
	while (i < s->n && s->was_met[i])
		i++;
	c->i = i;
	if (i < s->n)
		packed_read(&s->plan, s->rows[i], s->value);
	if (i + 4 < s->n)
		__builtin_prefetch(s->rows[i + 4]);
}

static int rows_filter(sqlite3_vtab_cursor *cur, int num, const char *str, int argc, sqlite3_value **argv)
{
	struct rows_cursor *c = (struct rows_cursor *)cur;
	row_load(c, 0);
	return SQLITE_OK;
}

static int rows_next(sqlite3_vtab_cursor *cur)
{
	struct rows_cursor *c = (struct rows_cursor *)cur;
	row_load(c, c->i + 1);
	return SQLITE_OK;
}

static int rows_eof(sqlite3_vtab_cursor *cur)
{
	const struct rows_cursor *c = (const struct rows_cursor *)cur;
	return c->i >= c->source->n;
}

/* Column i of row r, whose values are loaded. */
static void result(const struct rows_source *s, uint32_t r, sqlite3_context *x, uint32_t i)
{
	uint32_t nfields = s->plan.schema->nfields;
	if (i >= nfields) {
		int64_t row = (int64_t)s->rows[r]->row;
		sqlite3_result_int64(x, i == nfields ? s->file : i == nfields + 1 ? row : s->version_base + row);
		return;
	}
	const struct value *v = &s->value[i];
	if (v->null)
		return; /* the result is null unless said otherwise */
	switch (s->kind[i]) {
	case KIND_I64:
		sqlite3_result_int64(x, v->i);
		break;
	case KIND_F64:
		sqlite3_result_double(x, v->d);
		break;
	case KIND_TEXT:
		sqlite3_result_text(x, v->s.p, (int)v->s.n, SQLITE_STATIC);
		break;
	case KIND_BLOB:
		sqlite3_result_blob(x, v->s.n ? v->s.p : "", (int)v->s.n, SQLITE_STATIC);
		break;
	case KIND_FORMATTED: {
		size_t n = value_format(&s->plan.schema->fields[i], v, s->formatted[i], FORMATTED);
		sqlite3_result_text(x, s->formatted[i], (int)n, SQLITE_STATIC);
		break;
	}
	}
}

static int rows_column(sqlite3_vtab_cursor *cur, sqlite3_context *x, int i)
{
	const struct rows_cursor *c = (const struct rows_cursor *)cur;
	result(c->source, c->i, x, (uint32_t)i);
	return SQLITE_OK;
}

static int rows_rowid(sqlite3_vtab_cursor *cur, sqlite3_int64 *ret)
{
	*ret = ((const struct rows_cursor *)cur)->i;
	return SQLITE_OK;
}

/* xCreate NULL: the table is there under the module's name, without any CREATE. */
static const sqlite3_module module = {
    .iVersion = 0,
    .xConnect = rows_connect,
    .xDisconnect = rows_disconnect,
    .xBestIndex = rows_best_index,
    .xOpen = rows_open,
    .xClose = rows_close,
    .xFilter = rows_filter,
    .xNext = rows_next,
    .xEof = rows_eof,
    .xColumn = rows_column,
    .xRowid = rows_rowid,
};

/* ---- a scan of the stored table */

static int compare_bytes(const char *a, size_t na, const char *b, size_t nb)
{
	size_t n = na < nb ? na : nb;
	int c = n ? memcmp(a, b, n) : 0;
	return c ? c : (na > nb) - (na < nb);
}

/* Our value of field f against a stored one, in SQLite's order of such a column. */
static int compare_stored(const struct rows_source *s, uint32_t f, sqlite3_value *stored)
{
	const struct value *v = &s->value[f];
	const char *p;
	switch (s->kind[f]) {
	case KIND_I64: {
		int64_t i = sqlite3_value_int64(stored);
		return (v->i > i) - (v->i < i);
	}
	case KIND_F64: {
		double d = sqlite3_value_double(stored);
		return (v->d > d) - (v->d < d);
	}
	case KIND_FORMATTED: {
		size_t n = value_format(&s->plan.schema->fields[f], v, s->formatted[f], FORMATTED);
		p = sqlite3_value_blob(stored);
		return compare_bytes(s->formatted[f], n, p, p ? (size_t)sqlite3_value_bytes(stored) : 0);
	}
	default:
		p = sqlite3_value_blob(stored); /* of text too: its bytes, without a copy for a NUL behind them */
		return compare_bytes(v->s.p, v->s.n, p, p ? (size_t)sqlite3_value_bytes(stored) : 0);
	}
}

static int compare_key(struct rows_source *s, sqlite3_value **stored)
{
	if (!s->loaded) {
		packed_read(&s->plan, s->rows[s->at], s->value);
		s->loaded = true;
	}
	for (uint32_t k = 0; k < s->plan.nkey; k++) {
		int c = compare_stored(s, s->plan.key[k], stored[k]);
		if (c)
			return c;
	}
	return 0;
}

static void step(struct rows_source *s)
{
	s->at++;
	s->loaded = false;
	if (s->at + 4 < s->n)
		__builtin_prefetch(s->rows[s->at + 4]);
}

/* Of our rows with the stored row's key the last counts, as it does when they come one by one. */
static void rows_at(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	struct rows_source *s = sqlite3_user_data(x);
	int c = -1;
	while (s->at < s->n && (c = compare_key(s, argv)) < 0)
		step(s);
	bool equal = s->at < s->n && c == 0;
	if (equal) {
		while (s->at + 1 < s->n && packed_compare(s->rows[s->at], s->rows[s->at + 1]) == 0) {
			s->was_met[s->at] = true;
			s->met++;
			step(s);
		}
		compare_key(s, argv); /* loads */
		s->was_met[s->at] = true;
		s->met++;
		sqlite3_value *version = argv[s->plan.nkey];
		if (sqlite3_value_type(version) != SQLITE_NULL &&
		    sqlite3_value_int64(version) >= s->version_base + (int64_t)s->rows[s->at]->row) {
			s->older++;
			equal = false;
			step(s);
		}
	}
	sqlite3_result_int(x, equal);
}

/* The scan comes to its next row only after it took all columns, so `at` may stay where it is: the next call of rows_at
 * has a greater key. */
static void rows_value(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	const struct rows_source *s = sqlite3_user_data(x);
	result(s, s->at, x, (uint32_t)sqlite3_value_int(argv[0]));
}

static enum kind kind_of(const struct field *f)
{
	if (f->storage == STORE_I64)
		return f->logical == LOGICAL_NONE ? KIND_I64 : KIND_FORMATTED;
	if (f->storage == STORE_F64)
		return KIND_F64;
	return f->storage == STORE_BYTES ? KIND_BLOB : KIND_TEXT;
}

enum err_code rows_source_new(sqlite3 *db, const struct packed_plan *plan, struct rows_source **ret, struct err *e)
{
	struct rows_source *s = calloc(1, sizeof *s);
	if (!s)
		return err_oom(e);
	uint32_t n = plan->schema->nfields;
	s->plan = *plan;
	s->kind = calloc(n, sizeof *s->kind);
	s->value = calloc(n, sizeof *s->value);
	s->formatted = calloc(n, sizeof *s->formatted);
	if (!s->kind || !s->value || !s->formatted) {
		source_free(s);
		return err_oom(e);
	}
	for (uint32_t f = 0; f < n; f++)
		s->kind[f] = kind_of(&plan->schema->fields[f]);
	if (sqlite3_create_module_v2(db, ROWS_TABLE, &module, s, source_free) != SQLITE_OK)
		return err_oom(e); /* s was freed by the destructor */
	if (sqlite3_create_function_v2(db, ROWS_AT, (int)plan->nkey + 1, SQLITE_UTF8, s, rows_at, NULL, NULL, NULL) ||
	    sqlite3_create_function_v2(db, ROWS_VALUE, 1, SQLITE_UTF8, s, rows_value, NULL, NULL, NULL))
		return err_oom(e);
	*ret = s;
	return ERR_OK;
}

void rows_set(struct rows_source *s, const struct packed_row *const *rows, uint32_t n, int64_t file,
	      int64_t version_base)
{
	s->rows = rows;
	s->n = n;
	s->file = file;
	s->version_base = version_base;
	s->at = s->met = s->older = 0;
	s->loaded = false;
	memset(s->was_met, 0, n * sizeof *s->was_met);
}

uint32_t rows_met(const struct rows_source *s, uint32_t *ret_older)
{
	*ret_older = s->older;
	return s->met;
}

void rows_bind_key(struct rows_source *s, uint32_t i, sqlite3_stmt *st, int first)
{
	packed_read(&s->plan, s->rows[i], s->value);
	s->loaded = false;
	for (uint32_t k = 0; k < s->plan.nkey; k++) {
		uint32_t f = s->plan.key[k];
		const struct value *v = &s->value[f];
		int p = first + (int)k;
		if (s->kind[f] == KIND_I64)
			sqlite3_bind_int64(st, p, v->i);
		else if (s->kind[f] == KIND_F64)
			sqlite3_bind_double(st, p, v->d);
		else if (s->kind[f] == KIND_TEXT)
			sqlite3_bind_text(st, p, v->s.p, (int)v->s.n, SQLITE_STATIC);
		else if (s->kind[f] == KIND_BLOB)
			sqlite3_bind_blob(st, p, v->s.n ? v->s.p : "", (int)v->s.n, SQLITE_STATIC);
		else
			sqlite3_bind_text(st, p, s->formatted[f],
					  (int)value_format(&s->plan.schema->fields[f], v, s->formatted[f], FORMATTED),
					  SQLITE_TRANSIENT);
	}
}
