/* position.c: see position.h. */
#include "sink/cassandra/position.h"

#include "base/clock.h"
#include "sink/cassandra/table.h"
#include "sink/cassandra/wire.h"

#include <inttypes.h>
#include <stdio.h>

#define TAKE_OVER_MAX 8

struct ask {
	char text[640];
	struct buf values;
	uint16_t n;
};

static void ask_init(struct ask *a)
{
	a->n = 0;
	buf_init(&a->values, 1 << 16);
}

static void add_long(struct ask *a, int64_t v)
{
	put_int(&a->values, 8);
	put_long(&a->values, v);
	a->n++;
}

static void add_text(struct ask *a, const char *s)
{
	put_bytes(&a->values, span_str(s));
	a->n++;
}

/* The partition key, which every statement ends with. */
static void add_key(struct ask *a, const struct data_file *df, const struct sink_file *f)
{
	char table[CQL_NAME_MAX];
	cql_fold(df->schema->name, table);
	add_text(a, table);
	add_long(a, f->id);
}

/* Reads with serial consistency also finish a conditional write that was interrupted. */
static enum err_code run(struct cql_session *s, struct ask *a, bool reads, struct cql_reply *r, struct err *e)
{
	uint16_t wanted = (uint16_t)cql_session_target(s)->consistency;
	bool everywhere = wanted == CQL_QUORUM || wanted == CQL_EACH_QUORUM || wanted == CQL_ALL;
	uint16_t serial = everywhere ? CQL_SERIAL : CQL_LOCAL_SERIAL;
	struct cql_params p = {
	    .consistency = reads		     ? serial
			   : wanted == CQL_LOCAL_ONE ? (uint16_t)CQL_ONE
						     : wanted,
	    .serial = reads ? 0 : serial,
	    .nvalues = a->n,
	    .values = {a->values.p, a->values.n},
	};
	enum err_code rc = a->values.failed ? err_oom(e) : cql_query(s, a->text, &p, r, e);
	buf_done(&a->values);
	if (rc == ERR_INVALID && e)
		e->code = ERR_CONFLICT; /* a sink's ERR_INVALID is a refused row */
	return rc == ERR_INVALID ? ERR_CONFLICT : rc;
}

/* The first column of the answer to a conditional statement. */
static bool applied(const struct cql_reply *r)
{
	bool null;
	struct cql_in in = cql_in(r->result.rows.p, r->result.rows.n);
	struct span v = r->result.nrows ? get_bytes(&in, &null) : (struct span){NULL, 0};
	return v.n == 1 && v.p[0];
}

enum err_code cql_position_table(struct cql_session *s, const char *key_space, struct err *e)
{
	char ks[CQL_NAME_MAX], text[800];
	struct cql_reply r;
	struct cql_params p = {.consistency = CQL_ONE};
	cql_fold(key_space, ks);
	snprintf(
	    text, sizeof text,
	    "SELECT table_name FROM system_schema.tables WHERE keyspace_name='%s' AND table_name='_mysimbdp_position'",
	    ks);
	cql_reply_init(&r);
	enum err_code rc = cql_query(s, text, &p, &r, e);
	bool there = r.result.nrows > 0;
	cql_reply_done(&r);
	if (rc || there)
		return rc;
	snprintf(
	    text, sizeof text,
	    "CREATE TABLE IF NOT EXISTS \"%s\".\"_mysimbdp_position\" (tbl text, file bigint, name text, version_base "
	    "bigint, epoch bigint, position bigint, delivered bigint, done boolean, at timestamp, PRIMARY KEY ((tbl, "
	    "file)))",
	    ks);
	rc = cql_execute(s, text, e);
	return rc ? rc : cql_agree(s, e);
}

static enum err_code insert(struct cql_session *s, const struct data_file *df, const struct sink_file *f, struct err *e)
{
	struct ask a;
	struct cql_reply r;
	char ks[CQL_NAME_MAX];
	cql_fold(df->key_space, ks);
	ask_init(&a);
	snprintf(
	    a.text, sizeof a.text,
	    "INSERT INTO \"%s\".\"_mysimbdp_position\" (name, version_base, epoch, position, delivered, at, done, tbl, "
	    "file) VALUES (?, ?, ?, ?, ?, ?, false, ?, ?) IF NOT EXISTS",
	    ks);
	add_text(&a, f->name);
	add_long(&a, f->version_base);
	add_long(&a, f->epoch);
	add_long(&a, 0);
	add_long(&a, 0);
	add_long(&a, clock_now_us() / 1000);
	add_key(&a, df, f);
	cql_reply_init(&r);
	enum err_code rc = run(s, &a, false, &r, e);
	cql_reply_done(&r);
	return rc;
}

struct stored {
	char name[1024];
	int64_t base, epoch;
	struct cql_position at;
};

static int64_t get_cell_long(struct cql_in *in)
{
	bool null;
	struct span v = get_bytes(in, &null);
	struct cql_in cell = cql_in(v.p, v.n);
	return v.n == 8 ? get_long(&cell) : 0;
}

