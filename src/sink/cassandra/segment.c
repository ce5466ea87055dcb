/*
 * segment.c: see segment.h. Header without compression: 17 bits payload length, 1 bit self-contained, 6 bits padding;
 * with LZ4: 17 bits length as sent, 17 bits length before, 1 bit self-contained, 5 bits padding; then CRC24. A length
 * before of 0 says that the payload was not compressed. All little-endian.
 */
#include "sink/cassandra/segment.h"

#include <stdlib.h>
#include <string.h>

#define CRC24_START 0x875060u
#define CRC24_POLYNOMIAL 0x1974F0Bu
#define CRC32_POLYNOMIAL 0xEDB88320u
#define LZ4_LEAST 512u /* shorter payloads go as they are */

uint32_t crc24(uint64_t bytes, int n)
{
	uint32_t crc = CRC24_START;
	for (int i = 0; i < n; i++) {
		crc ^= (uint32_t)(bytes & 255) << 16;
		bytes >>= 8;
		for (int bit = 0; bit < 8; bit++) {
			crc <<= 1;
			if (crc & 0x1000000)
				crc ^= CRC24_POLYNOMIAL;
		}
	}
	return crc;
}

/* Slicing by 8 (Intel, 2006). The table is computed once, before main. */
static uint32_t table[8][256];

__attribute__((constructor)) static void table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? CRC32_POLYNOMIAL ^ (c >> 1) : c >> 1;
		table[0][i] = c;
	}
	for (int i = 0; i < 256; i++) {
		for (int k = 1; k < 8; k++)
			table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 255];
	}
}

static uint32_t crc32_add(uint32_t c, const uint8_t *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		v ^= c;
		c = table[7][v & 255] ^ table[6][v >> 8 & 255] ^ table[5][v >> 16 & 255] ^ table[4][v >> 24 & 255] ^
		    table[3][v >> 32 & 255] ^ table[2][v >> 40 & 255] ^ table[1][v >> 48 & 255] ^ table[0][v >> 56];
	}
	while (n--)
		c = (c >> 8) ^ table[0][(c ^ *p++) & 255];
	return c;
}

uint32_t crc32_segment(const void *p, size_t n)
{
	static const uint8_t start[4] = {0xfa, 0x2d, 0x55, 0xca}; /* the protocol's initial bytes */
	return ~crc32_add(crc32_add(~0u, start, sizeof start), p, n);
}

static uint64_t little(const char *p, int n)
{
	uint64_t v = 0;
	for (int i = n; i-- > 0;)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

static char *put_little(char *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++, v >>= 8)
		*p++ = (char)(v & 255);
	return p;
}

/* Header, CRC24, payload, CRC32. */
static void put(uint64_t head, int head_len, const char *payload, size_t n, struct buf *out)
{
	if (!buf_reserve(out, n + (size_t)head_len + 7))
		return;
	char *w = out->p + out->n;
	w = put_little(w, head, head_len);
	w = put_little(w, crc24(head, head_len), 3);
	memcpy(w, payload, n);
	w = put_little(w + n, crc32_segment(payload, n), 4);
	*w = 0;
	out->n = (size_t)(w - out->p);
}

void segment_put(const char *payload, size_t n, bool self_contained, bool lz4, struct buf *out)
{
	uint64_t self = self_contained;
	if (!lz4) {
		put((uint64_t)n | self << 17, 3, payload, n, out);
		return;
	}
	char *packed = n >= LZ4_LEAST ? malloc(n) : NULL; /* without memory it goes as it is */
	size_t m = packed ? lz4_pack(payload, n, packed, n - 1) : 0;
	if (m)
		put((uint64_t)m | (uint64_t)n << 17 | self << 34, 5, packed, m, out);
	else
		put((uint64_t)n | self << 34, 5, payload, n, out);
	free(packed);
}

enum segment_result segment_get(const char *p, size_t n, bool lz4, char *scratch, struct segment *ret)
{
	int head_len = lz4 ? 5 : 3;
	if (n < (size_t)head_len + 3)
		return SEGMENT_MORE;
	uint64_t head = little(p, head_len);
	if (crc24(head, head_len) != little(p + head_len, 3))
		return SEGMENT_BAD_HEAD;
	size_t len = head & 0x1ffff, plain = lz4 ? head >> 17 & 0x1ffff : 0;
	const char *payload = p + head_len + 3;
	size_t size = (size_t)head_len + 3 + len + 4;
	if (n < size)
		return SEGMENT_MORE;
	if (crc32_segment(payload, len) != (uint32_t)little(payload + len, 4))
		return SEGMENT_BAD_DATA;
	if (plain && !lz4_unpack(payload, len, scratch, plain))
		return SEGMENT_BAD_LZ4;
	ret->size = size;
	ret->payload = plain ? (struct span){scratch, plain} : (struct span){payload, len};
	ret->self_contained = head >> (lz4 ? 34 : 17) & 1;
	return SEGMENT_OK;
}

const char *segment_result_text(enum segment_result r)
{
	static const char *const text[] = {"fine", "cut short", "a segment's header has a wrong checksum",
					   "a segment's payload has a wrong checksum",
					   "a segment's payload is no LZ4 block of its length"};
	return text[r];
}
