/*
 * sortkey.h: keys of any length as 64-bit numbers that sort nearly alike, and sorting by them.
 *
 *   sortkey_learn(&k, key, len) for every key, then sortkey_compile(&k);
 *   a = sortkey_digest(&k, key1, len1) ...
 *
 * All keys share a first part (`common` bytes); of the SORTKEY_WINDOW bytes behind it only the bits that differ between
 * keys are kept, the first 64 of them. If digest(x) < digest(y) then x sorts before y by memcmp (the shorter first); on
 * equal digests the keys themselves decide. What was learnt stays valid for all earlier keys, so one struct can serve
 * several runs and then their merge. Internal to extsort. One thread at a time while learning.
 */
#ifndef BASE_SORTKEY_H
#define BASE_SORTKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SORTKEY_WINDOW 48
#define SORTKEY_COMMON_MAX 4096

struct sortkey {
	bool started;
	size_t common; /* all keys agree in their first `common` bytes */
	size_t min_len, max_len;
	uint8_t ref[SORTKEY_COMMON_MAX + SORTKEY_WINDOW]; /* the first key, zeros behind it */
	uint8_t mask[SORTKEY_WINDOW];			  /* bits that differ, from byte `common` on */

	/* compiled */
	unsigned nstep, bits;
	bool exact; /* equal digests mean equal keys */
	uint8_t at[SORTKEY_WINDOW], width[SORTKEY_WINDOW];
	uint8_t table[SORTKEY_WINDOW][256]; /* the kept bits of a byte, moved together */
};

void sortkey_init(struct sortkey *k);
void sortkey_learn(struct sortkey *k, const uint8_t *key, size_t len);
void sortkey_compile(struct sortkey *k);

static inline uint64_t sortkey_digest(const struct sortkey *k, const uint8_t *key, size_t len)
{
	uint64_t d = 0;
	for (unsigned i = 0; i < k->nstep; i++) {
		size_t at = k->common + k->at[i];
		d = d << k->width[i] | k->table[i][at < len ? key[at] : 0];
	}
	return d;
}

/* memcmp order, the shorter first. */
static inline int key_compare(const uint8_t *a, size_t na, const uint8_t *b, size_t nb)
{
	size_t n = na < nb ? na : nb;
	int c = n ? memcmp(a, b, n) : 0;
	return c ? c : (na > nb) - (na < nb);
}

/* A record by its digest and its place in a buffer, in units of 8 bytes. */
struct sortkey_entry {
	uint64_t digest;
	uint32_t at;
	uint32_t unused;
};

/* Sort by the low `bits` bits of the digests, stably; tmp has room for n. The result is in e. */
void sortkey_radix(struct sortkey_entry *e, struct sortkey_entry *tmp, size_t n, unsigned bits);

#endif
