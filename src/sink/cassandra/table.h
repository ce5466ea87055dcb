/*
 * table.h: the key space and table of a tenant's documents in Cassandra: making, comparing, and the statement that
 * writes a row.
 *
 * Names fold to lower case and are always quoted. Besides the schema's columns each table has "_mysimbdp_file",
 * "_mysimbdp_row" and "_mysimbdp_version". A table without a primary key is keyed by file and row; as one partition a
 * file would be without bounds, so "_mysimbdp_block" (row / CQL_BLOCK_ROWS) is in the partition key.
 */
#ifndef SINK_CASSANDRA_TABLE_H
#define SINK_CASSANDRA_TABLE_H

#include "sink/cassandra/session.h"
#include "tenant/data_file.h"

#define CQL_NAME_MAX 160u
#define CQL_BLOCK_ROWS 4096u
#define CQL_COL_FILE "\"_mysimbdp_file\""
#define CQL_COL_ROW "\"_mysimbdp_row\""
#define CQL_COL_VERSION "\"_mysimbdp_version\""
#define CQL_COL_BLOCK "\"_mysimbdp_block\""

/* Lower case, without quotes. */
void cql_fold(const char *name, char out[CQL_NAME_MAX]);
/* Make what is missing, compare what is there: ERR_CONFLICT with the differences and, as hint, the ALTER. */
enum err_code cql_table_ensure(struct cql_session *s, const struct data_file *df, struct err *e) MUST_USE;
void cql_create_sql(const struct data_file *df, struct buf *out);
/* "INSERT ... USING TIMESTAMP ?": the fields, file, row, version, for append tables block, and the timestamp. */
void cql_insert_sql(const struct data_file *df, int64_t ttl, struct buf *out);

#endif
