/*
 * csv_avx512.c: 64 bytes as one register with masks for answers; numbers eight records at a time. Needs AVX-512
 * F, BW, VL, DQ, VBMI and VBMI2 (Ice Lake, Zen 4 and later).
 */
/* Instructions for everything below, the inline functions of headers included: no flags are needed. */
#if defined(__clang__)
#pragma clang attribute push(                                                                                          \
    __attribute__((                                                                                                    \
	target("avx2,bmi,bmi2,lzcnt,popcnt,pclmul,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"))),       \
    apply_to = function)
#else
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt,pclmul,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2")
#endif

#include "format/csv_x86.h"

ALWAYS_INLINE __m512i load64(const char *p)
{
	return _mm512_loadu_si512(p);
}

ALWAYS_INLINE __m512i look_up(const uint8_t table[16], __m512i nibbles)
{
	__m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
	return _mm512_shuffle_epi8(t, nibbles);
}

/* True where the 64 bytes at p, seen with the three before them, are no UTF-8. */
ALWAYS_INLINE bool utf8_error(const char *p, __m512i in)
{
	const __m512i low = _mm512_set1_epi8(15);
	__m512i prev1 = load64(p - 1), prev2 = load64(p - 2), prev3 = load64(p - 3);
	__m512i special = look_up(utf8_high1, _mm512_and_si512(_mm512_srli_epi16(prev1, 4), low));
	special = _mm512_and_si512(special, look_up(utf8_low1, _mm512_and_si512(prev1, low)));
	special = _mm512_and_si512(special, look_up(utf8_high2, _mm512_and_si512(_mm512_srli_epi16(in, 4), low)));
	__m512i must = _mm512_or_si512(_mm512_subs_epu8(prev2, _mm512_set1_epi8((char)(0xe0 - 0x80))),
				       _mm512_subs_epu8(prev3, _mm512_set1_epi8((char)(0xf0 - 0x80))));
	must = _mm512_and_si512(must, _mm512_set1_epi8((char)0x80));
	__m512i err = _mm512_xor_si512(must, special);
	return _mm512_test_epi8_mask(err, err) != 0;
}

/* The places of the bits; up to 16 entries are written whatever their number. */
ALWAYS_INLINE void put_many(uint32_t *list, uint32_t *n, __m512i base, uint64_t bits)
{
	const __m512i iota =
	    _mm512_set_epi8(63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41,
			    40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
			    17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	__m512i p = _mm512_maskz_compress_epi8(bits, iota);
	uint32_t *w = list + *n;
	unsigned count = (unsigned)_mm_popcnt_u64(bits);
	_mm512_storeu_si512(w, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(p))));
	if (__builtin_expect(count > 16, 0)) {
		_mm512_storeu_si512(w + 16,
				    _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(p, 1))));
		_mm512_storeu_si512(w + 32,
				    _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(p, 2))));
		_mm512_storeu_si512(w + 48,
				    _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(p, 3))));
	}
	*n += count;
}

ALWAYS_INLINE bool index_one(struct csv_index *ix, const char *data, size_t at, size_t left)
{
	__m512i v = load64(data + at);
	uint64_t valid = left < 64 ? valid_bits(left) : ~UINT64_C(0);
	struct word_masks m = {
	    .sep = _mm512_mask_cmpeq_epi8_mask(valid, v, _mm512_set1_epi8(ix->sep)),
	    .nl = _mm512_mask_cmpeq_epi8_mask(valid, v, _mm512_set1_epi8(ix->newline)),
	    .quote = ix->quotes ? _mm512_mask_cmpeq_epi8_mask(valid, v, _mm512_set1_epi8(ix->quote)) : 0,
	    .odd = _mm512_mask_testn_epi8_mask(valid, v, v),
	};
	if (ix->quotes && ix->escape != ix->quote)
		m.odd |= _mm512_mask_cmpeq_epi8_mask(valid, v, _mm512_set1_epi8(ix->escape));
	uint64_t lines = m.nl;
	struct word_marks w = index_word(ix, data, at, m, valid, prefix_xor);
	uint64_t high = _mm512_movepi8_mask(v);
	if (__builtin_expect((high | ix->high) != 0, 0) && utf8_error(data + at, v) && ix->bad_utf8 == SIZE_MAX)
		ix->bad_utf8 = at;
	ix->high = high >> 61;
	bool stop = w.bad != 0;
	if (__builtin_expect(stop, 0))
		index_stop(ix, at, &w, &lines);
	__m512i base = _mm512_set1_epi32((int)at);
	put_many(ix->mark, &ix->nmark, base, w.mark);
	put_many(ix->nl, &ix->nnl, base, w.nl);
	put_bits(ix->dq, &ix->ndq, at, w.dq);
	ix->lines += (uint64_t)_mm_popcnt_u64(lines);
	return stop;
}

