/* session.c: see session.h: opening, routing, the event loop, repeating. */
#include "sink/cassandra/session_internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "sink/cassandra/wire.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BODY_MAX (32u << 20)
#define BODY_KEEP (256u << 10) /* a spare request keeps a buffer up to this */
#define OUT_BYTES_MAX (24u << 20)
#define EVENTS 64
#define TICK_MS 100
#define DELAY_LEAST_NS INT64_C(20000000)
#define DELAY_MOST_NS INT64_C(1000000000)
#define REPLICAS_MAX 8

/* ---- requests */

struct cql_request *cql_request_new(struct cql_session *s)
{
	struct cql_request *r = list_pop(&s->spare);
	if (!r && !(r = calloc(1, sizeof *r)))
		return NULL;
	struct buf body = r->body;
	*r = (struct cql_request){.body = body};
	if (!r->body.max)
		buf_init(&r->body, BODY_MAX);
	buf_clear(&r->body);
	return r;
}

void cql_request_free(struct cql_session *s, struct cql_request *r)
{
	if (!r)
		return;
	if (r->body.cap > BODY_KEEP) {
		buf_done(&r->body);
		buf_init(&r->body, BODY_MAX);
	}
	list_push(&s->spare, r);
}

void session_finish(struct cql_session *s, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		    const struct err *e)
{
	s->out--;
	s->out_bytes -= r->body.n;
	if (r->done)
		r->done(r->ctx, r, f, ce, e);
	cql_request_free(s, r);
}

/* ---- where to */

static double load(const struct cql_node *n)
{
	return (double)(n->in_flight + n->queue.n) / n->window;
}

static struct cql_node *better(struct cql_node *a, struct cql_node *b, const struct cql_request *r)
{
	if (!node_up(b) || b == r->avoid)
		return a;
	return !a || load(b) < load(a) ? b : a;
}

void session_route(struct cql_session *s, struct cql_request *r)
{
	struct cql_node *replica[REPLICAS_MAX], *best = NULL, *any = NULL;
	if (r->pin) {
		best = node_up(r->pin) ? r->pin : NULL;
		r->node = best;
		list_push(best ? &best->queue : &s->homeless, r);
		return;
	}
	if (r->has_token) {
		uint32_t n = topology_replicas(s, r->token, replica, REPLICAS_MAX);
		for (uint32_t i = 0; i < n; i++)
			best = better(best, replica[i], r);
	}
	for (uint32_t i = 0; i < s->nnodes && !best; i++) {
		if (s->node[i]->local)
			any = better(any, s->node[i], r);
	}
	best = best ? best : any;
	if (!best && r->avoid && node_up(r->avoid))
		best = r->avoid;
	r->node = best;
	list_push(best ? &best->queue : &s->homeless, r);
}

enum err_code cql_submit(struct cql_session *s, struct cql_request *r, struct err *e)
{
	if (r->body.failed) {
		cql_request_free(s, r);
		return err_set(e, ERR_LIMIT, "a request of more than %u MiB", BODY_MAX >> 20);
	}
	if (s->refresh && s->control && !s->refreshing) {
		struct err unused;
		if (topology_refresh(s, &unused))
			s->refresh = true; /* at the next request */
	}
	r->give_up_ns = clock_mono_ns() + s->target.patience * INT64_C(1000000000);
	s->out++;
	s->out_bytes += r->body.n;
	session_route(s, r);
	if (r->node)
		node_pump(s, r->node);
	uint32_t up = 0;
	for (uint32_t i = 0; i < s->nnodes; i++)
		up += node_up(s->node[i]);
	uint32_t most = 2 * (uint32_t)s->target.window * (up ? up : 1);
	if (s->out >= most || s->out_bytes >= OUT_BYTES_MAX) {
		uint32_t half = s->out / 2;
		while (s->out > half + half / 2)
			session_run(s, TICK_MS);
	}
	return ERR_OK;
}

void cql_drain(struct cql_session *s, uint32_t n)
{
	while (s->out > n)
		session_run(s, TICK_MS);
}

/* ---- repeating */

