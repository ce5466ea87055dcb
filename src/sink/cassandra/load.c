/* load.c: see load.h. */
#include "sink/cassandra/load.h"

#include "sink/cassandra/murmur3.h"
#include "sink/cassandra/table.h"
#include "sink/cassandra/type.h"
#include "sink/cassandra/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_UNLOGGED 1
#define BATCH_HEAD 3u		  /* type, number of statements */
#define KEY_BYTES_MAX 65535u	  /* of a partition key, and of each clustering value */
#define ROW_BYTES_MAX (15u << 20) /* the server's default for a mutation is 16 MiB */
#define REFUSED_MAX 4096u
#define LINEAGE_BYTES 128u

struct refused {
	uint64_t row;
	char reason[192];
};

struct cql_load {
	struct cql_session *session;
	const struct data_file *df;
	struct packed_plan plan;
	struct cql_statement insert;
	int64_t file, base;
	struct value *value; /* of the row at hand */
	uint32_t batch_rows;
	size_t batch_bytes;

	struct cql_request *r; /* being filled */
	uint32_t n;
	struct value part[KEY_FIELDS_MAX]; /* its partition */
	uint64_t block;
	uint64_t first_row;
	struct buf spare, key;

	struct err failed; /* the first */
	struct buf *again; /* bodies of batches that were called invalid */
	size_t nagain;
	struct refused *refused;
	size_t nrefused;
};

enum err_code cql_load_new(struct cql_session *s, const struct data_file *df, struct cql_load **ret, struct err *e)
{
	struct cql_load *l = calloc(1, sizeof *l);
	if (!l || !(l->value = calloc(df->schema->nfields, sizeof *l->value))) {
		free(l);
		return err_oom(e);
	}
	const struct cql_target *t = cql_session_target(s);
	l->session = s;
	l->df = df;
	l->plan = data_file_packed_plan(df);
	l->batch_rows = (uint32_t)t->batch_rows;
	l->batch_bytes = (size_t)t->batch_bytes;
	buf_init(&l->spare, 32u << 20);
	buf_init(&l->key, 1u << 20);
	*ret = l;
	return ERR_OK;
}

static void forget_again(struct cql_load *l)
{
	for (size_t i = 0; i < l->nagain; i++)
		buf_done(&l->again[i]);
	free(l->again);
	l->again = NULL;
	l->nagain = 0;
}

void cql_load_free(struct cql_load *l)
{
	if (!l)
		return;
	cql_request_free(l->session, l->r);
	cql_statement_done(&l->insert);
	forget_again(l);
	free(l->refused);
	free(l->value);
	buf_done(&l->spare);
	buf_done(&l->key);
	free(l);
}

enum err_code cql_load_prepare(struct cql_load *l, struct err *e)
{
	struct buf b;
	uint16_t wanted = (uint16_t)(l->df->schema->nfields + (l->df->nkey ? 4 : 5));
	buf_init(&b, 1 << 20);
	cql_insert_sql(l->df, cql_session_target(l->session)->ttl, &b);
	enum err_code rc = b.failed ? err_oom(e) : cql_prepare(l->session, buf_cstr(&b), &l->insert, e);
	buf_done(&b);
	if (!rc && l->insert.nvalues != wanted)
		rc = err_set(e, ERR_CORRUPT, "the statement has %u values, not %u", l->insert.nvalues, wanted);
	return rc;
}

void cql_load_file(struct cql_load *l, const struct sink_file *f)
{
	l->file = f->id;
	l->base = f->version_base;
	cql_request_free(l->session, l->r);
	l->r = NULL;
	l->n = 0;
	l->failed = (struct err){0};
	l->nrefused = 0;
	forget_again(l);
}

/* ---- answers */

static void note_refused(struct cql_load *l, uint64_t row, const char *reason)
{
	struct refused *more = l->nrefused < REFUSED_MAX ? realloc(l->refused, (l->nrefused + 1) * sizeof *more) : NULL;
	if (!more) {
		err_set(&l->failed, ERR_REFUSED, "the store refuses more than %zu rows: %s", l->nrefused, reason);
		return;
	}
	l->refused = more;
	more[l->nrefused].row = row;
	snprintf(more[l->nrefused++].reason, sizeof more->reason, "%.190s", reason);
}

