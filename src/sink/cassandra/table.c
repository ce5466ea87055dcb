/* table.c: see table.h. */
#include "sink/cassandra/table.h"

#include "sink/cassandra/type.h"
#include "sink/cassandra/wire.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define SQL_MAX (1u << 20)

struct wanted {
	char name[CQL_NAME_MAX];
	const char *type, *kind; /* as system_schema.columns has them */
	int32_t position;
	bool seen;
};

void cql_fold(const char *name, char out[CQL_NAME_MAX])
{
	size_t n = strnlen(name, CQL_NAME_MAX - 1);
	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)name[i]);
	out[n] = 0;
}

static void put_name(struct buf *b, const char *name)
{
	char folded[CQL_NAME_MAX];
	cql_fold(name, folded);
	buf_printf(b, "\"%s\"", folded);
}

static void put_table(struct buf *b, const struct data_file *df)
{
	put_name(b, df->key_space);
	buf_char(b, '.');
	put_name(b, df->schema->name);
}

static void put_key(struct buf *b, const struct data_file *df)
{
	if (df->nkey == 0) {
		buf_str(b, "(" CQL_COL_FILE ", " CQL_COL_BLOCK "), " CQL_COL_ROW);
		return;
	}
	for (uint32_t k = 0; k < df->nkey; k++) {
		buf_str(b, k == 0 ? "(" : k == df->npartition ? "), " : ", ");
		put_name(b, df->schema->fields[df->key[k]].name);
	}
	if (df->npartition == df->nkey)
		buf_char(b, ')');
}

void cql_create_sql(const struct data_file *df, struct buf *out)
{
	buf_str(out, "CREATE TABLE IF NOT EXISTS ");
	put_table(out, df);
	buf_str(out, " (");
	for (uint32_t f = 0; f < df->schema->nfields; f++) {
		put_name(out, df->schema->fields[f].name);
		buf_printf(out, " %s, ", cql_type_name(&df->schema->fields[f]));
	}
	buf_str(out, CQL_COL_FILE " bigint, " CQL_COL_ROW " bigint, " CQL_COL_VERSION " bigint, ");
	if (df->nkey == 0)
		buf_str(out, CQL_COL_BLOCK " int, ");
	buf_str(out, "PRIMARY KEY (");
	put_key(out, df);
	buf_str(out, "))");
}

void cql_insert_sql(const struct data_file *df, int64_t ttl, struct buf *out)
{
	uint32_t n = df->schema->nfields + (df->nkey ? 3 : 4);
	buf_str(out, "INSERT INTO ");
	put_table(out, df);
	buf_str(out, " (");
	for (uint32_t f = 0; f < df->schema->nfields; f++) {
		put_name(out, df->schema->fields[f].name);
		buf_str(out, ", ");
	}
	buf_str(out, CQL_COL_FILE ", " CQL_COL_ROW ", " CQL_COL_VERSION);
	buf_str(out, df->nkey ? ") VALUES (" : ", " CQL_COL_BLOCK ") VALUES (");
	for (uint32_t i = 0; i < n; i++)
		buf_str(out, i ? ",?" : "?");
	buf_str(out, ") USING TIMESTAMP ?");
	if (ttl)
		buf_printf(out, " AND TTL %lld", (long long)ttl);
}

/* ---- comparing */

static void want(struct wanted *w, const char *name, const char *type, const char *kind, int32_t position)
{
	cql_fold(name, w->name);
	w->type = type;
	w->kind = kind;
	w->position = position;
}

/* The columns that there should be; nfields + 4 at most. */
static uint32_t wanted_columns(const struct data_file *df, struct wanted *w)
{
	uint32_t n = 0;
	for (uint32_t f = 0; f < df->schema->nfields; f++) {
		const char *kind = "regular";
		int32_t position = -1;
		for (uint32_t k = 0; k < df->nkey; k++) {
			if (df->key[k] != f)
				continue;
			bool partition = k < df->npartition;
			kind = partition ? "partition_key" : "clustering";
			position = (int32_t)(partition ? k : k - df->npartition);
		}
		want(&w[n++], df->schema->fields[f].name, cql_type_name(&df->schema->fields[f]), kind, position);
	}
	bool append = df->nkey == 0;
	want(&w[n++], "_mysimbdp_file", "bigint", append ? "partition_key" : "regular", append ? 0 : -1);
	want(&w[n++], "_mysimbdp_row", "bigint", append ? "clustering" : "regular", append ? 0 : -1);
	want(&w[n++], "_mysimbdp_version", "bigint", "regular", -1);
	if (append)
		want(&w[n++], "_mysimbdp_block", "int", "partition_key", 1);
	return n;
}

struct difference {
	struct buf text, alter;
	bool rebuild; /* no ALTER can do it */
};

static struct buf *another(struct buf *b)
{
	buf_str(b, b->n ? "; " : "");
	return b;
}

static void compare_column(struct wanted *w, uint32_t n, const struct span cell[4], struct difference *d)
{
	struct cql_in in = cql_in(cell[2].p, cell[2].n);
	int32_t position = get_int(&in);
	for (uint32_t i = 0; i < n; i++) {
		if (!span_is(cell[0], w[i].name))
			continue;
		w[i].seen = true;
		if (!span_is(cell[3], w[i].type)) {
			buf_printf(another(&d->text), "column \"%s\" is %.*s, not %s", w[i].name, SPAN_ARG(cell[3]),
				   w[i].type);
			d->rebuild = true;
		} else if (!span_is(cell[1], w[i].kind) || position != w[i].position) {
			buf_printf(another(&d->text), "column \"%s\" has another place in the primary key (%.*s %d)",
				   w[i].name, SPAN_ARG(cell[1]), position);
			d->rebuild = true;
		}
		return;
	}
	buf_printf(another(&d->text), "column \"%.*s\" (%.*s) is in the table only", SPAN_ARG(cell[0]),
		   SPAN_ARG(cell[3]));
	buf_printf(another(&d->alter), "DROP \"%.*s\"", SPAN_ARG(cell[0]));
	d->rebuild = d->rebuild || !span_is(cell[1], "regular");
}

