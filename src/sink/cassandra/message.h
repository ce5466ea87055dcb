/*
 * message.h: the bodies of CQL messages (specification v5 and v4, section 4): requests are appended to a struct buf,
 * answers are decoded without copying.
 */
#ifndef SINK_CASSANDRA_MESSAGE_H
#define SINK_CASSANDRA_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum cql_consistency {
	CQL_ANY = 0,
	CQL_ONE = 1,
	CQL_TWO = 2,
	CQL_THREE = 3,
	CQL_QUORUM = 4,
	CQL_ALL = 5,
	CQL_LOCAL_QUORUM = 6,
	CQL_EACH_QUORUM = 7,
	CQL_SERIAL = 8,
	CQL_LOCAL_SERIAL = 9,
	CQL_LOCAL_ONE = 10,
};

const char *cql_consistency_name(unsigned c); /* "LOCAL_QUORUM" */
bool cql_consistency_parse(const char *name, unsigned *ret);

/* What follows a QUERY's text and an EXECUTE's ids. */
struct cql_params {
	uint16_t consistency;
	uint16_t nvalues;   /* values: [short n] is not in it */
	struct span values; /* encoded [bytes] one behind the other */
	int32_t page_size;  /* 0: no paging */
	struct span page;   /* state of the next page; p NULL for the first */
	bool skip_metadata;
	uint16_t serial; /* CQL_SERIAL, CQL_LOCAL_SERIAL or 0 */
};

void cql_put_params(struct buf *b, uint8_t version, const struct cql_params *p);
void cql_put_string_map(struct buf *b, const char *const (*pairs)[2], unsigned n);

/* ---- ERROR */

enum cql_error_code {
	CQL_E_SERVER = 0x0000,
	CQL_E_PROTOCOL = 0x000A,
	CQL_E_CREDENTIALS = 0x0100,
	CQL_E_UNAVAILABLE = 0x1000,
	CQL_E_OVERLOADED = 0x1001,
	CQL_E_BOOTSTRAPPING = 0x1002,
	CQL_E_TRUNCATE = 0x1003,
	CQL_E_WRITE_TIMEOUT = 0x1100,
	CQL_E_READ_TIMEOUT = 0x1200,
	CQL_E_READ_FAILURE = 0x1300,
	CQL_E_FUNCTION_FAILURE = 0x1400,
	CQL_E_WRITE_FAILURE = 0x1500,
	CQL_E_CDC_WRITE_FAILURE = 0x1600,
	CQL_E_CAS_UNKNOWN = 0x1700,
	CQL_E_SYNTAX = 0x2000,
	CQL_E_UNAUTHORIZED = 0x2100,
	CQL_E_INVALID = 0x2200,
	CQL_E_CONFIG = 0x2300,
	CQL_E_EXISTS = 0x2400,
	CQL_E_UNPREPARED = 0x2500,
};

struct cql_error {
	int32_t code;
	struct span text;
	uint16_t consistency; /* unavailable, timeouts and failures */
	int32_t received, required;
	struct span write_type; /* write timeout and failure: "SIMPLE", "UNLOGGED_BATCH", "CAS" ... */
};

/* What to do about a failed request that can be repeated without harm. */
enum cql_retry {
	CQL_RETRY_NEVER,     /* the request or the schema is wrong */
	CQL_RETRY_SLOWER,    /* this node has too much to do: another one, and fewer at a time */
	CQL_RETRY_LATER,     /* replicas did not answer */
	CQL_RETRY_ELSEWHERE, /* this node can't now */
	CQL_RETRY_PREPARE,   /* it forgot the statement */
};

bool cql_error_decode(struct span body, struct cql_error *ret);
enum cql_retry cql_error_retry(const struct cql_error *ce);
/* "write timeout (1 of 2 replicas answered at LOCAL_QUORUM): text of the server" and the code that says it best. */
enum err_code cql_error_set(const struct cql_error *ce, const char *who, struct err *e);

/* ---- RESULT */

struct cql_type {
	uint16_t id;
	uint16_t nsub; /* elements of collections, tuples and user-defined types */
	const struct cql_type *sub;
	const struct span *names; /* user-defined types */
	struct span custom;
};

struct cql_column {
	struct span name;
	struct cql_type type;
};

enum cql_result_kind {
	CQL_RESULT_VOID = 1,
	CQL_RESULT_ROWS = 2,
	CQL_RESULT_KEYSPACE = 3,
	CQL_RESULT_PREPARED = 4,
	CQL_RESULT_SCHEMA = 5,
};

struct cql_result {
	int32_t kind;
	struct span id, metadata_id; /* PREPARED */
	bool has_metadata;
	uint32_t ncolumns;
	const struct cql_column *column; /* PREPARED: of the bind variables */
	struct span page;		 /* p NULL: no more pages */
	uint32_t nrows;
	struct span rows; /* encoded cells; see cql_cell */
};

/* Spans point into body; columns are in the arena. */
enum err_code cql_result_decode(struct span body, uint8_t version, struct arena *a, struct cql_result *ret,
				struct err *e) MUST_USE;

#endif
