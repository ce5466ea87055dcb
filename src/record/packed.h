/*
 * packed.h: one typed record as one run of bytes, for sorting on disk and for sinks.
 *
 * Layout (native byte order; never leaves the machine): struct packed_row, then the key, then the values.
 *   key:    memcmp order equals the key's order. STORE_I64: 8 bytes big-endian with the sign flipped; STORE_F64: the
 *           IEEE bits made monotone (-0.0 is 0.0); text and bytes: their bytes, 0x00 as 0x00 0xff, then 0x00 0x01.
 *           Null never occurs. A table without primary key has an empty key.
 *   nulls:  (nfields + 7) / 8 bytes, bit f set = null
 *   values: per field in order: STORE_I64 and STORE_F64 8 bytes; text: uint32 length, bytes, no NUL. Nothing for null,
 *           and nothing for what the key holds as it is: a key field comes again only when its text has a 0x00.
 * Sizes are multiples of 8 so that rows can lie one behind the other.
 */
#ifndef RECORD_PACKED_H
#define RECORD_PACKED_H

#include "record/batch.h"

struct packed_row {
	uint32_t size; /* all of it, a multiple of 8 */
	uint32_t key_len;
	uint64_t row;	 /* record number in the file, from 1 */
	uint8_t bytes[]; /* key, nulls, values */
};

#define PACKED_ROW_MAX (64u << 20)

/* Which fields make the key, in key order. */
struct packed_plan {
	const struct schema *schema;
	const uint32_t *key; /* field indexes */
	uint32_t nkey;	     /* 0: append */
};

/* Bytes that row r of b will need, and of them the key's. */
size_t packed_size(const struct packed_plan *p, const struct batch *b, uint32_t r, size_t *ret_key_len);
/* Write it (out has packed_size bytes, 8-aligned). */
void packed_write(const struct packed_plan *p, const struct batch *b, uint32_t r, struct packed_row *out);

/* memcmp of the keys, the shorter first; then nothing (callers break ties by row). */
int packed_compare(const struct packed_row *a, const struct packed_row *b);

/* All values: v[nfields]. Text points into the row. */
void packed_read(const struct packed_plan *p, const struct packed_row *r, struct value *v);

#endif
