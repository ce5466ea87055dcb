/*
 * extsort.c: filling, sorting and spilling runs, and the reader's side. See extsort_merge.c for what comes after.
 *
 * All buffers are one allocation of the declared size. Filling it holds one run buffer and the write buffer, with
 * opt.background two half-sized run buffers that change hands through two queues; reading, the blocks for the reader
 * and a read buffer a run.
 */
#include "base/extsort.h"

#include "base/extsort_internal.h"
#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MEMORY_DEFAULT (8u << 20)
#define MEMORY_MIN (1u << 20)
#define REC_MAX (1u << 30)
#define STACK_SIZE (256u << 10)
#define RADIX_MIN 256

bool area_grow(struct area *a, size_t need, size_t keep)
{
	if (need <= a->cap)
		return true;
	size_t cap = (need + 4095) & ~(size_t)4095;
	uint8_t *p = malloc(cap);
	if (!p)
		return false;
	if (keep)
		memcpy(p, a->p, keep);
	if (a->p != a->home)
		free(a->p);
	a->p = p;
	a->cap = cap;
	return true;
}

void area_reset(struct area *a)
{
	if (a->p == a->home)
		return;
	free(a->p);
	a->p = a->home;
	a->cap = a->home_cap;
}

/* ---- the spill file */

/* Without a name from the start, so a kill leaves nothing behind. */
enum err_code extsort_file_new(struct extsort *s, int *ret_fd, struct err *e)
{
	int fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		char path[4096];
		if (snprintf(path, sizeof path, "%s/mysimbdp-sort-XXXXXX", s->dir) >= (int)sizeof path)
			return err_set(e, ERR_LIMIT, "spill directory \"%s\": the path is too long", s->dir);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return err_sys(e, errno, "make a spill file in \"%s\"", s->dir);
	*ret_fd = fd;
	return ERR_OK;
}

enum err_code extsort_write(struct extsort *s, int fd, const void *p, size_t n, int64_t off, struct err *e)
{
	char name[256];
	errno = EIO;
	if (fault_hit("extsort.spill"))
		return err_sys(e, errno, "write %zu bytes to the spill file in \"%s\"", n, s->dir);
	snprintf(name, sizeof name, "spill file in %s", s->dir);
	return fd_pwrite_all(fd, p, n, off, name, e);
}

/* ---- one run */

static int entry_compare(const struct run_buffer *b, const struct sortkey_entry *x, const struct sortkey_entry *y,
			 size_t common)
{
	if (x->digest != y->digest)
		return x->digest < y->digest ? -1 : 1;
	return rec_compare((const void *)(b->mem.p + 8 * (size_t)x->at), (const void *)(b->mem.p + 8 * (size_t)y->at),
			   common);
}

/* Stable bottom-up merge sort by digest and whole key; the result is in e. */
static void sort_compare(const struct run_buffer *b, struct sortkey_entry *e, struct sortkey_entry *tmp, size_t n,
			 size_t common)
{
	struct sortkey_entry *from = e, *to = tmp;
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t lo = 0; lo < n; lo += 2 * width) {
			size_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
			size_t i = lo, j = mid, k = lo;
			while (i < mid && j < hi)
				to[k++] = entry_compare(b, &from[j], &from[i], common) < 0 ? from[j++] : from[i++];
			while (i < mid)
				to[k++] = from[i++];
			while (j < hi)
				to[k++] = from[j++];
		}
		struct sortkey_entry *swap = from;
		from = to;
		to = swap;
	}
	if (from != e)
		memcpy(e, from, n * sizeof *e);
}

static void run_sort(struct extsort *s, struct run_buffer *b)
{
	struct sortkey *k = &s->key;
	size_t n = b->n, len;
	b->entry = (struct sortkey_entry *)(void *)(b->mem.p + b->used);
	struct sortkey_entry *e = b->entry, *tmp = e + n;
	for (size_t at = 0; at < b->used; at += rec_size((const void *)(b->mem.p + at))) {
		const uint8_t *key = rec_key((const void *)(b->mem.p + at), &len);
		sortkey_learn(k, key, len);
	}
	sortkey_compile(k);
	size_t i = 0;
	for (size_t at = 0; at < b->used; at += rec_size((const void *)(b->mem.p + at))) {
		const uint8_t *key = rec_key((const void *)(b->mem.p + at), &len);
		e[i++] = (struct sortkey_entry){sortkey_digest(k, key, len), (uint32_t)(at / 8), 0};
	}
	if (n < RADIX_MIN) {
		sort_compare(b, e, tmp, n, k->common);
		return;
	}
	sortkey_radix(e, tmp, n, k->bits);
	if (k->exact)
		return;
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && e[to].digest == e[from].digest; to++)
			;
		if (to - from > 1)
			sort_compare(b, e + from, tmp, to - from, k->common);
	}
}

