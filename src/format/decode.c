/* decode.c: gzip (RFC 1952) through zlib, zstd (RFC 8878) through libzstd; the list of classes is at the end. */
#include "format/decode.h"

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_WINDOW_LOG 23 /* 8 MiB, as RFC 8878 section 3.1.1.1.2 recommends to support */

struct decoder_class {
	const char *name;
	bool (*magic)(struct span text);
	bool (*open)(struct decoder *d);
	enum err_code (*step)(struct decoder *d, struct decode_io *io, struct err *e);
	void (*close)(struct decoder *d);
};

struct decoder {
	const struct decoder_class *class;
	z_stream z;
	ZSTD_DStream *zstd;
	bool inside; /* a member or frame has begun and not ended */
	bool ended;  /* gzip: at least one member is complete */
};

static enum err_code cut(struct err *e, const char *name)
{
	err_set(e, ERR_CORRUPT, "the %s data ends in the middle: the file was cut", name);
	return err_hint(e, "send the whole file again");
}

static bool gzip_magic(struct span t)
{
	return t.n >= 2 && t.p[0] == '\x1f' && t.p[1] == '\x8b';
}

static bool gzip_open(struct decoder *d)
{
	d->inside = true;
	return inflateInit2(&d->z, 15 + 16) == Z_OK;
}

static enum err_code gzip_inflate(struct decoder *d, struct decode_io *io, struct err *e)
{
	d->z.next_in = (Bytef *)(uintptr_t)io->in;
	d->z.avail_in = (uInt)io->in_n;
	d->z.next_out = (Bytef *)io->out;
	d->z.avail_out = (uInt)(io->cap > UINT32_MAX / 2 ? UINT32_MAX / 2 : io->cap);
	uInt room = d->z.avail_out;
	int r = inflate(&d->z, Z_NO_FLUSH);
	io->in += io->in_n - d->z.avail_in;
	io->in_n = d->z.avail_in;
	io->out += room - d->z.avail_out;
	io->cap -= room - d->z.avail_out;
	if (r == Z_STREAM_END) {
		d->inside = false;
		d->ended = true;
	} else if (r == Z_MEM_ERROR) {
		return err_oom(e);
	} else if (r != Z_OK && r != Z_BUF_ERROR) {
		return err_set(e, ERR_CORRUPT, "damaged gzip data (%s)", d->z.msg ? d->z.msg : "no more is known");
	}
	return ERR_OK;
}

/* Between members: zero bytes are padding (as tape blocks leave them), anything else must be the next member. */
static enum err_code gzip_between(struct decoder *d, struct decode_io *io, struct err *e)
{
	while (io->in_n && *io->in == 0) {
		io->in++;
		io->in_n--;
	}
	if (!io->in_n)
		return ERR_OK;
	if (*io->in != '\x1f')
		return err_set(e, ERR_CORRUPT, "there is something behind the gzip data that is no gzip data");
	inflateReset(&d->z);
	d->inside = true;
	return ERR_OK;
}

static enum err_code gzip_step(struct decoder *d, struct decode_io *io, struct err *e)
{
	enum err_code rc = d->inside ? ERR_OK : gzip_between(d, io, e);
	if (rc || !d->inside)
		return rc;
	size_t room = io->cap;
	rc = gzip_inflate(d, io, e);
	if (!rc && d->inside && io->in_eof && io->in_n == 0 && io->cap == room)
		return cut(e, "gzip");
	return rc;
}

static void gzip_close(struct decoder *d)
{
	inflateEnd(&d->z);
}

static bool zstd_magic(struct span t)
{
	const unsigned char *p = (const unsigned char *)t.p;
	bool frame = t.n >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd;
	return frame || (t.n >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18);
}

static bool zstd_open(struct decoder *d)
{
	d->inside = true;
	d->zstd = ZSTD_createDStream();
	return d->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG));
}

static enum err_code zstd_step(struct decoder *d, struct decode_io *io, struct err *e)
{
	ZSTD_inBuffer in = {io->in, io->in_n, 0};
	ZSTD_outBuffer out = {io->out, io->cap, 0};
	if (!io->in_n && !d->inside)
		return ERR_OK;
	size_t r = ZSTD_decompressStream(d->zstd, &out, &in);
	if (ZSTD_isError(r)) {
		if (ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge) {
			err_set(e, ERR_TOO_BIG, "the zstd data needs a window of more than 8 MiB");
			return err_hint(e, "compress with zstd -19 or below and without --long");
		}
		return err_set(e, ERR_CORRUPT, "damaged zstd data (%s)", ZSTD_getErrorName(r));
	}
	io->in += in.pos;
	io->in_n -= in.pos;
	io->out += out.pos;
	io->cap -= out.pos;
	d->inside = r != 0;
	if (d->inside && io->in_eof && io->in_n == 0 && out.pos == 0)
		return cut(e, "zstd");
	return ERR_OK;
}

static void zstd_close(struct decoder *d)
{
	ZSTD_freeDStream(d->zstd);
}

static const struct decoder_class classes[] = {
    {"gzip", gzip_magic, gzip_open, gzip_step, gzip_close},
    {"zstd", zstd_magic, zstd_open, zstd_step, zstd_close},
};

const struct decoder_class *decoder_find(struct span text)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (classes[i].magic(text))
			return &classes[i];
	return NULL;
}

struct decoder *decoder_new(const struct decoder_class *c)
{
	struct decoder *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->class = c;
	if (!c->open(d)) {
		decoder_free(d);
		return NULL;
	}
	return d;
}

enum err_code decoder_step(struct decoder *d, struct decode_io *io, struct err *e)
{
	return d->class->step(d, io, e);
}

const char *decoder_name(const struct decoder *d)
{
	return d->class->name;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	d->class->close(d);
	free(d);
}
