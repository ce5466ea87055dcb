/*
 * wire.h: the notations of the CQL native protocol (specification v5, section 3): writing and reading them.
 *
 * Writers append to a struct buf and check nothing: buf.failed is looked at once, at the end. Readers take from a
 * struct cql_in; the first read beyond its end sets `failed`, and from then on everything reads as zero or empty, so a
 * decoder checks once, at its end, too. Nothing is copied: spans point into the message.
 */
#ifndef SINK_CASSANDRA_WIRE_H
#define SINK_CASSANDRA_WIRE_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* ---- writing */

static inline char *be16(char *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, 2);
	return p + 2;
}

static inline char *be32(char *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
	return p + 4;
}

static inline char *be64(char *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
	return p + 8;
}

static inline void put_byte(struct buf *b, uint8_t v)
{
	buf_char(b, (char)v);
}

static inline void put_short(struct buf *b, uint16_t v)
{
	char t[2];
	be16(t, v);
	buf_add(b, t, sizeof t);
}

static inline void put_int(struct buf *b, int32_t v)
{
	char t[4];
	be32(t, (uint32_t)v);
	buf_add(b, t, sizeof t);
}

static inline void put_long(struct buf *b, int64_t v)
{
	char t[8];
	be64(t, (uint64_t)v);
	buf_add(b, t, sizeof t);
}

/* [string] and [short bytes] */
static inline void put_string(struct buf *b, struct span s)
{
	put_short(b, (uint16_t)s.n);
	buf_add(b, s.p, s.n);
}

/* [long string] and [bytes] */
static inline void put_bytes(struct buf *b, struct span s)
{
	put_int(b, (int32_t)s.n);
	buf_add(b, s.p, s.n);
}

/* ---- reading */

struct cql_in {
	const uint8_t *p, *end;
	bool failed;
};

static inline struct cql_in cql_in(const void *p, size_t n)
{
	return (struct cql_in){p, n ? (const uint8_t *)p + n : p, false};
}

static inline struct span get_raw(struct cql_in *in, size_t n)
{
	if (in->failed || (size_t)(in->end - in->p) < n) {
		in->failed = true;
		return (struct span){NULL, 0};
	}
	struct span s = {(const char *)in->p, n};
	in->p += n;
	return s;
}

static inline uint64_t get_unsigned(struct cql_in *in, size_t n)
{
	struct span s = get_raw(in, n);
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return v;
}

static inline uint8_t get_byte(struct cql_in *in)
{
	return (uint8_t)get_unsigned(in, 1);
}

static inline uint16_t get_short(struct cql_in *in)
{
	return (uint16_t)get_unsigned(in, 2);
}

static inline int32_t get_int(struct cql_in *in)
{
	return (int32_t)(uint32_t)get_unsigned(in, 4);
}

static inline int64_t get_long(struct cql_in *in)
{
	return (int64_t)get_unsigned(in, 8);
}

static inline struct span get_string(struct cql_in *in)
{
	return get_raw(in, get_short(in));
}

/* [bytes]: *ret_null for a negative length. */
static inline struct span get_bytes(struct cql_in *in, bool *ret_null)
{
	int32_t n = get_int(in);
	*ret_null = n < 0;
	return n < 0 ? (struct span){NULL, 0} : get_raw(in, (size_t)n);
}

#endif
