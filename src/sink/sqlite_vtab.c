/* sqlite_vtab.c: see sqlite_vtab.h; "The Virtual Table Mechanism Of SQLite", eponymous-only tables. */
#include "sink/sqlite_vtab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMATTED 40

enum kind { KIND_I64, KIND_F64, KIND_TEXT, KIND_BLOB, KIND_FORMATTED };

struct rows_source {
	struct packed_plan plan;
	enum kind *kind;
	struct value *value;            /* of the current row */
	char (*formatted)[FORMATTED];   /* dates and times as text */
	const struct packed_row *const *rows;
	uint32_t n;
	int64_t file, version_base;
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

static void row_load(const struct rows_cursor *c)
{
	const struct rows_source *s = c->source;
	if (c->i < s->n)
		packed_read(&s->plan, s->rows[c->i], s->value);
	if (c->i + 4 < s->n)
		__builtin_prefetch(s->rows[c->i + 4]);
}

static int rows_filter(sqlite3_vtab_cursor *cur, int num, const char *str, int argc, sqlite3_value **argv)
{
	struct rows_cursor *c = (struct rows_cursor *)cur;
	c->i = 0;
	row_load(c);
	return SQLITE_OK;
}

static int rows_next(sqlite3_vtab_cursor *cur)
{
	struct rows_cursor *c = (struct rows_cursor *)cur;
	c->i++;
	row_load(c);
	return SQLITE_OK;
}

static int rows_eof(sqlite3_vtab_cursor *cur)
{
	const struct rows_cursor *c = (const struct rows_cursor *)cur;
	return c->i >= c->source->n;
}

static void lineage(const struct rows_cursor *c, sqlite3_context *x, uint32_t which)
{
	const struct rows_source *s = c->source;
	int64_t row = (int64_t)s->rows[c->i]->row;
	sqlite3_result_int64(x, which == 0 ? s->file : which == 1 ? row : s->version_base + row);
}

static int rows_column(sqlite3_vtab_cursor *cur, sqlite3_context *x, int i)
{
	const struct rows_cursor *c = (const struct rows_cursor *)cur;
	const struct rows_source *s = c->source;
	uint32_t f = (uint32_t)i, nfields = s->plan.schema->nfields;
	if (f >= nfields) {
		lineage(c, x, f - nfields);
		return SQLITE_OK;
	}
	const struct value *v = &s->value[f];
	if (v->null)
		return SQLITE_OK;   /* the result is null unless said otherwise */
	switch (s->kind[f]) {
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
		size_t n = value_format(&s->plan.schema->fields[f], v, s->formatted[f], FORMATTED);
		sqlite3_result_text(x, s->formatted[f], (int)n, SQLITE_STATIC);
		break;
	}
	}
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
		return err_oom(e);   /* s was freed by the destructor */
	*ret = s;
	return ERR_OK;
}

void rows_set(struct rows_source *s, const struct packed_row *const *rows, uint32_t n, int64_t file, int64_t version_base)
{
	s->rows = rows;
	s->n = n;
	s->file = file;
	s->version_base = version_base;
}
