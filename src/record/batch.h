/*
 * batch.h: some records of one file as typed columns.
 *
 *   for each batch from the reader:
 *       the gate looks at columns and sets bad[r] and adds defects;
 *       everybody downstream skips rows with bad[r] set.
 *
 * Owned by whoever made it (batch_new) and refilled by a reader; everything inside is valid until this batch is filled
 * again or freed, whatever the reader does with other batches.
 * Text cells are offsets into data (which holds the block of the file, and behind it repaired cells), so a batch is
 * below 4 GiB. One thread at a time.
 */
#ifndef RECORD_BATCH_H
#define RECORD_BATCH_H

#include "base/err.h"
#include "record/convert.h"
#include "record/defect.h"
#include "record/schema.h"

#define BATCH_ROWS_MAX 65536

struct cell_ref {
	uint32_t off, len;
};

/* One column. null[r] != 0: no value. The array of the field's storage is set, the others are NULL. */
struct column {
	uint8_t *null;
	int64_t *i64;	      /* STORE_I64 */
	double *f64;	      /* STORE_F64 */
	struct cell_ref *ref; /* STORE_TEXT, STORE_BYTES: into batch->data */
	bool any_null;	      /* false: no null[r] is set in this batch (a hint that lets loops skip) */
};

struct batch {
	const struct schema *schema;
	uint32_t nrow, cap;
	struct column *col; /* schema->nfields of them */
	uint8_t *bad;	    /* per row: 1 = rejected */
	uint32_t nbad;

	uint64_t first_row;   /* record number of row 0, from 1 */
	const char *data;     /* base of cell_ref */
	uint64_t data_offset; /* of data[0] in the decoded text */
	struct cell_ref *raw; /* per row: the record as written, without its line end */

	struct defect *defect; /* in order of rows, as far as stages come one after the other */
	uint32_t ndefect, defect_cap;

	/* Set by the reader: fills line, offset and column of a defect (index and field are set), and cell when it has
	 * none. */
	void (*locate)(struct batch *b, struct defect *d);
	const void *reader; /* for locate */
	void *hold;	    /* what keeps data alive; given back by release */
	void (*release)(void *hold);
	uint32_t line_off; /* the reader's: how far lines are counted ... */
	uint64_t line;	   /* ... and the line there */
};

/* Room for cap rows; NULL without memory. */
struct batch *batch_new(const struct schema *s, uint32_t cap);
void batch_free(struct batch *b);
void batch_clear(struct batch *b);

/* Append a copy of *d as a defect of row index r: sets row and index, calls locate (which fills cell from the record
 * when d->cell.p is NULL and field >= 0), and marks the row bad unless the action is DEFECT_WARN. */
enum err_code batch_defect(struct batch *b, uint32_t r, const struct defect *d, struct err *e) MUST_USE;

/* The typed value of a cell. */
static inline struct value batch_value(const struct batch *b, uint32_t r, uint32_t field)
{
	const struct column *c = &b->col[field];
	struct value v = {.null = c->null[r] != 0};
	if (v.null)
		return v;
	if (c->i64)
		v.i = c->i64[r];
	else if (c->f64)
		v.d = c->f64[r];
	else
		v.s = (struct span){b->data + c->ref[r].off, c->ref[r].len};
	return v;
}

/* A shortened copy of a cell for messages: control characters escaped, at most 60 characters. Returns out. */
const char *cell_quote(struct span cell, char out[200]);

#endif
