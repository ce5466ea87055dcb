/*
 * csv_x86.h: what the AVX2 and AVX-512 kernels share: one cell at a time in a 128-bit register. Included by those two
 * files only, which are compiled with different instructions.
 *
 * Digits: sixteen digit values become a number by three multiply-adds (W. Mula, "SIMD-ized parsing of integers", 2014).
 * Loads may reach up to 16 bytes before a cell and behind it; blocks have BLOCK_PAD bytes around them.
 */
#ifndef FORMAT_CSV_X86_H
#define FORMAT_CSV_X86_H

#include "base/clock.h"
#include "format/csv_index.h"
#include "record/number.h"

#include <immintrin.h>
#include <string.h>

ALWAYS_INLINE uint64_t prefix_xor(uint64_t x)
{
	__m128i v = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)x), _mm_set1_epi8(-1), 0);
	return (uint64_t)_mm_cvtsi128_si64(v);
}

/* Sixteen digit values, the most significant first. */
ALWAYS_INLINE uint64_t digits16(__m128i v)
{
	v = _mm_maddubs_epi16(v, _mm_set1_epi16(0x010a));
	v = _mm_madd_epi16(v, _mm_set1_epi32(0x00010064));
	v = _mm_packus_epi32(v, v);
	v = _mm_madd_epi16(v, _mm_set1_epi32(0x00012710));
	uint64_t x = (uint64_t)_mm_cvtsi128_si64(v);
	return (x & 0xffffffff) * 100000000u + (x >> 32);
}

/* keep_last[16 - n ...]: a mask of the last n bytes. */
static const uint8_t keep_table[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				       255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

ALWAYS_INLINE __m128i keep_last(uint32_t n)
{
	return _mm_loadu_si128((const __m128i *)(const void *)(keep_table + n));
}

ALWAYS_INLINE bool any_above_9(__m128i v)
{
	__m128i over = _mm_subs_epu8(v, _mm_set1_epi8(9));
	return !_mm_testz_si128(over, over);
}

/* One integer of a cell that is not null; false: look again (or 17 digits and more, or a plus sign). */
ALWAYS_INLINE bool i64_one(const char *data, struct cell_ref c, uint64_t limit, int64_t *out)
{
	uint32_t neg = c.len && data[c.off] == '-', len = c.len - neg;
	if (__builtin_expect(len - 1 > 15, 0)) {
		bool range;
		return parse_i64(data + c.off, c.len, out, &range) && limit == INT64_MAX;
	}
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(data + (int64_t)c.off + c.len - 16));
	x = _mm_and_si128(_mm_sub_epi8(x, _mm_set1_epi8('0')), keep_last(len));
	uint64_t v = digits16(x);
	*out = (int64_t)((v ^ -(uint64_t)neg) + neg);
	return !any_above_9(x) && v <= limit + neg;
}

/* dot_shuffle[t]: takes byte t out and moves those before it one up. */
ALWAYS_INLINE __m128i without_byte(__m128i x, unsigned t)
{
	const __m128i iota = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m128i up = _mm_cmpgt_epi8(iota, _mm_set1_epi8((char)t));
	/* index i where i > t, else i - 1; -1 gives zero */
	return _mm_shuffle_epi8(x, _mm_sub_epi8(iota, _mm_andnot_si128(up, _mm_set1_epi8(1))));
}

/* One double of at most 16 characters without exponent, by Clinger's exact case; false: parse_f64. */
ALWAYS_INLINE bool f64_one(const char *data, struct cell_ref c, double *out)
{
	uint32_t neg = c.len && data[c.off] == '-', len = c.len - neg;
	if (len - 1 > 15)
		return false;
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(data + (int64_t)c.off + c.len - 16));
	__m128i keep = keep_last(len);
	unsigned dots = (unsigned)_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('.')), keep));
	unsigned frac = 0;
	x = _mm_and_si128(_mm_sub_epi8(x, _mm_set1_epi8('0')), keep);
	if (dots) {
		unsigned t = 31 - (unsigned)__builtin_clz(dots);
		frac = 15 - t;
		x = without_byte(x, t);
		if (len == 1)
			return false;
	}
	uint64_t v = digits16(x);
	if (any_above_9(x) || v > UINT64_C(1) << 53)
		return false;
	double d = (double)(int64_t)v / pow10_exact[frac];
	*out = neg ? -d : d;
	return true;
}