static enum err_code say_difference(const struct data_file *df, struct difference *d, struct err *e)
{
	struct buf b;
	if (!d->text.n)
		return ERR_OK;
	buf_init(&b, 1 << 16);
	put_table(&b, df);
	err_set(e, ERR_CONFLICT, "table %s is not as the documents say: %s", buf_cstr(&b), buf_cstr(&d->text));
	if (d->rebuild)
		err_hint(
		    e, "no ALTER TABLE changes a type or a key: write to another table, or copy this one and drop it");
	else
		err_hint(e, "this makes them equal: ALTER TABLE %s %s", buf_cstr(&b), buf_cstr(&d->alter));
	buf_done(&b);
	return ERR_CONFLICT;
}

static enum err_code compare(const struct data_file *df, const struct cql_reply *r, struct err *e)
{
	struct wanted *w = calloc(df->schema->nfields + 4, sizeof *w);
	struct difference d = {0};
	bool null;
	if (!w)
		return err_oom(e);
	buf_init(&d.text, 4096);
	buf_init(&d.alter, 4096);
	uint32_t n = wanted_columns(df, w);
	struct cql_in in = cql_in(r->result.rows.p, r->result.rows.n);
	for (uint32_t i = 0; i < r->result.nrows; i++) {
		struct span cell[4];
		for (int k = 0; k < 4; k++)
			cell[k] = get_bytes(&in, &null);
		compare_column(w, n, cell, &d);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (w[i].seen)
			continue;
		buf_printf(another(&d.text), "column \"%s\" (%s) is missing", w[i].name, w[i].type);
		buf_printf(another(&d.alter), "ADD \"%s\" %s", w[i].name, w[i].type);
		d.rebuild = d.rebuild || strcmp(w[i].kind, "regular") != 0;
	}
	enum err_code rc = say_difference(df, &d, e);
	buf_done(&d.text);
	buf_done(&d.alter);
	free(w);
	return rc;
}

static enum err_code read_columns(struct cql_session *s, const struct data_file *df, struct cql_reply *ret,
				  struct err *e)
{
	char ks[CQL_NAME_MAX], table[CQL_NAME_MAX], text[640];
	struct cql_params p = {.consistency = CQL_ONE};
	cql_fold(df->key_space, ks);
	cql_fold(df->schema->name, table);
	snprintf(text, sizeof text,
		 "SELECT column_name, kind, position, type FROM system_schema.columns WHERE keyspace_name='%s' AND "
		 "table_name='%s'",
		 ks, table);
	enum err_code rc = cql_query(s, text, &p, ret, e);
	if (!rc && ret->result.nrows && ret->result.ncolumns != 4)
		rc = err_set(e, ERR_CORRUPT, "system_schema.columns has %u columns", ret->result.ncolumns);
	return rc;
}

/* ---- making */

static enum err_code key_space_exists(struct cql_session *s, const char *ks, bool *ret, struct err *e)
{
	char text[400];
	struct cql_reply r;
	struct cql_params p = {.consistency = CQL_ONE};
	snprintf(text, sizeof text, "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name='%s'", ks);
	cql_reply_init(&r);
	enum err_code rc = cql_query(s, text, &p, &r, e);
	*ret = r.result.nrows > 0;
	cql_reply_done(&r);
	return rc;
}

static enum err_code make_key_space(struct cql_session *s, const char *name, struct err *e)
{
	char ks[CQL_NAME_MAX], replication[600], text[900];
	bool there;
	cql_fold(name, ks);
	enum err_code rc = key_space_exists(s, ks, &there, e);
	if (rc || there)
		return rc;
	if ((rc = cql_target_replication(cql_session_target(s), replication, sizeof replication, e)))
		return rc;
	snprintf(text, sizeof text, "CREATE KEYSPACE IF NOT EXISTS \"%s\" WITH replication = %s", ks, replication);
	rc = cql_execute(s, text, e);
	return rc ? rc : cql_agree(s, e);
}

static enum err_code make_table(struct cql_session *s, const struct data_file *df, struct err *e)
{
	struct buf b;
	buf_init(&b, SQL_MAX);
	cql_create_sql(df, &b);
	enum err_code rc = b.failed ? err_oom(e) : cql_execute(s, buf_cstr(&b), e);
	buf_done(&b);
	return rc ? rc : cql_agree(s, e);
}

enum err_code cql_table_ensure(struct cql_session *s, const struct data_file *df, struct err *e)
{
	struct cql_reply r;
	cql_reply_init(&r);
	enum err_code rc = make_key_space(s, df->key_space, e);
	rc = rc ? rc : read_columns(s, df, &r, e);
	if (!rc && r.result.nrows == 0) {
		rc = make_table(s, df, e);
		rc = rc ? rc : read_columns(s, df, &r, e);
	}
	rc = rc ? rc : compare(df, &r, e);
	cql_reply_done(&r);
	return rc;
}
