/* test_source.c: plain, gzip and zstd bytes, cut and damaged ones, limits, charsets, whatever the size of the reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "format/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static struct buf text_of(size_t n)
{
	struct buf b;
	buf_init(&b, 32 << 20);
	for (uint32_t i = 0; b.n < n; i++)
		buf_printf(&b, "%u,line %u\n", i, i * 2654435761u);
	b.n = n;
	return b;
}

static void add_gzip(struct buf *out, struct span in)
{
	z_stream z = {0};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_true(buf_reserve(out, deflateBound(&z, in.n) + 64));
	z.next_in = (Bytef *)(uintptr_t)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = (Bytef *)out->p + out->n;
	z.avail_out = (uInt)deflateBound(&z, in.n) + 64;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->n += z.total_out;
	deflateEnd(&z);
}

static void add_zstd(struct buf *out, struct span in, int window_log)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t bound = ZSTD_compressBound(in.n);
	if (window_log) {
		ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
		ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	}
	assert_true(buf_reserve(out, bound));
	/* in two halves: of a size that it knows, zstd makes no larger window */
	ZSTD_outBuffer o = {out->p + out->n, bound, 0};
	ZSTD_inBuffer half = {in.p, in.n / 2, 0}, rest = {in.p + in.n / 2, in.n - in.n / 2, 0};
	assert_false(ZSTD_isError(ZSTD_compressStream2(c, &o, &half, ZSTD_e_continue)));
	assert_int_equal(ZSTD_compressStream2(c, &o, &rest, ZSTD_e_end), 0);
	out->n += o.pos;
	ZSTD_freeCCtx(c);
}

/* All of it in reads of `step` bytes; the code at the end. */
static enum err_code slurp(struct span bytes, const struct source_options *opt, size_t step, struct buf *out,
			   struct err *e)
{
	struct source *s;
	buf_init(out, 64 << 20);
	enum err_code rc = source_open_span(bytes, "bytes", opt, &s, e);
	if (rc)
		return rc;
	size_t n = 1;
	while (!rc && n) {
		assert_true(buf_reserve(out, step));
		rc = source_read(s, out->p + out->n, step, &n, e);
		if (!rc) {
			assert_true(n <= step);
			out->n += n;
			assert_int_equal(source_bytes(s), out->n);
		}
	}
	source_close(s);
	return rc;
}

static void expect(struct span bytes, const struct source_options *opt, struct span want)
{
	static const size_t steps[] = {1, 7, 64, 4096, 300000};
	for (size_t i = 0; i < 5; i++) {
		if (steps[i] == 1 && want.n > 100000)
			continue;
		struct buf out;
		struct err e = {0};
		if (slurp(bytes, opt, steps[i], &out, &e))
			fail_msg("step %zu: %s", steps[i], e.msg);
		assert_int_equal(out.n, want.n);
		if (want.n)
			assert_memory_equal(out.p, want.p, want.n);
		buf_done(&out);
	}
}

static void expect_error(struct span bytes, const struct source_options *opt, enum err_code code, const char *part)
{
	struct buf out;
	struct err e = {0};
	assert_int_equal(slurp(bytes, opt, 5000, &out, &e), code);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" lacks \"%s\"", e.msg, part);
	buf_done(&out);
}

#define SPAN(b) ((struct span){(b).p, (b).n})

static void plain_bytes(void **state)
{
	struct buf t = text_of(700000);
	expect(SPAN(t), NULL, SPAN(t));
	expect((struct span){NULL, 0}, NULL, (struct span){NULL, 0});
	expect(SPAN_LIT("a"), NULL, SPAN_LIT("a"));
	expect(SPAN_LIT("\xef\xbb\xbf"), NULL, SPAN_LIT(""));
	expect(SPAN_LIT("\xef\xbb\xbf"
			"ab"),
	       NULL, SPAN_LIT("ab"));
	expect(SPAN_LIT("\xef\xbb"), NULL, SPAN_LIT("\xef\xbb"));
	expect_error(SPAN(t), &(struct source_options){.max_bytes = 100000}, ERR_TOO_BIG, "more than 100000 bytes");
	buf_done(&t);
}

static void gzip_members(void **state)
{
	struct buf t = text_of(500000), z;
	buf_init(&z, 64 << 20);
	add_gzip(&z, (struct span){t.p, 200000});
	size_t first = z.n;
	add_gzip(&z, (struct span){t.p + 200000, 0});
	add_gzip(&z, (struct span){t.p + 200000, 300000});
	expect(SPAN(z), NULL, SPAN(t));
	struct span cut = {z.p, first / 2};
	expect_error(cut, NULL, ERR_CORRUPT, "ends in the middle");
	cut.n = z.n - 1;
	expect_error(cut, NULL, ERR_CORRUPT, "ends in the middle");
	size_t n = z.n;
	buf_add(&z, "\0\0\0\0", 4); /* padding */
	expect(SPAN(z), NULL, SPAN(t));
	z.n = n;
	buf_str(&z, "tail");
	expect_error(SPAN(z), NULL, ERR_CORRUPT, "behind the gzip data");
	z.n = n;
	z.p[first / 2] = (char)~z.p[first / 2];
	z.p[first - 6] = (char)~z.p[first - 6];
	expect_error(SPAN(z), NULL, ERR_CORRUPT, "damaged gzip data");
	expect_error(SPAN_LIT("\x1f\x8b"), NULL, ERR_CORRUPT, "ends in the middle");
	buf_done(&t);
	buf_done(&z);
}

