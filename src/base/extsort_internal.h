/*
 * extsort_internal.h: what extsort.c (filling, sorting and spilling runs) and extsort_merge.c (reading them back in
 * order) share. Nobody else includes it.
 */
#ifndef BASE_EXTSORT_INTERNAL_H
#define BASE_EXTSORT_INTERNAL_H

#include "base/extsort.h"
#include "base/queue.h"
#include "base/sortkey.h"

#include <pthread.h>
#include <stdatomic.h>

/* A record in a buffer and in the spill file: this, `extended` when the key's place needs more room, the bytes. */
struct rec {
	uint32_t len;		   /* of the caller's bytes */
	uint16_t key_off, key_len; /* key_len REC_EXTENDED: see struct rec_extended behind */
};
#define REC_EXTENDED 0xffffu

struct rec_extended {
	uint32_t key_off, key_len;
};

static inline bool rec_is_extended(const struct rec *r)
{
	return r->key_len == REC_EXTENDED;
}

static inline const uint8_t *rec_bytes(const struct rec *r)
{
	return (const uint8_t *)(r + 1) + (rec_is_extended(r) ? sizeof(struct rec_extended) : 0);
}

static inline const uint8_t *rec_key(const struct rec *r, size_t *ret_n)
{
	if (rec_is_extended(r)) {
		const struct rec_extended *x = (const void *)(r + 1);
		*ret_n = x->key_len;
		return rec_bytes(r) + x->key_off;
	}
	*ret_n = r->key_len;
	return rec_bytes(r) + r->key_off;
}

/* With header and padding: the next record begins there. */
static inline size_t rec_size(const struct rec *r)
{
	return sizeof *r + (rec_is_extended(r) ? sizeof(struct rec_extended) : 0) + (((size_t)r->len + 7) & ~(size_t)7);
}

static inline int rec_compare(const struct rec *a, const struct rec *b, size_t common)
{
	size_t na, nb;
	const uint8_t *ka = rec_key(a, &na), *kb = rec_key(b, &nb);
	return key_compare(ka + common, na - common, kb + common, nb - common);
}

/* Memory with a home inside the sorter's one allocation; a record longer than that moves it out for a while. */
struct area {
	uint8_t *p, *home;
	size_t cap, home_cap;
};

static inline void area_init(struct area *a, uint8_t *home, size_t cap)
{
	*a = (struct area){home, home, cap, cap};
}

/* Room for need bytes, the first keep of them kept. */
bool area_grow(struct area *a, size_t need, size_t keep) MUST_USE;
/* Back home; nothing is kept. */
void area_reset(struct area *a);

/* Records being gathered: bytes from the front, with room behind them for two lists of n entries. */
struct run_buffer {
	struct area mem;
	size_t used;
	uint32_t n;
	struct sortkey_entry *entry; /* after sorting */
};

struct run {
	int64_t off, end; /* in the spill file */
};

/* A part of the sorted order, handed to the reader. */
struct block {
	struct area mem; /* copies of records, unless they lie in the run buffer */
	size_t used;
	const void **rec;
	uint32_t *len;
	size_t n;
	uint64_t rank;
};

#define BLOCK_RECS 4096u
#define BLOCKS 3

struct merge;

struct extsort {
	struct extsort_options opt;
	char *dir;
	uint8_t *memory; /* cut into run buffers first, later into blocks and the merge's buffers */
	size_t memory_n;
	struct extsort_stats stats;
	struct sortkey key;
	size_t max_rec; /* the longest record, with header */

	struct run_buffer buf[2]; /* the second only with background */
	struct run_buffer *fill;
	struct area out; /* gathers what goes to the file in one write */
	int fd;
	int64_t file_end;
	struct run *run;
	size_t nrun, run_room;

	pthread_t thread; /* sorts and spills until finish, then merges */
	bool thread_runs;
	struct queue todo, idle; /* of run buffers; then of full and of free blocks */
	struct err err;		 /* sticky; handed over through the queues */
	atomic_bool failed;
	bool finished, at_end;

	uint64_t skip, rank; /* rank: of the record last taken from the order */
	struct block block[BLOCKS];
	struct block *cur; /* the reader's */
	size_t cur_i;
	size_t mem_i; /* next entry when everything is in memory */
	struct merge *merge;
};

/* extsort.c */
enum err_code extsort_file_new(struct extsort *s, int *ret_fd, struct err *e) MUST_USE;
enum err_code extsort_write(struct extsort *s, int fd, const void *p, size_t n, int64_t off, struct err *e) MUST_USE;

/* extsort_merge.c */
enum err_code merge_start(struct extsort *s, struct err *e) MUST_USE;
void merge_free(struct extsort *s);
/* Fill b with the next records; b->n is 0 at the end. */
enum err_code merge_block(struct extsort *s, struct block *b, struct err *e) MUST_USE;

#endif
