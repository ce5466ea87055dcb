/*
 * csv_kernel.h: the loops that see every byte and every cell, one table of them per SIMD level.
 *
 * index() finds separators and line ends outside of quotes and stops at the first byte that breaks the simple grammar:
 * what it lists before that is right. The column kernels take records that all have the same number of cells; they
 * either convert a column exactly as convert.h would, or say CSV_BAD and leave the naming of the culprit to a second
 * look. All levels give the same lists, values and flags (test/unit/format compares them).
 */
#ifndef FORMAT_CSV_KERNEL_H
#define FORMAT_CSV_KERNEL_H

#include "format/csv.h"

/* Records that are converted together; small enough for their lists and columns to stay in the first cache. */
#define CSV_RUN_MAX 512u

struct csv_index {
	char sep, quote, escape, newline;
	bool quotes;	/* quote is in use */
	uint32_t *mark; /* separators and line ends; mark[-1] is the byte before the first of the records */
	uint32_t *nl;	/* line ends */
	uint32_t *dq;	/* doubled quotes: the place of the second of the two */
	uint32_t nmark, nnl, ndq;
	size_t at;			  /* indexed up to here */
	uint64_t in_quote;		  /* all ones inside of quotes */
	uint64_t after_close, after_mark; /* bit 0: the byte before `at` was one */
	bool any_quote;			  /* since the lists were empty */
	uint64_t high;	 /* not 0: one of the last three bytes is beyond ASCII, a character may go on */
	size_t bad;	 /* SIZE_MAX, or the byte that breaks the grammar */
	size_t bad_utf8; /* SIZE_MAX, or where invalid UTF-8 was found first (up to 3 bytes behind its start) */
	uint64_t lines;	 /* line end bytes seen, quoted ones too */
};

/* Lists need room for one entry a byte and this many more. */
#define CSV_INDEX_SLACK 128u

/* A run of regular records. */
struct csv_run {
	const char *data;
	const uint32_t *mark; /* of the first record; mark[-1] is valid */
	uint32_t n, ncol;
	bool quotes; /* some of them may have quoted cells */
	char quote;
	bool cr;	/* take a CR away from the last cell */
	uint32_t *ends; /* the marks again, a column behind the other: ends[col * stride + row] */
	size_t stride;
};

/* A column's cells for number kernels: where each ends, and its length; 8 entries behind the last are readable, the
 * ends harmless. */
struct csv_spans {
	uint32_t *end, *len;
	uint8_t *null;
};

/* What a column kernel found; 0 is the plain case. */
#define CSV_NULL 1u  /* an unquoted empty cell */
#define CSV_EMPTY 2u /* a quoted empty cell */
#define CSV_BAD 4u   /* something is no value: nothing in the column is to be trusted */

/* Entries that kernels may write behind the last row of a run. */
#define CSV_ROW_SLACK 16u

struct csv_kernels {
	enum simd_level level;
	/* From ix->at to end (a multiple of 64 bytes further, or the end of what is there), or until bad is set. */
	void (*index)(struct csv_index *ix, const char *data, size_t end);
	/* Fill ends, which has room for ncol * stride + CSV_ROW_SLACK entries and one before; NULL: not needed. */
	void (*columns)(const struct csv_run *run);
	/* Cells of a column without their quotes. null[r]: unquoted and empty. */
	unsigned (*texts)(const struct csv_run *run, uint32_t col, struct cell_ref *ref, uint8_t *null);
	unsigned (*spans)(const struct csv_run *run, uint32_t col, struct csv_spans s);
	/* Typed values of cells; those with null[r] become 0. CSV_BAD or 0. */
	unsigned (*i64)(const char *data, struct csv_spans s, uint32_t n, bool is_int, int64_t *out);
	unsigned (*f64)(const char *data, struct csv_spans s, uint32_t n, double *out);
	unsigned (*date)(const char *data, struct csv_spans s, uint32_t n, int64_t *out);
};

extern const struct csv_kernels csv_kernels_portable, csv_kernels_avx2, csv_kernels_avx512;

/* The best this machine has, at most level. */
const struct csv_kernels *csv_kernels_pick(enum simd_level level);

#endif
