/* csv_avx2.c: 64 bytes as two registers of 32; cells one by one. */
/* Instructions for everything below, the inline functions of headers included: no flags are needed. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,pclmul"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt,pclmul")
#endif

#include "format/csv_x86.h"

struct pair {
	__m256i lo, hi;
};

ALWAYS_INLINE __m256i load32(const char *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

ALWAYS_INLINE uint64_t equal(struct pair v, char c)
{
	__m256i x = _mm256_set1_epi8(c);
	uint32_t lo = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v.lo, x));
	uint32_t hi = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v.hi, x));
	return lo | (uint64_t)hi << 32;
}

ALWAYS_INLINE __m256i look_up(const uint8_t table[16], __m256i nibbles)
{
	__m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
	return _mm256_shuffle_epi8(t, nibbles);
}

/* Not zero where the 32 bytes at p, seen with the three before them, are no UTF-8. */
ALWAYS_INLINE __m256i utf8_errors(const char *p)
{
	const __m256i low = _mm256_set1_epi8(15);
	__m256i in = load32(p), prev1 = load32(p - 1), prev2 = load32(p - 2), prev3 = load32(p - 3);
	__m256i special = look_up(utf8_high1, _mm256_and_si256(_mm256_srli_epi16(prev1, 4), low));
	special = _mm256_and_si256(special, look_up(utf8_low1, _mm256_and_si256(prev1, low)));
	special = _mm256_and_si256(special, look_up(utf8_high2, _mm256_and_si256(_mm256_srli_epi16(in, 4), low)));
	__m256i must = _mm256_or_si256(_mm256_subs_epu8(prev2, _mm256_set1_epi8((char)(0xe0 - 0x80))),
				       _mm256_subs_epu8(prev3, _mm256_set1_epi8((char)(0xf0 - 0x80))));
	must = _mm256_and_si256(must, _mm256_set1_epi8((char)0x80));
	return _mm256_xor_si256(must, special);
}

ALWAYS_INLINE void check_utf8(struct csv_index *ix, const char *data, size_t at, struct pair v)
{
	bool high = _mm256_movemask_epi8(_mm256_or_si256(v.lo, v.hi)) != 0;
	if (__builtin_expect(high || ix->high, 0)) {
		__m256i err = _mm256_or_si256(utf8_errors(data + at), utf8_errors(data + at + 32));
		if (!_mm256_testz_si256(err, err) && ix->bad_utf8 == SIZE_MAX)
			ix->bad_utf8 = at;
	}
	ix->high = (uint32_t)_mm256_movemask_epi8(v.hi) >> 29;
}

ALWAYS_INLINE struct word_masks masks_of(const struct csv_index *ix, struct pair v)
{
	struct word_masks m = {.sep = equal(v, ix->sep), .nl = equal(v, ix->newline), .odd = equal(v, 0)};
	if (ix->quotes)
		m.quote = equal(v, ix->quote);
	if (ix->quotes && ix->escape != ix->quote)
		m.odd |= equal(v, ix->escape);
	return m;
}

/* Eight at a time without asking; what is too much is overwritten by the next word. */
ALWAYS_INLINE void put_many(uint32_t *list, uint32_t *n, size_t at, uint64_t bits)
{
	uint32_t *w = list + *n, base = (uint32_t)at;
	unsigned count = (unsigned)_mm_popcnt_u64(bits);
	for (unsigned k = 0; k < count; k += 8)
		for (unsigned j = 0; j < 8; j++) {
			w[k + j] = base + (uint32_t)_tzcnt_u64(bits);
			bits = _blsr_u64(bits);
		}
	*n += count;
}

