/*
 * frame.h: envelopes (v4: frames), the messages on a connection, and taking them out of a stream of bytes.
 *
 *   frame_in_init(&in, 5 ...);
 *   n = read(fd, frame_in_room(&in, 65536), 65536); frame_in_got(&in, n);
 *   while (frame_in_next(&in, &f, &err) == ERR_OK && f.opcode_set) ... f.body is valid until the next call
 *
 * Until the answer to STARTUP, and all the time in v4, envelopes lie bare in the stream; then v5 puts them into
 * segments (segment.h). No I/O here: a fuzz target feeds any bytes.
 */
#ifndef SINK_CASSANDRA_FRAME_H
#define SINK_CASSANDRA_FRAME_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAME_HEAD 9u
#define FRAME_BODY_MAX (64u << 20) /* an answer longer than this ends the connection */

enum cql_opcode {
	CQL_ERROR = 0x00,
	CQL_STARTUP = 0x01,
	CQL_READY = 0x02,
	CQL_AUTHENTICATE = 0x03,
	CQL_OPTIONS = 0x05,
	CQL_SUPPORTED = 0x06,
	CQL_QUERY = 0x07,
	CQL_RESULT = 0x08,
	CQL_PREPARE = 0x09,
	CQL_EXECUTE = 0x0A,
	CQL_REGISTER = 0x0B,
	CQL_EVENT = 0x0C,
	CQL_BATCH = 0x0D,
	CQL_AUTH_CHALLENGE = 0x0E,
	CQL_AUTH_RESPONSE = 0x0F,
	CQL_AUTH_SUCCESS = 0x10,
};

#define FRAME_COMPRESSED 0x01
#define FRAME_TRACING 0x02
#define FRAME_PAYLOAD 0x04
#define FRAME_WARNING 0x08

struct frame {
	uint8_t version; /* without the direction bit */
	uint8_t flags, opcode;
	int16_t stream;
	struct span body; /* behind tracing id, warnings and custom payload */
};

struct frame_in {
	uint8_t version;     /* ours */
	bool segmented, lz4; /* set when the handshake says so */
	struct buf raw;	     /* as read */
	size_t at;	     /* raw: consumed up to here */
	struct buf plain;    /* out of segments */
	size_t plain_at;
	char *scratch;
};

void frame_in_init(struct frame_in *in, uint8_t version);
void frame_in_done(struct frame_in *in);
/* NULL without memory. */
char *frame_in_room(struct frame_in *in, size_t n);
void frame_in_got(struct frame_in *in, size_t n);
/* *ret_have false: more bytes are needed. ERR_CORRUPT: the stream can't be understood any more. ERR_VERSION: a peer
 * of another protocol version, which f->version tells. */
enum err_code frame_in_next(struct frame_in *in, struct frame *f, bool *ret_have, struct err *e) MUST_USE;

/* Nine bytes at p. */
void frame_head(char *p, uint8_t version, int16_t stream, uint8_t opcode, size_t body);
/* Append envelopes (whole ones, one behind the other) as segments. */
void frame_segments(const char *p, size_t n, bool lz4, struct buf *out);

#endif