void session_retry(struct cql_session *s, struct cql_request *r, enum cql_retry why, const struct err *e)
{
	int64_t now = clock_mono_ns(), delay = DELAY_LEAST_NS << (r->attempts < 6 ? r->attempts : 6);
	if (!r->done) { /* the session's own PREPARE: what waits for it goes again */
		if (r->waiting)
			session_retry(s, r->waiting, why, e);
		r->waiting = NULL;
		session_finish(s, r, NULL, NULL, e);
		return;
	}
	r->err = *e;
	r->avoid = why == CQL_RETRY_LATER ? NULL : r->node;
	if (r->node && why == CQL_RETRY_SLOWER)
		node_slower(r->node);
	s->stats.retries++;
	if (why == CQL_RETRY_ELSEWHERE && r->attempts == 0)
		delay = 0;
	r->attempts++;
	if (delay > DELAY_MOST_NS)
		delay = DELAY_MOST_NS;
	r->due_ns = now + delay;
	if (s->fatal || r->due_ns > r->give_up_ns) {
		session_finish(s, r, NULL, NULL, &r->err);
		return;
	}
	list_push(&s->delayed, r);
}

/* Requests whose time has come, and those that found no node. */
static void run_waiting(struct cql_session *s, int64_t now)
{
	struct request_list due = s->delayed, homeless = s->homeless;
	struct cql_request *r;
	s->delayed = s->homeless = (struct request_list){0};
	while ((r = list_pop(&due))) {
		if (r->due_ns <= now)
			session_route(s, r);
		else
			list_push(&s->delayed, r);
	}
	while ((r = list_pop(&homeless))) {
		struct err e = {0};
		r->avoid = NULL;
		if (now < r->give_up_ns && !s->fatal && !r->pin) {
			session_route(s, r);
			continue;
		}
		err_set(&e, ERR_UNAVAILABLE, "no Cassandra node answers%s%s",
			s->nnodes && s->node[0]->err.msg[0] ? ": " : "", s->nnodes ? s->node[0]->err.msg : "");
		e.retriable = true;
		session_finish(s, r, NULL, NULL, r->err.code ? &r->err : &e);
	}
}

/* The node forgot the statement: prepare it there, then send the request again. */
static void prepare_again(struct cql_session *s, struct cql_conn *c, struct cql_request *r, const struct err *e)
{
	struct cql_request *p = r->statement && r->attempts < 8 ? cql_request_new(s) : NULL;
	if (!p) {
		session_finish(s, r, NULL, NULL, e);
		return;
	}
	r->attempts++;
	r->err = *e;
	put_bytes(&p->body, span_str(r->statement->text));
	if (s->version >= 5)
		put_int(&p->body, 0);
	p->opcode = CQL_PREPARE;
	p->waiting = r;
	p->node = c->node;
	p->sent_ns = clock_mono_ns();
	p->give_up_ns = r->give_up_ns;
	s->out++;
	s->out_bytes += p->body.n;
	s->stats.prepared_again++;
	if (!p->body.failed && conn_send(c, p, p->opcode, (struct span){p->body.p, p->body.n})) {
		c->node->in_flight++;
		return;
	}
	session_retry(s, p, CQL_RETRY_LATER, e);
}

static void prepared(struct cql_session *s, struct cql_request *p, const struct frame *f)
{
	struct cql_request *r = p->waiting;
	struct cql_in in = cql_in(f->body.p, f->body.n);
	struct err e = {0};
	int32_t kind = get_int(&in);
	struct span id = get_string(&in);
	p->waiting = NULL;
	if (f->opcode == CQL_RESULT && kind == CQL_RESULT_PREPARED &&
	    span_eq(id, (struct span){r->statement->id, r->statement->id_n})) {
		list_push(&r->node->queue, r);
	} else {
		struct cql_error ce;
		err_set(&e, ERR_CONFLICT, "the table was changed or dropped while rows were being written");
		if (f->opcode == CQL_ERROR && cql_error_decode(f->body, &ce))
			cql_error_set(&ce, "prepare the statement again", &e);
		session_finish(s, r, NULL, NULL, &e);
	}
	session_finish(s, p, f, NULL, NULL);
}

