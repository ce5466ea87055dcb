/*
 * conn.h: one connection to a Cassandra node: a non-blocking socket, the handshake (OPTIONS, STARTUP, SASL PLAIN), and
 * requests that are told apart by stream ids.
 *
 * Nothing here waits. The session (session.h) owns the epoll instance, calls conn_ready when the socket is, conn_flush
 * when it has sent enough, and closes a connection that fails: the requests on it are handed back.
 */
#ifndef SINK_CASSANDRA_CONN_H
#define SINK_CASSANDRA_CONN_H

#include "sink/cassandra/frame.h"
#include "sink/cassandra/target.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define CONN_STREAMS 4100u /* window's maximum, and some for the session's own requests */
#define CONN_OUT_MAX (128u << 20)

enum conn_state {
	CONN_CLOSED,
	CONN_CONNECTING,
	CONN_OPTIONS,
	CONN_STARTUP,
	CONN_AUTH,
	CONN_READY,
};

struct cql_request;
struct cql_node;

struct cql_address {
	struct sockaddr_storage a;
	socklen_t n;
};

struct cql_conn {
	int fd, epoll;
	enum conn_state state;
	uint8_t version;
	bool lz4, listening; /* listening: for EPOLLOUT */
	struct cql_node *node;
	const struct cql_target *target;
	struct frame_in in;
	struct buf plain; /* envelopes to be put into segments */
	struct buf out;
	size_t out_at;
	int64_t began_ns; /* the handshake */
	struct cql_request *pending[CONN_STREAMS];
	uint16_t free_stream[CONN_STREAMS];
	uint32_t nfree, npending;
};

struct cql_conn *conn_new(struct cql_node *node, const struct cql_target *t, int epoll);
void conn_free(struct cql_conn *c);

enum err_code conn_open(struct cql_conn *c, const struct cql_address *to, uint8_t version, struct err *e) MUST_USE;
/* The socket is gone; pending requests stay in the table for the session to collect. */
void conn_close(struct cql_conn *c);

/* False when all streams are in use. */
bool conn_send(struct cql_conn *c, struct cql_request *r, uint8_t opcode, struct span body);
/* Up to the socket's buffer; the rest goes when epoll says so. */
enum err_code conn_flush(struct cql_conn *c, struct err *e) MUST_USE;
/* After EPOLLIN or EPOLLOUT while connecting, and to read. ret_read: bytes came. */
enum err_code conn_input(struct cql_conn *c, struct err *e) MUST_USE;
/* The next message; those of the handshake are answered here. *ret_r is its request, NULL for an event. ERR_VERSION:
 * the node wants an older protocol. */
enum err_code conn_next(struct cql_conn *c, struct frame *f, struct cql_request **ret_r, bool *ret_have,
			struct err *e) MUST_USE;

#endif
