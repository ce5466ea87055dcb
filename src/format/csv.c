/*
 * csv.c: the reader's loop. Blocks are read, indexed a window at a time, and taken as runs of regular records; what is
 * irregular is scanned record by record, and the index starts anew behind it.
 *
 *   feed [pos, n)  --index-->  marks, line ends, doubled quotes  --run_length-->  take_run
 *                                                                `--irregular-->  csv_scan, take_record
 *
 * A batch never spans two blocks; what remains of a block (part of a record) moves in front of the next one.
 */
#include "format/csv.h"

#include "format/csv_reader.h"

#include <stdlib.h>
#include <string.h>

/* ---- counting physical lines: the index counts what it sees, the rest is counted here */

static uint64_t count_lines(const struct csv_reader *r, size_t from, size_t to)
{
	const char *p = r->feed.cur->data;
	uint64_t n = 0;
	for (size_t i = from; i < to; i++)
		n += p[i] == r->rules.newline;
	return n;
}

/* The physical line at feed.pos. */
static uint64_t line_here(struct csv_reader *r)
{
	size_t pos = r->feed.pos, at = r->ix.at;
	if (pos >= at)
		r->line += r->ix.lines + count_lines(r, at, pos);
	else
		r->line += r->ix.lines - count_lines(r, pos, at);
	r->ix.lines = 0;
	return r->line;
}

/* Forget the index: it starts anew at feed.pos, where a record begins. Counts the lines before. */
static void index_reset(struct csv_reader *r)
{
	struct csv_index *ix = &r->ix;
	line_here(r);
	ix->mark[-1] = (uint32_t)r->feed.pos - 1;
	ix->nmark = ix->nnl = ix->ndq = 0;
	r->mark_at = r->nl_at = r->dq_at = 0;
	ix->at = r->feed.pos;
	ix->in_quote = ix->after_close = 0;
	ix->after_mark = 1;
	ix->any_quote = false;
	ix->high = 0;
	ix->bad = ix->bad_utf8 = SIZE_MAX;
}

/* Move what the pending record has to the front of the lists; no line end is left. */
static void index_compact(struct csv_reader *r)
{
	struct csv_index *ix = &r->ix;
	ix->mark[-1] = (uint32_t)r->feed.pos - 1;
	memmove(ix->mark, ix->mark + r->mark_at, (ix->nmark - r->mark_at) * sizeof *ix->mark);
	memmove(ix->dq, ix->dq + r->dq_at, (ix->ndq - r->dq_at) * sizeof *ix->dq);
	ix->nmark -= r->mark_at;
	ix->ndq -= r->dq_at;
	ix->nnl = r->mark_at = r->nl_at = r->dq_at = 0;
	/* quotes of the pending record may lie before this window */
	ix->any_quote = ix->any_quote && ix->at > r->feed.pos;
	if (ix->bad_utf8 != SIZE_MAX)
		ix->bad_utf8 = ix->at > r->feed.pos ? r->feed.pos : SIZE_MAX;
}

static void index_more(struct csv_reader *r)
{
	index_compact(r);
	size_t end = r->feed.n - r->ix.at > CSV_WINDOW ? r->ix.at + CSV_WINDOW : r->feed.n;
	r->k->index(&r->ix, r->feed.cur->data, end);
}

/* Read on, keeping the record that begins at pos. */
static enum err_code read_more(struct csv_reader *r, struct err *e)
{
	uint64_t line = line_here(r);
	enum err_code rc = feed_more(&r->feed, line, e);
	if (rc)
		return rc;
	r->ix.at = r->feed.pos;
	index_reset(r);
	return ERR_OK;
}

/* Room in scratch is short: the rest of the block goes to a fresh one. */
static enum err_code move_on(struct csv_reader *r, struct err *e)
{
	uint64_t line = line_here(r);
	enum err_code rc = feed_move(&r->feed, r->feed.block, line, e);
	if (rc)
		return rc;
	r->ix.at = r->feed.pos;
	index_reset(r);
	return ERR_OK;
}

/* ---- irregular records */

