/* call.c: requests that are waited for, one at a time: questions to system tables, definitions, positions, queries. */
#include "sink/cassandra/session_internal.h"

#include "base/clock.h"
#include "sink/cassandra/wire.h"

#include <stdlib.h>

#define REPLY_MAX ((size_t)FRAME_BODY_MAX)
#define REPLY_ARENA ((size_t)8 << 20)
#define AGREE_NS INT64_C(10000000000)
#define AGREE_PAUSE_MS 50

void cql_reply_init(struct cql_reply *r)
{
	*r = (struct cql_reply){0};
	buf_init(&r->body, REPLY_MAX);
	arena_init(&r->arena, REPLY_ARENA);
}

void cql_reply_done(struct cql_reply *r)
{
	buf_done(&r->body);
	arena_done(&r->arena);
}

struct call {
	bool done;
	uint8_t opcode;
	struct cql_reply *reply;
	struct err err;
};

static void call_done(void *ctx, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		      const struct err *e)
{
	struct call *c = ctx;
	c->done = true;
	if (f) {
		c->opcode = f->opcode;
		buf_span(&c->reply->body, f->body);
		return;
	}
	c->err = *e;
	if (ce) {
		c->reply->error = *ce;
		c->reply->error.text = c->reply->error.write_type = (struct span){NULL, 0};
	}
}

void cql_call_limit(struct cql_session *s, int64_t deadline_ns, const atomic_bool *stop)
{
	s->deadline_ns = deadline_ns;
	s->stop = stop;
}

static void ignore(void *ctx, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		   const struct err *e)
{
}

static enum err_code given_up(const struct cql_session *s, struct err *e)
{
	if (s->stop && atomic_load(s->stop))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (s->deadline_ns && clock_mono_ns() > s->deadline_ns)
		return err_set(e, ERR_TIMEOUT, "it took longer than allowed");
	return ERR_OK;
}

enum err_code cql_call(struct cql_session *s, struct cql_request *r, struct cql_reply *ret, struct err *e)
{
	struct call c = {.reply = ret};
	r->done = call_done;
	/* cppcheck-suppress autoVariables ; given up on, the request forgets it */
	r->ctx = &c;
	buf_clear(&ret->body);
	arena_reset(&ret->arena);
	ret->result = (struct cql_result){0};
	ret->error = (struct cql_error){0};
	enum err_code rc = cql_submit(s, r, e);
	if (rc)
		return rc;
	while (!c.done) {
		session_run(s, 100);
		if (c.done || !(rc = given_up(s, e)))
			continue;
		r->done = ignore; /* the answer may still come */
		r->ctx = NULL;
		return rc;
	}
	if (c.err.code) {
		if (e)
			*e = c.err;
		return c.err.code;
	}
	if (ret->body.failed)
		return err_oom(e);
	if (c.opcode != CQL_RESULT)
		return err_set(e, ERR_CORRUPT, "message %u where a result was due", c.opcode);
	return cql_result_decode((struct span){ret->body.p, ret->body.n}, s->version, &ret->arena, &ret->result, e);
}

enum err_code cql_query(struct cql_session *s, const char *text, const struct cql_params *p, struct cql_reply *ret,
			struct err *e)
{
	struct cql_request *r = cql_request_new(s);
	if (!r)
		return err_oom(e);
	r->opcode = CQL_QUERY;
	put_bytes(&r->body, span_str(text));
	cql_put_params(&r->body, s->version, p);
	return cql_call(s, r, ret, e);
}

enum err_code cql_execute(struct cql_session *s, const char *text, struct err *e)
{
	struct cql_reply r;
	struct cql_params p = {.consistency = (uint16_t)s->target.consistency};
	cql_reply_init(&r);
	enum err_code rc = cql_query(s, text, &p, &r, e);
	cql_reply_done(&r);
	return rc;
}

static bool keep(char *to, uint16_t *ret_n, size_t cap, struct span from)
{
	if (from.n > cap)
		return false;
	if (from.n)
		memcpy(to, from.p, from.n);
	*ret_n = (uint16_t)from.n;
	return true;
}

enum err_code cql_prepare(struct cql_session *s, const char *text, struct cql_statement *ret, struct err *e)
{
	struct cql_reply r;
	struct cql_request *q = cql_request_new(s);
	if (!q)
		return err_oom(e);
	q->opcode = CQL_PREPARE;
	put_bytes(&q->body, span_str(text));
	if (s->version >= 5)
		put_int(&q->body, 0);
	cql_reply_init(&r);
	enum err_code rc = cql_call(s, q, &r, e);
	struct cql_statement st = {.nvalues = (uint16_t)r.result.ncolumns};
	if (!rc && (r.result.kind != CQL_RESULT_PREPARED || !keep(st.id, &st.id_n, sizeof st.id, r.result.id) ||
		    !keep(st.metadata_id, &st.metadata_id_n, sizeof st.metadata_id, r.result.metadata_id)))
		rc = err_set(e, ERR_CORRUPT, "an answer to PREPARE that can't be understood");
	cql_reply_done(&r);
	if (rc)
		return rc;
	if (!(st.text = strdup(text)))
		return err_oom(e);
	cql_statement_done(ret);
	*ret = st;
	return ERR_OK;
}

void cql_statement_done(struct cql_statement *st)
{
	free(st->text);
	*st = (struct cql_statement){0};
}

/* ---- schema agreement */

static enum err_code versions_equal(struct cql_session *s, bool *ret, struct err *e)
{
	static const char *const questions[] = {"SELECT schema_version FROM system.local",
						"SELECT schema_version FROM system.peers"};
	struct cql_reply r;
	char first[16] = {0};
	bool have = false;
	enum err_code rc = ERR_OK;
	struct cql_params p = {.consistency = CQL_ONE};
	*ret = true;
	for (int i = 0; i < 2 && !rc; i++) {
		cql_reply_init(&r);
		rc = cql_query(s, questions[i], &p, &r, e);
		struct cql_in in = cql_in(r.result.rows.p, r.result.rows.n);
		for (uint32_t k = 0; !rc && k < r.result.nrows && r.result.ncolumns == 1; k++) {
			bool null;
			struct span v = get_bytes(&in, &null);
			if (v.n != sizeof first)
				continue;
			if (have && memcmp(first, v.p, sizeof first) != 0)
				*ret = false;
			memcpy(first, v.p, sizeof first);
			have = true;
		}
		cql_reply_done(&r);
	}
	return rc;
}

enum err_code cql_agree(struct cql_session *s, struct err *e)
{
	int64_t end = clock_mono_ns() + AGREE_NS;
	for (;;) {
		bool equal;
		enum err_code rc = versions_equal(s, &equal, e);
		if (rc || equal)
			return rc;
		if (clock_mono_ns() > end) {
			err_set(e, ERR_TIMEOUT, "the nodes of the cluster do not agree on the schema");
			if (e)
				e->retriable = true;
			return ERR_TIMEOUT;
		}
		session_run(s, AGREE_PAUSE_MS);
	}
}
