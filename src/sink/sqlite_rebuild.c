/*
 * sqlite_rebuild.c: a table in a new shape, in one transaction: types, key, columns. Versions and lineage are kept.
 *
 * Values whose column is of another type now go through text and convert_cell, the one place that says what a text
 * means, so that a rebuilt table has what loading the same files anew would give.
 */
#include "sink/sqlite.h"

#include "sink/sqlite_db.h"
#include "sink/sqlite_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEW_TABLE "_mysimbdp_rebuild"
#define SQL_MAX (1u << 20)

/* How column f of the new table comes from the old one. */
struct source {
	bool exists, same, was_boolean;
};

struct rebuild {
	sqlite3 *db;
	const struct data_file *df;
	struct source *source; /* one a field */
	bool refused;	       /* a value did not fit; why says it */
	char why[600];
};

/* ---- the conversion, as an SQL function: convert(value, field, file, row) */

static bool is_key(const struct data_file *df, uint32_t f)
{
	for (uint32_t k = 0; k < df->nkey; k++) {
		if (df->key[k] == f)
			return true;
	}
	return false;
}

static void refuse(struct rebuild *r, sqlite3_context *x, uint32_t f, struct span text, const char *why,
		   sqlite3_value **v)
{
	char cell[200];
	const char *quote = text.p ? "\"" : "";
	r->refused = true;
	snprintf(r->why, sizeof r->why, "column \"%s\": %s%s%s %s (row %lld of output %lld)",
		 r->df->schema->fields[f].name, quote, text.p ? cell_quote(text, cell) : "null", quote, why,
		 sqlite3_value_int64(v[3]), sqlite3_value_int64(v[2]));
	sqlite3_result_error(x, r->why, -1);
}

/* The old value as the text that a file would have had. */
static struct span old_text(const struct source *src, sqlite3_value *v, char out[64])
{
	int64_t i;
	switch (sqlite3_value_type(v)) {
	case SQLITE_INTEGER:
		i = sqlite3_value_int64(v);
		if (src->was_boolean)
			return span_str(i ? "true" : "false");
		return (struct span){out, (size_t)snprintf(out, 64, "%lld", (long long)i)};
	case SQLITE_FLOAT:
		return (struct span){out, f64_format(sqlite3_value_double(v), out)};
	default: {
		const char *p = sqlite3_value_blob(v);
		return (struct span){p ? p : "", (size_t)sqlite3_value_bytes(v)};
	}
	}
}

static void new_value(sqlite3_context *x, const struct field *f, const struct value *v)
{
	char text[64];
	if (f->storage == STORE_I64 && f->logical == LOGICAL_NONE)
		sqlite3_result_int64(x, v->i);
	else if (f->storage == STORE_I64)
		sqlite3_result_text(x, text, (int)value_format(f, v, text, sizeof text), SQLITE_TRANSIENT);
	else if (f->storage == STORE_F64)
		sqlite3_result_double(x, v->d);
	else if (f->storage == STORE_BYTES)
		sqlite3_result_blob(x, v->s.n ? v->s.p : "", (int)v->s.n, SQLITE_TRANSIENT);
	else
		sqlite3_result_text(x, v->s.n ? v->s.p : "", (int)v->s.n, SQLITE_TRANSIENT);
}

static void convert(sqlite3_context *x, int argc, sqlite3_value **v)
{
	struct rebuild *r = sqlite3_user_data(x);
	uint32_t i = (uint32_t)sqlite3_value_int(v[1]);
	const struct field *f = &r->df->schema->fields[i];
	const struct source *src = &r->source[i];
	char number[64], scratch[CONVERT_SCRATCH], type[64], why[160];
	bool null = sqlite3_value_type(v[0]) == SQLITE_NULL;
	if (null && (!f->nullable || is_key(r->df, i))) {
		refuse(r, x, i, (struct span){0}, is_key(r->df, i) ? "can't be in the key" : "is not allowed any more",
		       v);
		return;
	}
	if (null || (src->same && sqlite3_value_bytes(v[0]) > 0)) {
		sqlite3_result_value(x, v[0]);
		return;
	}
	struct span text = old_text(src, v[0], number);
	if (text.n == 0 && is_key(r->df, i)) {
		refuse(r, x, i, text, "can't be in the key", v);
		return;
	}
	if (src->same) {
		sqlite3_result_value(x, v[0]);
		return;
	}
	struct value out = {0};
	if (convert_cell(f, text, &out, scratch) != CONVERT_OK || out.null) {
		snprintf(why, sizeof why, "is no %s", field_type_text(f, type));
		refuse(r, x, i, text, why, v);
		return;
	}
	new_value(x, f, &out);
}

