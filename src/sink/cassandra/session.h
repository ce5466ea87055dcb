/*
 * session.h: a client of a Cassandra cluster: nodes, connections, and requests in flight, driven by one thread.
 *
 *   cql_open(&target, &s, &err);
 *   cql_query(s, "SELECT ...", &values, 1, &reply, &err);        // one request, waited for
 *   r = cql_request_new(s); r->body ...; r->done = ...; cql_submit(s, r, &err);  // many, pipelined
 *   cql_drain(s, 0, &err);
 *   cql_close(s);
 *
 * cql_submit waits only when too many requests are out. A request goes to a replica of its token that is up and least
 * busy, at most `window` at a time to one node; the window grows with answers and halves when the node says that it is
 * overloaded. Everything sent here may be repeated without harm (rows carry their timestamps, the few conditional
 * writes compare with what they set), so a request whose node fails or times out goes to another node, until
 * `patience` is over; then `done` gets the last error. Connections that are lost are made anew; nodes that come and go
 * are learnt from events and from system.local and system.peers.
 */
#ifndef SINK_CASSANDRA_SESSION_H
#define SINK_CASSANDRA_SESSION_H

#include "sink/cassandra/conn.h"
#include "sink/cassandra/message.h"

#include <stdatomic.h>

struct cql_session;

/* A prepared statement. Its id is a digest of the text, so it is the same at every node. */
struct cql_statement {
	char *text;
	char id[64], metadata_id[64];
	uint16_t id_n, metadata_id_n;
	uint16_t nvalues;
};

struct cql_request {
	struct cql_request *next;
	uint8_t opcode;
	bool has_token;
	struct cql_node *pin; /* only there; fails at once when it is down */
	int64_t token;
	struct buf body;
	const struct cql_statement *statement; /* to prepare again; may be NULL */
	/* Once, from inside cql_submit, cql_drain or a synchronous call. f is NULL when it failed: then e (and ce when
	 * a server said so, text copied into e). The request is the session's again afterwards, unless cql_again. */
	void (*done)(void *ctx, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		     const struct err *e);
	void *ctx;
	uint64_t tag[2]; /* the caller's */

	/* the session's */
	struct cql_node *node, *avoid;
	uint32_t attempts;
	int64_t sent_ns, due_ns, give_up_ns;
	struct cql_request *waiting; /* for this PREPARE */
	struct err err;
};

struct cql_stats {
	uint64_t requests, retries, reconnects, prepared_again;
	uint32_t nodes_up, nodes, in_flight;
};

enum err_code cql_open(const struct cql_target *t, struct cql_session **ret, struct err *e) MUST_USE;
void cql_close(struct cql_session *s);
uint8_t cql_version(const struct cql_session *s);
const struct cql_target *cql_session_target(const struct cql_session *s);

struct cql_request *cql_request_new(struct cql_session *s); /* body is empty; NULL without memory */
void cql_request_free(struct cql_session *s, struct cql_request *r);
enum err_code cql_submit(struct cql_session *s, struct cql_request *r, struct err *e) MUST_USE;
/* Until at most n requests are out. Always ends: each request does. */
void cql_drain(struct cql_session *s, uint32_t n);

/* An answer to keep. */
struct cql_reply {
	struct buf body;
	struct arena arena;
	struct cql_result result;
	struct cql_error error; /* code 0 without one; its text is in err */
};
void cql_reply_init(struct cql_reply *r);
void cql_reply_done(struct cql_reply *r);

/* One request and its answer. The request is consumed. */
enum err_code cql_call(struct cql_session *s, struct cql_request *r, struct cql_reply *ret, struct err *e) MUST_USE;
/* values: encoded [bytes], or n 0. */
enum err_code cql_query(struct cql_session *s, const char *text, const struct cql_params *p, struct cql_reply *ret,
			struct err *e) MUST_USE;
/* Calls end with ERR_INTERRUPTED when *stop is set (may be NULL), with ERR_TIMEOUT at that time of clock_mono_ns (0:
 * never). */
void cql_call_limit(struct cql_session *s, int64_t deadline_ns, const atomic_bool *stop);
/* A statement without answer. */
enum err_code cql_execute(struct cql_session *s, const char *text, struct err *e) MUST_USE;
enum err_code cql_prepare(struct cql_session *s, const char *text, struct cql_statement *ret, struct err *e) MUST_USE;
void cql_statement_done(struct cql_statement *st);

/* All nodes that answer have the same schema; ERR_TIMEOUT after ten seconds. */
enum err_code cql_agree(struct cql_session *s, struct err *e) MUST_USE;
/* How a key space's rows lie on the nodes, for routing; a key space that is not there routes to the token's owner. */
enum err_code cql_route_for(struct cql_session *s, const char *key_space, struct err *e) MUST_USE;
void cql_stats(const struct cql_session *s, struct cql_stats *ret);
/* Replicas' names of a token, for tests: "127.0.0.1 127.0.0.2". */
void cql_replicas(struct cql_session *s, int64_t token, char *out, size_t cap);

#endif
