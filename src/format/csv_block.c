/* csv_block.c: see csv_block.h. A pool of four is enough for a reader that is a batch or two ahead. */
#include "format/csv_block.h"

#include <stdlib.h>
#include <string.h>

#define POOL (sizeof((struct csv_feed *)0)->pool / sizeof(struct csv_block *))

/* Offsets in a batch are 32 bits. */
#define BLOCK_MAX (UINT32_C(1) << 30)

struct csv_block *block_ref(struct csv_block *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void block_unref(void *p)
{
	struct csv_block *b = p;
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

static struct csv_block *block_new(size_t cap, size_t scratch)
{
	size_t size = sizeof(struct csv_block) + BLOCK_PAD + cap + BLOCK_PAD + scratch + BLOCK_PAD;
	struct csv_block *b = size < BLOCK_MAX ? malloc(size) : NULL;
	if (!b)
		return NULL;
	*b = (struct csv_block){.cap = cap, .scratch_cap = scratch, .data = (char *)(b + 1) + BLOCK_PAD};
	atomic_init(&b->refs, 1);
	memset(b->data - BLOCK_PAD, 0, BLOCK_PAD);
	return b;
}

/* A block of at least cap bytes that nobody else uses, with a reference for the caller. */
static struct csv_block *block_get(struct csv_feed *f, size_t cap)
{
	struct csv_block **slot = NULL;
	for (size_t i = 0; i < POOL; i++) {
		struct csv_block *b = f->pool[i];
		if (!b) {
			slot = slot ? slot : &f->pool[i];
		} else if (atomic_load_explicit(&b->refs, memory_order_acquire) == 1) {
			if (b->cap >= cap)
				return block_ref(b);
			slot = &f->pool[i];
		}
	}
	slot = slot ? slot : &f->pool[0];
	/* a read and a usual piece of a record fit without growing again */
	cap = cap < 2 * f->block ? 2 * f->block : cap;
	struct csv_block *b = block_new(cap, 2 * cap + f->scratch_extra);
	if (!b)
		return NULL;
	block_unref(*slot);
	*slot = b;
	return block_ref(b);
}

enum err_code feed_move(struct csv_feed *f, size_t room, uint64_t line, struct err *e)
{
	struct csv_block *old = f->cur, *b = old;
	size_t keep = f->n - f->pos;
	/* in place when only the pool and we know it */
	bool mine = old && atomic_load_explicit(&old->refs, memory_order_acquire) == 2;
	if (!mine || old->cap < keep + room || old->scratch_cap < 2 * old->cap + f->scratch_extra) {
		b = block_get(f, keep + room);
		if (!b)
			return err_oom(e);
	}
	uint64_t offset = old ? old->offset + f->pos : 0;
	if (keep)
		memmove(b->data, old->data + f->pos, keep);
	if (b != old)
		block_unref(old);
	f->cur = b;
	b->offset = offset;
	b->line = line;
	b->scratch_used = 0;
	f->pos = 0;
	f->n = keep;
	memset(b->data + f->n, 0, BLOCK_PAD);
	return ERR_OK;
}

enum err_code feed_init(struct csv_feed *f, struct source *src, size_t block, size_t scratch_extra, struct err *e)
{
	*f = (struct csv_feed){.src = src, .block = block, .scratch_extra = scratch_extra};
	return feed_move(f, block, 1, e);
}

enum err_code feed_more(struct csv_feed *f, uint64_t line, struct err *e)
{
	/* a long record doubles its buffer, so that looking at it again and again costs no more than twice its length
	 */
	size_t keep = f->n - f->pos, want = keep > f->block ? keep : f->block, n = 0;
	enum err_code rc = feed_move(f, want, line, e);
	if (rc)
		return rc;
	while (f->n < keep + want && !f->eof) {
		if ((rc = source_read(f->src, f->cur->data + f->n, keep + want - f->n, &n, e)))
			return rc;
		f->n += n;
		f->eof = n == 0;
	}
	memset(f->cur->data + f->n, 0, BLOCK_PAD);
	return ERR_OK;
}

void feed_done(struct csv_feed *f)
{
	block_unref(f->cur);
	for (size_t i = 0; i < POOL; i++)
		block_unref(f->pool[i]);
	*f = (struct csv_feed){0};
}