/* pos moved behind a scanned record: the index either agrees about its end, or starts anew. */
static void step_behind(struct csv_reader *r, size_t next)
{
	struct csv_index *ix = &r->ix;
	r->feed.pos = next;
	if (r->nl_at == ix->nnl || ix->nl[r->nl_at] + 1 != next) {
		index_reset(r);
		return;
	}
	r->nl_at++;
	while (r->mark_at < ix->nmark && ix->mark[r->mark_at] < next)
		r->mark_at++;
	while (r->dq_at < ix->ndq && ix->dq[r->dq_at] < next)
		r->dq_at++;
}

enum step { STEP_ON, STEP_BATCH_FULL, STEP_MORE, STEP_END };

static enum err_code scan_one(struct csv_reader *r, struct batch *b, enum step *ret, struct err *e)
{
	struct csv_feed *f = &r->feed;
	struct csv_record rec;
	csv_window(&r->rules, &r->window_full_at, f->cur->offset + f->pos, NULL);
	switch (csv_scan(&r->rules, f->cur->data, f->pos, f->n, f->eof, r->cells, r->layout.ncol, &rec)) {
	case SCAN_END:
		*ret = STEP_END;
		return ERR_OK;
	case SCAN_MORE:
		*ret = STEP_MORE;
		return ERR_OK;
	case SCAN_BLANK:
		step_behind(r, rec.next);
		return ERR_OK;
	default:
		break;
	}
	if (rec.len * (size_t)2 + r->scratch_per_row > block_scratch_left(f->cur)) {
		*ret = STEP_BATCH_FULL;
		return ERR_OK;
	}
	enum err_code rc = take_record(r, b, &rec, e);
	csv_window(&r->rules, &r->window_full_at, f->cur->offset + rec.off, rec.rule);
	r->skipping = rec.skip;
	step_behind(r, rec.next);
	return rc;
}

/* Throw bytes away up to the next line end. */
static void skip_rest(struct csv_reader *r, enum step *ret)
{
	struct csv_feed *f = &r->feed;
	const char *p = f->cur->data + f->pos;
	const char *nl = memchr(p, r->rules.newline, f->n - f->pos);
	f->pos = nl ? (size_t)(nl - f->cur->data) + 1 : f->n;
	index_reset(r);
	r->skipping = !nl && !f->eof;
	if (!nl)
		*ret = f->eof ? STEP_END : STEP_MORE;
}

/* The index holds no complete record at pos: is there no sense in indexing on? */
static bool must_scan(const struct csv_reader *r)
{
	const struct csv_index *ix = &r->ix;
	return ix->bad != SIZE_MAX || ix->nmark - r->mark_at > r->layout.ncol || ix->ndq - r->dq_at > CSV_DQ_PENDING ||
	       ix->at - r->feed.pos >= r->rules.window + 2 || (ix->at == r->feed.n && r->feed.eof);
}

static enum err_code step(struct csv_reader *r, struct batch *b, uint32_t room, enum step *ret, struct err *e)
{
	if (r->skipping) {
		skip_rest(r, ret);
		return ERR_OK;
	}
	uint32_t n = run_length(r, room);
	if (n) {
		enum err_code rc = take_run(r, b, n, &n, e);
		if (!n)
			*ret = STEP_BATCH_FULL;
		return rc;
	}
	if (r->nl_at < r->ix.nnl || must_scan(r))
		return scan_one(r, b, ret, e);
	if (r->ix.at < r->feed.n)
		index_more(r);
	else
		*ret = STEP_MORE;
	return ERR_OK;
}

/* ---- batches */

static int by_row_and_field(const void *va, const void *vb)
{
	const struct defect *a = va, *b = vb;
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	if (a->field != b->field)
		return a->field < b->field ? -1 : 1;
	return a->cell.p < b->cell.p ? -1 : a->cell.p > b->cell.p;
}

/* Runs find defects column by column. */
static void sort_defects(struct batch *b)
{
	uint32_t i = 1;
	while (i < b->ndefect && by_row_and_field(&b->defect[i - 1], &b->defect[i]) <= 0)
		i++;
	if (i < b->ndefect)
		qsort(b->defect, b->ndefect, sizeof *b->defect, by_row_and_field);
}