static void index_avx512(struct csv_index *ix, const char *data, size_t end)
{
	struct csv_index local = *ix; /* in registers: nothing else can point to it */
	size_t at = ix->at;
	bool stop = false;
	for (; at < end && !stop; at += 64)
		stop = index_one(&local, data, at, end - at);
	if (!stop)
		local.at = at < end ? at : end;
	*ix = local;
}

/* ---- cells, sixteen records at a time */

struct sixteen {
	__m512i off, end, len;
	__mmask16 null, empty;
};

ALWAYS_INLINE struct sixteen cells16(const uint32_t *before, const uint32_t *end, const uint8_t *quoted, uint32_t left)
{
	__mmask16 live = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
	struct sixteen g;
	g.off = _mm512_add_epi32(_mm512_loadu_si512(before), _mm512_set1_epi32(1));
	g.end = _mm512_loadu_si512(end);
	g.len = _mm512_sub_epi32(g.end, g.off);
	g.empty = 0;
	if (quoted) {
		__m512i q = _mm512_maskz_cvtepu8_epi32(live, _mm_loadu_si128((const __m128i *)(const void *)quoted));
		g.off = _mm512_add_epi32(g.off, q);
		g.end = _mm512_sub_epi32(g.end, q);
		g.len = _mm512_sub_epi32(g.end, g.off);
		g.empty = _mm512_mask_testn_epi32_mask(_mm512_test_epi32_mask(q, q) & live, g.len, g.len);
	}
	g.null = _mm512_mask_testn_epi32_mask(live, g.len, g.len) & (__mmask16)~g.empty;
	return g;
}

ALWAYS_INLINE void put_null(uint8_t *null, __mmask16 m)
{
	_mm_storeu_si128((__m128i *)(void *)null, _mm_maskz_set1_epi8(m, 1));
}

static unsigned texts_avx512(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null)
{
	struct column_ends c;
	column_ends(run, col, &c);
	const __m512i lo = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	const __m512i hi = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
	unsigned nulls = 0, empties = 0;
	for (uint32_t i = 0; i < run->n; i += 16) {
		struct sixteen g = cells16(c.before + i, c.end + i, c.quoted ? c.quoted + i : NULL, run->n - i);
		_mm512_storeu_si512(ref + i, _mm512_permutex2var_epi32(g.off, lo, g.len));
		_mm512_storeu_si512(ref + i + 8, _mm512_permutex2var_epi32(g.off, hi, g.len));
		put_null(null + i, g.null);
		nulls |= g.null;
		empties |= g.empty;
	}
	return (nulls ? CSV_NULL : 0) | (empties ? CSV_EMPTY : 0);
}

static unsigned spans_avx512(const struct csv_run *run, uint32_t col, struct csv_spans s)
{
	struct column_ends c;
	column_ends(run, col, &c);
	unsigned nulls = 0, empties = 0;
	for (uint32_t i = 0; i < run->n; i += 16) {
		struct sixteen g = cells16(c.before + i, c.end + i, c.quoted ? c.quoted + i : NULL, run->n - i);
		_mm512_storeu_si512(s.end + i, g.end);
		_mm512_storeu_si512(s.len + i, g.len);
		put_null(s.null + i, g.null);
		nulls |= g.null;
		empties |= g.empty;
	}
	return (nulls ? CSV_NULL : 0) | (empties ? CSV_EMPTY : 0);
}

