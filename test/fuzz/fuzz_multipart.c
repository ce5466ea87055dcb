/*
 * fuzz_multipart.c: any bytes as a multipart body: no crash, and the same parts whatever the chunks.
 *
 * The first byte is the chunk size; the body's boundary is "B".
 */
#include "api/multipart.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct seen {
	uint64_t hash, bytes, parts;
};

static enum err_code begin(void *ctx, const struct disposition *d, struct err *e)
{
	struct seen *s = ctx;
	(void)e;
	s->parts++;
	if (d->filename) {
		s->hash = hash64(d->filename, strlen(d->filename), s->hash);
		(void)file_name_check(d->filename, strlen(d->filename));
	}
	return ERR_OK;
}

static enum err_code data(void *ctx, const char *p, size_t n, struct err *e)
{
	struct seen *s = ctx;
	(void)e;
	for (size_t i = 0; i < n; i++)
		s->hash = s->hash * 31 + (uint8_t)p[i];
	s->bytes += n;
	return ERR_OK;
}

static enum err_code end(void *ctx, struct err *e)
{
	struct seen *s = ctx;
	(void)e;
	s->hash = s->hash * 31 + 256;
	return ERR_OK;
}

static enum err_code parse(const char *p, size_t n, size_t step, struct seen *s)
{
	static const struct multipart_events events = {begin, data, end};
	struct multipart *m = malloc(sizeof *m);
	struct err e = {0};
	enum err_code code = ERR_OK;
	*s = (struct seen){0};
	multipart_init(m, "B", &events, s);
	for (size_t i = 0; i < n && !code; i += step)
		code = multipart_feed(m, p + i, n - i < step ? n - i : step, &e);
	if (!code)
		code = multipart_finish(m, &e);
	multipart_done(m);
	free(m);
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 2)
		return 0;
	struct seen a, b;
	size_t step = p[0] ? p[0] : 1;
	enum err_code ca = parse((const char *)p + 1, n - 1, step, &a), cb = parse((const char *)p + 1, n - 1, n, &b);
	if (ca != cb || a.parts != b.parts || (!ca && (a.hash != b.hash || a.bytes != b.bytes)))
		abort();
	return 0;
}