static void row_done(void *ctx, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		     const struct err *e)
{
	struct cql_load *l = ctx;
	if (f && f->opcode == CQL_RESULT)
		return;
	if (ce && ce->code == CQL_E_INVALID && r->tag[1] == 1) {
		note_refused(l, r->tag[0], e->msg);
		return;
	}
	if (ce && ce->code == CQL_E_INVALID) {
		struct buf *more = realloc(l->again, (l->nagain + 1) * sizeof *more);
		if (more) {
			l->again = more;
			more[l->nagain++] = r->body;
			buf_init(&r->body, r->body.max);
			return;
		}
	}
	if (l->failed.code)
		return;
	if (e)
		l->failed = *e;
	else
		err_set(&l->failed, ERR_CORRUPT, "message %u where a result was due", f ? f->opcode : 0u);
}

bool cql_load_refused(struct cql_load *l, struct sink_refusal *ret)
{
	if (!l->nrefused)
		return false;
	const struct refused *r = &l->refused[--l->nrefused];
	ret->row = r->row;
	memcpy(ret->reason, r->reason, sizeof ret->reason);
	return true;
}

bool cql_load_trouble(const struct cql_load *l)
{
	return l->failed.code || l->nagain || l->nrefused;
}

/* ---- requests */

static void put_no_options(struct cql_load *l, struct buf *b)
{
	put_short(b, (uint16_t)cql_session_target(l->session)->consistency);
	if (cql_version(l->session) >= 5)
		put_int(b, 0);
	else
		put_byte(b, 0);
}

/* entry: a statement of a batch: kind, id, number of values, values. */
static void put_execute(struct cql_load *l, struct span entry, struct buf *out)
{
	size_t skip = 1 + 2 + (size_t)l->insert.id_n + 2;
	struct cql_params p = {
	    .consistency = (uint16_t)cql_session_target(l->session)->consistency,
	    .nvalues = l->insert.nvalues,
	    .values = {entry.p + skip, entry.n - skip},
	    .skip_metadata = true,
	};
	buf_clear(out);
	put_string(out, (struct span){l->insert.id, l->insert.id_n});
	if (cql_version(l->session) >= 5)
		put_string(out, (struct span){l->insert.metadata_id, l->insert.metadata_id_n});
	cql_put_params(out, cql_version(l->session), &p);
}

/* A text key's bytes are the token's as they are; anything else is encoded as the value is. */
static void put_key_value(struct buf *key, const struct field *f, const struct value *v, bool composite)
{
	size_t at = key->n;
	if (!buf_reserve(key, v->s.n + CQL_VALUE_OVERHEAD + 8))
		return;
	char *w = key->p + at, *end = cql_put_value(w, f, v);
	size_t n = (size_t)(end - w) - 4;
	if (composite) {
		memmove(w + 2, w + 4, n);
		be16(w, (uint16_t)n);
		w[2 + n] = 0;
		key->n += n + 3;
	} else {
		memmove(w, w + 4, n);
		key->n += n;
	}
}

static int64_t token_of(struct cql_load *l)
{
	static const struct field number = {.type = AVRO_T_LONG, .storage = STORE_I64};
	static const struct field small = {.type = AVRO_T_INT, .storage = STORE_I64};
	const struct data_file *df = l->df;
	buf_clear(&l->key);
	for (uint32_t k = 0; k < df->npartition; k++)
		put_key_value(&l->key, &df->schema->fields[df->key[k]], &l->part[k], df->npartition > 1);
	if (df->nkey == 0) {
		put_key_value(&l->key, &number, &(struct value){.i = l->file}, true);
		put_key_value(&l->key, &small, &(struct value){.i = (int64_t)l->block}, true);
	}
	return murmur3_token(l->key.p, l->key.n);
}

