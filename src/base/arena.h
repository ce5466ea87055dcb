/*
 * arena.h: memory with one lifetime and a declared limit.
 *
 *   struct arena a;
 *   arena_init(&a, 16 << 20);
 *   char *s = arena_printf(&a, "%d", 7);   // NULL when the limit or the system says no
 *   arena_reset(&a);                       // all of it is free again, the first chunk is kept
 *   arena_done(&a);
 *
 * Lifetimes are process, run or request, and batch; each is an arena passed explicitly. Not thread-safe.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/span.h"

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *first, *cur;
	size_t used;  /* bytes handed out since the last reset, without padding of chunks */
	size_t held;  /* bytes held from the system */
	size_t limit; /* held never exceeds this */
};

void arena_init(struct arena *a, size_t limit);
void arena_reset(struct arena *a);
void arena_done(struct arena *a);

/* Zeroed memory aligned for any type; NULL over the limit or without memory. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);

/* As arena_alloc for n elements; NULL when n * size overflows. */
void *arena_array(struct arena *a, size_t n, size_t size);

/* Copies with a NUL behind them. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *p, size_t n);
struct span arena_span(struct arena *a, struct span s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