/* ---- the plan */

static enum err_code sources(struct rebuild *r, struct err *e)
{
	const struct schema *s = r->df->schema;
	sqlite3_stmt *st;
	enum err_code rc = sqlite_db_prepare(r->db, "SELECT name, type FROM _mysimbdp_column WHERE tbl=?1", &st, e);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 1, s->name, -1, SQLITE_STATIC);
	int step;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		const char *was = (const char *)sqlite3_column_text(st, 1);
		char now[64];
		for (uint32_t f = 0; name && was && f < s->nfields; f++) {
			if (strcmp(s->fields[f].name, name) != 0)
				continue;
			r->source[f] = (struct source){true, strcmp(sqlite_type_text(&s->fields[f], now), was) == 0,
						       strcmp(was, "boolean") == 0};
		}
	}
	if (step != SQLITE_DONE)
		rc = sqlite_db_err(r->db, step, "read the table's columns", e);
	sqlite3_finalize(st);
	return rc;
}

/* Another key can make rows meet that were apart: the newer version stays, as in loading. */
static void copy_sql(const struct rebuild *r, struct buf *b)
{
	const struct schema *s = r->df->schema;
	buf_str(b, "INSERT INTO " NEW_TABLE " AS t(");
	sqlite_columns_sql(r->df, b);
	buf_str(b, ") SELECT ");
	for (uint32_t f = 0; f < s->nfields; f++) {
		buf_str(b, "_mysimbdp_convert(");
		if (r->source[f].exists)
			sql_name(b, s->fields[f].name);
		else
			buf_str(b, "NULL");
		buf_printf(b, ",%u," COL_FILE "," COL_ROW "),", f);
	}
	buf_str(b, COL_FILE "," COL_ROW "," COL_VERSION " FROM main.");
	sql_name(b, s->name);
	buf_str(b, " WHERE true ORDER BY ");
	for (uint32_t k = 0; k < r->df->nkey; k++)
		buf_printf(b, "%u,", r->df->key[k] + 1);
	buf_printf(b, "%u,%u ON CONFLICT(", s->nfields + 1, s->nfields + 2);
	sqlite_key_sql(r->df, b);
	buf_str(b, ") DO UPDATE SET ");
	for (uint32_t f = 0; f < s->nfields; f++) {
		sql_name(b, s->fields[f].name);
		buf_str(b, "=excluded.");
		sql_name(b, s->fields[f].name);
		buf_char(b, ',');
	}
	buf_str(b, COL_FILE "=excluded." COL_FILE "," COL_ROW "=excluded." COL_ROW "," COL_VERSION
			    "=excluded." COL_VERSION " WHERE excluded." COL_VERSION ">t." COL_VERSION);
}

static enum err_code exec_buf(struct rebuild *r, struct buf *sql, struct err *e)
{
	return sql->failed ? err_oom(e) : sqlite_db_exec(r->db, buf_cstr(sql), e);
}

static enum err_code copy(struct rebuild *r, struct buf *sql, struct err *e)
{
	enum err_code rc;
	sqlite_create_sql(r->df, NEW_TABLE, sql);
	if ((rc = exec_buf(r, sql, e)))
		return rc;
	buf_clear(sql);
	copy_sql(r, sql);
	rc = exec_buf(r, sql, e);
	if (rc && r->refused) {
		err_set(e, ERR_CONFLICT, "table \"%s\" can't be rebuilt: %s", r->df->schema->name, r->why);
		err_hint(e, "choose a type that holds all values, or remove the row first; nothing was changed");
		return ERR_CONFLICT;
	}
	return rc;
}

