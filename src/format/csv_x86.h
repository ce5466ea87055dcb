/*
 * csv_x86.h: what the AVX2 and AVX-512 kernels share: one cell at a time in a 128-bit register. Included by those two
 * files only, which are compiled with different instructions.
 *
 * Digits: sixteen digit values become a number by three multiply-adds (W. Mula, "SIMD-ized parsing of integers", 2014).
 * Loads may reach up to 16 bytes before a cell and behind it; blocks have BLOCK_PAD bytes around them.
 */
#ifndef FORMAT_CSV_X86_H
#define FORMAT_CSV_X86_H

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

/* The last n of 16 bytes. */
static const uint8_t keep_table[32] = {0,   0,	 0,   0,   0,	0,   0,	  0,   0,   0,	 0,   0,   0,	0,   0,	  0,
				       255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

ALWAYS_INLINE __m128i keep_last(uint32_t n)
{
	return _mm_loadu_si128((const __m128i *)(const void *)(keep_table + n));
}

/* The 16 bytes before end. */
ALWAYS_INLINE __m128i tail16(const char *data, uint32_t end)
{
	return _mm_loadu_si128((const __m128i *)(const void *)(data + (int64_t)end - 16));
}

/* How far the bytes are above 9. */
ALWAYS_INLINE __m128i above_9(__m128i v)
{
	return _mm_subs_epu8(v, _mm_set1_epi8(9));
}

ALWAYS_INLINE bool is_zero(__m128i v)
{
	return _mm_testz_si128(v, v);
}

/* One integer of any length. */
static __attribute__((noinline)) bool i64_long(const char *data, struct csv_spans s, uint32_t i, bool is_int,
					       int64_t *out)
{
	bool range;
	out[i] = 0;
	if (s.null[i])
		return true;
	return parse_i64(data + s.end[i] - s.len[i], s.len[i], &out[i], &range) &&
	       !(is_int && (out[i] < INT32_MIN || out[i] > INT32_MAX));
}

/* Without byte t: those before it move one up, a zero comes in. */
ALWAYS_INLINE __m128i without_byte(__m128i x, unsigned t)
{
	const __m128i iota = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m128i behind = _mm_cmpgt_epi8(iota, _mm_set1_epi8((char)t));
	return _mm_shuffle_epi8(x, _mm_sub_epi8(iota, _mm_andnot_si128(behind, _mm_set1_epi8(1))));
}

/* One double of at most 16 characters without exponent, by Clinger's exact case; false: parse_f64. */
ALWAYS_INLINE bool f64_one(const char *data, uint32_t end, uint32_t len, double *out)
{
	uint32_t neg = len && data[end - len] == '-';
	len -= neg;
	if (len - 1 > 15)
		return false;
	__m128i x = tail16(data, end), keep = keep_last(len);
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
	if (!is_zero(above_9(x)) || v > UINT64_C(1) << 53)
		return false;
	double d = (double)(int64_t)v / pow10_exact[frac];
	*out = neg ? -d : d;
	return true;
}

ALWAYS_INLINE unsigned f64_cells(const char *data, struct csv_spans s, uint32_t n, double *out)
{
	bool range;
	for (uint32_t i = 0; i < n; i++) {
		if (s.null[i])
			out[i] = 0;
		else if (!f64_one(data, s.end[i], s.len[i], &out[i]) &&
			 !parse_f64(data + s.end[i] - s.len[i], s.len[i], &out[i], &range))
			return CSV_BAD;
	}
	return 0;
}

/* days_from_civil for four-digit years, in 32 bits and in line; false when the calendar has no such day. */
ALWAYS_INLINE bool days_of(unsigned y, unsigned m, unsigned d, int64_t *out)
{
	static const uint8_t length[16] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
	if (d == 0 || m > 12 || d > length[m] + (m == 2 && leap ? 1u : 0u))
		return false;
	/* years begin in March, 400 of them are added to stay above zero */
	unsigned year = y + 400 - (m <= 2), day = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	*out = (int64_t)(year * 365 + year / 4 - year / 100 + year / 400 + day) - (719468 + 146097);
	return true;
}

/* "YYYY-MM-DD": XOR with "0000-00-" and "00" leaves digits as small numbers and dashes as zero. */
ALWAYS_INLINE bool date_one(const char *p, int64_t *out)
{
	uint64_t a, t;
	uint16_t b;
	memcpy(&a, p, 8);
	memcpy(&b, p + 8, 2);
	t = a ^ UINT64_C(0x2d30302d30303030);
	unsigned e = b ^ 0x3030u;
	uint64_t over = (t + UINT64_C(0x0076760076767676)) | t;
	if ((over & UINT64_C(0x8080808080808080)) || (t & UINT64_C(0xff0000ff00000000)) ||
	    (((e + 0x7676u) | e) & 0x8080u))
		return false;
	unsigned y = (unsigned)((t & 15) * 1000 + (t >> 8 & 15) * 100 + (t >> 16 & 15) * 10 + (t >> 24 & 15));
	unsigned m = (unsigned)((t >> 40 & 15) * 10 + (t >> 48 & 15));
	unsigned d = (e & 15) * 10 + (e >> 8 & 15);
	return days_of(y, m, d, out);
}

static unsigned date_cells(const char *data, struct csv_spans s, uint32_t n, int64_t *out)
{
	char last[10] = "";
	int64_t days = 0;
	for (uint32_t i = 0; i < n; i++) {
		const char *p = data + s.end[i] - s.len[i];
		out[i] = 0;
		if (s.null[i])
			continue;
		if (s.len[i] != 10)
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

/* ---- marks, record by record, to ends, column by column */

ALWAYS_INLINE __m256i load_marks(const uint32_t *m)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)m);
}

