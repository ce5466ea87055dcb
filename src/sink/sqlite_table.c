/*
 * sqlite_table.c: see sqlite_table.h. All tables are WITHOUT ROWID: one B-tree in the order of the key, which is the
 * order in which rows are delivered.
 */
#include "sink/sqlite_table.h"

#include <stdio.h>
#include <string.h>

#define SQL_MAX (1u << 20)

/* With these two conflict clauses no statement of ours can fail half way and be taken back alone, so SQLite keeps no
 * copy of each page it changes (a statement journal), which would double the writing. */
#define KEY_NOT_NULL " NOT NULL ON CONFLICT FAIL"
#define KEY_REPLACE " ON CONFLICT REPLACE"

const char *sqlite_column_type(const struct field *f)
{
	if (f->type == AVRO_T_BOOLEAN)
		return "BOOLEAN";
	if (f->storage == STORE_I64)
		return f->logical == LOGICAL_NONE ? "INTEGER" : "TEXT";
	if (f->storage == STORE_F64)
		return f->type == AVRO_T_FLOAT ? "FLOAT" : "REAL";
	return f->storage == STORE_BYTES ? "BLOB" : "TEXT";
}

static bool is_key(const struct data_file *df, uint32_t f)
{
	for (uint32_t k = 0; k < df->nkey; k++) {
		if (df->key[k] == f)
			return true;
	}
	return false;
}

const char *sqlite_type_text(const struct field *f, char out[64])
{
	struct field plain = *f;
	plain.nullable = false;
	if (f->type == AVRO_T_ENUM)
		return memcpy(out, "enum", 5);
	if (f->type == AVRO_T_FIXED && f->logical == LOGICAL_NONE)
		return memcpy(out, "fixed", 6);
	return field_type_text(&plain, out);
}

void sqlite_columns_sql(const struct data_file *df, struct buf *out)
{
	for (uint32_t f = 0; f < df->schema->nfields; f++) {
		sql_name(out, df->schema->fields[f].name);
		buf_char(out, ',');
	}
	buf_str(out, COL_FILE "," COL_ROW "," COL_VERSION);
}

void sqlite_key_sql(const struct data_file *df, struct buf *out)
{
	for (uint32_t k = 0; k < df->nkey; k++) {
		if (k)
			buf_char(out, ',');
		sql_name(out, df->schema->fields[df->key[k]].name);
	}
	if (df->nkey == 0)
		buf_str(out, COL_FILE "," COL_ROW);
}

void sqlite_create_sql(const struct data_file *df, const char *name, struct buf *out)
{
	buf_str(out, "CREATE TABLE ");
	sql_name(out, name);
	buf_str(out, " (\n");
	for (uint32_t f = 0; f < df->schema->nfields; f++) {
		buf_str(out, "  ");
		sql_name(out, df->schema->fields[f].name);
		buf_printf(out, " %s%s,\n", sqlite_column_type(&df->schema->fields[f]),
			   is_key(df, f) ? KEY_NOT_NULL : "");
	}
	const char *lineage = df->nkey ? "" : KEY_NOT_NULL;
	buf_printf(out,
		   "  " COL_FILE " INTEGER%s,\n  " COL_ROW " INTEGER%s,\n  " COL_VERSION " INTEGER,\n  PRIMARY KEY (",
		   lineage, lineage);
	sqlite_key_sql(df, out);
	buf_str(out, ")" KEY_REPLACE "\n) WITHOUT ROWID");
}

enum err_code sqlite_table_exists(sqlite3 *db, const struct data_file *df, bool *ret, struct err *e)
{
	sqlite3_stmt *st;
	int64_t one;
	enum err_code rc =
	    sqlite_db_prepare(db, "SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?1 COLLATE NOCASE", &st, e);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 1, df->schema->name, -1, SQLITE_STATIC);
	rc = sqlite_db_int(db, st, &one, ret, e);
	sqlite3_finalize(st);
	return rc;
}

/* ---- comparing */

/* Every value of the old type is a value of the new one, stored alike. */
static bool widens(const char *was, const struct field *now)
{
	char text[64];
	sqlite_type_text(now, text);
	if (strcmp(was, "int") == 0)
		return strcmp(text, "long") == 0;
	if (strcmp(was, "uuid") == 0 || strcmp(was, "enum") == 0 || strcmp(was, "string (date)") == 0 ||
	    strcmp(was, "string (uuid)") == 0)
		return strcmp(text, "string") == 0;
	return false;
}

/* One difference begins. */
static struct buf *another(struct buf *out)
{
	if (out->n)
		buf_str(out, "; ");
	return out;
}

static enum err_code compare_columns(sqlite3 *db, const struct data_file *df, struct buf *out, bool *ret_widened,
				     struct err *e)
{
	const struct schema *s = df->schema;
	bool seen[SCHEMA_FIELDS_MAX] = {false};
	sqlite3_stmt *st;
	enum err_code rc =
	    sqlite_db_prepare(db, "SELECT name, type FROM _mysimbdp_column WHERE tbl=?1 ORDER BY n", &st, e);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 1, s->name, -1, SQLITE_STATIC);
	int step;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		const char *was = (const char *)sqlite3_column_text(st, 1);
		char now[64];
		int f = schema_find(s, name, strlen(name));
		if (f < 0 || seen[f] || strcmp(s->fields[f].name, name) != 0) {
			buf_printf(another(out), "column \"%s\" (%s) is in the table only", name, was);
			continue;
		}
		seen[f] = true;
		if (strcmp(sqlite_type_text(&s->fields[f], now), was) == 0)
			continue;
		if (widens(was, &s->fields[f]))
			*ret_widened = true;
		else
			buf_printf(another(out), "column \"%s\" is %s in the table and %s in the schema", name, was,
				   now);
	}
	if (step != SQLITE_DONE)
		rc = sqlite_db_err(db, step, "read the table's columns", e);
	sqlite3_finalize(st);
	for (uint32_t f = 0; f < s->nfields && rc == ERR_OK; f++) {
		char now[64];
		if (!seen[f])
			buf_printf(another(out), "column \"%s\" (%s) is in the schema only", s->fields[f].name,
				   sqlite_type_text(&s->fields[f], now));
	}
	return rc;
}