static enum err_code run_add(struct extsort *s, struct run r, struct err *e)
{
	if (s->nrun == s->run_room) {
		size_t room = s->run_room ? s->run_room * 2 : 64;
		struct run *p = realloc(s->run, room * sizeof *p);
		if (!p)
			return err_oom(e);
		s->run = p;
		s->run_room = room;
	}
	s->run[s->nrun++] = r;
	return ERR_OK;
}

static enum err_code run_write(struct extsort *s, struct run_buffer *b, struct err *e)
{
	size_t used = 0;
	struct run r = {.off = s->file_end};
	enum err_code rc;
	for (size_t i = 0; i < b->n; i++) {
		const struct rec *rec = (const void *)(b->mem.p + 8 * (size_t)b->entry[i].at);
		if (i + 8 < b->n)
			__builtin_prefetch(b->mem.p + 8 * (size_t)b->entry[i + 8].at);
		size_t size = rec_size(rec);
		if (used + size > s->out.cap && used) {
			if ((rc = extsort_write(s, s->fd, s->out.p, used, s->file_end, e)))
				return rc;
			s->file_end += (int64_t)used;
			used = 0;
		}
		if (size > s->out.cap) {
			if ((rc = extsort_write(s, s->fd, rec, size, s->file_end, e)))
				return rc;
			s->file_end += (int64_t)size;
			continue;
		}
		memcpy(s->out.p + used, rec, size);
		used += size;
	}
	if (used && (rc = extsort_write(s, s->fd, s->out.p, used, s->file_end, e)))
		return rc;
	s->file_end += (int64_t)used;
	r.end = s->file_end;
	return run_add(s, r, e);
}

static enum err_code run_spill(struct extsort *s, struct run_buffer *b, struct err *e)
{
	enum err_code rc;
	if (s->fd < 0 && (rc = extsort_file_new(s, &s->fd, e)))
		return rc;
	run_sort(s, b);
	if ((rc = run_write(s, b, e)))
		return rc;
	b->used = b->n = 0;
	area_reset(&b->mem);
	return ERR_OK;
}

/* ---- the second thread */

static void *spill_main(void *arg)
{
	struct extsort *s = arg;
	void *item;
	while (queue_get(&s->todo, &item)) {
		if (!atomic_load(&s->failed) && run_spill(s, item, &s->err))
			atomic_store(&s->failed, true);
		queue_put(&s->idle, item);
	}
	return NULL;
}

static void *merge_main(void *arg)
{
	struct extsort *s = arg;
	void *item;
	while (queue_get(&s->idle, &item)) {
		struct block *b = item;
		if (merge_block(s, b, &s->err)) {
			atomic_store(&s->failed, true);
			b->n = 0;
		}
		bool more = b->n > 0;
		queue_put(&s->todo, b);
		if (!more)
			break;
	}
	return NULL;
}

static enum err_code thread_start(struct extsort *s, void *(*fn)(void *), struct err *e)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	queue_init(&s->todo, BLOCKS);
	queue_init(&s->idle, BLOCKS);
	int sys = pthread_create(&s->thread, &attr, fn, s);
	pthread_attr_destroy(&attr);
	if (sys) {
		queue_done(&s->todo);
		queue_done(&s->idle);
		return err_sys(e, sys, "start the sorting thread");
	}
	s->thread_runs = true;
	return ERR_OK;
}

static void thread_stop(struct extsort *s)
{
	if (!s->thread_runs)
		return;
	queue_close(&s->todo);
	queue_close(&s->idle);
	pthread_join(s->thread, NULL);
	queue_done(&s->todo);
	queue_done(&s->idle);
	s->thread_runs = false;
}

/* ---- filling */

static enum err_code fail(struct extsort *s, struct err *e)
{
	if (e)
		*e = s->err;
	return s->err.code;
}

static enum err_code fail_with(struct extsort *s, const struct err *cause)
{
	s->err = *cause;
	atomic_store(&s->failed, true);
	return cause->code;
}

/* The buffer being filled is full: get it sorted and written, and an empty one. */
static enum err_code run_full(struct extsort *s, struct err *e)
{
	enum err_code rc;
	if (!s->opt.background)
		return (rc = run_spill(s, s->fill, e)) ? fail_with(s, e) : ERR_OK;
	void *item;
	if (!s->thread_runs) {
		if ((rc = thread_start(s, spill_main, e)))
			return fail_with(s, e);
		queue_put(&s->idle, &s->buf[1]);
	}
	queue_put(&s->todo, s->fill);
	queue_get(&s->idle, &item);
	s->fill = item;
	return atomic_load(&s->failed) ? fail(s, e) : ERR_OK;
}

