/*
 * extsort.h: sort more records than fit into memory, on disk, stably, within a declared memory limit.
 *
 *   extsort_new(&opt, &s, &err);
 *   for each record: extsort_add(s, key, klen, rec, len, &err);
 *   extsort_finish(s, &err);
 *   while (extsort_next(s, &rec, &len, &err) == ERR_OK && rec) ...
 *   extsort_free(s);
 *
 * Records leave in memcmp order of their keys (the shorter first on a tie of the prefix), equal keys in the order of
 * arrival. Runs go to an unlinked temporary file in opt.dir, so nothing is left behind by a kill. Method: runs sorted
 * by a radix sort over the bits of the key that vary, k-way merge by a loser tree; merge passes when there are more
 * runs than buffers. A sort that fits into memory never touches the disk. A record longer than the buffers makes them
 * grow for as long as it is there.
 *
 * With opt.background the sorting and spilling of one run overlaps the filling of the next, and merging runs ahead of
 * the reader; the caller needs no thread of its own. One thread at a time; adding may be done by another thread than
 * reading.
 */
#ifndef BASE_EXTSORT_H
#define BASE_EXTSORT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct extsort;

struct extsort_options {
	const char *dir; /* for the spill file; NULL: $TMPDIR or /tmp */
	size_t memory;	 /* bytes for buffers; at least 1 MiB, default 8 MiB when 0 */
	bool background; /* use a second thread */
	bool last_only;	 /* of records with equal keys only the one that arrived last comes out */
};

struct extsort_stats {
	uint64_t records, bytes, spilled_bytes;
	uint32_t runs;
};

enum err_code extsort_new(const struct extsort_options *opt, struct extsort **ret, struct err *e) MUST_USE;
void extsort_free(struct extsort *s);

/* Copies the record. The key is rec[key_off .. key_off + key_len). 8-byte alignment of records is kept. */
enum err_code extsort_add(struct extsort *s, const void *rec, size_t len, size_t key_off, size_t key_len,
			  struct err *e) MUST_USE;
/* As extsort_add without a copy: room for len bytes that the caller fills before the next call. */
enum err_code extsort_reserve(struct extsort *s, size_t len, size_t key_off, size_t key_len, void **ret,
			      struct err *e) MUST_USE;
enum err_code extsort_finish(struct extsort *s, struct err *e) MUST_USE;
/* *ret_rec is NULL at the end; valid until the next call. */
enum err_code extsort_next(struct extsort *s, const void **ret_rec, size_t *ret_len, struct err *e) MUST_USE;

/* As extsort_next, many at a time and without copying each: *ret_recs points at *ret_n records (0 at the end) that are
 * valid until the next call. *ret_rank (may be NULL) is how many records of the sorted order lie up to and including
 * the last of these, those dropped by last_only counted: a position that is the same in every run over the same
 * records. */
enum err_code extsort_next_block(struct extsort *s, const void *const **ret_recs, size_t *ret_n, uint64_t *ret_rank,
				 struct err *e) MUST_USE;
/* Leave out the first n records of the sorted order, counted as *ret_rank counts (go on where an earlier run stopped).
 * Before the first next. */
void extsort_skip(struct extsort *s, uint64_t n);
void extsort_stats(const struct extsort *s, struct extsort_stats *ret);

#endif