static enum err_code swap(struct rebuild *r, struct buf *sql, struct err *e)
{
	enum err_code rc;
	buf_clear(sql);
	buf_str(sql, "DROP TABLE main.");
	sql_name(sql, r->df->schema->name);
	buf_str(sql, "; ALTER TABLE main." NEW_TABLE " RENAME TO ");
	sql_name(sql, r->df->schema->name);
	if ((rc = exec_buf(r, sql, e)))
		return rc;
	return sqlite_table_remember(r->db, r->df, e);
}

static enum err_code row_count(struct rebuild *r, uint64_t *ret, struct err *e)
{
	struct buf sql;
	sqlite3_stmt *st;
	int64_t n = 0;
	buf_init(&sql, 4096);
	buf_str(&sql, "SELECT count(*) FROM main.");
	sql_name(&sql, r->df->schema->name);
	enum err_code rc = sqlite_db_prepare(r->db, buf_cstr(&sql), &st, e);
	buf_done(&sql);
	if (rc)
		return rc;
	rc = sqlite_db_int(r->db, st, &n, NULL, e);
	sqlite3_finalize(st);
	*ret = (uint64_t)n;
	return rc;
}

/* Inside the transaction. */
static enum err_code rebuild(struct rebuild *r, uint64_t *ret_rows, struct err *e)
{
	struct buf sql;
	bool exists, widened;
	enum err_code rc = sqlite_table_exists(r->db, r->df, &exists, e);
	*ret_rows = 0;
	if (rc || !exists)
		return rc;
	buf_init(&sql, SQL_MAX);
	rc = sqlite_table_compare(r->db, r->df, &sql, &widened, e);
	if (rc == ERR_OK && (sql.n || widened)) {
		buf_clear(&sql);
		if ((rc = sources(r, e)) == ERR_OK && (rc = copy(r, &sql, e)) == ERR_OK)
			rc = swap(r, &sql, e);
	}
	buf_done(&sql);
	return rc ? rc : row_count(r, ret_rows, e);
}

static enum err_code rebuild_db(struct rebuild *r, uint64_t *ret_rows, struct err *e)
{
	enum err_code rc;
	if (sqlite3_create_function_v2(r->db, "_mysimbdp_convert", 4, SQLITE_UTF8 | SQLITE_DETERMINISTIC, r, convert,
				       NULL, NULL, NULL) != SQLITE_OK)
		return err_oom(e);
	r->source = calloc(r->df->schema->nfields, sizeof *r->source);
	if (!r->source)
		return err_oom(e);
	if ((rc = sqlite_db_exec(r->db, "BEGIN IMMEDIATE", e)) == ERR_OK && (rc = rebuild(r, ret_rows, e)) == ERR_OK)
		rc = sqlite_db_exec(r->db, "COMMIT", e);
	if (rc)
		sqlite_db_rollback(r->db);
	free(r->source);
	return rc;
}

enum err_code sqlite_rebuild(const char *dir, const struct data_file *df, uint64_t *ret_rows, struct err *e)
{
	struct err local = {0};
	struct arena a;
	char *path;
	struct rebuild r = {.df = df};
	arena_init(&a, 64 << 10);
	enum err_code rc = sqlite_db_path(dir, df->key_space, &a, &path, e);
	if (rc == ERR_OK && (rc = sqlite_db_open_read(path, &r.db, &local)) == ERR_OK) {
		sqlite3_close(r.db);
		if ((rc = sqlite_db_open(path, &r.db, e)) == ERR_OK) {
			rc = rebuild_db(&r, ret_rows, e);
			sqlite3_close(r.db);
		}
	} else if (rc == ERR_NOT_FOUND) {
		*ret_rows = 0; /* no database, no table: nothing to do */
		rc = ERR_OK;
	} else if (local.code && e) {
		*e = local;
	}
	arena_done(&a);
	return rc;
}
