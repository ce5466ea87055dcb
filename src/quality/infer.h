/*
 * infer.h: a data file configuration from a file: what `mysimbdp infer` prints.
 *
 *   struct infer_result r;
 *   infer_file("reviews.csv", &opt, &r, &err);
 *   fputs(r.document, stdout);
 *   infer_result_done(&r);
 *
 * The whole file is read, several times, with flat memory; so it can't be standard input. Promise: `check` with the
 * document accepts every record of the same file, but for records that no document could make right (ragged rows,
 * broken quotes, NUL bytes): those are counted in `hopeless`.
 *
 * Passes: charset and dialect from the first megabyte (sniff.c); types, nulls and null words from every record
 * (profile.c); a key, verified on disk over the whole file (keyfind.c). See docs/quality.md.
 */
#ifndef QUALITY_INFER_H
#define QUALITY_INFER_H

#include "base/arena.h"
#include "base/err.h"
#include "format/csv.h"

#include <stdatomic.h>

struct infer_options {
	size_t memory; /* of a sort; 0: 8 MiB */
	const char *spill_dir;
	const atomic_bool *stop; /* may be NULL */
	void (*tick)(void *ctx, const char *phase, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

struct infer_column {
	const char *name;     /* as in the header, or c1, c2 ... */
	const char *left_out; /* NULL, or why it is not in the schema */
	const char *type;     /* "long", "union of null and string" ... */
	uint64_t nulls, values;
	const char *example; /* a value, shortened */
	bool key;
};

struct infer_result {
	struct arena arena;
	const char *document; /* JSON, with a line end */
	uint64_t records, hopeless;
	const struct infer_column *column;
	uint32_t ncolumns;
	const char *dialect; /* "comma, quote \", UTF-8, header" for people */
	const char **notes;  /* sentences */
	uint32_t nnotes;
};

enum err_code infer_file(const char *path, const struct infer_options *opt, struct infer_result *ret,
			 struct err *e) MUST_USE;
void infer_result_done(struct infer_result *r);

#endif
