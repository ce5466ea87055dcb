/* lz4.c: LZ4 blocks where the library is there; without it the option `compression` says so. */
#include "sink/cassandra/segment.h"

#if WITH_LZ4

#include <lz4.h>

bool lz4_available(void)
{
	return true;
}

size_t lz4_pack(const char *p, size_t n, char *out, size_t cap)
{
	int got = LZ4_compress_default(p, out, (int)n, (int)cap);
	return got > 0 ? (size_t)got : 0;
}

bool lz4_unpack(const char *p, size_t n, char *out, size_t n_out)
{
	return LZ4_decompress_safe(p, out, (int)n, (int)n_out) == (int)n_out;
}

#else

bool lz4_available(void)
{
	return false;
}

size_t lz4_pack(const char *p, size_t n, char *out, size_t cap)
{
	return 0;
}

bool lz4_unpack(const char *p, size_t n, char *out, size_t n_out)
{
	return false;
}

#endif
