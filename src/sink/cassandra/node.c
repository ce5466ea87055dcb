/*
 * node.c: one node of the cluster: its connections, its queue, and how many requests it may have at a time.
 *
 * The window starts small, grows by one with every answer until it is full once, then by one a window; it halves when
 * the node says that it is overloaded or does not answer.
 */
#include "sink/cassandra/session_internal.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define WINDOW_START 32.0
#define BACKOFF_LEAST_NS INT64_C(100000000)
#define BACKOFF_MOST_NS INT64_C(1000000000)
#define SLOWED_NS INT64_C(100000000) /* one halving for all complaints of this time */
#define CONNECT_NS INT64_C(5000000000)
#define FLUSH_BYTES 65536u

void list_push(struct request_list *l, struct cql_request *r)
{
	r->next = NULL;
	if (l->tail)
		l->tail->next = r;
	else
		l->head = r;
	l->tail = r;
	l->n++;
}

struct cql_request *list_pop(struct request_list *l)
{
	struct cql_request *r = l->head;
	if (!r)
		return NULL;
	l->head = r->next;
	if (!l->head)
		l->tail = NULL;
	l->n--;
	r->next = NULL;
	return r;
}

enum err_code address_of(struct span inet, uint16_t port, struct cql_address *ret)
{
	*ret = (struct cql_address){0};
	if (inet.n == 4) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->a;
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, inet.p, 4);
		ret->n = sizeof *v4;
		return ERR_OK;
	}
	if (inet.n != 16)
		return ERR_INVALID;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->a;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, inet.p, 16);
	ret->n = sizeof *v6;
	return ERR_OK;
}

void address_name(const struct cql_address *a, char *out, size_t cap)
{
	char text[INET6_ADDRSTRLEN] = "?";
	if (a->a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->a;
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
		snprintf(out, cap, "[%s]:%u", text, ntohs(v6->sin6_port));
		return;
	}
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->a;
	inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
	snprintf(out, cap, "%s:%u", text, ntohs(v4->sin_port));
}

struct cql_node *node_find(struct cql_session *s, const struct cql_address *a)
{
	char name[96];
	address_name(a, name, sizeof name);
	for (uint32_t i = 0; i < s->nnodes; i++) {
		if (strcmp(s->node[i]->name, name) == 0)
			return s->node[i];
	}
	return NULL;
}

enum err_code node_add(struct cql_session *s, const struct cql_address *a, struct cql_node **ret, struct err *e)
{
	if ((*ret = node_find(s, a)))
		return ERR_OK;
	if (s->nnodes == NODES_MAX)
		return err_set(e, ERR_LIMIT, "the cluster has more than %u nodes", NODES_MAX);
	struct cql_node *n = calloc(1, sizeof *n);
	if (!n)
		return err_oom(e);
	n->at = *a;
	n->local = true;
	n->window = WINDOW_START < (double)s->target.window ? WINDOW_START : (double)s->target.window;
	n->backoff_ns = BACKOFF_LEAST_NS;
	address_name(a, n->name, sizeof n->name);
	s->node[s->nnodes++] = n;
	*ret = n;
	return ERR_OK;
}

void node_free(struct cql_node *n)
{
	for (int i = 0; n && i < CONNS_MAX; i++)
		conn_free(n->conn[i]);
	free(n);
}

bool node_up(const struct cql_node *n)
{
	for (int i = 0; i < CONNS_MAX; i++) {
		if (n->conn[i] && n->conn[i]->state == CONN_READY)
			return true;
	}
	return false;
}

/* Open every connection that is closed. */
void node_connect(struct cql_session *s, struct cql_node *n)
{
	for (int i = 0; i < s->target.connections; i++) {
		struct err e = {0};
		if (!n->conn[i] && !(n->conn[i] = conn_new(n, &s->target, s->epoll)))
			return; /* without memory: at the next occasion */
		if (n->conn[i]->state != CONN_CLOSED)
			continue;
		s->stats.reconnects++;
		if (conn_open(n->conn[i], &n->at, s->version, &e)) {
			n->err = e;
			n->retry_ns = clock_mono_ns() + n->backoff_ns;
		}
	}
}

static void scatter(struct cql_session *s, struct request_list *l)
{
	struct request_list all = *l;
	struct cql_request *r;
	*l = (struct request_list){0};
	while ((r = list_pop(&all)))
		session_route(s, r);
}

/* A protocol refusal is answered by speaking the older one at once. */
static void lower_version(struct cql_session *s)
{
	if (s->version > 4)
		s->version = 4;
	else
		s->fatal = true;
}

