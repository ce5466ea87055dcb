/*
 * target.h: what follows "cassandra:" on the command line, "HOST[:PORT][,HOST2...][?option=value&...]", checked.
 *
 * All options are rows of one table (target.c); an unknown one is ERR_USAGE with the nearest name. A password is a
 * reference, env:NAME or file:PATH, so that it stands in no command line; it is wiped by cql_target_done.
 */
#ifndef SINK_CASSANDRA_TARGET_H
#define SINK_CASSANDRA_TARGET_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CQL_CONTACTS_MAX 16
#define CQL_PORT "9042"

struct cql_contact {
	char host[256];
	char port[8];
};

struct cql_target {
	struct cql_contact contact[CQL_CONTACTS_MAX];
	uint32_t ncontact;
	int64_t consistency; /* enum cql_consistency */
	int64_t protocol;    /* 4 or 5: the highest to try */
	int64_t lz4;	     /* 0 or 1 */
	int64_t connections; /* to each node */
	int64_t window;	     /* requests in flight at each node, at most */
	int64_t batch_rows, batch_bytes;
	int64_t timeout, patience; /* seconds: for one answer; for one request with all its repetitions */
	int64_t ttl;		   /* seconds, 0: none */
	char replication[256];	   /* "1", or "dc1:2,dc2:1" */
	char dc[64];
	char user[128], password[256];
};

enum err_code cql_target_parse(const char *text, struct cql_target *ret, struct err *e) MUST_USE;
void cql_target_done(struct cql_target *t);

/* "{'class': 'SimpleStrategy', 'replication_factor': 1}" of the option; ERR_USAGE. */
enum err_code cql_target_replication(const struct cql_target *t, char *out, size_t cap, struct err *e) MUST_USE;

/* One line an option, for help and documentation; NULL behind the last. */
const char *cql_target_option(unsigned i, const char **ret_text);

#endif