static void zstd_frames(void **state)
{
	struct buf t = text_of(500000), z;
	buf_init(&z, 64 << 20);
	add_zstd(&z, (struct span){t.p, 200000}, 0);
	size_t first = z.n;
	buf_add(&z, "\x50\x2a\x4d\x18\x03\0\0\0abc", 11); /* a skippable frame */
	add_zstd(&z, (struct span){t.p + 200000, 300000}, 0);
	expect(SPAN(z), NULL, SPAN(t));
	struct span cut = {z.p, first - 1};
	expect_error(cut, NULL, ERR_CORRUPT, "ends in the middle");
	cut.n = z.n - 5;
	expect_error(cut, NULL, ERR_CORRUPT, "ends in the middle");
	z.n = first;
	buf_str(&z, "tail");
	expect_error(SPAN(z), NULL, ERR_CORRUPT, "damaged zstd data");
	z.n = 0;
	add_zstd(&z, SPAN(t), 25);
	expect_error(SPAN(z), NULL, ERR_TOO_BIG, "window of more than 8 MiB");
	buf_done(&t);
	buf_done(&z);
}

/* 30 MB of the same byte in a few kB: the limit ends it, not the memory. */
static void bombs_end_at_the_limit(void **state)
{
	char *zeros = calloc(1, 30 << 20);
	struct buf z;
	buf_init(&z, 64 << 20);
	add_gzip(&z, (struct span){zeros, 30 << 20});
	expect_error(SPAN(z), &(struct source_options){.max_bytes = 1 << 20}, ERR_TOO_BIG, "when decompressed");
	z.n = 0;
	add_zstd(&z, (struct span){zeros, 30 << 20}, 0);
	expect_error(SPAN(z), &(struct source_options){.max_bytes = 1 << 20}, ERR_TOO_BIG, "when decompressed");
	free(zeros);
	buf_done(&z);
}

static void charsets(void **state)
{
	struct source_options o = {.charset = "ISO-8859-1"};
	expect(SPAN_LIT("gr\xf6\xdf"
			"e\n"),
	       &o,
	       SPAN_LIT("gr\xc3\xb6\xc3\x9f"
			"e\n"));
	o.charset = "windows-1252";
	expect(SPAN_LIT("\x80\x81z"), &o, SPAN_LIT("\xe2\x82\xac\xffz"));
	o.charset = "UTF-16";
	expect(SPAN_LIT("\xff\xfe"
			"a\0\n\0"),
	       &o, SPAN_LIT("a\n"));
	expect(SPAN_LIT("\xfe\xff\0a\0\n"), &o, SPAN_LIT("a\n"));
	expect(SPAN_LIT("\xff\xfe"
			"a\0b"),
	       &o, SPAN_LIT("a\xff"));
	o.charset = "UTF-16LE";
	expect(SPAN_LIT("\xff\xfe"
			"a\0\0\xd8"
			"b\0"),
	       &o,
	       SPAN_LIT("a\xff"
			"b"));
	o.charset = "utf8";
	expect(SPAN_LIT("\xff"), &o, SPAN_LIT("\xff"));
	assert_true(source_charset_known(NULL) && source_charset_known("UTF-8") && source_charset_known("latin1"));
	assert_false(source_charset_known("klingon") || source_charset_known("UTF-16//IGNORE") ||
		     source_charset_known("//"));
	/* gzip and a charset together, longer than any buffer */
	struct buf t = text_of(300000), wide, z;
	buf_init(&wide, 64 << 20);
	buf_init(&z, 64 << 20);
	buf_add(&wide, "\xff\xfe", 2);
	for (size_t i = 0; i < t.n; i++) {
		buf_char(&wide, t.p[i]);
		buf_char(&wide, 0);
	}
	add_gzip(&z, SPAN(wide));
	o.charset = "UTF-16";
	expect(SPAN(z), &o, SPAN(t));
	buf_done(&t);
	buf_done(&wide);
	buf_done(&z);
}

static void files_and_pipes(void **state)
{
	struct source *s;
	struct err e = {0};
	assert_int_equal(source_open("/nonexistent/x.csv", NULL, &s, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "/nonexistent/x.csv"));
	assert_int_equal(source_open("/", NULL, &s, &e), ERR_INVALID);
	int fd[2];
	char buf[16];
	size_t n;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], "abc", 3), 3);
	close(fd[1]);
	assert_int_equal(source_open_fd(fd[0], "pipe", NULL, &s, &e), ERR_OK);
	assert_string_equal(source_encoding(s), "");
	assert_int_equal(source_read(s, buf, sizeof buf, &n, &e), ERR_OK);
	assert_int_equal(n, 3);
	assert_int_equal(source_read(s, buf, sizeof buf, &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(source_raw_bytes(s), 3);
	source_close(s);
	close(fd[0]);
	source_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_bytes), cmocka_unit_test(gzip_members),
	    cmocka_unit_test(zstd_frames), cmocka_unit_test(bombs_end_at_the_limit),
	    cmocka_unit_test(charsets),	   cmocka_unit_test(files_and_pipes),
	};
	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
