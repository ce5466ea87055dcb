/*
 * hash.h: SHA-256 (OpenSSL's, as a stream) and a fast 64-bit hash for tables.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/err.h"

#include <stdint.h>

#define SHA256_LEN 32
#define SHA256_HEX (SHA256_LEN * 2 + 1)

struct sha256 {
	void *ctx;
};

enum err_code sha256_init(struct sha256 *s, struct err *e) MUST_USE;
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_done(struct sha256 *s, uint8_t out[SHA256_LEN]); /* also frees; safe after a failed init */
void sha256_hex(const uint8_t digest[SHA256_LEN], char out[SHA256_HEX]);
/* Of a whole file, and its size. */
enum err_code sha256_file(const char *path, char out[SHA256_HEX], uint64_t *ret_size, struct err *e) MUST_USE;

/* Not for secrets, not stable across versions. */
uint64_t hash64(const void *p, size_t n, uint64_t seed);

/* n random bytes from the system; never fails short of a broken kernel (then it aborts). */
void random_bytes(void *p, size_t n);

#endif
