/*
 * topology.c: which nodes there are, which tokens they own, and which hold a row's copies.
 *
 * Read from system.local and system.peers_v2 (system.peers where that is missing) of one node: at the start, and again
 * when an event says that something changed. SimpleStrategy puts copies on the next nodes of the ring;
 * NetworkTopologyStrategy on the next ones of each data centre, racks not used yet first.
 */
#include "sink/cassandra/session_internal.h"

#include "sink/cassandra/wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKENS_MAX 1000000u

static enum err_code ask(struct cql_session *s, struct cql_node *n, const char *text, struct cql_reply *ret,
			 struct err *e)
{
	struct cql_request *r = cql_request_new(s);
	struct cql_params p = {.consistency = CQL_ONE};
	if (!r)
		return err_oom(e);
	r->opcode = CQL_QUERY;
	r->pin = n;
	put_bytes(&r->body, span_str(text));
	cql_put_params(&r->body, s->version, &p);
	return cql_call(s, r, ret, e);
}

static void copy_text(struct span s, char *out, size_t cap)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;
	if (n)
		memcpy(out, s.p, n);
	out[n] = 0;
}

/* set<text> of decimal numbers. */
static enum err_code add_tokens(struct cql_session *s, uint32_t *cap, struct cql_node *n, struct span cell,
				struct err *e)
{
	struct cql_in in = cql_in(cell.p, cell.n);
	for (int32_t left = cell.n ? get_int(&in) : 0; left > 0 && !in.failed; left--) {
		bool null;
		char text[32];
		copy_text(get_bytes(&in, &null), text, sizeof text);
		if (s->nring == *cap) {
			uint32_t more = *cap ? *cap * 2 : 64;
			struct ring_entry *ring = more <= TOKENS_MAX ? realloc(s->ring, more * sizeof *ring) : NULL;
			if (!ring)
				return err_set(e, ERR_LIMIT, "the cluster has more than %u tokens", *cap);
			s->ring = ring;
			*cap = more;
		}
		s->ring[s->nring++] = (struct ring_entry){strtoll(text, NULL, 10), n};
	}
	return ERR_OK;
}

static int by_token(const void *a, const void *b)
{
	int64_t x = ((const struct ring_entry *)a)->token, y = ((const struct ring_entry *)b)->token;
	return (x > y) - (x < y);
}

static bool any_address(struct span inet)
{
	for (size_t i = 0; i < inet.n; i++) {
		if (inet.p[i])
			return false;
	}
	return true;
}

/* A row of peers: address, peer, port, data centre, rack, tokens. */
static enum err_code take_peer(struct cql_session *s, struct cql_in *in, bool v2, uint16_t port, uint32_t *cap,
			       struct err *e)
{
	bool null;
	struct cql_address at;
	struct cql_node *n;
	struct span address = get_bytes(in, &null), peer = get_bytes(in, &null), p = get_bytes(in, &null);
	struct span dc = get_bytes(in, &null), rack = get_bytes(in, &null), tokens = get_bytes(in, &null);
	struct cql_in number = cql_in(p.p, p.n);
	if (v2 && p.n == 4)
		port = (uint16_t)get_int(&number);
	if (in->failed || address_of(any_address(address) ? peer : address, port, &at))
		return ERR_OK; /* a node that is just joining */
	enum err_code rc = node_add(s, &at, &n, e);
	if (rc)
		return rc;
	copy_text(dc, n->dc, sizeof n->dc);
	copy_text(rack, n->rack, sizeof n->rack);
	n->seen = true;
	return add_tokens(s, cap, n, tokens, e);
}

static uint16_t port_of(const struct cql_address *a)
{
	return ntohs(a->a.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->a)->sin6_port
						: ((const struct sockaddr_in *)&a->a)->sin_port);
}

static enum err_code take_peers(struct cql_session *s, struct cql_node *here, uint32_t *cap, struct err *e)
{
	struct cql_reply r;
	cql_reply_init(&r);
	enum err_code rc = ask(
	    s, here, "SELECT native_address, peer, native_port, data_center, rack, tokens FROM system.peers_v2", &r, e);
	bool v2 = rc == ERR_OK;
	if (rc == ERR_INVALID || rc == ERR_DENIED) /* an older server: no ports, so all have this one's */
		rc = ask(s, here, "SELECT rpc_address, peer, peer, data_center, rack, tokens FROM system.peers", &r, e);
	struct cql_in in = cql_in(r.result.rows.p, r.result.rows.n);
	for (uint32_t i = 0; !rc && i < r.result.nrows && r.result.ncolumns == 6; i++)
		rc = take_peer(s, &in, v2, port_of(&here->at), cap, e);
	cql_reply_done(&r);
	return rc;
}

static enum err_code take_local(struct cql_session *s, struct cql_node *here, uint32_t *cap, struct err *e)
{
	struct cql_reply r;
	bool null;
	cql_reply_init(&r);
	enum err_code rc = ask(s, here, "SELECT data_center, rack, partitioner, tokens FROM system.local", &r, e);
	if (!rc && (r.result.nrows != 1 || r.result.ncolumns != 4))
		rc = err_set(e, ERR_CORRUPT, "%s: system.local has %u rows", here->name, r.result.nrows);
	if (!rc) {
		struct cql_in in = cql_in(r.result.rows.p, r.result.rows.n);
		copy_text(get_bytes(&in, &null), here->dc, sizeof here->dc);
		copy_text(get_bytes(&in, &null), here->rack, sizeof here->rack);
		struct span partitioner = get_bytes(&in, &null);
		if (partitioner.n && memmem(partitioner.p, partitioner.n, "Murmur3Partitioner", 18))
			rc = add_tokens(s, cap, here, get_bytes(&in, &null), e);
		here->seen = true;
	}
	cql_reply_done(&r);
	return rc;
}

