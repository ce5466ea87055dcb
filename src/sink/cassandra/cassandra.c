/*
 * cassandra.c: Apache Cassandra as a sink, through our own client of its native protocol.
 *
 * Rows are sent as they come and answered later; a transaction ends by waiting for all answers and then writing the
 * position (position.h says why that is enough). A row that the server refuses may therefore be of an earlier call of
 * the same transaction.
 */
#include "base/fault.h"
#include "sink/cassandra/load.h"
#include "sink/cassandra/position.h"
#include "sink/cassandra/table.h"
#include "sink/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct sink {
	struct cql_session *session;
	const struct data_file *df;
	struct cql_load *load;
	struct sink_file file;
	char *name; /* the file's */
	bool begun;
	struct cql_position at;
	uint64_t tx_rows;
	bool in_tx;
};

static enum err_code fault(const char *name, struct err *e)
{
	errno = EIO;
	return fault_hit(name) ? err_sys(e, errno, "fault point %s", name) : ERR_OK;
}

static void sink_close(struct sink *s)
{
	if (!s)
		return;
	cql_load_free(s->load);
	cql_close(s->session);
	free(s->name);
	free(s);
}

static enum err_code sink_open(const char *target, const struct data_file *df, struct sink **ret, struct err *e)
{
	struct cql_target t;
	enum err_code rc = cql_target_parse(target, &t, e);
	if (rc)
		return rc;
	struct sink *s = calloc(1, sizeof *s);
	rc = s ? cql_open(&t, &s->session, e) : err_oom(e);
	cql_target_done(&t);
	if (!rc) {
		s->df = df;
		rc = cql_load_new(s->session, df, &s->load, e);
	}
	if (rc) {
		sink_close(s);
		return rc;
	}
	*ret = s;
	return ERR_OK;
}

/* For the engine ERR_INVALID means a refused row, so nothing else may say it. */
static enum err_code no_row(enum err_code rc, struct err *e)
{
	if (rc != ERR_INVALID)
		return rc;
	if (e)
		e->code = ERR_CONFLICT;
	return ERR_CONFLICT;
}

static enum err_code sink_table(struct sink *s, struct err *e)
{
	char ks[CQL_NAME_MAX];
	cql_fold(s->df->key_space, ks);
	enum err_code rc = cql_table_ensure(s->session, s->df, e);
	rc = rc ? rc : cql_position_table(s->session, s->df->key_space, e);
	rc = rc ? rc : cql_route_for(s->session, ks, e);
	return no_row(rc ? rc : cql_load_prepare(s->load, e), e);
}

static enum err_code sink_begin(struct sink *s, const struct sink_file *f, uint64_t *ret_position, struct err *e)
{
	s->begun = s->in_tx = false;
	cql_drain(s->session, 0); /* of a file that was given up */
	cql_load_file(s->load, f);
	enum err_code rc = fault("sink.begin", e);
	rc = rc ? rc : cql_load_prepare(s->load, e);
	rc = rc ? rc : cql_position_begin(s->session, s->df, f, &s->at, e);
	char *name = rc ? NULL : strdup(f->name);
	if (!rc && !name)
		rc = err_oom(e);
	if (rc)
		return no_row(rc, e);
	free(s->name);
	s->name = name;
	s->file = *f;
	s->file.name = name;
	s->begun = true;
	*ret_position = s->at.position;
	return ERR_OK;
}

static bool is_among(const struct sink_rows *r, uint64_t row)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->rows[i]->row == row)
			return true;
	}
	return false;
}

/* Refused rows are told one a call; rows of earlier calls had been counted. */
static enum err_code tell_refusal(struct sink *s, const struct sink_rows *r, struct sink_refusal *ret, struct err *e)
{
	if (!cql_load_refused(s->load, ret))
		return ERR_OK;
	if (!is_among(r, ret->row) && s->tx_rows)
		s->tx_rows--;
	return err_set(e, ERR_INVALID, "%s", ret->reason);
}

static enum err_code commit(struct sink *s, uint64_t position, bool done, struct err *e)
{
	struct cql_position next = s->at;
	if (position > next.position)
		next.position = position;
	next.delivered += s->tx_rows;
	next.done = next.done || done;
	enum err_code rc = fault("sink.commit.before", e);
	rc = rc ? rc : no_row(cql_position_set(s->session, s->df, &s->file, &next, e), e);
	if (rc)
		return rc;
	s->at = next;
	s->in_tx = false;
	return fault("sink.commit.after", e);
}

static enum err_code write_rows(struct sink *s, const struct sink_rows *r, struct sink_refusal *ret, struct err *e)
{
	enum err_code rc = tell_refusal(s, r, ret, e);
	if (rc)
		return rc;
	if ((rc = fault("sink.write.before", e)) || (rc = cql_load_rows(s->load, r->rows, r->n, ret, e)))
		return rc;
	if (r->more && !cql_load_trouble(s->load))
		return ERR_OK;
	rc = no_row(cql_load_wait(s->load, e), e);
	return rc ? rc : tell_refusal(s, r, ret, e);
}

static enum err_code sink_write(struct sink *s, const struct sink_rows *r, struct sink_result *ret,
				struct sink_refusal *ret_refusal, struct err *e)
{
	*ret = (struct sink_result){0};
	if (!s->begun)
		return err_set(e, ERR_INTERNAL, "write without begin");
	if (!s->in_tx)
		s->tx_rows = 0;
	s->in_tx = true;
	enum err_code rc = write_rows(s, r, ret_refusal, e);
	if (rc == ERR_INVALID)
		return rc;
	if (!rc) {
		s->tx_rows += r->n;
		uint64_t rows = s->tx_rows;
		rc = r->more ? ERR_OK : commit(s, r->position, false, e);
		if (!rc && !r->more)
			ret->delivered = rows;
	}
	if (rc) {
		struct err unused;
		s->in_tx = s->begun = false; /* begin tells where to go on */
		if (cql_load_wait(s->load, &unused))
			return rc;
	}
	return rc;
}

static enum err_code sink_end(struct sink *s, struct err *e)
{
	if (!s->begun || s->in_tx)
		return err_set(e, ERR_INTERNAL, "end outside of a file");
	s->tx_rows = 0;
	enum err_code rc = commit(s, 0, true, e);
	s->begun = false;
	return rc;
}

static void sink_status(const struct sink *s, struct sink_status *ret)
{
	struct cql_stats st;
	cql_stats(s->session, &st);
	*ret = (struct sink_status){.blocked = st.nodes_up == 0};
	if (ret->blocked)
		snprintf(ret->reason, sizeof ret->reason, "none of %u Cassandra nodes answers", st.nodes);
}

const struct sink_class sink_cassandra = {
    .name = "cassandra",
    .target_hint = "HOST[:PORT][,HOST...][?OPTIONS]",
    .summary = "Apache Cassandra, by its native protocol",
    .caps = SINK_KEY_ORDER | SINK_REMOTE,
    .open = sink_open,
    .table = sink_table,
    .begin = sink_begin,
    .write = sink_write,
    .end = sink_end,
    .status = sink_status,
    .close = sink_close,
};
