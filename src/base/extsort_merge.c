/*
 * extsort_merge.c: reading runs back in one order.
 *
 * A loser tree (Knuth, The Art of Computer Programming, volume 3, section 5.4.1) over one cursor a run. A comparison is
 * that of two 64-bit digests (sortkey.h) and only on a tie that of the keys, then of the runs' age, which keeps equal
 * keys in the order of arrival. When there are more runs than read buffers, passes merge neighbouring runs into longer
 * ones in a new file first.
 */
#include "base/extsort_internal.h"
#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_MIN (16u << 10)
#define READ_MAX (512u << 10)

struct cursor {
	struct area mem;
	size_t pos, len;       /* bytes of mem */
	int64_t off, end;      /* what is still in the file */
	const struct rec *rec; /* NULL at the end */
	uint64_t digest;
};

struct merge {
	struct cursor *c;
	uint32_t *tree; /* [0] the winner, [1..k-1] the loser of each match */
	uint32_t k, room;
	uint8_t *memory; /* shared by the cursors */
	size_t memory_n;
};

/* ---- cursors */

static enum err_code cursor_read(struct extsort *s, struct cursor *c, size_t need, struct err *e)
{
	size_t have = c->len - c->pos;
	if (have)
		memmove(c->mem.p, c->mem.p + c->pos, have);
	c->pos = 0;
	c->len = have;
	if (!area_grow(&c->mem, need, have))
		return err_oom(e);
	size_t want = c->mem.cap - have;
	if ((int64_t)want > c->end - c->off)
		want = (size_t)(c->end - c->off);
	while (want) {
		ssize_t got = pread(s->fd, c->mem.p + c->len, want, c->off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, errno, "read the spill file in \"%s\"", s->dir);
		if (got == 0)
			return err_set(e, ERR_CORRUPT, "the spill file in \"%s\" ends early", s->dir);
		c->len += (size_t)got;
		c->off += got;
		want -= (size_t)got;
	}
	return ERR_OK;
}

/* To the next record of the run. */
static enum err_code cursor_next(struct extsort *s, struct cursor *c, struct err *e)
{
	enum err_code rc;
	if (c->rec)
		c->pos += rec_size(c->rec);
	c->rec = NULL;
	if (c->pos == c->len) {
		if (c->off == c->end)
			return ERR_OK;
		area_reset(&c->mem);
		if ((rc = cursor_read(s, c, sizeof(struct rec), e)))
			return rc;
	}
	const struct rec *r = (const void *)(c->mem.p + c->pos);
	size_t size = rec_size(r);
	if (c->len - c->pos < size) {
		if ((rc = cursor_read(s, c, size, e)))
			return rc;
		r = (const void *)c->mem.p;
	}
	size_t n;
	const uint8_t *key = rec_key(r, &n);
	c->digest = sortkey_digest(&s->key, key, n);
	c->rec = r;
	return ERR_OK;
}

/* ---- the loser tree */

static inline bool beats(const struct extsort *s, const struct merge *m, uint32_t a, uint32_t b)
{
	const struct cursor *x = &m->c[a], *y = &m->c[b];
	if (x->rec && y->rec) {
		if (x->digest != y->digest)
			return x->digest < y->digest;
		int c = s->key.exact ? 0 : rec_compare(x->rec, y->rec, s->key.common);
		return c ? c < 0 : a < b;
	}
	return x->rec != NULL;
}

static void tree_replay(const struct extsort *s, struct merge *m)
{
	uint32_t w = m->tree[0];
	for (uint32_t t = (w + m->k) / 2; t > 0; t /= 2) {
		if (beats(s, m, m->tree[t], w)) {
			uint32_t swap = m->tree[t];
			m->tree[t] = w;
			w = swap;
		}
	}
	m->tree[0] = w;
}

/* Returns the winner of the matches below node t and stores the losers. */
static uint32_t tree_build(const struct extsort *s, struct merge *m, uint32_t t)
{
	if (t >= m->k)
		return t - m->k;
	uint32_t a = tree_build(s, m, 2 * t), b = tree_build(s, m, 2 * t + 1);
	bool first = beats(s, m, a, b);
	m->tree[t] = first ? b : a;
	return first ? a : b;
}

static enum err_code merge_open(struct extsort *s, const struct run *runs, size_t k, struct err *e)
{
	struct merge *m = s->merge;
	for (uint32_t i = 0; i < m->k; i++)
		area_reset(&m->c[i].mem);
	m->k = (uint32_t)k;
	size_t each = m->memory_n / k & ~(size_t)15;
	if (each > READ_MAX)
		each = READ_MAX;
	enum err_code rc;
	for (size_t i = 0; i < k; i++) {
		struct cursor *c = &m->c[i];
		*c = (struct cursor){.off = runs[i].off, .end = runs[i].end};
		area_init(&c->mem, m->memory + i * each, each);
		if ((rc = cursor_next(s, c, e)))
			return rc;
	}
	m->tree[0] = k > 1 ? tree_build(s, m, 1) : 0;
	return ERR_OK;
}

/* ---- merge passes */