static enum err_code send_batch(struct cql_load *l, struct err *e)
{
	struct cql_request *r = l->r;
	if (!r || l->n == 0)
		return ERR_OK;
	l->r = NULL;
	if (l->n == 1 && !r->body.failed) {
		put_execute(l, (struct span){r->body.p + BATCH_HEAD, r->body.n - BATCH_HEAD}, &l->spare);
		struct buf t = l->spare;
		l->spare = r->body;
		r->body = t;
		r->opcode = CQL_EXECUTE;
	} else if (!r->body.failed) {
		r->body.p[0] = BATCH_UNLOGGED;
		be16(r->body.p + 1, (uint16_t)l->n);
		put_no_options(l, &r->body);
		r->opcode = CQL_BATCH;
	}
	r->statement = &l->insert;
	r->done = row_done;
	r->ctx = l;
	r->tag[0] = l->first_row;
	r->tag[1] = l->n;
	r->has_token = true;
	r->token = token_of(l);
	l->n = 0;
	return cql_submit(l->session, r, e);
}

/* ---- rows */

static bool same_value(const struct field *f, const struct value *a, const struct value *b)
{
	if (f->storage == STORE_I64)
		return a->i == b->i;
	if (f->storage == STORE_F64) {
		uint64_t x, y; /* bit by bit, as the server's partitioner sees them */
		memcpy(&x, &a->d, sizeof x);
		memcpy(&y, &b->d, sizeof y);
		return x == y;
	}
	return span_eq(a->s, b->s);
}

static bool same_partition(const struct cql_load *l, uint64_t row)
{
	const struct data_file *df = l->df;
	if (df->nkey == 0)
		return row / CQL_BLOCK_ROWS == l->block;
	for (uint32_t k = 0; k < df->npartition; k++) {
		uint32_t f = df->key[k];
		if (!same_value(&df->schema->fields[f], &l->part[k], &l->value[f]))
			return false;
	}
	return true;
}

static enum err_code refuse(struct sink_refusal *ret, uint64_t row, struct err *e, const char *reason)
{
	ret->row = row;
	snprintf(ret->reason, sizeof ret->reason, "%s", reason);
	return err_set(e, ERR_INVALID, "%s", reason);
}

/* What no Cassandra takes. */
static enum err_code check_row(const struct cql_load *l, const struct packed_row *row, struct sink_refusal *ret,
			       struct err *e)
{
	const struct data_file *df = l->df;
	size_t partition = 0;
	if (row->size > ROW_BYTES_MAX)
		return refuse(ret, row->row, e, "a row of more than 15 MiB; Cassandra takes 16 MiB with all around it");
	if (row->key_len < KEY_BYTES_MAX - 3 * KEY_FIELDS_MAX)
		return ERR_OK;
	for (uint32_t k = 0; k < df->nkey; k++) {
		const struct field *f = &df->schema->fields[df->key[k]];
		size_t n = f->storage == STORE_TEXT || f->storage == STORE_BYTES ? l->value[df->key[k]].s.n : 8;
		partition += k < df->npartition ? n + (df->npartition > 1 ? 3 : 0) : 0;
		if (n > KEY_BYTES_MAX || partition > KEY_BYTES_MAX)
			return refuse(ret, row->row, e, "a key of more than 65535 bytes, which Cassandra can't store");
	}
	return ERR_OK;
}

static enum err_code start_batch(struct cql_load *l, uint64_t row, struct err *e)
{
	if (!(l->r = cql_request_new(l->session)) || !buf_reserve(&l->r->body, BATCH_HEAD))
		return err_oom(e);
	l->r->body.n = BATCH_HEAD;
	l->first_row = row;
	l->block = row / CQL_BLOCK_ROWS;
	for (uint32_t k = 0; k < l->df->npartition; k++)
		l->part[k] = l->value[l->df->key[k]];
	return ERR_OK;
}

static char *put_id(char *w, const struct cql_statement *st)
{
	*w++ = 1; /* prepared */
	w = be16(w, st->id_n);
	memcpy(w, st->id, st->id_n);
	return be16(w + st->id_n, st->nvalues);
}

static char *put_i64(char *w, int64_t v)
{
	return be64(be32(w, 8), (uint64_t)v);
}

