/* conn.c: see conn.h. */
#include "sink/cassandra/conn.h"

#include "base/clock.h"
#include "base/fd.h"
#include "sink/cassandra/message.h"
#include "sink/cassandra/wire.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READ_BLOCK 65536u
#define HANDSHAKE_STREAM 0

struct cql_conn *conn_new(struct cql_node *node, const struct cql_target *t, int epoll)
{
	struct cql_conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = -1;
	c->epoll = epoll;
	c->node = node;
	c->target = t;
	buf_init(&c->plain, CONN_OUT_MAX);
	buf_init(&c->out, CONN_OUT_MAX);
	return c;
}

void conn_close(struct cql_conn *c)
{
	fd_close(&c->fd); /* leaves epoll by itself */
	c->state = CONN_CLOSED;
	frame_in_done(&c->in);
	buf_done(&c->plain);
	buf_done(&c->out);
	buf_init(&c->plain, CONN_OUT_MAX);
	buf_init(&c->out, CONN_OUT_MAX);
	c->out_at = 0;
	c->listening = false;
}

void conn_free(struct cql_conn *c)
{
	if (!c)
		return;
	conn_close(c);
	buf_done(&c->plain);
	buf_done(&c->out);
	free(c);
}

static enum err_code listen_for(struct cql_conn *c, int op, bool write, struct err *e)
{
	struct epoll_event ev = {.events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
	if (epoll_ctl(c->epoll, op, c->fd, &ev) != 0)
		return err_sys(e, errno, "epoll");
	c->listening = write;
	return ERR_OK;
}

/* Bytes that stay unacknowledged as long as an answer may take: the other side is gone. Not sooner: a server in a long
 * garbage collection acknowledges nothing either once its buffers are full. */
static void socket_options(int fd, int timeout)
{
	int one = 1, dead = timeout * 1000, idle = 5, interval = 1, count = 4;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof dead);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

enum err_code conn_open(struct cql_conn *c, const struct cql_address *to, uint8_t version, struct err *e)
{
	c->version = version;
	c->lz4 = false;
	c->began_ns = clock_mono_ns();
	c->npending = 0;
	c->nfree = 0;
	for (uint32_t i = CONN_STREAMS; i-- > HANDSHAKE_STREAM + 1;)
		c->free_stream[c->nfree++] = (uint16_t)i;
	frame_in_init(&c->in, version);
	c->fd = socket(to->a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return err_sys(e, errno, "a socket");
	socket_options(c->fd, (int)c->target->timeout);
	c->state = CONN_CONNECTING;
	if (connect(c->fd, (const struct sockaddr *)&to->a, to->n) != 0 && errno != EINPROGRESS) {
		enum err_code rc = err_sys(e, errno, "connect");
		conn_close(c);
		return rc;
	}
	enum err_code rc = listen_for(c, EPOLL_CTL_ADD, true, e);
	if (rc)
		conn_close(c);
	return rc;
}

/* ---- out */

static void put_envelope(struct cql_conn *c, int16_t stream, uint8_t opcode, struct span body)
{
	char head[FRAME_HEAD];
	struct buf *b = c->in.segmented ? &c->plain : &c->out;
	frame_head(head, c->version, stream, opcode, body.n);
	buf_add(b, head, sizeof head);
	buf_span(b, body);
}

bool conn_send(struct cql_conn *c, struct cql_request *r, uint8_t opcode, struct span body)
{
	if (c->nfree == 0)
		return false;
	uint16_t stream = c->free_stream[--c->nfree];
	c->pending[stream] = r;
	c->npending++;
	put_envelope(c, (int16_t)stream, opcode, body);
	return true;
}

enum err_code conn_flush(struct cql_conn *c, struct err *e)
{
	if (c->state == CONN_CLOSED || c->state == CONN_CONNECTING)
		return ERR_OK;
	if (c->plain.n) {
		frame_segments(c->plain.p, c->plain.n, c->lz4, &c->out);
		buf_clear(&c->plain);
	}
	if (c->plain.failed || c->out.failed)
		return err_set(e, ERR_LIMIT, "more than %u MiB wait to be sent", CONN_OUT_MAX >> 20);
	while (c->out_at < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0)
			return err_sys(e, errno, "send");
		c->out_at += (size_t)n;
	}
	bool rest = c->out_at < c->out.n;
	if (!rest) {
		buf_clear(&c->out);
		c->out_at = 0;
	} else if (c->out_at > ((size_t)1 << 20)) {
		memmove(c->out.p, c->out.p + c->out_at, c->out.n - c->out_at);
		c->out.n -= c->out_at;
		c->out_at = 0;
	}
	return rest == c->listening ? ERR_OK : listen_for(c, EPOLL_CTL_MOD, rest, e);
}

/* ---- handshake */

static void send_startup(struct cql_conn *c)
{
	const char *const pairs[][2] = {
	    {"CQL_VERSION", "3.0.0"},
	    {"DRIVER_NAME", "mysimbdp"},
	    {"DRIVER_VERSION", MYSIMBDP_VERSION},
	    {"COMPRESSION", "lz4"},
	};
	struct buf b;
	buf_init(&b, 1024);
	cql_put_string_map(&b, pairs, c->lz4 ? 4 : 3);
	put_envelope(c, HANDSHAKE_STREAM, CQL_STARTUP, (struct span){b.p, b.n});
	buf_done(&b);
	c->state = CONN_STARTUP;
}

/* Does the answer to OPTIONS have lz4 under COMPRESSION? */
static bool offers_lz4(struct span body)
{
	struct cql_in in = cql_in(body.p, body.n);
	bool found = false;
	for (uint16_t n = get_short(&in); n > 0 && !in.failed; n--) {
		bool compression = span_is(get_string(&in), "COMPRESSION");
		for (uint16_t k = get_short(&in); k > 0 && !in.failed; k--) {
			if (span_is(get_string(&in), "lz4") && compression)
				found = true;
		}
	}
	return found;
}

/* SASL PLAIN, RFC 4616: "", user, password behind NULs. */
static enum err_code send_password(struct cql_conn *c, struct span authenticator, struct err *e)
{
	char token[sizeof c->target->user + sizeof c->target->password + 8];
	size_t u = strlen(c->target->user), p = strlen(c->target->password);
	if (!u)
		return err_hint((err_set(e, ERR_AUTH, "the server wants a user and a password (%.*s)",
					 (int)(authenticator.n < 100 ? authenticator.n : 100),
					 authenticator.p ? authenticator.p : ""),
				 e),
				"add ?user=NAME&password=env:VARIABLE");
	char *w = be32(token, (uint32_t)(u + p + 2));
	*w++ = 0;
	memcpy(w, c->target->user, u);
	w += u;
	*w++ = 0;
	memcpy(w, c->target->password, p);
	w += p;
	put_envelope(c, HANDSHAKE_STREAM, CQL_AUTH_RESPONSE, (struct span){token, (size_t)(w - token)});
	explicit_bzero(token, sizeof token);
	c->state = CONN_AUTH;
	return ERR_OK;
}

static enum err_code handshake_error(struct cql_conn *c, const struct frame *f, struct err *e)
{
	struct cql_error ce;
	if (!cql_error_decode(f->body, &ce))
		return err_set(e, ERR_CORRUPT, "an error that can't be understood");
	if (ce.code == CQL_E_PROTOCOL && f->version < c->version)
		return err_set(e, ERR_VERSION, "the node speaks protocol version %u, not %u", f->version, c->version);
	return cql_error_set(&ce, "the node refuses the connection", e);
}

static enum err_code handshake(struct cql_conn *c, const struct frame *f, struct err *e)
{
	if (f->opcode == CQL_ERROR)
		return handshake_error(c, f, e);
	if (f->version != c->version)
		return err_set(e, ERR_VERSION, "an answer in protocol version %u, not %u", f->version, c->version);
	if (c->state == CONN_OPTIONS && f->opcode == CQL_SUPPORTED) {
		c->lz4 = c->target->lz4 && c->version >= 5 && offers_lz4(f->body);
		send_startup(c);
		return conn_flush(c, e);
	}
	if (c->state == CONN_STARTUP && (f->opcode == CQL_READY || f->opcode == CQL_AUTHENTICATE)) {
		c->in.segmented = c->version >= 5;
		c->in.lz4 = c->lz4;
		if (f->opcode == CQL_READY) {
			c->state = CONN_READY;
			return ERR_OK;
		}
		struct cql_in in = cql_in(f->body.p, f->body.n);
		enum err_code rc = send_password(c, get_string(&in), e);
		return rc ? rc : conn_flush(c, e);
	}
	if (c->state == CONN_AUTH && f->opcode == CQL_AUTH_SUCCESS) {
		c->state = CONN_READY;
		return ERR_OK;
	}
	if (c->state == CONN_AUTH && f->opcode == CQL_AUTH_CHALLENGE)
		return err_set(e, ERR_UNSUPPORTED, "the server wants more than a user and a password");
	return err_set(e, ERR_CORRUPT, "message %u in the middle of the handshake", f->opcode);
}

/* ---- in */

static enum err_code connected(struct cql_conn *c, struct err *e)
{
	int err = 0;
	socklen_t n = sizeof err;
	struct sockaddr_storage peer;
	socklen_t np = sizeof peer;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err)
		return err_sys(e, err ? err : errno, "connect");
	if (getpeername(c->fd, (struct sockaddr *)&peer, &np) != 0)
		return ERR_OK; /* not yet */
	c->state = CONN_OPTIONS;
	put_envelope(c, HANDSHAKE_STREAM, CQL_OPTIONS, (struct span){NULL, 0});
	return conn_flush(c, e);
}