ALWAYS_INLINE bool index_one(struct csv_index *ix, const char *data, size_t at, size_t left)
{
	struct pair v = {load32(data + at), load32(data + at + 32)};
	struct word_masks m = masks_of(ix, v);
	uint64_t valid = ~UINT64_C(0);
	if (__builtin_expect(left < 64, 0)) {
		valid = valid_bits(left);
		m.sep &= valid;
		m.nl &= valid;
		m.quote &= valid;
	}
	uint64_t lines = m.nl;
	struct word_marks w = index_word(ix, data, at, m, valid, prefix_xor);
	check_utf8(ix, data, at, v);
	bool stop = w.bad != 0;
	if (__builtin_expect(stop, 0))
		index_stop(ix, at, &w, &lines);
	put_many(ix->mark, &ix->nmark, at, w.mark);
	put_bits(ix->nl, &ix->nnl, at, w.nl);
	put_bits(ix->dq, &ix->ndq, at, w.dq);
	ix->lines += (uint64_t)_mm_popcnt_u64(lines);
	return stop;
}

static void index_avx2(struct csv_index *ix, const char *data, size_t end)
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

/* ---- cells, eight records at a time */

struct eight {
	__m256i off, end, len;
	__m256i null, empty; /* all ones where so */
};

ALWAYS_INLINE __m256i load_u32(const uint32_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

ALWAYS_INLINE struct eight cells8(const uint32_t *before, const uint32_t *end, const uint8_t *quoted, uint32_t left)
{
	struct eight g = {.off = _mm256_add_epi32(load_u32(before), _mm256_set1_epi32(1)), .end = load_u32(end)};
	__m256i live = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
	__m256i q = _mm256_setzero_si256();
	if (quoted) {
		q = _mm256_and_si256(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)quoted)),
				     live);
		g.off = _mm256_add_epi32(g.off, q);
		g.end = _mm256_sub_epi32(g.end, q);
	}
	g.len = _mm256_sub_epi32(g.end, g.off);
	__m256i none = _mm256_and_si256(_mm256_cmpeq_epi32(g.len, _mm256_setzero_si256()), live);
	g.empty = _mm256_and_si256(none, _mm256_cmpgt_epi32(q, _mm256_setzero_si256()));
	g.null = _mm256_andnot_si256(g.empty, none);
	return g;
}

ALWAYS_INLINE void put_null(uint8_t *null, __m256i m)
{
	__m128i w = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
	w = _mm_and_si128(_mm_packs_epi16(w, w), _mm_set1_epi8(1));
	_mm_storel_epi64((__m128i *)(void *)null, w);
}

ALWAYS_INLINE void put8(void *out, __m256i v)
{
	_mm256_storeu_si256(out, v);
}

ALWAYS_INLINE bool any_bit(__m256i v)
{
	return !_mm256_testz_si256(v, v);
}

static unsigned texts_avx2(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null)
{
	struct column_ends c;
	column_ends(run, col, &c);
	__m256i nulls = _mm256_setzero_si256(), empties = nulls;
	for (uint32_t i = 0; i < run->n; i += 8) {
		struct eight g = cells8(c.before + i, c.end + i, c.quoted ? c.quoted + i : NULL, run->n - i);
		__m256i lo = _mm256_unpacklo_epi32(g.off, g.len), hi = _mm256_unpackhi_epi32(g.off, g.len);
		put8(ref + i, _mm256_permute2x128_si256(lo, hi, 0x20));
		put8(ref + i + 4, _mm256_permute2x128_si256(lo, hi, 0x31));
		put_null(null + i, g.null);
		nulls = _mm256_or_si256(nulls, g.null);
		empties = _mm256_or_si256(empties, g.empty);
	}
	return (any_bit(nulls) ? CSV_NULL : 0) | (any_bit(empties) ? CSV_EMPTY : 0);
}

static unsigned spans_avx2(const struct csv_run *run, uint32_t col, struct csv_spans s)
{
	struct column_ends c;
	column_ends(run, col, &c);
	__m256i nulls = _mm256_setzero_si256(), empties = nulls;
	for (uint32_t i = 0; i < run->n; i += 8) {
		struct eight g = cells8(c.before + i, c.end + i, c.quoted ? c.quoted + i : NULL, run->n - i);
		put8(s.end + i, g.end);
		put8(s.len + i, g.len);
		put_null(s.null + i, g.null);
		nulls = _mm256_or_si256(nulls, g.null);
		empties = _mm256_or_si256(empties, g.empty);
	}
	return (any_bit(nulls) ? CSV_NULL : 0) | (any_bit(empties) ? CSV_EMPTY : 0);
}

