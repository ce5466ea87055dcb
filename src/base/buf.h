/*
 * buf.h: bytes that grow, up to a mandatory maximum.
 *
 *   struct buf b;
 *   buf_init(&b, 1 << 20);
 *   buf_printf(&b, "%d rows", n);
 *   if (b.failed) ...                // one check at the end: a failed buffer ignores what follows
 *   buf_done(&b);
 *
 * The contents always have a NUL behind them. Not thread-safe.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *p;
	size_t n, cap, max;
	bool failed; /* over the maximum, or no memory */
};

void buf_init(struct buf *b, size_t max);
void buf_clear(struct buf *b);
void buf_done(struct buf *b);

/* Room for n more bytes at b->p + b->n; false sets failed. */
bool buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_span(struct buf *b, struct span s);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The contents, NUL-terminated; "" when empty. */
const char *buf_cstr(struct buf *b);

#endif
