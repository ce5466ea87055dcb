/*
 * csv_portable.c: the kernels in plain C. Masks are made eight bytes at a time within a register; cells are converted
 * by the functions of record/ that define what a text means, which makes this level the measure of the others.
 */
#include "base/clock.h"
#include "format/csv_index.h"
#include "record/utf8.h"

#include <string.h>

#define ONES UINT64_C(0x0101010101010101)
#define LOW7 UINT64_C(0x7f7f7f7f7f7f7f7f)

/* The high bits of the eight bytes as eight bits; the first byte is the lowest (little endian). */
static uint64_t high_bits(uint64_t x)
{
	return ((x >> 7 & ONES) * UINT64_C(0x0102040810204080)) >> 56;
}

/* High bit set in each byte that is zero, exactly. */
static uint64_t zero_bytes(uint64_t x)
{
	return ~(((x & LOW7) + LOW7) | x | LOW7);
}

static uint64_t load8(const char *p)
{
	uint64_t x = 0;
	for (int i = 7; i >= 0; i--)
		x = x << 8 | (unsigned char)p[i];
	return x;
}

static uint64_t prefix_xor(uint64_t x)
{
	for (int s = 1; s < 64; s *= 2)
		x ^= x << s;
	return x;
}

/* Marks of 64 bytes at p; *ret_high: bytes beyond ASCII. */
static struct word_masks masks_of(const struct csv_index *ix, const char *p, uint64_t *ret_high)
{
	struct word_masks m = {0};
	uint64_t sep = ONES * (unsigned char)ix->sep, nl = ONES * (unsigned char)ix->newline,
		 quote = ONES * (unsigned char)ix->quote, escape = ONES * (unsigned char)ix->escape;
	*ret_high = 0;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t x = load8(p + 8 * i);
		m.sep |= high_bits(zero_bytes(x ^ sep)) << (8 * i);
		m.nl |= high_bits(zero_bytes(x ^ nl)) << (8 * i);
		m.odd |= high_bits(zero_bytes(x)) << (8 * i);
		*ret_high |= high_bits(x) << (8 * i);
		if (!ix->quotes)
			continue;
		m.quote |= high_bits(zero_bytes(x ^ quote)) << (8 * i);
		if (ix->escape != ix->quote)
			m.odd |= high_bits(zero_bytes(x ^ escape)) << (8 * i);
	}
	return m;
}

/* Characters that begin before the word's end, from the one that reaches into it. */
static bool word_is_utf8(const char *data, size_t at)
{
	const char *p = data + at, *end = p + 64;
	for (int back = 0; back < 3 && ((unsigned char)*p & 0xc0) == 0x80; back++)
		p--;
	while (p < end) {
		unsigned k = utf8_step(p, 4);
		if (!k)
			return false;
		p += k;
	}
	return true;
}

static void index_portable(struct csv_index *ix, const char *data, size_t end)
{
	while (ix->at < end) {
		size_t at = ix->at;
		uint64_t valid = valid_bits(end - at), high;
		struct word_masks m = masks_of(ix, data + at, &high);
		m.sep &= valid;
		m.nl &= valid;
		m.quote &= valid;
		uint64_t lines = m.nl;
		struct word_marks w = index_word(ix, data, at, m, valid, prefix_xor);
		if (high && ix->bad_utf8 == SIZE_MAX && !word_is_utf8(data, at))
			ix->bad_utf8 = at;
		ix->at = end - at < 64 ? end : at + 64;
		if (w.bad)
			index_stop(ix, at, &w, &lines);
		put_bits(ix->mark, &ix->nmark, at, w.mark);
		put_bits(ix->nl, &ix->nnl, at, w.nl);
		put_bits(ix->dq, &ix->ndq, at, w.dq);
		ix->lines += (unsigned)__builtin_popcountll(lines);
		if (w.bad)
			return;
	}
}

/* The cell of a column at its marks, without quotes; true when it had some. */
static bool bare_cell(const struct csv_run *run, const uint32_t *m, bool cr, uint32_t *s, uint32_t *e)
{
	*s = m[-1] + 1;
	*e = m[0];
	if (cr && *e > *s && run->data[*e - 1] == '\r')
		(*e)--;
	bool quoted = run->quotes && *e > *s && run->data[*s] == run->quote;
	*s += quoted;
	*e -= quoted;
	return quoted;
}

static unsigned texts_portable(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null)
{
	const uint32_t *m = run->mark + col;
	unsigned flags = 0;
	for (uint32_t i = 0; i < run->n; i++, m += run->ncol) {
		uint32_t s, e;
		bool quoted = bare_cell(run, m, run->cr && col == run->ncol - 1, &s, &e);
		ref[i] = (struct cell_ref){s, e - s};
		null[i] = e == s && !quoted;
		if (e == s)
			flags |= quoted ? CSV_EMPTY : CSV_NULL;
	}
	return flags;
}

static unsigned spans_portable(const struct csv_run *run, uint32_t col, struct csv_spans sp)
{
	const uint32_t *m = run->mark + col;
	unsigned flags = 0;
	for (uint32_t i = 0; i < run->n; i++, m += run->ncol) {
		uint32_t s, e;
		bool quoted = bare_cell(run, m, run->cr && col == run->ncol - 1, &s, &e);
		sp.end[i] = e;
		sp.len[i] = e - s;
		sp.null[i] = e == s && !quoted;
		if (e == s)
			flags |= quoted ? CSV_EMPTY : CSV_NULL;
	}
	return flags;
}

static unsigned i64_portable(const char *data, struct csv_spans s, uint32_t n, bool is_int, int64_t *out)
{
	bool range;
	for (uint32_t i = 0; i < n; i++) {
		out[i] = 0;
		if (!s.null[i] && !parse_i64(data + s.end[i] - s.len[i], s.len[i], &out[i], &range))
			return CSV_BAD;
		if (is_int && (out[i] < INT32_MIN || out[i] > INT32_MAX))
			return CSV_BAD;
	}
	return 0;
}

static unsigned f64_portable(const char *data, struct csv_spans s, uint32_t n, double *out)
{
	bool range;
	for (uint32_t i = 0; i < n; i++) {
		out[i] = 0;
		if (!s.null[i] && !parse_f64(data + s.end[i] - s.len[i], s.len[i], &out[i], &range))
			return CSV_BAD;
	}
	return 0;
}

static unsigned date_portable(const char *data, struct csv_spans s, uint32_t n, int64_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		out[i] = 0;
		if (!s.null[i] && !date_parse(data + s.end[i] - s.len[i], s.len[i], &out[i]))
			return CSV_BAD;
	}
	return 0;
}

const struct csv_kernels csv_kernels_portable = {
    .level = SIMD_PORTABLE,
    .index = index_portable,
    .texts = texts_portable,
    .spans = spans_portable,
    .i64 = i64_portable,
    .f64 = f64_portable,
    .date = date_portable,
};
