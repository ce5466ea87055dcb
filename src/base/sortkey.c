/*
 * sortkey.c: see sortkey.h. The digest is a software form of the bit-gather instruction (PEXT): one table a byte.
 */
#include "base/sortkey.h"

void sortkey_init(struct sortkey *k)
{
	k->started = false;
	k->common = k->min_len = k->max_len = 0;
	k->nstep = k->bits = 0;
	k->exact = false;
	memset(k->mask, 0, sizeof k->mask);
}

/* The common part ends earlier than thought: the window moves to the left, where nothing differed so far. */
static void move_window(struct sortkey *k, size_t common)
{
	size_t by = k->common - common;
	if (by < SORTKEY_WINDOW) {
		memmove(k->mask + by, k->mask, SORTKEY_WINDOW - by);
		memset(k->mask, 0, by);
	} else {
		memset(k->mask, 0, SORTKEY_WINDOW);
	}
	k->common = common;
}

static void start(struct sortkey *k, const uint8_t *key, size_t len)
{
	size_t n = len < sizeof k->ref ? len : sizeof k->ref;
	if (n)
		memcpy(k->ref, key, n);
	memset(k->ref + n, 0, sizeof k->ref - n);
	k->common = len < SORTKEY_COMMON_MAX ? len : SORTKEY_COMMON_MAX;
	k->min_len = k->max_len = len;
	k->started = true;
}

void sortkey_learn(struct sortkey *k, const uint8_t *key, size_t len)
{
	if (!k->started)
		start(k, key, len);
	if (len < k->min_len)
		k->min_len = len;
	if (len > k->max_len)
		k->max_len = len;
	size_t n = len < k->common ? len : k->common;
	if (n < k->common || (n && memcmp(key, k->ref, n) != 0)) {
		size_t same = 0;
		while (same < n && key[same] == k->ref[same])
			same++;
		move_window(k, same);
	}
	const uint8_t *ref = k->ref + k->common;
	size_t left = len - k->common;
	if (left >= SORTKEY_WINDOW) {
		for (size_t i = 0; i < SORTKEY_WINDOW; i += 8) {
			uint64_t m, x, r;
			memcpy(&m, k->mask + i, 8);
			memcpy(&x, key + k->common + i, 8);
			memcpy(&r, ref + i, 8);
			m |= x ^ r;
			memcpy(k->mask + i, &m, 8);
		}
		return;
	}
	for (size_t i = 0; i < left; i++)
		k->mask[i] |= key[k->common + i] ^ ref[i];
	for (size_t i = left; i < SORTKEY_WINDOW; i++)
		k->mask[i] |= ref[i];
}

/* The bits of b that m keeps, moved together at the low end. */
static uint8_t gather(uint8_t b, uint8_t m)
{
	unsigned r = 0;
	for (int bit = 7; bit >= 0; bit--) {
		if (m >> bit & 1)
			r = r << 1 | (b >> bit & 1);
	}
	return (uint8_t)r;
}

void sortkey_compile(struct sortkey *k)
{
	k->nstep = k->bits = 0;
	bool all = true;
	for (unsigned i = 0; i < SORTKEY_WINDOW; i++) {
		unsigned w = (unsigned)__builtin_popcount(k->mask[i]);
		if (!w)
			continue;
		if (k->bits == 64) {
			all = false;
			break;
		}
		unsigned cut = k->bits + w > 64 ? k->bits + w - 64 : 0;
		if (cut)
			all = false;
		k->at[k->nstep] = (uint8_t)i;
		k->width[k->nstep] = (uint8_t)(w - cut);
		for (unsigned b = 0; b < 256; b++)
			k->table[k->nstep][b] = (uint8_t)(gather((uint8_t)b, k->mask[i]) >> cut);
		k->bits += w - cut;
		k->nstep++;
	}
	k->exact = all && k->min_len == k->max_len && k->max_len <= k->common + SORTKEY_WINDOW;
}

static bool sorted(const struct sortkey_entry *e, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (e[i - 1].digest > e[i].digest)
			return false;
	}
	return true;
}

void sortkey_radix(struct sortkey_entry *e, struct sortkey_entry *tmp, size_t n, unsigned bits)
{
	if (n < 2 || sorted(e, n))
		return;
	uint32_t count[8][256] = {0};
	unsigned passes = (bits + 7) / 8;
	for (size_t i = 0; i < n; i++) {
		for (unsigned p = 0; p < passes; p++)
			count[p][e[i].digest >> (8 * p) & 255]++;
	}
	struct sortkey_entry *from = e, *to = tmp;
	for (unsigned p = 0; p < passes; p++) {
		uint32_t *c = count[p], sum = 0;
		if (c[from[0].digest >> (8 * p) & 255] == n)
			continue;
		for (int b = 0; b < 256; b++) {
			uint32_t here = c[b];
			c[b] = sum;
			sum += here;
		}
		for (size_t i = 0; i < n; i++)
			to[c[from[i].digest >> (8 * p) & 255]++] = from[i];
		struct sortkey_entry *swap = from;
		from = to;
		to = swap;
	}
	if (from != e)
		memcpy(e, from, n * sizeof *e);
}