/* Connect what is in our data centre; let go of what is no longer there. */
static void settle(struct cql_session *s)
{
	for (uint32_t i = 0; i < s->nnodes; i++) {
		struct cql_node *n = s->node[i];
		bool was = n->local;
		n->local = n->seen && (!s->dc[0] || strcmp(n->dc, s->dc) == 0);
		if (n->local && !was)
			n->retry_ns = 0;
	}
	for (uint32_t i = 0; i < s->nnodes; i++) {
		if (s->node[i]->local)
			return;
	}
	/* A data centre that nobody is in would leave nothing to talk to. */
	for (uint32_t i = 0; i < s->nnodes; i++)
		s->node[i]->local = s->node[i]->seen;
}

enum err_code topology_refresh(struct cql_session *s, struct err *e)
{
	struct cql_node *here = s->control ? s->control->node : NULL;
	uint32_t cap = s->nring;
	if (!here)
		return err_set(e, ERR_UNAVAILABLE, "no connection");
	s->refresh = false;
	s->refreshing = true;
	s->nring = 0;
	for (uint32_t i = 0; i < s->nnodes; i++)
		s->node[i]->seen = false;
	enum err_code rc = take_local(s, here, &cap, e);
	if (!rc && !s->dc[0])
		memcpy(s->dc, here->dc, sizeof s->dc);
	rc = rc ? rc : take_peers(s, here, &cap, e);
	if (s->nring)
		qsort(s->ring, s->nring, sizeof *s->ring, by_token);
	if (!rc)
		settle(s);
	s->refreshing = false;
	return rc;
}

void topology_event(struct cql_session *s, struct span body)
{
	struct cql_in in = cql_in(body.p, body.n);
	struct span kind = get_string(&in), change = get_string(&in);
	if (span_is(kind, "TOPOLOGY_CHANGE"))
		s->refresh = true;
	if (!span_is(kind, "STATUS_CHANGE") || in.failed)
		return;
	struct cql_address at;
	struct span inet = get_raw(&in, get_byte(&in));
	uint16_t port = (uint16_t)get_int(&in);
	if (in.failed || address_of(inet, port, &at))
		return;
	struct cql_node *n = node_find(s, &at);
	if (n && span_is(change, "UP"))
		n->retry_ns = 0;
	else if (!n)
		s->refresh = true;
}

/* ---- replicas */

static bool among(struct cql_node *const *list, uint32_t n, const struct cql_node *node)
{
	for (uint32_t i = 0; i < n; i++) {
		if (list[i] == node)
			return true;
	}
	return false;
}

static bool rack_used(struct cql_node *const *list, uint32_t n, const struct cql_node *node)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(list[i]->rack, node->rack) == 0)
			return true;
	}
	return false;
}

uint32_t topology_replicas(const struct cql_session *s, int64_t token, struct cql_node **out, uint32_t max)
{
	uint32_t lo = 0, hi = s->nring, n = 0, want = s->copies < max ? s->copies : max;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->ring[mid].token < token)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* New racks first; a second walk takes what is left. Without data centres one walk takes all. */
	for (int walk = s->by_dc ? 0 : 1; walk < 2; walk++) {
		for (uint32_t i = 0; i < s->nring && n < want; i++) {
			struct cql_node *node = s->ring[(lo + i) % s->nring].node;
			if (among(out, n, node) || (s->by_dc && strcmp(node->dc, s->dc) != 0) ||
			    (walk == 0 && rack_used(out, n, node)))
				continue;
			out[n++] = node;
		}
	}
	return n;
}

/* map<text, text> of system_schema.keyspaces: class, and copies by name. */
static void take_replication(struct cql_session *s, struct span cell)
{
	struct cql_in in = cql_in(cell.p, cell.n);
	uint32_t simple = 0, here = 0;
	s->by_dc = false;
	for (int32_t left = cell.n ? get_int(&in) : 0; left > 0 && !in.failed; left--) {
		bool null;
		char name[64], value[96];
		copy_text(get_bytes(&in, &null), name, sizeof name);
		copy_text(get_bytes(&in, &null), value, sizeof value);
		if (strcmp(name, "class") == 0)
			s->by_dc = strstr(value, "NetworkTopologyStrategy") != NULL;
		else if (strcmp(name, "replication_factor") == 0)
			simple = (uint32_t)strtoul(value, NULL, 10);
		else if (strcmp(name, s->dc) == 0)
			here = (uint32_t)strtoul(value, NULL, 10);
	}
	s->copies = s->by_dc && here ? here : simple;
	if (s->copies == 0)
		s->copies = 1;
}

enum err_code cql_route_for(struct cql_session *s, const char *key_space, struct err *e)
{
	struct cql_reply r;
	char text[200];
	bool null;
	snprintf(text, sizeof text, "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name='%s'",
		 key_space);
	cql_reply_init(&r);
	struct cql_params p = {.consistency = CQL_ONE};
	enum err_code rc = cql_query(s, text, &p, &r, e);
	if (!rc && r.result.nrows == 1 && r.result.ncolumns == 1) {
		struct cql_in in = cql_in(r.result.rows.p, r.result.rows.n);
		take_replication(s, get_bytes(&in, &null));
	}
	cql_reply_done(&r);
	return rc;
}

void cql_replicas(struct cql_session *s, int64_t token, char *out, size_t cap)
{
	struct cql_node *n[16];
	uint32_t k = topology_replicas(s, token, n, 16);
	size_t used = 0;
	out[0] = 0;
	for (uint32_t i = 0; i < k && used < cap; i++)
		used += (size_t)snprintf(out + used, cap - used, "%s%s", i ? " " : "", n[i]->name);
}