/* ---- numbers, four records at a time: the cell's last bytes right-aligned in 64-bit lanes */

struct four {
	const uint32_t *end;
	__m256i len; /* in bits; 0 for nulls and rows that are not there */
	__m256i has; /* all ones: a value */
	bool over8, over16;
};

ALWAYS_INLINE struct four load_four(struct csv_spans s, uint32_t i, uint32_t n)
{
	struct four g = {.end = s.end + i};
	int32_t nulls, left = (int32_t)(n - i);
	memcpy(&nulls, s.null + i, 4);
	__m256i len = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(const void *)(s.len + i)));
	g.has = _mm256_cmpeq_epi64(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(nulls)), _mm256_setzero_si256());
	if (left < 4)
		g.has = _mm256_and_si256(g.has,
					 _mm256_cmpgt_epi64(_mm256_set1_epi64x(left), _mm256_setr_epi64x(0, 1, 2, 3)));
	len = _mm256_and_si256(len, g.has);
	g.over8 = any_bit(_mm256_cmpgt_epi64(len, _mm256_set1_epi64x(8)));
	g.over16 = g.over8 && any_bit(_mm256_cmpgt_epi64(len, _mm256_set1_epi64x(16)));
	g.len = _mm256_slli_epi64(len, 3);
	return g;
}

ALWAYS_INLINE int64_t word_at(const char *data, uint32_t end, int back)
{
	int64_t x;
	memcpy(&x, data + (int64_t)end - back, 8);
	return x;
}

ALWAYS_INLINE __m256i words_before(const char *data, const uint32_t *e, int back)
{
	return _mm256_set_epi64x(word_at(data, e[3], back), word_at(data, e[2], back), word_at(data, e[1], back),
				 word_at(data, e[0], back));
}

/* Eight digit values a lane, the most significant in the lowest byte. */
ALWAYS_INLINE __m256i digits8(__m256i z)
{
	__m256i t = _mm256_maddubs_epi16(z, _mm256_set1_epi16(0x010a));
	t = _mm256_madd_epi16(t, _mm256_set1_epi32(0x00010064));
	return _mm256_add_epi64(_mm256_mul_epu32(t, _mm256_set1_epi64x(10000)), _mm256_srli_epi64(t, 32));
}

/* Magnitudes of up to 16 characters and where there was a minus; *wrong gathers what is no digit, or no digits at all.
 */
ALWAYS_INLINE __m256i magnitudes(const char *data, const struct four *g, __m256i *ret_neg, __m256i *wrong)
{
	const __m256i zeros = _mm256_set1_epi8('0'), nine = _mm256_set1_epi8(9), byte = _mm256_set1_epi64x(255);
	const __m256i bits = _mm256_set1_epi64x(64), minus = _mm256_set1_epi64x('-' ^ '0');
	__m256i over = _mm256_cmpgt_epi64(g->len, bits);
	__m256i low_len = _mm256_blendv_epi8(g->len, bits, over), shift = _mm256_sub_epi64(bits, low_len);
	__m256i low = _mm256_srlv_epi64(_mm256_xor_si256(words_before(data, g->end, 8), zeros), shift);
	__m256i neg = _mm256_cmpeq_epi64(_mm256_and_si256(low, byte), minus), v;
	if (!g->over8) {
		__m256i z = _mm256_sllv_epi64(_mm256_andnot_si256(_mm256_and_si256(neg, byte), low), shift);
		*wrong = _mm256_or_si256(*wrong, _mm256_subs_epu8(z, nine));
		v = digits8(z);
	} else {
		__m256i high_shift = _mm256_sub_epi64(bits, _mm256_sub_epi64(g->len, low_len));
		__m256i high = _mm256_srlv_epi64(_mm256_xor_si256(words_before(data, g->end, 16), zeros), high_shift);
		neg = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_blendv_epi8(low, high, over), byte), minus);
		__m256i sign = _mm256_and_si256(neg, byte);
		low = _mm256_andnot_si256(_mm256_andnot_si256(over, sign), low);
		high = _mm256_andnot_si256(_mm256_and_si256(over, sign), high);
		__m256i zl = _mm256_sllv_epi64(low, shift), zh = _mm256_sllv_epi64(high, high_shift);
		*wrong = _mm256_or_si256(*wrong, _mm256_subs_epu8(_mm256_max_epu8(zl, zh), nine));
		v = _mm256_add_epi64(digits8(zl), _mm256_mul_epu32(digits8(zh), _mm256_set1_epi64x(100000000)));
	}
	/* the length in bits must be more than that of the sign */
	__m256i none = _mm256_cmpeq_epi64(g->len, _mm256_and_si256(neg, _mm256_set1_epi64x(8)));
	*wrong = _mm256_or_si256(*wrong, _mm256_and_si256(none, g->has));
	*ret_neg = neg;
	return v;
}

