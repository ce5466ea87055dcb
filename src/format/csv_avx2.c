/* csv_avx2.c: 64 bytes as two registers of 32; cells one by one. Compiled with AVX2, BMI and PCLMUL. */
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
	if (__builtin_expect(high | ix->high, 0)) {
		__m256i err = _mm256_or_si256(utf8_errors(data + at), utf8_errors(data + at + 32));
		if (!_mm256_testz_si256(err, err) && ix->bad_utf8 == SIZE_MAX)
			ix->bad_utf8 = at;
	}
	ix->high = high;
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
	struct csv_index local = *ix;   /* in registers: nothing else can point to it */
	size_t at = ix->at;
	bool stop = false;
	for (; at < end && !stop; at += 64)
		stop = index_one(&local, data, at, end - at);
	if (!stop)
		local.at = at < end ? at : end;
	*ix = local;
}

/* One cell of a column: *s and *len become the text within quotes. */
ALWAYS_INLINE unsigned cell_flags(uint32_t len, uint32_t q, uint8_t *null)
{
	unsigned none = len == 0;
	*null = (uint8_t)(none & ~q);
	return (none & ~q) | (none & q) << 1;   /* CSV_NULL, CSV_EMPTY */
}

static unsigned texts_avx2(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null)
{
	const uint32_t *before = ends_before(run, col), *end = ends_of(run, col);
	uint32_t trimmed[CSV_RUN_MAX + CSV_ROW_SLACK];
	unsigned flags = 0;
	if (run->cr && col == run->ncol - 1) {
		without_cr(run, before, end, trimmed);
		end = trimmed;
	}
	for (uint32_t i = 0; i < run->n; i++) {
		uint32_t s = before[i] + 1, q = run->quotes && run->data[s] == run->quote, len = end[i] - s - 2 * q;
		ref[i] = (struct cell_ref){s + q, len};
		flags |= cell_flags(len, q, &null[i]);
	}
	return flags;
}

static unsigned spans_avx2(const struct csv_run *run, uint32_t col, struct csv_spans sp)
{
	const uint32_t *before = ends_before(run, col), *end = ends_of(run, col);
	uint32_t trimmed[CSV_RUN_MAX + CSV_ROW_SLACK];
	unsigned flags = 0;
	if (run->cr && col == run->ncol - 1) {
		without_cr(run, before, end, trimmed);
		end = trimmed;
	}
	for (uint32_t i = 0; i < run->n; i++) {
		uint32_t s = before[i] + 1, q = run->quotes && run->data[s] == run->quote, len = end[i] - s - 2 * q;
		sp.end[i] = end[i] - q;
		sp.len[i] = len;
		flags |= cell_flags(len, q, &sp.null[i]);
	}
	return flags;
}

static unsigned i64_avx2(const char *data, struct csv_spans s, uint32_t n, bool is_int, int64_t *out)
{
	return is_int ? i64_cells(data, s, n, true, out) : i64_cells(data, s, n, false, out);
}

static unsigned f64_avx2(const char *data, struct csv_spans s, uint32_t n, double *out)
{
	return f64_cells(data, s, n, out);
}

const struct csv_kernels csv_kernels_avx2 = {
	.level = SIMD_AVX2, .index = index_avx2, .columns = columns_x86, .texts = texts_avx2, .spans = spans_avx2,
	.i64 = i64_avx2, .f64 = f64_avx2, .date = date_cells,
};