static void begin_batch(struct csv_reader *r, struct batch *b)
{
	b->first_row = r->next_row;
	b->data = r->feed.cur->data;
	b->data_offset = r->feed.cur->offset;
	b->hold = block_ref(r->feed.cur);
	b->release = block_unref;
	b->locate = reader_locate;
	b->reader = r;
	b->line = 0;
	b->line_off = 0;
}

static void end_batch(struct csv_reader *r, struct batch *b)
{
	sort_defects(b);
	for (uint32_t f = 0; f < r->schema->nfields; f++) {
		struct column *c = &b->col[f];
		if (r->layout.column_of[f] >= 0)
			continue;
		memset(c->null, 1, b->nrow);
		memset(c->i64	? (void *)c->i64
		       : c->f64 ? (void *)c->f64
				: (void *)c->ref,
		       0, b->nrow * sizeof(int64_t));
		c->any_null = b->nrow > 0;
	}
	r->next_row += b->nrow;
	for (uint32_t i = 0; i < r->nwarnings; i++)
		if (i < r->layout.nwarnings)
			r->warnings[i].count = r->next_row - 1;
}

enum err_code csv_next(struct csv_reader *r, struct batch *b, bool *ret_more, struct err *e)
{
	batch_clear(b);
	uint32_t cap = b->cap < r->batch_rows ? b->cap : r->batch_rows;
	begin_batch(r, b);
	enum err_code rc = ERR_OK;
	while (!rc && b->nrow < cap && b->ndefect < CSV_DEFECTS_PER_BATCH) {
		enum step s = STEP_ON;
		rc = step(r, b, cap - b->nrow, &s, e);
		if (rc || s == STEP_ON)
			continue;
		if (b->nrow || s == STEP_END)
			break;
		batch_clear(b);
		rc = s == STEP_MORE ? read_more(r, e) : move_on(r, e);
		if (!rc)
			begin_batch(r, b);
	}
	end_batch(r, b);
	*ret_more = b->nrow > 0;
	return rc;
}

/* ---- opening */

static enum err_code only_warning(struct csv_reader *r, const char *text, struct err *e)
{
	r->warnings = arena_alloc(&r->arena, sizeof *r->warnings);
	if (!r->warnings)
		return err_oom(e);
	r->warnings[0] = (struct csv_warning){text, 1};
	r->nwarnings = 1;
	return ERR_OK;
}

static enum err_code read_header(struct csv_reader *r, struct err *e)
{
	struct csv_feed *f = &r->feed;
	struct csv_record rec;
	for (;;) {
		switch (csv_scan(&r->rules, f->cur->data, f->pos, f->n, f->eof, NULL, 0, &rec)) {
		case SCAN_END:
			return layout_by_position(r->schema, &r->arena, &r->layout, e);
		case SCAN_BLANK:
			f->pos = rec.next;
			break;
		case SCAN_RECORD:
			f->pos = rec.next;
			return reader_header(r, f->cur->data, &rec, e);
		default: {
			uint64_t line = r->line + count_lines(r, 0, f->pos);
			enum err_code rc = feed_more(f, line, e);
			if (rc)
				return rc;
			r->line = line;
			r->ix.at = f->pos;
		}
		}
	}
}

static enum err_code open_file(struct csv_reader *r, struct source *src, const struct csv_plan *plan, struct err *e)
{
	enum err_code rc = feed_init(&r->feed, src, r->feed.block, r->scratch_per_row, e);
	do {
		if (!rc)
			rc = feed_more(&r->feed, 1, e);
	} while (!rc && !csv_find_newline(&r->rules, r->feed.cur->data, r->feed.n, r->feed.eof));
	if (rc)
		return rc;
	rc = r->header ? read_header(r, e) : layout_by_position(r->schema, &r->arena, &r->layout, e);
	if (!rc)
		rc = reader_prepare(r, plan, e);
	if (rc)
		return rc;
	index_reset(r);
	if (r->header && !r->header_line.p)
		return only_warning(r, "the file is empty: no header, no records", e);
	return ERR_OK;
}

enum err_code csv_open(struct source *src, const struct csv_plan *plan, const struct csv_options *opt,
		       struct csv_reader **ret, struct err *e)
{
	struct csv_reader *r;
	enum err_code rc = reader_new(plan, opt, &r, e);
	if (rc)
		return rc;
	rc = open_file(r, src, plan, e);
	if (rc) {
		csv_close(r);
		return rc;
	}
	*ret = r;
	return ERR_OK;
}