static enum err_code add_row(struct cql_load *l, const struct packed_row *row, struct err *e)
{
	const struct schema *s = l->df->schema;
	size_t room = row->size + (size_t)s->nfields * CQL_VALUE_OVERHEAD + LINEAGE_BYTES + sizeof l->insert.id;
	struct buf *b = &l->r->body;
	if (!buf_reserve(b, room))
		return err_oom(e);
	char *w = put_id(b->p + b->n, &l->insert);
	for (uint32_t f = 0; f < s->nfields; f++)
		w = cql_put_value(w, &s->fields[f], &l->value[f]);
	int64_t version = l->base + (int64_t)row->row;
	w = put_i64(w, l->file);
	w = put_i64(w, (int64_t)row->row);
	w = put_i64(w, version);
	if (l->df->nkey == 0)
		w = be32(be32(w, 4), (uint32_t)(row->row / CQL_BLOCK_ROWS));
	w = put_i64(w, version); /* USING TIMESTAMP */
	b->n = (size_t)(w - b->p);
	l->n++;
	return ERR_OK;
}

enum err_code cql_load_rows(struct cql_load *l, const struct packed_row *const *rows, uint32_t n,
			    struct sink_refusal *ret, struct err *e)
{
	enum err_code rc = ERR_OK;
	for (uint32_t i = 0; i < n && !rc && !l->failed.code; i++) {
		packed_read(&l->plan, rows[i], l->value);
		if ((rc = check_row(l, rows[i], ret, e)))
			break;
		if (l->n && (l->n >= l->batch_rows || l->r->body.n + rows[i]->size > l->batch_bytes ||
			     !same_partition(l, rows[i]->row)))
			rc = send_batch(l, e);
		if (!rc && l->n == 0)
			rc = start_batch(l, rows[i]->row, e);
		if (!rc)
			rc = add_row(l, rows[i], e);
	}
	enum err_code last = send_batch(l, e); /* the partition's values lie in the caller's rows */
	return rc ? rc : last;
}

/* ---- finding the row that makes a batch invalid */

static int64_t long_value(struct span values, uint32_t i)
{
	struct cql_in in = cql_in(values.p, values.n);
	bool null;
	for (uint32_t k = 0; k < i; k++)
		get_bytes(&in, &null);
	struct span v = get_bytes(&in, &null);
	struct cql_in cell = cql_in(v.p, v.n);
	return get_long(&cell);
}

static enum err_code send_single(struct cql_load *l, struct span entry, struct err *e)
{
	size_t skip = 1 + 2 + (size_t)l->insert.id_n + 2;
	struct cql_request *r = cql_request_new(l->session);
	if (!r)
		return err_oom(e);
	put_execute(l, entry, &r->body);
	r->opcode = CQL_EXECUTE;
	r->statement = &l->insert;
	r->done = row_done;
	r->ctx = l;
	r->tag[0] = (uint64_t)long_value((struct span){entry.p + skip, entry.n - skip}, l->df->schema->nfields + 1);
	r->tag[1] = 1;
	return cql_submit(l->session, r, e);
}

static enum err_code send_singly(struct cql_load *l, struct span body, struct err *e)
{
	struct cql_in in = cql_in(body.p, body.n);
	enum err_code rc = ERR_OK;
	get_byte(&in);
	for (uint16_t n = get_short(&in); n > 0 && !rc; n--) {
		bool null;
		const char *from = (const char *)in.p;
		get_byte(&in);
		get_string(&in);
		for (uint16_t k = get_short(&in); k > 0; k--)
			get_bytes(&in, &null);
		if (in.failed)
			return err_set(e, ERR_INTERNAL, "a batch of ours can't be read");
		rc = send_single(l, (struct span){from, (size_t)((const char *)in.p - from)}, e);
	}
	return rc;
}

enum err_code cql_load_wait(struct cql_load *l, struct err *e)
{
	enum err_code rc = ERR_OK;
	cql_drain(l->session, 0);
	while (l->nagain && !rc && !l->failed.code) {
		struct buf b = l->again[--l->nagain];
		rc = send_singly(l, (struct span){b.p, b.n}, e);
		buf_done(&b);
		cql_drain(l->session, 0);
	}
	if (!rc && l->failed.code) {
		if (e)
			*e = l->failed;
		rc = l->failed.code;
	}
	l->failed = (struct err){0};
	return rc;
}