enum err_code conn_input(struct cql_conn *c, struct err *e)
{
	if (c->state == CONN_CONNECTING)
		return connected(c, e);
	for (;;) {
		char *room = frame_in_room(&c->in, READ_BLOCK);
		if (!room)
			return err_set(e, ERR_LIMIT, "an answer is larger than the memory for it");
		ssize_t n = recv(c->fd, room, READ_BLOCK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return ERR_OK;
		if (n < 0)
			return err_sys(e, errno, "receive");
		if (n == 0)
			return err_set(e, ERR_UNAVAILABLE, "the node closed the connection");
		frame_in_got(&c->in, (size_t)n);
		if ((size_t)n < READ_BLOCK)
			return ERR_OK;
	}
}

enum err_code conn_next(struct cql_conn *c, struct frame *f, struct cql_request **ret_r, bool *ret_have, struct err *e)
{
	enum err_code rc;
	*ret_r = NULL;
	while ((rc = frame_in_next(&c->in, f, ret_have, e)) == ERR_OK && *ret_have) {
		if (c->state != CONN_READY) {
			if ((rc = handshake(c, f, e)))
				return rc;
			if (c->state != CONN_READY)
				continue;
			f->opcode = CQL_READY; /* the session wants to know */
			return ERR_OK;
		}
		if (f->stream == -1)
			return ERR_OK;
		if (f->stream <= HANDSHAKE_STREAM || (uint32_t)f->stream >= CONN_STREAMS || !c->pending[f->stream])
			return err_set(e, ERR_CORRUPT, "an answer to nothing that was asked (stream %d)", f->stream);
		*ret_r = c->pending[f->stream];
		c->pending[f->stream] = NULL;
		c->npending--;
		c->free_stream[c->nfree++] = (uint16_t)f->stream;
		return ERR_OK;
	}
	return rc;
}
