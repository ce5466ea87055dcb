/*
 * csv_index.h: the quote logic over 64 bytes at a time, for every SIMD level; included by the kernel files only.
 *
 * A level gives the masks of a word (bit i = byte i); regions in quotes are the prefix XOR of the quote bits (G.
 * Langdale and D. Lemire, "Parsing gigabytes of JSON per second", VLDB Journal 28, 2019, section 3.1).
 */
#ifndef FORMAT_CSV_INDEX_H
#define FORMAT_CSV_INDEX_H

#include "format/csv_kernel.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

struct word_masks {
	uint64_t sep, quote, nl;
	uint64_t odd; /* NUL bytes, and escape characters where they are not the quote */
};

/* What is left of a word: marks and line ends outside of quotes, doubled quotes, the bytes that break the grammar. */
struct word_marks {
	uint64_t mark, nl, dq, bad;
};

/* A byte behind a closing quote may only be a mark, a quote, or a CR before a line end. */
ALWAYS_INLINE uint64_t text_behind_quote(const struct csv_index *ix, const char *data, size_t at, uint64_t behind)
{
	uint64_t bad = 0;
	for (; behind; behind &= behind - 1) {
		size_t p = at + (size_t)__builtin_ctzll(behind);
		/* the block ends in zero bytes: a CR there belongs to a record that is not complete anyway */
		bool cr = ix->newline == '\n' && data[p] == '\r' && (data[p + 1] == '\n' || data[p + 1] == 0);
		bad |= cr ? 0 : behind & -behind;
	}
	return bad;
}

/* valid: the bytes that exist. With prefix_xor of the level. (Working without asking whether there are quotes at all is
 * no faster on quoted files and slower on others: tried on Zen 4.) */
ALWAYS_INLINE struct word_marks index_word(struct csv_index *ix, const char *data, size_t at, struct word_masks m,
					   uint64_t valid, uint64_t (*prefix_xor)(uint64_t))
{
	uint64_t q = m.quote, any = m.sep | m.nl;
	struct word_marks w = {.bad = m.odd & valid};
	if (__builtin_expect((q | ix->in_quote | ix->after_close) == 0, 1)) {
		w.mark = any;
		w.nl = m.nl;
		ix->after_mark = w.mark >> 63;
		return w;
	}
	uint64_t in = prefix_xor(q) ^ ix->in_quote;
	w.mark = any & ~in;
	w.nl = m.nl & ~in;
	uint64_t open = q & in, close = q & ~in, behind = close << 1 | ix->after_close;
	w.bad |= open & ~(w.mark << 1 | ix->after_mark | behind) & valid;
	w.bad |= text_behind_quote(ix, data, at, behind & ~(w.mark | q) & valid);
	w.dq = open & behind;
	if (ix->escape != ix->quote) {
		w.bad |= w.dq & valid;
		w.dq = 0;
	}
	ix->in_quote = (uint64_t)((int64_t)in >> 63);
	ix->after_close = close >> 63;
	ix->after_mark = w.mark >> 63;
	ix->any_quote = true;
	return w;
}

/* The grammar breaks in this word: what lies before stays. */
ALWAYS_INLINE void index_stop(struct csv_index *ix, size_t at, struct word_marks *w, uint64_t *lines)
{
	unsigned k = (unsigned)__builtin_ctzll(w->bad);
	uint64_t keep = (UINT64_C(1) << k) - 1;
	w->mark &= keep;
	w->nl &= keep;
	w->dq &= keep;
	*lines &= keep;
	ix->bad = at + k;
	ix->at = at + k;
}

ALWAYS_INLINE uint64_t valid_bits(size_t left)
{
	return left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
}

ALWAYS_INLINE void put_bits(uint32_t *list, uint32_t *n, size_t at, uint64_t bits)
{
	for (; bits; bits &= bits - 1)
		list[(*n)++] = (uint32_t)at + (uint32_t)__builtin_ctzll(bits);
}

#endif
