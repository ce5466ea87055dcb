/*
 * late.h: records that only the whole file shows to be bad, collected with flat memory.
 *
 *   late_new(&sort_options, &l, &err);
 *   late_put(l, rule, row, of, &err);          // in any order, a row may come from several rules
 *   late_finish(l, &err);                      // l->row[0 .. l->n) sorted, each row once
 *   late_free(l);
 *
 * The arrays lie in memory while they are small, else in an unlinked file, mapped.
 */
#ifndef QUALITY_LATE_H
#define QUALITY_LATE_H

#include "base/extsort.h"

struct late {
	struct extsort *sort;
	const char *dir;
	uint64_t put; /* entries given */
	const uint64_t *row, *of;
	const uint8_t *rule;
	uint64_t n;
	void *mem;
	size_t mem_size;
	bool mapped;
};

enum err_code late_new(const struct extsort_options *opt, struct late **ret, struct err *e) MUST_USE;
enum err_code late_put(struct late *l, uint32_t rule, uint64_t row, uint64_t of, struct err *e) MUST_USE;
/* found: called for every rule and row; first tells that no earlier rule of the list found that row. */
enum err_code late_finish(struct late *l, void (*found)(void *ctx, uint32_t rule, bool first), void *ctx,
			  struct err *e) MUST_USE;
void late_free(struct late *l);

#endif