/* "YYYY-MM-DD": digits less '0' and dashes less '-' are small numbers, in bytes 0-9 of two words. */
ALWAYS_INLINE bool date_one(const char *p, int64_t *out)
{
	uint64_t a, t;
	uint16_t b;
	memcpy(&a, p, 8);
	memcpy(&b, p + 8, 2);
	t = a ^ UINT64_C(0x2d30302d30303030);
	unsigned e = b ^ 0x3030u;
	/* digits at most 9, dashes exactly */
	uint64_t over = (t + UINT64_C(0x0076760076767676)) | t;
	if ((over & UINT64_C(0x8080808080808080)) || (t & UINT64_C(0xff0000ff00000000)) ||
	    (((e + 0x7676u) | e) & 0x8080u))
		return false;
	unsigned y = (unsigned)((t & 15) * 1000 + (t >> 8 & 15) * 100 + (t >> 16 & 15) * 10 + (t >> 24 & 15));
	unsigned m = (unsigned)((t >> 40 & 15) * 10 + (t >> 48 & 15));
	unsigned d = (e & 15) * 10 + (e >> 8 & 15);
	if (!date_valid(y, m, d))
		return false;
	*out = days_from_civil(y, m, d);
	return true;
}

ALWAYS_INLINE unsigned date_column(const char *data, const struct cell_ref *ref, const uint8_t *null, uint32_t n,
				   int64_t *out)
{
	char last[10] = "";
	int64_t days = 0;
	for (uint32_t i = 0; i < n; i++) {
		const char *p = data + ref[i].off;
		out[i] = 0;
		if (null[i])
			continue;
		if (ref[i].len != 10)
			return CSV_BAD;
		/* files are often in the order of their dates */
		if (memcmp(p, last, 10) != 0) {
			if (!date_one(p, &days))
				return CSV_BAD;
			memcpy(last, p, 10);
		}
		out[i] = days;
	}
	return 0;
}

ALWAYS_INLINE unsigned f64_cells(const char *data, const struct cell_ref *ref, const uint8_t *null, uint32_t n, double *out)
{
	bool range;
	for (uint32_t i = 0; i < n; i++) {
		if (null[i])
			out[i] = 0;
		else if (!f64_one(data, ref[i], &out[i]) && !parse_f64(data + ref[i].off, ref[i].len, &out[i], &range))
			return CSV_BAD;
	}
	return 0;
}

ALWAYS_INLINE unsigned i64_cells(const char *data, const struct cell_ref *ref, const uint8_t *null, uint32_t n, bool is_int,
				 int64_t *out)
{
	uint64_t limit = is_int ? INT32_MAX : INT64_MAX;
	bool ok = true;
	for (uint32_t i = 0; i < n; i++) {
		if (null[i])
			out[i] = 0;
		else
			ok &= i64_one(data, ref[i], limit, &out[i]);
	}
	return ok ? 0 : CSV_BAD;
}

/* cells() with what is constant for the run and column taken out of the loop. */
ALWAYS_INLINE unsigned cells_loop(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null, bool quotes,
				  bool cr)
{
	const uint32_t *m = run->mark + col;
	unsigned nulls = 0, empties = 0;
	for (uint32_t i = 0; i < run->n; i++, m += run->ncol) {
		uint32_t s = m[-1] + 1, e = m[0], q = 0;
		if (cr)
			e -= e > s && run->data[e - 1] == '\r';
		if (quotes) {
			q = e > s && run->data[s] == run->quote;
			s += q;
			e -= q;
		}
		ref[i] = (struct cell_ref){s, e - s};
		unsigned none = e == s;
		null[i] = (uint8_t)(none & ~q);
		nulls |= none & ~q;
		empties |= none & q;
	}
	return (nulls ? CSV_NULL : 0) | (empties ? CSV_EMPTY : 0);
}

ALWAYS_INLINE unsigned cells_column(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null)
{
	if (run->cr && col == run->ncol - 1)
		return cells_loop(run, col, ref, null, run->quotes, true);
	return run->quotes ? cells_loop(run, col, ref, null, true, false) : cells_loop(run, col, ref, null, false, false);
}

/*
 * UTF-8 over 32 bytes (J. Keiser and D. Lemire, "Validating UTF-8 in less than one instruction per byte", Software:
 * Practice and Experience 51, 2021): three lookups by nibble whose AND is not zero where two bytes cannot follow each
 * other, XOR where a third or fourth byte must be a continuation. The names of the errors are the paper's.
 */
enum utf8_error {
	TOO_SHORT = 1, TOO_LONG = 2, OVERLONG_3 = 4, TOO_LARGE = 8, SURROGATE = 16, OVERLONG_2 = 32,
	TOO_LARGE_1000 = 64, OVERLONG_4 = 64, TWO_CONTS = 128, CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
};

static const uint8_t utf8_high1[16] = {
	TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
	TWO_CONTS, TWO_CONTS, TWO_CONTS, TWO_CONTS, TOO_SHORT | OVERLONG_2, TOO_SHORT,
	TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
};
static const uint8_t utf8_low1[16] = {
	CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | TOO_LARGE,
	CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
	CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
	CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
	CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE, CARRY | TOO_LARGE | TOO_LARGE_1000,
	CARRY | TOO_LARGE | TOO_LARGE_1000,
};
static const uint8_t utf8_high2[16] = {
	TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
	TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
	TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE, TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
	TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};

#endif