/* ---- numbers, eight records at a time: the cell's last bytes right-aligned in 64-bit lanes */

struct eight {
	const uint32_t *end;
	__m512i len;	/* in bits; 0 for nulls */
	__mmask8 empty; /* cells of length 0 that are not null */
	__mmask8 over8, over16;
};

/* Eight cells from row i; those behind n count as null. */
ALWAYS_INLINE struct eight load_eight(struct csv_spans s, uint32_t i, uint32_t n)
{
	struct eight g = {.end = s.end + i};
	__mmask8 live = (__mmask8)(n - i >= 8 ? 0xff : (1u << (n - i)) - 1);
	__m128i nulls = _mm_loadl_epi64((const __m128i *)(const void *)(s.null + i));
	__mmask8 has = (__mmask8)_mm_cmpeq_epi8_mask(nulls, _mm_setzero_si128()) & live;
	__m512i len = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)(s.len + i)));
	len = _mm512_maskz_mov_epi64(has, len);
	g.empty = _mm512_mask_testn_epi64_mask(has, len, len);
	g.over8 = _mm512_cmpgt_epu64_mask(len, _mm512_set1_epi64(8));
	g.over16 = _mm512_cmpgt_epu64_mask(len, _mm512_set1_epi64(16));
	g.len = _mm512_slli_epi64(len, 3);
	return g;
}

ALWAYS_INLINE int64_t word_at(const char *data, uint32_t end, int back)
{
	int64_t x;
	memcpy(&x, data + (int64_t)end - back, 8);
	return x;
}

/* Loads one by one: on Zen 4 a gather of eight costs twice as much. */
ALWAYS_INLINE __m512i words_before(const char *data, const uint32_t *e, int back)
{
	return _mm512_set_epi64(word_at(data, e[7], back), word_at(data, e[6], back), word_at(data, e[5], back),
				word_at(data, e[4], back), word_at(data, e[3], back), word_at(data, e[2], back),
				word_at(data, e[1], back), word_at(data, e[0], back));
}

/* Eight digit values a lane, the most significant in the lowest byte. */
ALWAYS_INLINE __m512i digits8(__m512i z)
{
	__m512i t = _mm512_maddubs_epi16(z, _mm512_set1_epi16(0x010a));
	t = _mm512_madd_epi16(t, _mm512_set1_epi32(0x00010064));
	return _mm512_add_epi64(_mm512_mul_epu32(t, _mm512_set1_epi64(10000)), _mm512_srli_epi64(t, 32));
}

#define MINUS_XOR_0 0x1d /* '-' ^ '0' */

/* Magnitudes and signs of up to 16 characters; *ret_bad when one of them is no digit. */
ALWAYS_INLINE __m512i magnitudes(const char *data, const struct eight *g, __mmask8 *ret_neg, bool *ret_bad)
{
	const __m512i zeros = _mm512_set1_epi8('0'), nine = _mm512_set1_epi8(9), byte = _mm512_set1_epi64(255);
	const __m512i bits = _mm512_set1_epi64(64), minus = _mm512_set1_epi64(MINUS_XOR_0);
	__m512i x = words_before(data, g->end, 8);
	__m512i low_len = _mm512_min_epu64(g->len, bits), shift = _mm512_sub_epi64(bits, low_len);
	/* the cell's first byte in the lowest place; a shift by 64 gives zero */
	__m512i low = _mm512_srlv_epi64(_mm512_xor_si512(x, zeros), shift);
	if (!g->over8) {
		__mmask8 neg = _mm512_cmpeq_epi64_mask(_mm512_and_si512(low, byte), minus);
		low = _mm512_mask_andnot_epi64(low, neg, byte, low);
		__m512i z = _mm512_sllv_epi64(low, shift);
		__mmask8 alone = _mm512_mask_cmpeq_epi64_mask(neg, g->len, _mm512_set1_epi64(8));
		*ret_bad = (_mm512_cmpgt_epu8_mask(z, nine) != 0) | (alone != 0);
		*ret_neg = neg;
		return digits8(z);
	}
	__m512i high_len = _mm512_sub_epi64(g->len, low_len), high_shift = _mm512_sub_epi64(bits, high_len);
	__m512i y = words_before(data, g->end, 16);
	__m512i high = _mm512_srlv_epi64(_mm512_xor_si512(y, zeros), high_shift);
	__m512i first = _mm512_mask_mov_epi64(low, g->over8, high);
	__mmask8 neg = _mm512_cmpeq_epi64_mask(_mm512_and_si512(first, byte), minus);
	low = _mm512_mask_andnot_epi64(low, neg & ~g->over8, byte, low);
	high = _mm512_mask_andnot_epi64(high, neg & g->over8, byte, high);
	__m512i zl = _mm512_sllv_epi64(low, shift), zh = _mm512_sllv_epi64(high, high_shift);
	__mmask8 alone = _mm512_mask_cmpeq_epi64_mask(neg, g->len, _mm512_set1_epi64(8));
	*ret_bad = (_mm512_cmpgt_epu8_mask(_mm512_max_epu8(zl, zh), nine) != 0) | (alone != 0);
	*ret_neg = neg;
	return _mm512_add_epi64(digits8(zl), _mm512_mul_epu32(digits8(zh), _mm512_set1_epi64(100000000)));
}

