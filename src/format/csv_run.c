/*
 * csv_run.c: runs of regular records, a column at a time.
 *
 * A record is regular when its number of marks is right: every ncol-th mark is a line end. The kernels convert a whole
 * column; only when one says that something is wrong, or that values are missing where they may not, the cells of that
 * column are looked at one by one.
 */
#include "format/csv_reader.h"

#include "record/number.h"
#include "record/utf8.h"

#include <string.h>

/* Longest record that needs no look at limits. */
static size_t shortest_limit(const struct csv_reader *r)
{
	size_t m = r->max_cell < r->rules.window ? r->max_cell : r->rules.window;
	return m < r->rules.max_row ? m : r->rules.max_row;
}

/* Records that need a look before they are regular: long ones, invalid UTF-8, blank lines in a file of one column. */
static bool looks_regular(const struct csv_reader *r, uint32_t start, uint32_t nl, size_t limit)
{
	const char *p = r->feed.cur->data + start;
	size_t len = nl - start;
	if (len > limit)
		return false;
	if (nl >= r->ix.bad_utf8 && utf8_valid_prefix(p, len) != len)
		return false;
	if (r->layout.ncol > 1)
		return true;
	return len > 1 || (len == 1 && !(*p == '\r' && r->rules.newline == '\n'));
}

uint32_t run_length(struct csv_reader *r, uint32_t max)
{
	uint32_t ncol = r->layout.ncol, left = r->ix.nnl - r->nl_at, n = 0;
	max = max < CSV_RUN_MAX ? max : CSV_RUN_MAX;
	max = max < left ? max : left;
	const uint32_t *mark = r->ix.mark + r->mark_at, *nl = r->ix.nl + r->nl_at;
	uint32_t nmark = r->ix.nmark - r->mark_at;
	if (max > nmark / ncol)
		max = nmark / ncol;
	while (n < max && mark[(n + 1) * ncol - 1] == nl[n])
		n++;
	size_t limit = shortest_limit(r);
	if (n == 0 || (ncol > 1 && nl[n - 1] < r->ix.bad_utf8 && nl[n - 1] - mark[-1] <= limit))
		return n;
	uint32_t start = mark[-1] + 1;
	for (uint32_t i = 0; i < n; start = nl[i++] + 1)
		if (!looks_regular(r, start, nl[i], limit))
			return i;
	return n;
}

static void take_raw(struct csv_reader *r, struct batch *b, uint32_t n)
{
	const uint32_t *nl = r->ix.nl + r->nl_at;
	uint32_t start = r->ix.mark[(int64_t)r->mark_at - 1] + 1;
	struct cell_ref *raw = b->raw + b->nrow;
	bool lf = r->rules.newline == '\n';
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = nl[i] - start;
		len -= lf && len && b->data[nl[i] - 1] == '\r';
		raw[i] = (struct cell_ref){start, len};
		start = nl[i] + 1;
	}
	memset(b->bad + b->nrow, 0, n);
	memset(r->row_defects + b->nrow, 0, n);
}

/* A cell of a run from its ref: quotes are around it, and it needs repair when one is in it. */
static struct csv_cell cell_of(const struct csv_reader *r, const struct batch *b, struct cell_ref ref)
{
	struct csv_cell c = {ref.off, ref.len, false, false};
	c.quoted = r->rules.quotes && b->data[(int64_t)ref.off - 1] == r->rules.quote;
	c.repair = c.quoted && memchr(b->data + ref.off, r->rules.quote, ref.len) != NULL;
	return c;
}