static size_t room_needed(const struct run_buffer *b, size_t size)
{
	return b->used + size + 2 * sizeof(struct sortkey_entry) * ((size_t)b->n + 1);
}

enum err_code extsort_reserve(struct extsort *s, size_t len, size_t key_off, size_t key_len, void **ret, struct err *e)
{
	struct err local, *err = e ? e : &local;
	if (atomic_load_explicit(&s->failed, memory_order_acquire)) /* perhaps of the thread, a while ago */
		return fail(s, err);
	if (s->finished || key_off > len || key_len > len - key_off)
		return err_set(err, ERR_INTERNAL, "sort: key %zu+%zu of a record of %zu bytes, %s", key_off, key_len,
			       len, s->finished ? "after the end" : "outside of it");
	if (len > REC_MAX)
		return err_set(err, ERR_LIMIT, "sort: a record of %zu bytes, at most %u are possible", len, REC_MAX);
	bool extended = key_off > 0xffff || key_len >= REC_EXTENDED;
	size_t size = sizeof(struct rec) + (extended ? sizeof(struct rec_extended) : 0) + ((len + 7) & ~(size_t)7);
	enum err_code rc;
	if (room_needed(s->fill, size) > s->fill->mem.cap && s->fill->n && (rc = run_full(s, err)))
		return rc;
	struct run_buffer *b = s->fill;
	if (!area_grow(&b->mem, room_needed(b, size), b->used))
		return err_oom(err);
	struct rec *r = (void *)(b->mem.p + b->used);
	*r = (struct rec){.len = (uint32_t)len,
			  .key_off = extended ? 0 : (uint16_t)key_off,
			  .key_len = extended ? REC_EXTENDED : (uint16_t)key_len};
	uint8_t *bytes = (uint8_t *)(r + 1);
	if (extended) {
		*(struct rec_extended *)(void *)bytes = (struct rec_extended){(uint32_t)key_off, (uint32_t)key_len};
		bytes += sizeof(struct rec_extended);
	}
	if (len & 7)
		memset(bytes + (len & ~(size_t)7), 0, 8);
	b->used += size;
	b->n++;
	s->stats.records++;
	s->stats.bytes += len;
	if (size > s->max_rec)
		s->max_rec = size;
	*ret = bytes;
	return ERR_OK;
}

enum err_code extsort_add(struct extsort *s, const void *rec, size_t len, size_t key_off, size_t key_len, struct err *e)
{
	void *to;
	enum err_code rc = extsort_reserve(s, len, key_off, key_len, &to, e);
	if (rc == ERR_OK && len)
		memcpy(to, rec, len);
	return rc;
}

/* ---- reading */

static enum err_code blocks_new(struct extsort *s, struct err *e)
{
	for (int i = 0; i < BLOCKS; i++) {
		struct block *b = &s->block[i];
		b->rec = malloc(BLOCK_RECS * sizeof *b->rec);
		b->len = malloc(BLOCK_RECS * sizeof *b->len);
		if (!b->rec || !b->len)
			return err_oom(e);
	}
	return ERR_OK;
}

enum err_code extsort_finish(struct extsort *s, struct err *e)
{
	struct err local, *err = e ? e : &local;
	enum err_code rc;
	if (s->thread_runs) {
		queue_close(&s->todo); /* the thread drains it */
		pthread_join(s->thread, NULL);
		queue_done(&s->todo);
		queue_done(&s->idle);
		s->thread_runs = false;
	}
	if (atomic_load(&s->failed))
		return fail(s, err);
	s->finished = true;
	if ((rc = blocks_new(s, err)))
		return fail_with(s, err);
	if (s->nrun == 0) {
		run_sort(s, s->fill);
		return ERR_OK;
	}
	if (s->fill->n && (rc = run_spill(s, s->fill, err)))
		return fail_with(s, err);
	s->stats.runs = (uint32_t)s->nrun;
	s->stats.spilled_bytes = (uint64_t)s->file_end;
	if ((rc = merge_start(s, err)))
		return fail_with(s, err);
	return ERR_OK;
}

/* Everything fitted into memory: the block points into the run buffer. */
static void memory_block(struct extsort *s, struct block *b)
{
	const struct run_buffer *rb = s->fill;
	b->n = 0;
	for (; s->mem_i < rb->n && b->n < BLOCK_RECS; s->mem_i++) {
		const struct sortkey_entry *en = &rb->entry[s->mem_i];
		s->rank++;
		if (s->opt.last_only && s->mem_i + 1 < rb->n && entry_compare(rb, en, en + 1, s->key.common) == 0)
			continue;
		if (s->rank <= s->skip)
			continue;
		const struct rec *r = (const void *)(rb->mem.p + 8 * (size_t)en->at);
		b->rec[b->n] = rec_bytes(r);
		b->len[b->n++] = r->len;
	}
	b->rank = s->rank;
}

