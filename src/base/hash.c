/* hash.c: SHA-256 through OpenSSL's EVP (it uses the processor's SHA instructions); hash64 is a multiply-fold hash in
 * the manner of wyhash (Wang Yi, public domain idea), written anew. */
#include "base/hash.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

enum err_code sha256_init(struct sha256 *s, struct err *e)
{
	s->ctx = EVP_MD_CTX_new();
	if (s->ctx && EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) == 1)
		return ERR_OK;
	EVP_MD_CTX_free(s->ctx);
	s->ctx = NULL;
	return err_set(e, ERR_INTERNAL, "SHA-256 is not available in this OpenSSL");
}

void sha256_add(struct sha256 *s, const void *p, size_t n)
{
	if (s->ctx && n)
		EVP_DigestUpdate(s->ctx, p, n);
}

void sha256_done(struct sha256 *s, uint8_t out[SHA256_LEN])
{
	memset(out, 0, SHA256_LEN);
	if (s->ctx)
		EVP_DigestFinal_ex(s->ctx, out, NULL);
	EVP_MD_CTX_free(s->ctx);
	s->ctx = NULL;
}

void sha256_hex(const uint8_t digest[SHA256_LEN], char out[SHA256_HEX])
{
	static const char hex[] = "0123456789abcdef";
	for (int i = 0; i < SHA256_LEN; i++) {
		out[2 * i] = hex[digest[i] >> 4];
		out[2 * i + 1] = hex[digest[i] & 15];
	}
	out[SHA256_LEN * 2] = 0;
}

enum err_code sha256_file(const char *path, char out[SHA256_HEX], uint64_t *ret_size, struct err *e)
{
	enum { BLOCK = 256 << 10 };
	AUTO_FD int fd = -1;
	enum err_code c = fd_open(path, O_RDONLY, 0, &fd, e);
	struct sha256 s = {0};
	if (c || (c = sha256_init(&s, e)))
		return c;
	uint8_t digest[SHA256_LEN];
	uint64_t size = 0;
	char *block = malloc(BLOCK);
	if (!block)
		c = err_oom(e);
	for (size_t n = 1; !c && n;) {
		c = fd_read_full(fd, block, BLOCK, &n, path, e);
		if (!c) {
			sha256_add(&s, block, n);
			size += n;
		}
	}
	free(block);
	sha256_done(&s, digest);
	if (c)
		return c;
	sha256_hex(digest, out);
	*ret_size = size;
	return ERR_OK;
}

static inline uint64_t load(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	memcpy(&v, p, n);
	return v;
}

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t hash64(const void *ptr, size_t n, uint64_t seed)
{
	const unsigned char *p = ptr;
	uint64_t h = seed ^ UINT64_C(0x9e3779b97f4a7c15) ^ n;
	for (; n >= 16; p += 16, n -= 16)
		h = fold(load(p, 8) ^ UINT64_C(0xa0761d6478bd642f), load(p + 8, 8) ^ h);
	uint64_t a = n >= 8 ? load(p, 8) : load(p, n), b = n > 8 ? load(p + 8, n - 8) : 0;
	h = fold(a ^ UINT64_C(0xe7037ed1a0b428db), b ^ h ^ UINT64_C(0x8ebc6af09c88c6e3));
	return fold(h ^ UINT64_C(0x589965cc75374cc3), UINT64_C(0x1d8e4e27c47d124f));
}

void random_bytes(void *p, size_t n)
{
	unsigned char *out = p;
	while (n) {
		ssize_t got = getrandom(out, n > 256 ? 256 : n, 0);
		if (got <= 0)
			abort();
		out += got;
		n -= (size_t)got;
	}
}
