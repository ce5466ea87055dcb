/*
 * source.h: the bytes of a file: plain, gzip or zstd (told by their magic bytes), converted to UTF-8 when asked.
 *
 * source_read fills a caller's buffer with the next decoded bytes; flat memory whatever the size. The decompressed
 * size has a limit (a bomb ends in ERR_TOO_BIG). A truncated or damaged stream ends in ERR_CORRUPT and says where.
 * Bytes that are no text in the charset become the byte 0xff, which is no UTF-8: the reader of the text finds them as
 * defects at their place. Byte order marks are dropped.
 * zstd windows are limited to 8 MiB, what "zstd -19" needs. One thread.
 */
#ifndef FORMAT_SOURCE_H
#define FORMAT_SOURCE_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct source;

struct source_options {
	const char *charset; /* NULL or "UTF-8": as it is (a UTF-8 BOM is dropped); "UTF-16" etc. through iconv */
	uint64_t max_bytes;  /* limit on decoded bytes; 0: 1 TiB */
};

/* path "-" is standard input. */
enum err_code source_open(const char *path, const struct source_options *opt, struct source **ret,
			  struct err *e) MUST_USE;
enum err_code source_open_fd(int fd, const char *name, const struct source_options *opt, struct source **ret,
			     struct err *e) MUST_USE; /* fd stays the caller's */
/* Bytes in memory (they stay the caller's). */
enum err_code source_open_span(struct span text, const char *name, const struct source_options *opt,
			       struct source **ret, struct err *e) MUST_USE;
/* 1..cap bytes, 0 only at the end. */
enum err_code source_read(struct source *s, void *buf, size_t cap, size_t *ret_n, struct err *e) MUST_USE;
/* Can this machine convert the charset? (For documents; NULL and "UTF-8" are.) */
bool source_charset_known(const char *charset);
uint64_t source_raw_bytes(const struct source *s);   /* read from the file so far, for progress */
uint64_t source_bytes(const struct source *s);	     /* decoded so far */
const char *source_encoding(const struct source *s); /* "", "gzip", "zstd" */
void source_close(struct source *s);

#endif