static enum err_code look_up(struct cql_session *s, const struct data_file *df, const struct sink_file *f,
			     struct stored *ret, bool *ret_found, struct err *e)
{
	struct ask a;
	struct cql_reply r;
	char ks[CQL_NAME_MAX];
	bool null;
	cql_fold(df->key_space, ks);
	ask_init(&a);
	snprintf(a.text, sizeof a.text,
		 "SELECT name, version_base, epoch, position, delivered, done FROM \"%s\".\"_mysimbdp_position\" WHERE "
		 "tbl=? "
		 "AND file=?",
		 ks);
	add_key(&a, df, f);
	cql_reply_init(&r);
	enum err_code rc = run(s, &a, true, &r, e);
	*ret_found = !rc && r.result.nrows == 1;
	if (*ret_found) {
		struct cql_in in = cql_in(r.result.rows.p, r.result.rows.n);
		struct span name = get_bytes(&in, &null);
		snprintf(ret->name, sizeof ret->name, SPAN_FMT, SPAN_ARG(name));
		ret->base = get_cell_long(&in);
		ret->epoch = get_cell_long(&in);
		ret->at.position = (uint64_t)get_cell_long(&in);
		ret->at.delivered = (uint64_t)get_cell_long(&in);
		struct span done = get_bytes(&in, &null);
		ret->at.done = done.n == 1 && done.p[0];
	}
	cql_reply_done(&r);
	return rc;
}

static enum err_code fenced(const struct data_file *df, const struct sink_file *f, int64_t epoch, struct err *e)
{
	return err_set(e, ERR_FENCED, "%s.%s: a worker of epoch %" PRId64 " has taken over, this one is of %" PRId64,
		       df->key_space, df->schema->name, epoch, f->epoch);
}

static enum err_code check_known(const struct data_file *df, const struct sink_file *f, const struct stored *k,
				 struct err *e)
{
	if (strncmp(k->name, f->name, sizeof k->name - 1) == 0 && k->base == f->version_base)
		return k->epoch > f->epoch ? fenced(df, f, k->epoch, e) : ERR_OK;
	err_set(e, ERR_CONFLICT,
		"%s.%s knows output %" PRId64 " as \"%.200s\" with versions from %" PRId64
		", not as \"%.200s\" with versions from %" PRId64,
		df->key_space, df->schema->name, f->id, k->name, k->base, f->name, f->version_base);
	return err_hint(e, "the ledger and this table do not belong together: use the ledger that filled it");
}

/* Raise the epoch; *ret false when somebody was faster. */
static enum err_code take_over(struct cql_session *s, const struct data_file *df, const struct sink_file *f,
			       int64_t was, bool *ret, struct err *e)
{
	struct ask a;
	struct cql_reply r;
	char ks[CQL_NAME_MAX];
	cql_fold(df->key_space, ks);
	ask_init(&a);
	snprintf(a.text, sizeof a.text,
		 "UPDATE \"%s\".\"_mysimbdp_position\" SET epoch=? WHERE tbl=? AND file=? IF epoch=?", ks);
	add_long(&a, f->epoch);
	add_key(&a, df, f);
	add_long(&a, was);
	cql_reply_init(&r);
	enum err_code rc = run(s, &a, false, &r, e);
	*ret = !rc && applied(&r);
	cql_reply_done(&r);
	return rc;
}

enum err_code cql_position_begin(struct cql_session *s, const struct data_file *df, const struct sink_file *f,
				 struct cql_position *ret, struct err *e)
{
	struct stored k;
	for (int i = 0; i < TAKE_OVER_MAX; i++) {
		bool found, taken;
		enum err_code rc = look_up(s, df, f, &k, &found, e);
		if (rc)
			return rc;
		if (!found) {
			if ((rc = insert(s, df, f, e)))
				return rc;
			continue;
		}
		if ((rc = check_known(df, f, &k, e)))
			return rc;
		if (k.epoch < f->epoch && ((rc = take_over(s, df, f, k.epoch, &taken, e)) || !taken)) {
			if (rc)
				return rc;
			continue;
		}
		*ret = k.at;
		return ERR_OK;
	}
	err_set(e, ERR_BUSY, "%s.%s: other workers keep changing the position of output %" PRId64, df->key_space,
		df->schema->name, f->id);
	if (e)
		e->retriable = true;
	return ERR_BUSY;
}

enum err_code cql_position_set(struct cql_session *s, const struct data_file *df, const struct sink_file *f,
			       const struct cql_position *p, struct err *e)
{
	struct ask a;
	struct cql_reply r;
	char ks[CQL_NAME_MAX];
	cql_fold(df->key_space, ks);
	ask_init(&a);
	snprintf(
	    a.text, sizeof a.text,
	    "UPDATE \"%s\".\"_mysimbdp_position\" SET position=?, delivered=?, at=?, done=%s WHERE tbl=? AND file=? IF "
	    "epoch=?",
	    ks, p->done ? "true" : "false");
	add_long(&a, (int64_t)p->position);
	add_long(&a, (int64_t)p->delivered);
	add_long(&a, clock_now_us() / 1000);
	add_key(&a, df, f);
	add_long(&a, f->epoch);
	cql_reply_init(&r);
	enum err_code rc = run(s, &a, false, &r, e);
	bool fine = !rc && applied(&r);
	cql_reply_done(&r);
	if (rc || fine)
		return rc;
	struct stored k;
	bool found;
	if ((rc = look_up(s, df, f, &k, &found, e)))
		return rc;
	if (found)
		return fenced(df, f, k.epoch, e);
	return err_set(e, ERR_CONFLICT, "%s.%s: the position of output %" PRId64 " was removed", df->key_space,
		       df->schema->name, f->id);
}