/* ---- records one by one */

enum err_code csv_open_records(const char *header_line, const struct csv_plan *plan, const struct csv_options *opt,
			       struct csv_reader **ret, struct err *e)
{
	struct csv_reader *r;
	enum err_code rc = reader_new(plan, opt, &r, e);
	if (rc)
		return rc;
	size_t n = strlen(header_line);
	struct csv_record rec;
	rc = feed_init(&r->feed, NULL, r->feed.block, r->scratch_per_row, e);
	r->feed.eof = true;
	if (!rc && r->header && csv_scan(&r->rules, header_line, 0, n, true, NULL, 0, &rec) == SCAN_RECORD)
		rc = reader_header(r, header_line, &rec, e);
	else if (!rc)
		rc = layout_by_position(r->schema, &r->arena, &r->layout, e);
	if (!rc)
		rc = reader_prepare(r, plan, e);
	if (rc) {
		csv_close(r);
		return rc;
	}
	*ret = r;
	return ERR_OK;
}

/* Lay the records one behind the other, each with a line end, into a block of our own. */
static enum err_code load_records(struct csv_reader *r, const struct span *raw, uint32_t n, struct err *e)
{
	struct csv_feed *f = &r->feed;
	size_t need = 0;
	for (uint32_t i = 0; i < n; i++)
		need += raw[i].n + 1;
	f->pos = f->n = 0;
	f->scratch_extra = r->scratch_per_row * n;
	enum err_code rc = feed_move(f, need, r->next_row, e);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < n; i++) {
		if (raw[i].n)
			memcpy(f->cur->data + f->n, raw[i].p, raw[i].n);
		f->n += raw[i].n;
		f->cur->data[f->n++] = r->rules.newline;
	}
	memset(f->cur->data + f->n, 0, BLOCK_PAD);
	return ERR_OK;
}

/* The record that [pos, end) is, of whatever kind of lines its file had; wrong when it is more than one. */
static struct csv_record scan_alone(struct csv_reader *r, const char *data, size_t pos, size_t end)
{
	static const char newlines[] = {'\r', '\n'};
	struct csv_record rec;
	for (size_t k = 0; k < sizeof newlines; k++) {
		r->rules.newline = newlines[k];
		if (csv_scan(&r->rules, data, pos, end, true, r->cells, r->layout.ncol, &rec) != SCAN_RECORD)
			rec = (struct csv_record){.off = (uint32_t)pos, .next = (uint32_t)end};
		if (!rec.rule && rec.ncell == r->layout.ncol && rec.next == end)
			break;
	}
	rec.len = (uint32_t)(end - pos);
	if (!rec.rule && rec.next < end)
		rec.ncell = CSV_SEVERAL;
	return rec;
}

enum err_code csv_records(struct csv_reader *r, const struct span *raw, uint32_t n, struct batch *b, struct err *e)
{
	batch_clear(b);
	if (n > b->cap)
		return err_set(e, ERR_INTERNAL, "%u records for a batch of %u", n, b->cap);
	enum err_code rc = load_records(r, raw, n, e);
	if (rc)
		return rc;
	begin_batch(r, b);
	size_t pos = 0;
	for (uint32_t i = 0; i < n && !rc; pos += raw[i++].n + 1) {
		struct csv_record rec = scan_alone(r, b->data, pos, pos + raw[i].n);
		rc = take_record(r, b, &rec, e);
	}
	end_batch(r, b);
	return rc;
}

/* ---- the rest */

const struct csv_warning *csv_warnings(const struct csv_reader *r, uint32_t *ret_n)
{
	*ret_n = r->nwarnings;
	return r->warnings;
}

struct span csv_header(const struct csv_reader *r)
{
	return r->header_line;
}

enum simd_level csv_simd(const struct csv_reader *r)
{
	return r->k->level;
}

void csv_close(struct csv_reader *r)
{
	if (!r)
		return;
	feed_done(&r->feed);
	free(r->lists);
	arena_done(&r->arena);
	free(r);
}
