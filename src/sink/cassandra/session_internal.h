/*
 * session_internal.h: what session.c, node.c, topology.c and call.c share: the session, its nodes, the ring.
 */
#ifndef SINK_CASSANDRA_SESSION_INTERNAL_H
#define SINK_CASSANDRA_SESSION_INTERNAL_H

#include "sink/cassandra/session.h"

#define NODES_MAX 1024u
#define CONNS_MAX 8

struct request_list {
	struct cql_request *head, *tail;
	uint32_t n;
};

struct cql_node {
	struct cql_address at;
	char name[96]; /* address:port for messages */
	char dc[64], rack[64];
	bool local; /* in our data centre: gets requests */
	bool seen;  /* in the last look at the system tables */
	struct cql_conn *conn[CONNS_MAX];
	uint32_t in_flight;
	double window;
	struct request_list queue;
	int64_t retry_ns, backoff_ns, slowed_ns;
	struct err err; /* why it is down */
};

struct ring_entry {
	int64_t token;
	struct cql_node *node;
};

struct cql_session {
	struct cql_target target;
	int epoll;
	uint8_t version;
	struct cql_node *node[NODES_MAX];
	uint32_t nnodes;
	struct cql_conn *control; /* the one that events come on */
	bool refresh, refreshing; /* look at the system tables when nothing else is going on */
	char dc[64];
	struct ring_entry *ring;
	uint32_t nring;
	char key_space[64]; /* whose replication is below */
	uint32_t copies;    /* in our data centre */
	bool by_dc;	    /* NetworkTopologyStrategy: racks and data centres count */
	struct request_list delayed, homeless, spare;
	uint32_t out; /* requests not done */
	uint64_t out_bytes;
	int64_t checked_ns;
	bool fatal; /* no node can ever take us: wrong password, no common protocol */
	struct err err;
	struct cql_stats stats;
	const atomic_bool *stop; /* of synchronous calls */
	int64_t deadline_ns;
};

void list_push(struct request_list *l, struct cql_request *r);
struct cql_request *list_pop(struct request_list *l);

/* node.c */
struct cql_node *node_find(struct cql_session *s, const struct cql_address *a);
enum err_code node_add(struct cql_session *s, const struct cql_address *a, struct cql_node **ret,
		       struct err *e) MUST_USE;
void node_free(struct cql_node *n);
bool node_up(const struct cql_node *n);
void node_connect(struct cql_session *s, struct cql_node *n);
/* Close a connection and take the requests that were on it to somewhere else. */
void node_lost(struct cql_session *s, struct cql_conn *c, const struct err *why);
void node_pump(struct cql_session *s, struct cql_node *n);
void node_slower(struct cql_node *n);
void node_acked(struct cql_session *s, struct cql_node *n);
void nodes_check(struct cql_session *s, int64_t now);

/* session.c */
void session_run(struct cql_session *s, int ms);
void session_retry(struct cql_session *s, struct cql_request *r, enum cql_retry why, const struct err *e);
void session_route(struct cql_session *s, struct cql_request *r);
void session_finish(struct cql_session *s, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		    const struct err *e);

/* topology.c */
enum err_code topology_refresh(struct cql_session *s, struct err *e) MUST_USE;
void topology_event(struct cql_session *s, struct span body);
/* Replicas of a token in our data centre, the owner first; returns how many. */
uint32_t topology_replicas(const struct cql_session *s, int64_t token, struct cql_node **out, uint32_t max);
enum err_code address_of(struct span inet, uint16_t port, struct cql_address *ret);
void address_name(const struct cql_address *a, char *out, size_t cap);

#endif