/* Look at the cells of field f that made the kernels hesitate: all of them when one may be bad. */
static enum err_code second_look(struct csv_reader *r, struct batch *b, uint32_t f, const struct csv_run *run,
				 unsigned flags, struct err *e)
{
	struct cell_ref *ref = r->refs;
	uint8_t *null = b->col[f].null + b->nrow;
	if (r->column[f].kind == COLUMN_TEXT)
		memcpy(ref, b->col[f].ref + b->nrow, run->n * sizeof *ref);
	for (uint32_t i = 0; i < run->n; i++) {
		if (!(flags & CSV_BAD) && !null[i] && ref[i].len)
			continue;
		enum err_code rc = take_cell(r, b, b->nrow + i, f, cell_of(r, b, ref[i]), e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* Floats: the double's rounding, but for the rare text that lies between two floats. */
static unsigned to_float(double *d, uint32_t n)
{
	bool bad = false;
	for (uint32_t i = 0; i < n; i++) {
		bad = bad || !f32_round_is_exact(d[i]) || d[i] > 0x1.fffffep127 || d[i] < -0x1.fffffep127;
		d[i] = (double)(float)d[i];
	}
	return bad ? CSV_BAD : 0;
}

/* Cells as spans become refs, for what wants those. */
static void refs_of_spans(struct csv_reader *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		r->refs[i] = (struct cell_ref){r->spans.end[i] - r->spans.len[i], r->spans.len[i]};
}

/* Bounds of a column's cells as refs, and nulls. */
static unsigned column_refs(struct csv_reader *r, struct batch *b, uint32_t f, const struct csv_run *run,
			    struct cell_ref *ref)
{
	struct column *col = &b->col[f];
	unsigned flags = r->k->texts(run, (uint32_t)r->layout.column_of[f], ref, col->null + b->nrow);
	if (r->nnull_word && mark_null_words(r, b->data, ref, col->null + b->nrow, run->n))
		flags |= CSV_NULL;
	col->any_null = col->any_null || (flags & CSV_NULL);
	return flags;
}

static enum err_code take_text(struct csv_reader *r, struct batch *b, uint32_t f, const struct csv_run *run,
			       struct err *e)
{
	unsigned flags = column_refs(r, b, f, run, b->col[f].ref + b->nrow);
	return flags & r->column[f].look ? second_look(r, b, f, run, flags, e) : ERR_OK;
}

/* Types without a kernel: each cell through convert_cell; what is null, empty, quoted twice or wrong by take_cell. */
static enum err_code take_other(struct csv_reader *r, struct batch *b, uint32_t f, const struct csv_run *run,
				struct err *e)
{
	const struct field *field = &r->schema->fields[f];
	const uint8_t *null = b->col[f].null + b->nrow;
	char scratch[CONVERT_SCRATCH];
	(void)column_refs(r, b, f, run, r->refs);
	for (uint32_t i = 0; i < run->n; i++) {
		struct cell_ref ref = r->refs[i];
		struct span text = {b->data + ref.off, ref.len};
		struct value v = {0};
		if (!null[i] && ref.len && !(run->quotes && memchr(text.p, run->quote, text.n)) &&
		    convert_cell(field, text, &v, scratch) == CONVERT_OK) {
			store_value(r, b, b->nrow + i, f, text, &v);
			continue;
		}
		enum err_code rc = take_cell(r, b, b->nrow + i, f, cell_of(r, b, ref), e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code take_number(struct csv_reader *r, struct batch *b, uint32_t f, const struct csv_run *run,
				 struct err *e)
{
	const struct csv_kernels *k = r->k;
	struct column *col = &b->col[f];
	uint32_t at = b->nrow, n = run->n;
	struct csv_spans s = {r->spans.end, r->spans.len, col->null + at};
	unsigned flags = k->spans(run, (uint32_t)r->layout.column_of[f], s);
	if (r->nnull_word) {
		refs_of_spans(r, n);
		flags |= mark_null_words(r, b->data, r->refs, s.null, n) ? CSV_NULL : 0;
	}
	enum column_kind kind = r->column[f].kind;
	if (kind == COLUMN_DOUBLE) {
		flags |= k->f64(b->data, s, n, col->f64 + at);
		if (!(flags & CSV_BAD) && r->schema->fields[f].type == AVRO_T_FLOAT)
			flags |= to_float(col->f64 + at, n);
	} else if (kind == COLUMN_DATE) {
		flags |= k->date(b->data, s, n, col->i64 + at);
	} else {
		flags |= k->i64(b->data, s, n, kind == COLUMN_INT, col->i64 + at);
	}
	col->any_null = col->any_null || (flags & CSV_NULL);
	if (!(flags & r->column[f].look))
		return ERR_OK;
	refs_of_spans(r, n);
	return second_look(r, b, f, run, flags, e);
}

static enum err_code take_column(struct csv_reader *r, struct batch *b, uint32_t f, const struct csv_run *run,
				 struct err *e)
{
	switch (r->column[f].kind) {
	case COLUMN_TEXT:
		return take_text(r, b, f, run, e);
	case COLUMN_OTHER:
		return take_other(r, b, f, run, e);
	default:
		return take_number(r, b, f, run, e);
	}
}

/* The cell with the doubled quotes dq[0..ndq): a copy with one each, in scratch. */
static void repair(struct csv_reader *r, struct batch *b, struct cell_ref *ref, const uint32_t *dq, uint32_t ndq)
{
	struct csv_block *blk = r->feed.cur;
	char *out = blk->data + block_scratch_at(blk), *o = out;
	uint32_t from = ref->off, end = ref->off + ref->len;
	for (uint32_t i = 0; i < ndq; i++) {
		memcpy(o, b->data + from, dq[i] - from);
		o += dq[i] - from;
		from = dq[i] + 1;
	}
	memcpy(o, b->data + from, end - from);
	o += end - from;
	blk->scratch_used += (size_t)(o - out);
	*ref = (struct cell_ref){(uint32_t)(out - b->data), (uint32_t)(o - out)};
}

/* Repair the text cells of a run that have doubled quotes; marks, line ends and doubled quotes are all in order. */
static void repair_run(struct csv_reader *r, struct batch *b, const struct csv_run *run)
{
	const uint32_t *nl = r->ix.nl + r->nl_at, *dq = r->ix.dq;
	uint32_t row = 0;
	while (r->dq_at < r->ix.ndq && dq[r->dq_at] < nl[run->n - 1]) {
		uint32_t first = r->dq_at, col = 0, n = 1;
		while (nl[row] < dq[first])
			row++;
		const uint32_t *mark = run->mark + (size_t)row * run->ncol;
		while (mark[col] < dq[first])
			col++;
		while (first + n < r->ix.ndq && dq[first + n] < mark[col])
			n++;
		r->dq_at += n;
		int32_t f = r->layout.field_of[col];
		if (f >= 0 && r->column[f].kind == COLUMN_TEXT)
			repair(r, b, &b->col[f].ref[b->nrow + row], dq + first, n);
	}
}

enum err_code take_run(struct csv_reader *r, struct batch *b, uint32_t n, uint32_t *ret_n, struct err *e)
{
	const uint32_t *nl = r->ix.nl + r->nl_at;
	struct csv_run run = {.data = b->data,
			      .mark = r->ix.mark + r->mark_at,
			      .n = n,
			      .ncol = r->layout.ncol,
			      .quotes = r->ix.any_quote,
			      .quote = r->rules.quote,
			      .cr = r->rules.newline == '\n'};
	size_t left = block_scratch_left(r->feed.cur);
	/* what repaired cells and canonical forms may need at most: twice, since a second look may repair again */
	while (run.n && (nl[run.n - 1] - run.mark[-1]) * (size_t)2 + run.n * r->scratch_per_row > left)
		run.n /= 2;
	*ret_n = run.n;
	if (!run.n)
		return ERR_OK;
	run.ends = r->ends;
	run.stride = ((run.n + 7) & ~(size_t)7) + CSV_ROW_SLACK;
	if (r->k->columns)
		r->k->columns(&run);
	take_raw(r, b, run.n);
	for (uint32_t f = 0; f < r->schema->nfields; f++) {
		enum err_code rc = r->layout.column_of[f] >= 0 ? take_column(r, b, f, &run, e) : ERR_OK;
		if (rc)
			return rc;
	}
	if (r->dq_at < r->ix.ndq)
		repair_run(r, b, &run);
	b->nrow += run.n;
	r->mark_at += run.n * run.ncol;
	r->nl_at += run.n;
	r->feed.pos = nl[run.n - 1] + 1;
	return ERR_OK;
}
