/*
 * pass.h: one pass over a file: bytes -> records -> gate, with a consumer for every checked batch.
 *
 * ingest_check and ingest_file run the same pass, which is why they agree on every record. A file that can't be read
 * as what it claims to be (damaged gzip, missing column) is refused, which is a result and not an error.
 * Internal to ingest/.
 */
#ifndef INGEST_PASS_H
#define INGEST_PASS_H

#include "ingest/ingest.h"

struct pass_consumer {
	/* After the gate: every batch in order. May be NULL. */
	enum err_code (*batch)(void *ctx, const struct batch *b, struct span header, struct err *e);
	void *ctx;
};

/* Fills ret->verdict (late[] belongs to *ret_gate, which the caller frees), bytes, shown, warnings, refused. ret is
 * initialised by the caller (arena included). */
enum err_code pass_run(const struct ingest_plan *p, const char *path, const struct ingest_progress *progress,
		       const char *phase, const struct pass_consumer *consumer, struct ingest_result *ret,
		       struct gate **ret_gate, struct err *e) MUST_USE;

/* A second look at a file for the raw text of some records (sorted row numbers): calls found for each, after the gate
 * has seen the batch again under the first pass's verdict. */
struct pass_wanted {
	const uint64_t *rows;
	uint64_t n;
	const struct verdict *verdict;
	enum err_code (*found)(void *ctx, struct batch *b, uint32_t r, struct span header, struct err *e);
	void *ctx;
};
enum err_code pass_find(const struct ingest_plan *p, const char *path, const struct pass_wanted *w,
			struct err *e) MUST_USE;

/* What is left of options.show_defects is filled with records that only the whole file showed to be bad. The gate of
 * the first pass is still there. Standard input can't be read again: nothing is shown then. */
enum err_code pass_show_late(const struct ingest_plan *p, const char *path, struct ingest_result *ret,
			     struct err *e) MUST_USE;

/* True when the plan's stop flag is set. */
static inline bool ingest_stopped(const struct ingest_plan *p)
{
	return p->options.stop && atomic_load_explicit(p->options.stop, memory_order_relaxed);
}

enum err_code ingest_interrupted(struct err *e);

#endif