/* Eight records' marks of up to eight columns, as an 8 x 8 transposition. */
ALWAYS_INLINE void turn_8x8(const uint32_t *m, uint32_t ncol, uint32_t *out, size_t stride, uint32_t width)
{
	__m256i a[8], b[8];
	for (unsigned i = 0; i < 8; i++)
		a[i] = load_marks(m + (size_t)i * ncol);
	for (unsigned i = 0; i < 8; i += 2) {
		b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
		b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
	}
	for (unsigned i = 0; i < 8; i += 4) {
		a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
		a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
		a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
		a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
	}
	for (unsigned i = 0; i < 4; i++) {
		b[i] = _mm256_permute2x128_si256(a[i], a[i + 4], 0x20);
		b[i + 4] = _mm256_permute2x128_si256(a[i], a[i + 4], 0x31);
	}
	for (uint32_t i = 0; i < 8 && i < width; i++)
		_mm256_storeu_si256((__m256i *)(void *)(out + i * stride), b[i]);
}

/* The index lists have CSV_INDEX_SLACK behind them, so that eight columns may be loaded where fewer are left. */
static void columns_x86(const struct csv_run *run)
{
	uint32_t n = run->n, ncol = run->ncol, whole = n & ~7u;
	for (uint32_t r = 0; r < whole; r += 8)
		for (uint32_t c = 0; c < ncol; c += 8)
			turn_8x8(run->mark + (size_t)r * ncol + c, ncol, run->ends + c * run->stride + r, run->stride,
				 ncol - c);
	for (uint32_t c = 0; c < ncol; c++) {
		uint32_t *out = run->ends + c * run->stride;
		for (uint32_t r = whole; r < n; r++)
			out[r] = run->mark[(size_t)r * ncol + c];
		/* kernels read ahead: zero is a place that can be read */
		for (uint32_t r = n; r < n + CSV_ROW_SLACK; r++)
			out[r] = 0;
	}
	/* before the first record's last mark: where the record before ended */
	uint32_t *last = run->ends + (ncol - 1) * run->stride;
	last[-1] = run->mark[-1];
}

/* Where the cells of a column end, and where those of the column before it did. */
ALWAYS_INLINE const uint32_t *ends_of(const struct csv_run *run, uint32_t col)
{
	return run->ends + (size_t)col * run->stride;
}

ALWAYS_INLINE const uint32_t *ends_before(const struct csv_run *run, uint32_t col)
{
	return col ? ends_of(run, col - 1) : ends_of(run, run->ncol - 1) - 1;
}

/* Which cells begin with a quote: 0 or 1 each, and some more. */
ALWAYS_INLINE void quoted_cells(const struct csv_run *run, const uint32_t *before, uint8_t *quoted)
{
	for (uint32_t i = 0; i < run->n; i++)
		quoted[i] = run->data[before[i] + 1] == run->quote;
}

/* The last column of lines that may end in CR LF: that CR is no part of the cell. */
ALWAYS_INLINE void without_cr(const struct csv_run *run, const uint32_t *before, const uint32_t *end, uint32_t *out)
{
	for (uint32_t i = 0; i < run->n; i++)
		out[i] = end[i] - (end[i] > before[i] + 1 && run->data[end[i] - 1] == '\r');
	for (uint32_t i = run->n; i < run->n + CSV_ROW_SLACK; i++)
		out[i] = 0;
}

/* What a kernel needs of a column. */
struct column_ends {
	const uint32_t *before, *end;
	const uint8_t *quoted; /* NULL: none is */
	uint32_t trimmed[CSV_RUN_MAX + CSV_ROW_SLACK];
	uint8_t flags[CSV_RUN_MAX + CSV_ROW_SLACK];
};

ALWAYS_INLINE void column_ends(const struct csv_run *run, uint32_t col, struct column_ends *c)
{
	c->before = ends_before(run, col);
	c->end = ends_of(run, col);
	c->quoted = NULL;
	if (run->quotes) {
		quoted_cells(run, c->before, c->flags);
		c->quoted = c->flags;
	}
	if (run->cr && col == run->ncol - 1) {
		without_cr(run, c->before, c->end, c->trimmed);
		c->end = c->trimmed;
	}
}

/*
 * UTF-8 over 32 bytes (J. Keiser and D. Lemire, "Validating UTF-8 in less than one instruction per byte", Software:
 * Practice and Experience 51, 2021): three lookups by nibble whose AND is not zero where two bytes cannot follow each
 * other, XOR where a third or fourth byte must be a continuation. The names of the errors are the paper's.
 */
enum utf8_error {
	TOO_SHORT = 1,
	TOO_LONG = 2,
	OVERLONG_3 = 4,
	TOO_LARGE = 8,
	SURROGATE = 16,
	OVERLONG_2 = 32,
	TOO_LARGE_1000 = 64,
	OVERLONG_4 = 64,
	TWO_CONTS = 128,
	CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
};

static const uint8_t utf8_high1[16] = {
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TWO_CONTS,
    TWO_CONTS,
    TWO_CONTS,
    TWO_CONTS,
    TOO_SHORT | OVERLONG_2,
    TOO_SHORT,
    TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
};
static const uint8_t utf8_low1[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4,
    CARRY | OVERLONG_2,
    CARRY,
    CARRY,
    CARRY | TOO_LARGE,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
};
static const uint8_t utf8_high2[16] = {
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
};

#endif