enum err_code sqlite_table_compare(sqlite3 *db, const struct data_file *df, struct buf *out, bool *ret_widened,
				   struct err *e)
{
	struct buf key;
	sqlite3_stmt *st;
	*ret_widened = false;
	enum err_code rc = sqlite_db_prepare(db, "SELECT key FROM _mysimbdp_table WHERE name=?1", &st, e);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 1, df->schema->name, -1, SQLITE_STATIC);
	int step = sqlite3_step(st);
	const char *was = step == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	buf_init(&key, SQL_MAX);
	sqlite_key_sql(df, &key);
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		rc = sqlite_db_err(db, step, "read the table's key", e);
	else if (!was)
		buf_printf(another(out), "table \"%s\" was not made by mysimbdp", df->schema->name);
	else if (key.failed)
		rc = err_oom(e);
	else if (strcmp(was, buf_cstr(&key)) != 0)
		buf_printf(another(out), "the primary key is (%s) in the table and (%s) in the configuration", was,
			   buf_cstr(&key));
	bool known = was != NULL;
	sqlite3_finalize(st);
	buf_done(&key);
	return rc == ERR_OK && known ? compare_columns(db, df, out, ret_widened, e) : rc;
}

/* ---- making */

static enum err_code remember_columns(sqlite3 *db, const struct data_file *df, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = sqlite_db_prepare(db, "INSERT INTO _mysimbdp_column VALUES(?1,?2,?3,?4)", &st, e);
	for (uint32_t f = 0; f < df->schema->nfields && rc == ERR_OK; f++) {
		char type[64];
		const struct field *fd = &df->schema->fields[f];
		sqlite3_bind_text(st, 1, df->schema->name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, f);
		sqlite3_bind_text(st, 3, fd->name, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 4, sqlite_type_text(fd, type), -1, SQLITE_TRANSIENT);
		rc = sqlite_db_run(db, st, e);
	}
	sqlite3_finalize(st);
	return rc;
}

enum err_code sqlite_table_remember(sqlite3 *db, const struct data_file *df, struct err *e)
{
	struct buf sql;
	buf_init(&sql, SQL_MAX);
	buf_str(&sql, "DELETE FROM _mysimbdp_column WHERE tbl=");
	sql_text(&sql, df->schema->name);
	buf_str(&sql, "; REPLACE INTO _mysimbdp_table(name, key) VALUES(");
	sql_text(&sql, df->schema->name);
	struct buf key;
	buf_init(&key, SQL_MAX);
	sqlite_key_sql(df, &key);
	buf_char(&sql, ',');
	sql_text(&sql, buf_cstr(&key));
	buf_char(&sql, ')');
	enum err_code rc = sql.failed || key.failed ? err_oom(e) : sqlite_db_exec(db, buf_cstr(&sql), e);
	buf_done(&key);
	buf_done(&sql);
	return rc ? rc : remember_columns(db, df, e);
}

static enum err_code create(sqlite3 *db, const struct data_file *df, struct err *e)
{
	struct buf sql;
	buf_init(&sql, SQL_MAX);
	sqlite_create_sql(df, df->schema->name, &sql);
	enum err_code rc = sql.failed ? err_oom(e) : sqlite_db_exec(db, buf_cstr(&sql), e);
	buf_done(&sql);
	return rc ? rc : sqlite_table_remember(db, df, e);
}

static enum err_code compare(sqlite3 *db, const struct data_file *df, struct err *e)
{
	struct buf diff;
	bool widened;
	buf_init(&diff, sizeof e->msg);
	enum err_code rc = sqlite_table_compare(db, df, &diff, &widened, e);
	if (rc == ERR_OK && (diff.n || diff.failed)) {
		rc = err_set(e, ERR_CONFLICT, "table \"%s\" of %s differs from the schema: %s%s", df->schema->name,
			     sqlite3_db_filename(db, "main"), buf_cstr(&diff), diff.failed ? " ..." : "");
		err_hint(e, "change the configuration back, give the schema another name, or rebuild the table");
	} else if (rc == ERR_OK && widened) {
		rc = sqlite_table_remember(db, df, e);
	}
	buf_done(&diff);
	return rc;
}

enum err_code sqlite_table_ensure(sqlite3 *db, const struct data_file *df, struct err *e)
{
	bool exists;
	enum err_code rc = sqlite_db_exec(db, "BEGIN IMMEDIATE", e);
	if (rc)
		return rc;
	rc = sqlite_table_exists(db, df, &exists, e);
	if (rc == ERR_OK)
		rc = exists ? compare(db, df, e) : create(db, df, e);
	if (rc == ERR_OK)
		rc = sqlite_db_exec(db, "COMMIT", e);
	if (rc)
		sqlite_db_rollback(db);
	return rc;
}