static enum err_code merged_block(struct extsort *s, struct err *e)
{
	enum err_code rc;
	if (!s->opt.background) {
		s->cur = &s->block[0];
		if ((rc = merge_block(s, s->cur, e)))
			return fail_with(s, e);
		return ERR_OK;
	}
	void *item;
	if (!s->thread_runs) {
		if ((rc = thread_start(s, merge_main, e)))
			return fail_with(s, e);
		for (int i = 0; i < BLOCKS; i++)
			queue_put(&s->idle, &s->block[i]);
	} else {
		queue_put(&s->idle, s->cur);
	}
	queue_get(&s->todo, &item);
	s->cur = item;
	return s->cur->n == 0 && atomic_load(&s->failed) ? fail(s, e) : ERR_OK;
}

enum err_code extsort_next_block(struct extsort *s, const void *const **ret_recs, size_t *ret_n, uint64_t *ret_rank,
				 struct err *e)
{
	struct err local, *err = e ? e : &local;
	enum err_code rc;
	if (!s->finished)
		return err_set(err, ERR_INTERNAL, "sort: read before the end of filling");
	if (!s->at_end) {
		if (s->nrun == 0) {
			s->cur = &s->block[0];
			memory_block(s, s->cur);
		} else if (atomic_load(&s->failed)) {
			return fail(s, err);
		} else if ((rc = merged_block(s, err))) {
			return rc;
		}
		s->at_end = s->cur->n == 0;
		s->cur_i = 0;
	}
	*ret_recs = s->cur->rec;
	*ret_n = s->cur->n;
	if (ret_rank)
		*ret_rank = s->cur->rank;
	s->cur_i = s->cur->n;
	return ERR_OK;
}

enum err_code extsort_next(struct extsort *s, const void **ret_rec, size_t *ret_len, struct err *e)
{
	if (!s->cur || s->cur_i == s->cur->n) {
		const void *const *recs;
		size_t n;
		enum err_code rc = extsort_next_block(s, &recs, &n, NULL, e);
		if (rc)
			return rc;
		s->cur_i = 0;
		if (n == 0) {
			*ret_rec = NULL;
			*ret_len = 0;
			return ERR_OK;
		}
	}
	*ret_rec = s->cur->rec[s->cur_i];
	*ret_len = s->cur->len[s->cur_i++];
	return ERR_OK;
}

void extsort_skip(struct extsort *s, uint64_t n)
{
	s->skip = n;
}

void extsort_stats(const struct extsort *s, struct extsort_stats *ret)
{
	*ret = s->stats;
}

/* ---- life */

static const char *spill_dir(const struct extsort_options *opt)
{
	if (opt->dir)
		return opt->dir;
	const char *t = getenv("TMPDIR");
	return t && *t ? t : "/tmp";
}

enum err_code extsort_new(const struct extsort_options *opt, struct extsort **ret, struct err *e)
{
	struct extsort *s = calloc(1, sizeof *s);
	if (!s)
		return err_oom(e);
	s->opt = *opt;
	s->fd = -1;
	size_t n = opt->memory ? opt->memory : MEMORY_DEFAULT;
	s->memory_n = (n < MEMORY_MIN ? MEMORY_MIN : n) & ~(size_t)15;
	s->memory = malloc(s->memory_n);
	s->dir = strdup(spill_dir(opt));
	sortkey_init(&s->key);
	if (!s->memory || !s->dir) {
		extsort_free(s);
		return err_oom(e);
	}
	size_t out = s->memory_n / 8 < 256u << 10 ? s->memory_n / 8 : 256u << 10;
	size_t run = (s->memory_n - out) / (opt->background ? 2 : 1) & ~(size_t)15;
	area_init(&s->out, s->memory, out & ~(size_t)15);
	area_init(&s->buf[0].mem, s->memory + s->out.cap, run);
	if (opt->background)
		area_init(&s->buf[1].mem, s->memory + s->out.cap + run, run);
	s->fill = &s->buf[0];
	*ret = s;
	return ERR_OK;
}

void extsort_free(struct extsort *s)
{
	if (!s)
		return;
	thread_stop(s);
	merge_free(s);
	for (int i = 0; i < 2; i++)
		area_reset(&s->buf[i].mem);
	for (int i = 0; i < BLOCKS; i++) {
		area_reset(&s->block[i].mem);
		free(s->block[i].rec);
		free(s->block[i].len);
	}
	fd_close(&s->fd);
	free(s->run);
	free(s->memory);
	free(s->dir);
	free(s);
}