/* The spans from row i on. */
ALWAYS_INLINE struct csv_spans spans_from(struct csv_spans s, uint32_t i)
{
	return (struct csv_spans){s.end + i, s.len + i, s.null + i};
}

static unsigned i64_avx512(const char *data, struct csv_spans s, uint32_t n, bool is_int, int64_t *out)
{
	bool bad = false;
	for (uint32_t i = 0; i < n; i += 8) {
		struct eight g = load_eight(s, i, n);
		if (__builtin_expect(g.over16 != 0, 0)) {
			for (uint32_t k = i; k < n && k < i + 8; k++)
				bad |= !i64_long(data, s, k, is_int, out);
			continue;
		}
		__mmask8 neg;
		bool wrong;
		__m512i v = magnitudes(data, &g, &neg, &wrong);
		bad |= wrong | (g.empty != 0);
		if (is_int && g.over8) {
			__m512i limit = _mm512_set1_epi64(INT32_MAX);
			limit = _mm512_mask_add_epi64(limit, neg, limit, _mm512_set1_epi64(1));
			bad |= _mm512_cmpgt_epu64_mask(v, limit) != 0;
		}
		v = _mm512_mask_sub_epi64(v, neg, _mm512_setzero_si512(), v);
		_mm512_storeu_si512(out + i, v);
	}
	return bad ? CSV_BAD : 0;
}

/* Eight whole numbers as doubles; false: something else is among them, or not exact. */
ALWAYS_INLINE bool f64_eight(const char *data, struct csv_spans s, uint32_t i, uint32_t n, double *out)
{
	struct eight g = load_eight(s, i, n);
	if (g.over16 | g.empty)
		return false;
	__mmask8 neg;
	bool wrong;
	__m512i v = magnitudes(data, &g, &neg, &wrong);
	if (wrong || _mm512_cmpgt_epu64_mask(v, _mm512_set1_epi64(INT64_C(1) << 53)))
		return false;
	__m512d d = _mm512_cvtepi64_pd(v);
	_mm512_storeu_pd(out + i, _mm512_mask_xor_pd(d, neg, d, _mm512_set1_pd(-0.0)));
	return true;
}

static unsigned f64_avx512(const char *data, struct csv_spans s, uint32_t n, double *out)
{
	bool whole = true; /* as long as all of them are whole numbers */
	for (uint32_t i = 0; i < n; i += 8) {
		whole = whole && f64_eight(data, s, i, n, out);
		if (!whole && f64_cells(data, spans_from(s, i), n - i < 8 ? n - i : 8, out + i))
			return CSV_BAD;
	}
	return 0;
}

const struct csv_kernels csv_kernels_avx512 = {
    .level = SIMD_AVX512,
    .index = index_avx512,
    .columns = columns_x86,
    .texts = texts_avx512,
    .spans = spans_avx512,
    .i64 = i64_avx512,
    .f64 = f64_avx512,
    .date = date_cells,
};

#if defined(__clang__)
#pragma clang attribute pop
#endif