static void answered(struct cql_session *s, struct cql_conn *c, struct cql_request *r, const struct frame *f)
{
	struct cql_error ce;
	struct err e = {0};
	c->node->in_flight--;
	if (!r->done && r->waiting) {
		prepared(s, r, f);
		return;
	}
	if (f->opcode != CQL_ERROR) {
		node_acked(s, c->node);
		session_finish(s, r, f, NULL, NULL);
		return;
	}
	if (!cql_error_decode(f->body, &ce)) {
		err_set(&e, ERR_CORRUPT, "%s: an error that can't be understood", c->node->name);
		session_finish(s, r, NULL, NULL, &e);
		return;
	}
	cql_error_set(&ce, c->node->name, &e);
	enum cql_retry why = cql_error_retry(&ce);
	if (why == CQL_RETRY_NEVER)
		session_finish(s, r, NULL, &ce, &e);
	else if (why == CQL_RETRY_PREPARE)
		prepare_again(s, c, r, &e);
	else
		session_retry(s, r, why, &e);
}

/* ---- the loop */

/* Events come on one connection, the first that was ready. */
static void conn_became_ready(struct cql_session *s, struct cql_conn *c)
{
	static const char *const events[] = {"TOPOLOGY_CHANGE", "STATUS_CHANGE", "SCHEMA_CHANGE"};
	c->node->backoff_ns = INT64_C(100000000);
	if (s->control)
		return;
	struct cql_request *r = cql_request_new(s);
	if (!r)
		return;
	put_short(&r->body, 3);
	for (int i = 0; i < 3; i++)
		put_string(&r->body, span_str(events[i]));
	r->node = c->node;
	r->sent_ns = clock_mono_ns();
	if (r->body.failed || !conn_send(c, r, CQL_REGISTER, (struct span){r->body.p, r->body.n})) {
		cql_request_free(s, r);
		return;
	}
	c->node->in_flight++;
	s->out++;
	s->out_bytes += r->body.n;
	s->control = c;
	s->refresh = true;
}

/* The one that events came on is gone: another takes its part. */
static void find_control(struct cql_session *s)
{
	for (uint32_t i = 0; i < s->nnodes && !s->control; i++) {
		for (int k = 0; k < s->target.connections && !s->control; k++) {
			struct cql_conn *c = s->node[i]->conn[k];
			if (c && c->state == CONN_READY)
				conn_became_ready(s, c);
		}
	}
}

static void conn_event(struct cql_session *s, struct cql_conn *c)
{
	struct err e = {0};
	enum err_code rc = conn_input(c, &e);
	struct frame f;
	struct cql_request *r;
	bool have = true;
	/* What came before the end of a connection is read first. */
	while (have && c->state != CONN_CLOSED) {
		struct err bad = {0};
		enum err_code next = conn_next(c, &f, &r, &have, &bad);
		if (next) {
			node_lost(s, c, &bad);
			return;
		}
		if (!have)
			break;
		if (r)
			answered(s, c, r, &f);
		else if (f.opcode == CQL_READY)
			conn_became_ready(s, c);
		else if (f.opcode == CQL_EVENT)
			topology_event(s, f.body);
	}
	if (!rc && c->state != CONN_CLOSED)
		rc = conn_flush(c, &e);
	if (rc && c->state != CONN_CLOSED)
		node_lost(s, c, &e);
}

static void flush_all(struct cql_session *s)
{
	for (uint32_t i = 0; i < s->nnodes; i++) {
		struct cql_node *n = s->node[i];
		node_pump(s, n);
		for (int k = 0; k < s->target.connections; k++) {
			struct err e = {0};
			struct cql_conn *c = n->conn[k];
			if (c && (c->plain.n || c->out.n > c->out_at) && conn_flush(c, &e))
				node_lost(s, c, &e);
		}
	}
}

void session_run(struct cql_session *s, int ms)
{
	struct epoll_event ev[EVENTS];
	int64_t now = clock_mono_ns();
	if (s->delayed.n || s->homeless.n)
		run_waiting(s, now);
	if (now - s->checked_ns > INT64_C(50000000)) {
		s->checked_ns = now;
		nodes_check(s, now);
		if (!s->control)
			find_control(s);
	}
	flush_all(s);
	if (s->delayed.n || s->homeless.n)
		ms = ms < 10 ? ms : 10;
	int n = epoll_wait(s->epoll, ev, EVENTS, ms);
	for (int i = 0; i < n; i++) {
		struct cql_conn *c = ev[i].data.ptr;
		if (c->state != CONN_CLOSED)
			conn_event(s, c);
	}
}

/* ---- opening */

