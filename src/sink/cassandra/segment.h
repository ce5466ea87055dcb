/*
 * segment.h: the outer framing of protocol v5 (specification v5, section 2): segments of at most 128 KiB that carry
 * whole envelopes, or part of a large one, each protected by CRC24 (header) and CRC32 (payload).
 *
 *   segment_put(plain, n, true, lz4, out);                       // one segment
 *   while (segment_get(p, n, lz4, scratch, &seg) == SEGMENT_OK)  // p += seg.size
 *
 * Pure functions over the caller's memory; everything from a peer is hostile and checked before it is used.
 */
#ifndef SINK_CASSANDRA_SEGMENT_H
#define SINK_CASSANDRA_SEGMENT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_PAYLOAD_MAX 131071u

enum segment_result {
	SEGMENT_OK,
	SEGMENT_MORE,	  /* not all of it is here yet */
	SEGMENT_BAD_HEAD, /* CRC24 */
	SEGMENT_BAD_DATA, /* CRC32 */
	SEGMENT_BAD_LZ4,
};

struct segment {
	size_t size;	     /* bytes in the stream */
	struct span payload; /* in the stream, or in scratch */
	bool self_contained; /* whole envelopes */
};

/* Append a segment of n <= SEGMENT_PAYLOAD_MAX bytes. lz4: the connection was opened with compression. */
void segment_put(const char *payload, size_t n, bool self_contained, bool lz4, struct buf *out);
/* scratch: SEGMENT_PAYLOAD_MAX bytes for an uncompressed payload. */
enum segment_result segment_get(const char *p, size_t n, bool lz4, char *scratch, struct segment *ret);

const char *segment_result_text(enum segment_result r);

uint32_t crc24(uint64_t bytes, int n); /* of the n low bytes, little-endian */
uint32_t crc32_segment(const void *p, size_t n);

/* Whether this program was built with LZ4. */
bool lz4_available(void);
/* Bytes written to out, 0 when they do not fit. */
size_t lz4_pack(const char *p, size_t n, char *out, size_t cap);
/* True when exactly n_out bytes came out. */
bool lz4_unpack(const char *p, size_t n, char *out, size_t n_out);

#endif
