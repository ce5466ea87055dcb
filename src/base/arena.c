/* arena.c: a list of chunks; the first stays across resets. Chunks double up to 1 MiB so that small arenas are small.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGN 16u
#define CHUNK_MIN (4u << 10)
#define CHUNK_MAX (1u << 20)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used;
	_Alignas(16) char mem[];
};

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){.limit = limit};
}

void arena_reset(struct arena *a)
{
	if (!a->first)
		return;
	for (struct arena_chunk *c = a->first->next, *next; c; c = next) {
		next = c->next;
		a->held -= c->size;
		free(c);
	}
	a->first->next = NULL;
	a->first->used = 0;
	a->cur = a->first;
	a->used = 0;
}

void arena_done(struct arena *a)
{
	if (!a)
		return;
	arena_reset(a);
	free(a->first);
	*a = (struct arena){.limit = a->limit};
}

static struct arena_chunk *chunk_add(struct arena *a, size_t need)
{
	size_t size = a->cur ? a->cur->size * 2 : CHUNK_MIN;
	if (size > CHUNK_MAX)
		size = CHUNK_MAX;
	if (size < need)
		size = need;
	if (size > a->limit - a->held)
		size = need;
	if (need > a->limit - a->held)
		return NULL;
	struct arena_chunk *c = malloc(sizeof *c + size);
	if (!c)
		return NULL;
	*c = (struct arena_chunk){.size = size};
	a->held += size;
	if (a->cur)
		a->cur->next = c;
	else
		a->first = c;
	a->cur = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	if (size > SIZE_MAX - ALIGN)
		return NULL;
	size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (need == 0)
		need = ALIGN;
	struct arena_chunk *c = a->cur;
	if (!c || c->size - c->used < need)
		c = chunk_add(a, need);
	if (!c)
		return NULL;
	void *p = c->mem + c->used;
	c->used += need;
	a->used += need;
	memset(p, 0, need);
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
	char *s = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;
	if (s && n)
		memcpy(s, p, n);
	return s;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

struct span arena_span(struct arena *a, struct span s)
{
	char *p = arena_strndup(a, s.p, s.n);
	return p ? (struct span){p, s.n} : (struct span){0};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *s = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
	if (s)
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}