static enum err_code resolve(struct cql_session *s, const struct cql_contact *c, struct err *e)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(c->host, c->port, &hints, &list);
	if (rc)
		return err_set(e, ERR_UNAVAILABLE, "\"%s\": %s", c->host, gai_strerror(rc));
	enum err_code code = ERR_OK;
	for (struct addrinfo *a = list; a && !code; a = a->ai_next) {
		struct cql_node *n;
		struct cql_address at = {.n = a->ai_addrlen};
		memcpy(&at.a, a->ai_addr, a->ai_addrlen);
		code = node_add(s, &at, &n, e);
	}
	freeaddrinfo(list);
	return code;
}

static enum err_code resolve_all(struct cql_session *s, struct err *e)
{
	enum err_code rc = ERR_OK;
	for (uint32_t i = 0; i < s->target.ncontact; i++) {
		enum err_code one = resolve(s, &s->target.contact[i], e);
		rc = one ? one : rc;
	}
	return s->nnodes ? ERR_OK : rc;
}

/* Every contact was tried and failed. */
static bool all_failed(const struct cql_session *s)
{
	for (uint32_t i = 0; i < s->nnodes; i++) {
		if (!s->node[i]->err.code || s->node[i]->retry_ns == 0)
			return false;
	}
	return true;
}

static enum err_code first_node(struct cql_session *s, struct err *e)
{
	int64_t end = clock_mono_ns() + INT64_C(8000000000);
	while (!s->control) {
		session_run(s, TICK_MS);
		if (s->control || (!s->fatal && !all_failed(s) && clock_mono_ns() < end))
			continue;
		const struct err *why = &s->node[0]->err;
		for (uint32_t i = 0; i < s->nnodes; i++) {
			const struct err *w = &s->node[i]->err;
			if (w->code && (!why->code || w->code == ERR_AUTH))
				why = w;
		}
		if (!why->code)
			return err_set(e, ERR_TIMEOUT, "%s does not answer", s->node[0]->name);
		*e = *why;
		err_prefix(e, "Cassandra");
		if (e->code != ERR_AUTH && e->code != ERR_DENIED && e->code != ERR_UNSUPPORTED) {
			e->code = ERR_UNAVAILABLE;
			e->retriable = true;
		}
		return e->code;
	}
	return ERR_OK;
}

enum err_code cql_open(const struct cql_target *t, struct cql_session **ret, struct err *e)
{
	struct err unused;
	struct cql_session *s = calloc(1, sizeof *s);
	e = e ? e : &unused;
	if (!s)
		return err_oom(e);
	s->target = *t;
	s->version = (uint8_t)t->protocol;
	s->copies = 1;
	memcpy(s->dc, t->dc, sizeof s->dc);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	enum err_code rc = s->epoll < 0 ? err_sys(e, errno, "epoll") : resolve_all(s, e);
	rc = rc ? rc : first_node(s, e);
	rc = rc ? rc : topology_refresh(s, e);
	if (rc) {
		cql_close(s);
		return rc;
	}
	*ret = s;
	return ERR_OK;
}

static void list_free(struct request_list *l)
{
	struct cql_request *r;
	while ((r = list_pop(l))) {
		buf_done(&r->body);
		free(r);
	}
}

void cql_close(struct cql_session *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->nnodes; i++) {
		for (int k = 0; k < CONNS_MAX; k++) {
			struct cql_conn *c = s->node[i]->conn[k];
			for (uint32_t q = 0; c && q < CONN_STREAMS; q++) {
				struct cql_request *r = c->pending[q];
				if (r && r->waiting)
					list_push(&s->spare, r->waiting);
				if (r)
					list_push(&s->spare, r);
			}
		}
		list_free(&s->node[i]->queue);
		node_free(s->node[i]);
	}
	list_free(&s->delayed);
	list_free(&s->homeless);
	list_free(&s->spare);
	fd_close(&s->epoll);
	free(s->ring);
	cql_target_done(&s->target);
	free(s);
}

uint8_t cql_version(const struct cql_session *s)
{
	return s->version;
}

const struct cql_target *cql_session_target(const struct cql_session *s)
{
	return &s->target;
}

void cql_stats(const struct cql_session *s, struct cql_stats *ret)
{
	*ret = s->stats;
	ret->nodes = s->nnodes;
	ret->nodes_up = 0;
	ret->in_flight = s->out;
	for (uint32_t i = 0; i < s->nnodes; i++)
		ret->nodes_up += node_up(s->node[i]);
}