void node_lost(struct cql_session *s, struct cql_conn *c, const struct err *why)
{
	struct cql_node *n = c->node;
	bool was_ready = c->state == CONN_READY;
	if (c == s->control)
		s->control = NULL;
	conn_close(c);
	n->err = *why;
	err_prefix(&n->err, "%s", n->name);
	n->retry_ns = clock_mono_ns() + n->backoff_ns;
	n->backoff_ns = n->backoff_ns * 2 < BACKOFF_MOST_NS ? n->backoff_ns * 2 : BACKOFF_MOST_NS;
	if (!was_ready && why->code == ERR_VERSION && s->version == c->version) {
		lower_version(s);
		n->retry_ns = 0;
	} else if (why->code == ERR_VERSION) {
		n->retry_ns = 0; /* the session has lowered it already */
	}
	if (why->code == ERR_AUTH || why->code == ERR_DENIED || why->code == ERR_UNSUPPORTED)
		s->fatal = true;
	for (uint32_t i = 0; i < CONN_STREAMS && c->npending > 0; i++) {
		struct cql_request *r = c->pending[i];
		if (!r)
			continue;
		c->pending[i] = NULL;
		c->npending--;
		n->in_flight--;
		session_retry(s, r, CQL_RETRY_ELSEWHERE, &n->err);
	}
	if (!node_up(n))
		scatter(s, &n->queue);
}

static struct cql_conn *least_busy(const struct cql_node *n)
{
	struct cql_conn *best = NULL;
	for (int i = 0; i < CONNS_MAX; i++) {
		struct cql_conn *c = n->conn[i];
		if (c && c->state == CONN_READY && c->nfree && (!best || c->npending < best->npending))
			best = c;
	}
	return best;
}

void node_pump(struct cql_session *s, struct cql_node *n)
{
	while (n->queue.n && n->in_flight < (uint32_t)n->window) {
		struct cql_conn *c = least_busy(n);
		struct err e = {0};
		if (!c)
			return;
		struct cql_request *r = list_pop(&n->queue);
		r->sent_ns = clock_mono_ns();
		conn_send(c, r, r->opcode, (struct span){r->body.p, r->body.n});
		n->in_flight++;
		s->stats.requests++;
		if (c->plain.n + (c->out.n - c->out_at) >= FLUSH_BYTES && conn_flush(c, &e))
			node_lost(s, c, &e);
	}
}

void node_slower(struct cql_node *n)
{
	int64_t now = clock_mono_ns();
	if (now - n->slowed_ns < SLOWED_NS)
		return;
	n->slowed_ns = now;
	n->window = n->window > 2 ? n->window / 2 : 1;
}

void node_acked(struct cql_session *s, struct cql_node *n)
{
	double most = (double)s->target.window;
	if (n->queue.n == 0 && n->in_flight + 1 < (uint32_t)n->window)
		return; /* the window is not what limits us */
	n->window += n->slowed_ns ? 1 / n->window : 1;
	if (n->window > most)
		n->window = most;
}

static void check_conn(struct cql_session *s, struct cql_conn *c, int64_t now)
{
	int64_t limit = s->target.timeout * INT64_C(1000000000);
	struct err e = {0};
	if (c->state != CONN_READY && now - c->began_ns > CONNECT_NS) {
		err_set(&e, ERR_TIMEOUT, "no connection within %d s", (int)(CONNECT_NS / 1000000000));
		node_lost(s, c, &e);
		return;
	}
	for (uint32_t i = 0; c->state == CONN_READY && c->npending && i < CONN_STREAMS; i++) {
		if (!c->pending[i] || now - c->pending[i]->sent_ns <= limit)
			continue;
		err_set(&e, ERR_TIMEOUT, "no answer for %d s", (int)s->target.timeout);
		node_slower(c->node);
		node_lost(s, c, &e);
	}
}

/* Timeouts, and connections that are due to be made. */
void nodes_check(struct cql_session *s, int64_t now)
{
	for (uint32_t i = 0; i < s->nnodes; i++) {
		struct cql_node *n = s->node[i];
		bool closed = false;
		for (int k = 0; k < s->target.connections; k++) {
			if (n->conn[k] && n->conn[k]->state != CONN_CLOSED)
				check_conn(s, n->conn[k], now);
			closed = closed || !n->conn[k] || n->conn[k]->state == CONN_CLOSED;
		}
		if (closed && n->local && n->retry_ns <= now && !s->fatal)
			node_connect(s, n);
	}
}
