/*
 * load.h: packed rows to BATCH and EXECUTE requests, many in flight, and what became of them.
 *
 * Rows of one partition that follow each other go into one unlogged batch (one mutation at the server) as long as it
 * stays under batch_rows and batch_bytes; a row alone is an EXECUTE. Rows are encoded at once, so the caller's memory
 * is free when cql_load_rows returns; answers come later. A batch that the server calls invalid is sent again row by
 * row to find the one.
 */
#ifndef SINK_CASSANDRA_LOAD_H
#define SINK_CASSANDRA_LOAD_H

#include "sink/cassandra/session.h"
#include "sink/sink.h"

struct cql_load;

enum err_code cql_load_new(struct cql_session *s, const struct data_file *df, struct cql_load **ret,
			   struct err *e) MUST_USE;
void cql_load_free(struct cql_load *l);
/* Prepare the statement (again: the table may have been made anew). */
enum err_code cql_load_prepare(struct cql_load *l, struct err *e) MUST_USE;
void cql_load_file(struct cql_load *l, const struct sink_file *f);
/* ERR_INVALID: a row that can't be sent at all; the others of this call may have been. */
enum err_code cql_load_rows(struct cql_load *l, const struct packed_row *const *rows, uint32_t n,
			    struct sink_refusal *ret, struct err *e) MUST_USE;
/* Wait for all answers. The first failure, if there was one, is forgotten then. */
enum err_code cql_load_wait(struct cql_load *l, struct err *e) MUST_USE;
/* A row that the server refused, once each. */
bool cql_load_refused(struct cql_load *l, struct sink_refusal *ret);
/* Has anything gone wrong so far? Then cql_load_wait tells. */
bool cql_load_trouble(const struct cql_load *l);

#endif
