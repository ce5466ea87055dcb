/* query.c: finding the store that a query is for; see query.h. */
#include "sink/query.h"

#include "sink/sqlite.h"

#include <stdlib.h>
#include <string.h>

struct store_query {
	const struct query_class *class;
	void *q;
};

/* ---- SQLite's own functions as a row of the table */

static enum err_code sqlite_open(const char *target, const char *sql, const struct query_limit *limit, void **ret,
				 struct err *e)
{
	struct sqlite_query *q;
	enum err_code rc = sqlite_query_open(target, sql, &q, e);
	if (rc)
		return rc;
	sqlite_query_limit(q, limit->seconds, limit->stop);
	*ret = q;
	return ERR_OK;
}

static int sqlite_columns(const void *q)
{
	return sqlite_query_columns(q);
}

static const char *sqlite_column(const void *q, int i)
{
	return sqlite_query_column(q, i);
}

static enum err_code sqlite_next(void *q, bool *ret_row, struct err *e)
{
	return sqlite_query_next(q, ret_row, e);
}

static struct query_value sqlite_value(const void *q, int i)
{
	return sqlite_query_value(q, i);
}

static void sqlite_close(void *q)
{
	sqlite_query_close(q);
}

const struct query_class query_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .columns = sqlite_columns,
    .column = sqlite_column,
    .next = sqlite_next,
    .value = sqlite_value,
    .close = sqlite_close,
};

static const struct query_class *const classes[] = {&query_sqlite, &query_cassandra};

/* ---- the cursor */

enum err_code store_query_open(const char *where, const char *sql, const struct query_limit *limit,
			       struct store_query **ret, struct err *e)
{
	const struct query_class *class = &query_sqlite; /* a path needs no name before it */
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		size_t n = strlen(classes[i]->name);
		if (strncmp(where, classes[i]->name, n) != 0 || where[n] != ':')
			continue;
		class = classes[i];
		where += n + 1;
		break;
	}
	struct store_query *q = calloc(1, sizeof *q);
	if (!q)
		return err_oom(e);
	q->class = class;
	enum err_code rc = class->open(where, sql, limit, &q->q, e);
	if (rc) {
		free(q);
		return rc;
	}
	*ret = q;
	return ERR_OK;
}

int store_query_columns(const struct store_query *q)
{
	return q->class->columns(q->q);
}

const char *store_query_column(const struct store_query *q, int i)
{
	return q->class->column(q->q, i);
}

enum err_code store_query_next(struct store_query *q, bool *ret_row, struct err *e)
{
	return q->class->next(q->q, ret_row, e);
}

struct query_value store_query_value(const struct store_query *q, int i)
{
	return q->class->value(q->q, i);
}

void store_query_close(struct store_query *q)
{
	if (!q)
		return;
	q->class->close(q->q);
	free(q);
}