static enum err_code merge_group(struct extsort *s, const struct run *runs, size_t k, int fd, int64_t *end,
				 struct err *e)
{
	struct merge *m = s->merge;
	struct area *out = &s->block[0].mem;
	size_t used = 0;
	enum err_code rc = merge_open(s, runs, k, e);
	while (rc == ERR_OK && m->c[m->tree[0]].rec) {
		struct cursor *c = &m->c[m->tree[0]];
		size_t size = rec_size(c->rec);
		if (used && used + size > out->cap) {
			if ((rc = extsort_write(s, fd, out->p, used, *end, e)))
				return rc;
			*end += (int64_t)used;
			used = 0;
		}
		if (size > out->cap) {
			if ((rc = extsort_write(s, fd, c->rec, size, *end, e)))
				return rc;
			*end += (int64_t)size;
		} else {
			memcpy(out->p + used, c->rec, size);
			used += size;
		}
		rc = cursor_next(s, c, e);
		tree_replay(s, m);
	}
	if (rc == ERR_OK && used) {
		rc = extsort_write(s, fd, out->p, used, *end, e);
		*end += (int64_t)used;
	}
	return rc;
}

/* Merge neighbours so that at most fan_in runs are left after some passes; groups are of even size. */
static enum err_code merge_pass(struct extsort *s, size_t fan_in, struct err *e)
{
	size_t groups = (s->nrun + fan_in - 1) / fan_in;
	int fd;
	int64_t end = 0;
	enum err_code rc = extsort_file_new(s, &fd, e);
	if (rc)
		return rc;
	for (size_t g = 0; g < groups && rc == ERR_OK; g++) {
		size_t from = s->nrun * g / groups, to = s->nrun * (g + 1) / groups;
		int64_t start = end;
		rc = merge_group(s, s->run + from, to - from, fd, &end, e);
		s->run[g] = (struct run){start, end}; /* g <= from: read already */
	}
	if (rc) {
		fd_close(&fd);
		return rc;
	}
	fd_close(&s->fd);
	s->fd = fd;
	s->nrun = groups;
	s->stats.spilled_bytes += (uint64_t)end;
	return ERR_OK;
}

/* ---- for extsort.c */

enum err_code merge_start(struct extsort *s, struct err *e)
{
	size_t block = s->memory_n / 16 < 512u << 10 ? s->memory_n / 16 : 512u << 10;
	block &= ~(size_t)15;
	for (int i = 0; i < BLOCKS; i++)
		area_init(&s->block[i].mem, s->memory + (size_t)i * block, block);
	struct merge *m = s->merge = calloc(1, sizeof *m);
	if (!m)
		return err_oom(e);
	m->memory = s->memory + BLOCKS * block;
	m->memory_n = s->memory_n - BLOCKS * block;
	size_t each = s->max_rec > READ_MIN ? (s->max_rec + 15) & ~(size_t)15 : READ_MIN;
	size_t fan_in = m->memory_n / each < 2 ? 2 : m->memory_n / each;
	size_t k = s->nrun < fan_in ? s->nrun : fan_in;
	m->c = calloc(k, sizeof *m->c);
	m->tree = calloc(k, sizeof *m->tree);
	if (!m->c || !m->tree)
		return err_oom(e);
	sortkey_compile(&s->key);
	enum err_code rc;
	while (s->nrun > fan_in) {
		if ((rc = merge_pass(s, fan_in, e)))
			return rc;
	}
	return merge_open(s, s->run, s->nrun, e);
}

void merge_free(struct extsort *s)
{
	struct merge *m = s->merge;
	if (!m)
		return;
	for (uint32_t i = 0; m->c && i < m->k; i++)
		area_reset(&m->c[i].mem);
	free(m->c);
	free(m->tree);
	free(m);
	s->merge = NULL;
}

/* Room for one more record behind those that stay; pointers follow when the bytes move. */
static bool block_grow(struct block *b, size_t size)
{
	uintptr_t old = (uintptr_t)b->mem.p;
	if (!area_grow(&b->mem, b->used + size, b->used))
		return false;
	for (size_t i = 0; i < b->n && (uintptr_t)b->mem.p != old; i++)
		b->rec[i] = b->mem.p + ((uintptr_t)b->rec[i] - old);
	return true;
}

enum err_code merge_block(struct extsort *s, struct block *b, struct err *e)
{
	struct merge *m = s->merge;
	const struct rec *last = NULL;
	uint64_t last_digest = 0;
	size_t last_at = 0;
	area_reset(&b->mem);
	b->used = b->n = 0;
	for (struct cursor *c; (c = &m->c[m->tree[0]])->rec;) {
		const struct rec *r = c->rec;
		size_t size = rec_size(r);
		if (s->opt.last_only && last && c->digest == last_digest &&
		    (s->key.exact || rec_compare(r, last, s->key.common) == 0)) {
			b->used = last_at;
			b->n--;
		} else if (b->n == BLOCK_RECS || (b->n && b->used + size > b->mem.cap)) {
			break;
		}
		if (++s->rank > s->skip) {
			if (!block_grow(b, size))
				return err_oom(e);
			last = memcpy(b->mem.p + b->used, r, size);
			last_digest = c->digest;
			last_at = b->used;
			b->used += size;
			b->rec[b->n] = rec_bytes(last);
			b->len[b->n++] = r->len;
		}
		enum err_code rc = cursor_next(s, c, e);
		if (rc)
			return rc;
		tree_replay(s, m);
	}
	b->rank = s->rank;
	return ERR_OK;
}
