/*
 * again.h: quarantined records once more through a plan: what replay, preview and propose have in common.
 *
 *   struct again_walk w = {.plan = &plan, .quarantine = q, .filter = {...}, .page = take_page, .ctx = &mine};
 *   again_run(&w, &err);
 *
 * Open records come in pages of one output, in the order of their ids, parsed with their own file's header. Row i of
 * the batch is entry[of[i]]; batch->bad[i] tells whether the plan (schema, and rules when gate is set) still rejects
 * it. Records that can't be judged alone are in `held` with the reason. Memory is bounded by the page. Internal to
 * ingest/.
 */
#ifndef INGEST_AGAIN_H
#define INGEST_AGAIN_H

#include "ingest/ingest.h"

struct again_held {
	const struct quarantine_entry *entry;
	const char *why;
};

struct again_page {
	int64_t output;
	const struct quarantine_entry *entry;
	size_t n;
	const struct batch *batch; /* nrow <= n; NULL when all are held */
	const uint32_t *of;	   /* row of the batch -> index into entry */
	const struct again_held *held;
	size_t nheld;
	struct arena *arena; /* of the page */
};

struct again_walk {
	const struct ingest_plan *plan;
	struct quarantine *quarantine;
	struct quarantine_filter filter; /* state, after, limit, bytes are set here */
	bool gate;			 /* rules too, not only the schema */
	/* Before the first page of an output; false in *ret_take: none of its records. May be NULL. now_us: what ages
	 * are measured against, 0 for the entry's own time. */
	enum err_code (*output)(void *ctx, int64_t output, bool *ret_take, int64_t *ret_now_us, struct err *e);
	enum err_code (*page)(void *ctx, const struct again_page *p, struct err *e);
	/* Behind the last page of an output that was taken. May be NULL. */
	enum err_code (*output_end)(void *ctx, int64_t output, struct err *e);
	void *ctx;
};

enum err_code again_run(const struct again_walk *w, struct err *e) MUST_USE;

/* The first defect that rejects row r of the batch; NULL when there is none. */
const struct defect *again_defect(const struct batch *b, uint32_t r);

#endif
