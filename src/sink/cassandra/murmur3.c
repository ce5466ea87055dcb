/* murmur3.c: see murmur3.h. Source: A. Appleby's MurmurHash3 (public domain); Cassandra's utils/MurmurHash.java. */
#include "sink/cassandra/murmur3.h"

#include <string.h>

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

static uint64_t rotl(uint64_t x, int r)
{
	return x << r | x >> (64 - r);
}

static uint64_t mix(uint64_t k)
{
	k ^= k >> 33;
	k *= UINT64_C(0xff51afd7ed558ccd);
	k ^= k >> 33;
	k *= UINT64_C(0xc4ceb9fe1a85ec53);
	return k ^ k >> 33;
}

static uint64_t k1_of(uint64_t k)
{
	return rotl(k * C1, 31) * C2;
}

static uint64_t k2_of(uint64_t k)
{
	return rotl(k * C2, 33) * C1;
}

int64_t murmur3_token(const void *key, size_t n)
{
	const uint8_t *p = key, *end = p + (n & ~(size_t)15);
	uint64_t h1 = 0, h2 = 0, t1 = 0, t2 = 0;
	for (; n >= 16 && p < end; p += 16) {
		uint64_t a, b;
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		h1 ^= k1_of(a);
		h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729;
		h2 ^= k2_of(b);
		h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5;
	}
	for (size_t i = 0; i < (n & 15); i++) {
		uint64_t byte = (uint64_t)(int64_t)(int8_t)p[i]; /* the sign is extended, see above */
		if (i < 8)
			t1 ^= byte << (8 * i);
		else
			t2 ^= byte << (8 * (i - 8));
	}
	h1 ^= k1_of(t1);
	h2 ^= k2_of(t2);
	h1 ^= n;
	h2 ^= n;
	h1 += h2;
	h2 += h1;
	h1 = mix(h1) + mix(h2);
	return h1 == UINT64_C(1) << 63 ? INT64_MAX : (int64_t)h1;
}