static unsigned i64_avx2(const char *data, struct csv_spans s, uint32_t n, bool is_int, int64_t *out)
{
	__m256i wrong = _mm256_setzero_si256();
	bool bad = false;
	for (uint32_t i = 0; i < n; i += 4) {
		struct four g = load_four(s, i, n);
		if (__builtin_expect(g.over16, 0)) {
			for (uint32_t k = i; k < n && k < i + 4; k++)
				bad |= !i64_long(data, s, k, is_int, out);
			continue;
		}
		__m256i neg, v = magnitudes(data, &g, &neg, &wrong);
		if (is_int && g.over8) {
			__m256i limit = _mm256_sub_epi64(_mm256_set1_epi64x(INT32_MAX), neg);
			wrong = _mm256_or_si256(wrong, _mm256_cmpgt_epi64(v, limit));
		}
		v = _mm256_sub_epi64(_mm256_xor_si256(v, neg), neg);
		_mm256_storeu_si256((__m256i *)(void *)(out + i), v);
	}
	return bad || any_bit(wrong) ? CSV_BAD : 0;
}

/* Four whole numbers below 2^52 as doubles (the bits of 2^52 before them make them one); false: something else. */
ALWAYS_INLINE bool f64_four(const char *data, struct csv_spans s, uint32_t i, uint32_t n, double *out)
{
	struct four g = load_four(s, i, n);
	__m256i neg, wrong = _mm256_setzero_si256(), v;
	if (g.over16)
		return false;
	v = magnitudes(data, &g, &neg, &wrong);
	wrong = _mm256_or_si256(wrong, _mm256_srli_epi64(v, 52));
	if (any_bit(wrong))
		return false;
	const __m256i two52 = _mm256_set1_epi64x(INT64_C(0x4330000000000000));
	__m256d d = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(v, two52)), _mm256_castsi256_pd(two52));
	__m256i sign = _mm256_slli_epi64(neg, 63);
	_mm256_storeu_pd(out + i, _mm256_xor_pd(d, _mm256_castsi256_pd(sign)));
	return true;
}

static unsigned f64_avx2(const char *data, struct csv_spans s, uint32_t n, double *out)
{
	bool whole = true; /* as long as all of them are whole numbers */
	for (uint32_t i = 0; i < n; i += 4) {
		struct csv_spans rest = {s.end + i, s.len + i, s.null + i};
		whole = whole && f64_four(data, s, i, n, out);
		if (!whole && f64_cells(data, rest, n - i < 4 ? n - i : 4, out + i))
			return CSV_BAD;
	}
	return 0;
}

const struct csv_kernels csv_kernels_avx2 = {
    .level = SIMD_AVX2,
    .index = index_avx2,
    .columns = columns_x86,
    .texts = texts_avx2,
    .spans = spans_avx2,
    .i64 = i64_avx2,
    .f64 = f64_avx2,
    .date = date_cells,
};

#if defined(__clang__)
#pragma clang attribute pop
#endif
