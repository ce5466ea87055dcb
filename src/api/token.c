/*
 * token.c: bearer tokens: 32 random bytes, written as "msb_" and 43 characters of base64url.
 *
 * The ledger keeps SHA-256 digests only. A digest of 256 random bits needs no salt and no slow hash: it can't be
 * guessed, and looking a digest up leaks nothing about the token by its timing.
 */
#include "api/server.h"
#include "base/fd.h"
#include "base/hash.h"

#include <string.h>
#include <sys/stat.h>

#define TOKEN_BYTES 32

static void token_make(char out[64])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t raw[TOKEN_BYTES + 1] = {0};
	random_bytes(raw, TOKEN_BYTES);
	size_t n = 4;
	memcpy(out, "msb_", 4);
	for (size_t i = 0; i < TOKEN_BYTES; i += 3) {
		uint32_t v =
		    (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | (i + 2 < TOKEN_BYTES ? raw[i + 2] : 0u);
		size_t chars = TOKEN_BYTES - i >= 3 ? 4 : TOKEN_BYTES - i + 1;
		for (size_t k = 0; k < chars; k++)
			out[n++] = digits[v >> (18 - 6 * k) & 63];
	}
	out[n] = 0;
	explicit_bzero(raw, sizeof raw);
}

enum err_code token_digest(const char *token, uint8_t out[SHA256_LEN], struct err *e)
{
	struct sha256 s;
	if (sha256_init(&s, e)) {
		sha256_done(&s, out);
		return e ? e->code : ERR_INTERNAL;
	}
	sha256_add(&s, token, strlen(token));
	sha256_done(&s, out);
	return ERR_OK;
}

enum err_code token_new(struct catalog *c, const char *owner, char out[64], struct err *e)
{
	uint8_t digest[SHA256_LEN];
	char token[64];
	token_make(token);
	enum err_code code = token_digest(token, digest, e);
	if (!code)
		code = catalog_token_put(c, digest, owner, e);
	if (!code)
		memcpy(out, token, sizeof token);
	explicit_bzero(token, sizeof token);
	return code;
}

/* The token of an existing file is put into the ledger again, which makes a lost ledger or an edited file work. */
static enum err_code token_adopt(const char *path, struct catalog *c, struct err *e)
{
	struct arena a;
	arena_init(&a, 64 << 10);
	struct span text;
	enum err_code code = file_read(path, 4096, &a, &text, e);
	if (!code) {
		char *token = (char *)text.p;
		token[strcspn(token, "\r\n \t")] = 0;
		uint8_t digest[SHA256_LEN];
		const char *owner = NULL;
		if (strlen(token) < 16) {
			err_set(e, ERR_CONFIG, "\"%s\" holds no token", path);
			code = err_hint(e, "remove the file; the next start makes a new one");
		} else {
			code = token_digest(token, digest, e);
		}
		if (!code && (catalog_token_find(c, digest, &a, &owner, NULL) || owner[0]))
			code = catalog_token_put(c, digest, "", e);
		explicit_bzero(token, text.n);
	}
	arena_done(&a);
	return code;
}

enum err_code token_admin_ensure(const char *data, struct catalog *c, struct err *e)
{
	struct arena a;
	arena_init(&a, 64 << 10);
	char *path = path_join(&a, data, "admin.token");
	enum err_code code;
	struct stat st;
	if (!path) {
		code = err_oom(e);
	} else if (stat(path, &st) == 0) {
		code = token_adopt(path, c, e);
	} else {
		char token[66] = {0};
		code = token_new(c, "", token, e);
		if (!code) {
			size_t n = strlen(token);
			token[n++] = '\n';
			code = file_write_atomic(path, token, n, 0600, e);
		}
		explicit_bzero(token, sizeof token);
	}
	arena_done(&a);
	return code ? err_prefix(e, "the administrator's token") : ERR_OK;
}
