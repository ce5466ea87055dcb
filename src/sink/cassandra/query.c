/* query.c: one SELECT on Cassandra, page by page (../query.h). */
#include "sink/query.h"

#include "base/clock.h"
#include "sink/cassandra/session.h"
#include "sink/cassandra/type.h"
#include "sink/cassandra/wire.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define PAGE_ROWS 2000
#define ROW_MEMORY ((size_t)64 << 20)
#define PAGE_STATE_MAX 65536u

struct cassandra_query {
	struct cql_session *session;
	char *sql;
	struct cql_reply reply;
	struct cql_in at;
	uint32_t row; /* of the page, those before `at` */
	struct query_value *value;
	struct arena arena; /* of one row's texts */
	char **name;
	uint32_t ncolumns;
};

static void query_close(void *p)
{
	struct cassandra_query *q = p;
	if (!q)
		return;
	cql_close(q->session);
	cql_reply_done(&q->reply);
	arena_done(&q->arena);
	for (uint32_t i = 0; q->name && i < q->ncolumns; i++)
		free(q->name[i]);
	free(q->name);
	free(q->value);
	free(q->sql);
	free(q);
}

/* Nothing but a SELECT: that every other statement writes or defines, and one request holds one statement. */
static enum err_code check_select(const char *sql, struct err *e)
{
	while (isspace((unsigned char)*sql))
		sql++;
	if (strncasecmp(sql, "select", 6) == 0 && !isalnum((unsigned char)sql[6]) && sql[6] != '_')
		return ERR_OK;
	return err_set(e, ERR_DENIED, "a query only reads: it has to begin with SELECT");
}

static enum err_code fetch(struct cassandra_query *q, struct span page, struct err *e)
{
	struct cql_params p = {
	    .consistency = (uint16_t)cql_session_target(q->session)->consistency,
	    .page_size = PAGE_ROWS,
	    .page = page,
	};
	enum err_code rc = cql_query(q->session, q->sql, &p, &q->reply, e);
	if (!rc && q->reply.result.kind != CQL_RESULT_ROWS)
		rc = err_set(e, ERR_DENIED, "this statement has no rows to show");
	if (!rc && !q->reply.result.has_metadata)
		rc = err_set(e, ERR_CORRUPT, "an answer without its columns");
	q->row = 0;
	q->at = cql_in(q->reply.result.rows.p, q->reply.result.rows.n);
	return rc;
}

static enum err_code take_names(struct cassandra_query *q, struct err *e)
{
	uint32_t n = q->reply.result.ncolumns;
	q->value = calloc(n ? n : 1, sizeof *q->value);
	q->name = calloc(n ? n : 1, sizeof *q->name);
	if (!q->value || !q->name)
		return err_oom(e);
	q->ncolumns = n;
	for (uint32_t i = 0; i < n; i++) {
		struct span s = q->reply.result.column[i].name;
		if (!(q->name[i] = strndup(s.p ? s.p : "", s.n)))
			return err_oom(e);
	}
	return ERR_OK;
}

static enum err_code query_open(const char *target, const char *sql, const struct query_limit *limit, void **ret,
				struct err *e)
{
	struct cql_target t;
	enum err_code rc = check_select(sql, e);
	if (rc || (rc = cql_target_parse(target, &t, e)))
		return rc;
	struct cassandra_query *q = calloc(1, sizeof *q);
	if (!q)
		return err_oom(e);
	cql_reply_init(&q->reply);
	arena_init(&q->arena, ROW_MEMORY);
	q->sql = strdup(sql);
	rc = q->sql ? cql_open(&t, &q->session, e) : err_oom(e);
	cql_target_done(&t);
	if (!rc) {
		int64_t end = limit->seconds > 0 ? clock_mono_ns() + (int64_t)(limit->seconds * 1e9) : 0;
		cql_call_limit(q->session, end, limit->stop);
		rc = fetch(q, (struct span){NULL, 0}, e);
	}
	rc = rc ? rc : take_names(q, e);
	if (rc) {
		query_close(q);
		return rc;
	}
	*ret = q;
	return ERR_OK;
}

static int query_columns(const void *p)
{
	return (int)((const struct cassandra_query *)p)->ncolumns;
}

static const char *query_column(const void *p, int i)
{
	return ((const struct cassandra_query *)p)->name[i];
}

/* The page's state lies in the reply that the next page replaces. */
static enum err_code next_page(struct cassandra_query *q, struct err *e)
{
	struct span page = q->reply.result.page;
	char *copy = page.n && page.n <= PAGE_STATE_MAX ? malloc(page.n) : NULL;
	if (!copy)
		return err_set(e, ERR_LIMIT, "no memory for the place of the next page (%zu bytes)", page.n);
	memcpy(copy, page.p, page.n);
	enum err_code rc = fetch(q, (struct span){copy, page.n}, e);
	free(copy);
	if (!rc && q->reply.result.ncolumns != q->ncolumns)
		rc = err_set(e, ERR_CONFLICT, "the table was changed between two pages");
	return rc;
}

static enum err_code query_next(void *p, bool *ret_row, struct err *e)
{
	struct cassandra_query *q = p;
	enum err_code rc = ERR_OK;
	*ret_row = false;
	while (!rc && q->row == q->reply.result.nrows && q->reply.result.page.p)
		rc = next_page(q, e);
	if (rc || q->row == q->reply.result.nrows)
		return rc;
	arena_reset(&q->arena);
	for (uint32_t i = 0; i < q->ncolumns; i++) {
		bool null;
		struct span cell = get_bytes(&q->at, &null);
		q->value[i] = cql_get_value(&q->reply.result.column[i].type, cell, null, &q->arena);
	}
	q->row++;
	*ret_row = !q->at.failed;
	return q->at.failed ? err_set(e, ERR_CORRUPT, "a row that is cut short") : ERR_OK;
}

static struct query_value query_value_of(const void *p, int i)
{
	return ((const struct cassandra_query *)p)->value[i];
}

const struct query_class query_cassandra = {
    .name = "cassandra",
    .open = query_open,
    .columns = query_columns,
    .column = query_column,
    .next = query_next,
    .value = query_value_of,
    .close = query_close,
};
