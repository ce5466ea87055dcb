/*
 * csv_reader.h: the reader's insides, shared by csv.c, csv_run.c and csv_record.c only.
 */
#ifndef FORMAT_CSV_READER_H
#define FORMAT_CSV_READER_H

#include "format/csv_block.h"
#include "format/csv_kernel.h"
#include "format/csv_layout.h"
#include "format/csv_scan.h"

/* Bytes indexed at a time: what is indexed is converted while it is near. 16 to 64 KiB are equally fast; less leaves
 * too few long records for a run, more leaves the first cache. */
#define CSV_WINDOW (32u << 10)
/* A record with more doubled quotes goes the slow way. */
#define CSV_DQ_PENDING 4096u
/* Type defects of one record that are kept; more say nothing new. */
#define CSV_DEFECTS_PER_RECORD 8u
/* A batch ends early behind so many defects. */
#define CSV_DEFECTS_PER_BATCH 4096u
#define CSV_COLUMNS_MAX 16384u

/* As a number of cells: what was given as one record is more. */
#define CSV_SEVERAL UINT32_MAX

/* How a column is converted. */
enum column_kind { COLUMN_TEXT, COLUMN_INT, COLUMN_LONG, COLUMN_DOUBLE, COLUMN_DATE, COLUMN_OTHER };

struct column_plan {
	enum column_kind kind;
	bool key;
	unsigned look; /* kernel flags that need a second look */
};

struct null_word {
	uint64_t first, mask; /* of its first 8 bytes */
	struct span text;
};

struct csv_reader {
	const struct schema *schema;
	struct csv_rules rules;
	bool header;
	size_t max_cell;
	uint32_t batch_rows;
	const struct csv_kernels *k;
	struct arena arena;
	struct csv_layout layout;
	struct span header_line;
	struct column_plan *column; /* per field */
	struct null_word *null_word;
	uint32_t nnull_word;
	size_t scratch_per_row; /* canonical forms of one record */

	struct csv_feed feed;
	struct csv_index ix;
	uint32_t *lists;
	uint32_t mark_at, nl_at, dq_at; /* consumed so far */
	uint64_t line;			/* physical line where ix.lines starts to count */

	uint64_t next_row;	 /* record number of the next batch's row 0 */
	uint64_t window_full_at; /* decoded offset from where quotes may be open for max_row again */
	bool skipping;		 /* in a record that is too long */
	struct csv_cell *cells;	 /* of one record */
	struct cell_ref *refs;	 /* of one column of a run ... */
	struct csv_spans spans;	 /* ... for numbers; null belongs to the column */
	uint32_t *ends;		 /* of all columns of a run */
	uint8_t *row_defects;	 /* per row of the batch */
	struct csv_warning *warnings;
	uint32_t nwarnings;
};

/* ---- csv_record.c: one record or cell with every exception */

/* Convert cell into field f of row i, or add a defect. */
enum err_code take_cell(struct csv_reader *r, struct batch *b, uint32_t i, uint32_t f, struct csv_cell cell,
			struct err *e) MUST_USE;
/* Put a converted value into field f of row i; canonical forms that are not the text itself go to scratch. */
void store_value(struct csv_reader *r, struct batch *b, uint32_t i, uint32_t f, struct span text,
		 const struct value *v);
/* Append a scanned record. */
enum err_code take_record(struct csv_reader *r, struct batch *b, const struct csv_record *rec, struct err *e) MUST_USE;
void reader_locate(struct batch *b, struct defect *d);
/* Mark null words of unquoted cells; true when there were some. */
bool mark_null_words(const struct csv_reader *r, const char *data, const struct cell_ref *ref, uint8_t *null,
		     uint32_t n);
bool is_null_word(const struct csv_reader *r, const char *p, size_t n);

/* ---- csv_run.c: records that all look the same */

/* How many of the next records are regular; at most max. */
uint32_t run_length(struct csv_reader *r, uint32_t max);
/* Append the next n records; *ret_n fewer when scratch is short (0: none fits). */
enum err_code take_run(struct csv_reader *r, struct batch *b, uint32_t n, uint32_t *ret_n, struct err *e) MUST_USE;

/* ---- csv_plan.c: from plan and options to a reader that can be used */
enum err_code reader_new(const struct csv_plan *plan, const struct csv_options *opt, struct csv_reader **ret,
			 struct err *e) MUST_USE;
/* Once the layout is known. */
enum err_code reader_prepare(struct csv_reader *r, const struct csv_plan *plan, struct err *e) MUST_USE;
/* Split the header line's cells and map them. */
enum err_code reader_header(struct csv_reader *r, const char *data, const struct csv_record *rec,
			    struct err *e) MUST_USE;

#endif
