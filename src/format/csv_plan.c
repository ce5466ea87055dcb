/* csv_plan.c: what a reader works out once, before the first record. */
#include "format/csv_reader.h"

#include "record/utf8.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_LIMIT (32u << 20)

static enum column_kind kind_of(const struct field *f)
{
	if (f->logical == LOGICAL_DATE)
		return COLUMN_DATE;
	if (f->logical != LOGICAL_NONE)
		return COLUMN_OTHER;
	switch (f->type) {
	case AVRO_T_INT:
		return COLUMN_INT;
	case AVRO_T_LONG:
		return COLUMN_LONG;
	case AVRO_T_FLOAT:
	case AVRO_T_DOUBLE:
		return COLUMN_DOUBLE;
	case AVRO_T_STRING:
	case AVRO_T_BYTES:
		return COLUMN_TEXT;
	default:
		return COLUMN_OTHER;
	}
}

/* Bytes that the canonical form of a cell may have beyond the cell itself. */
static size_t canonical_extra(const struct field *f)
{
	if (f->logical == LOGICAL_DECIMAL)
		return f->scale + 4;
	return f->logical == LOGICAL_UUID ? 36 : 0;
}

static void plan_columns(struct csv_reader *r, const struct csv_plan *plan)
{
	for (uint32_t f = 0; f < r->schema->nfields; f++) {
		const struct field *field = &r->schema->fields[f];
		r->column[f] = (struct column_plan){.kind = kind_of(field), .look = CSV_BAD};
		if (!field->nullable)
			r->column[f].look |= CSV_NULL;
		r->scratch_per_row += canonical_extra(field);
	}
	for (uint32_t i = 0; i < plan->nkey; i++) {
		struct column_plan *c = &r->column[plan->key[i]];
		c->key = true;
		c->look |= CSV_NULL;
		if (c->kind == COLUMN_TEXT)
			c->look |= CSV_EMPTY;
	}
}

static enum err_code plan_null_words(struct csv_reader *r, const struct csv_dialect *d, struct err *e)
{
	r->null_word = arena_array(&r->arena, d->nnull_words, sizeof *r->null_word);
	if (!r->null_word)
		return err_oom(e);
	for (uint32_t i = 0; i < d->nnull_words; i++) {
		struct null_word *w = &r->null_word[r->nnull_word];
		w->text = d->null_words[i];
		if (!w->text.n)
			continue; /* the empty cell is null anyway */
		size_t n = w->text.n < 8 ? w->text.n : 8;
		memcpy(&w->first, w->text.p, n);
		memset(&w->mask, 0xff, n);
		r->nnull_word++;
	}
	return ERR_OK;
}

static size_t or_default(size_t v, size_t dflt)
{
	return v ? v : dflt;
}

enum err_code reader_new(const struct csv_plan *plan, const struct csv_options *opt, struct csv_reader **ret,
			 struct err *e)
{
	static const struct csv_options none;
	opt = opt ? opt : &none;
	const struct csv_dialect *d = &plan->dialect;
	struct csv_reader *r = calloc(1, sizeof *r);
	if (!r)
		return err_oom(e);
	arena_init(&r->arena, ARENA_LIMIT);
	r->schema = plan->schema;
	r->header = d->header;
	r->rules = csv_rules_of(d, opt);
	r->max_cell = or_default(opt->max_cell, CSV_MAX_CELL);
	r->batch_rows = opt->batch_rows ? opt->batch_rows : 4096;
	r->batch_rows = r->batch_rows < BATCH_ROWS_MAX ? r->batch_rows : BATCH_ROWS_MAX;
	r->feed.block = or_default(opt->block, CSV_BLOCK);
	r->feed.block = r->feed.block < 64 ? 64 : r->feed.block;
	r->k = csv_kernels_pick(opt->simd);
	r->next_row = 1;
	r->line = 1;
	r->column = arena_array(&r->arena, plan->schema->nfields + 1, sizeof *r->column);
	r->row_defects = arena_alloc(&r->arena, BATCH_ROWS_MAX);
	r->refs = arena_array(&r->arena, CSV_RUN_MAX + CSV_ROW_SLACK, sizeof *r->refs);
	r->spans.end = arena_array(&r->arena, CSV_RUN_MAX + CSV_ROW_SLACK, sizeof(uint32_t));
	r->spans.len = arena_array(&r->arena, CSV_RUN_MAX + CSV_ROW_SLACK, sizeof(uint32_t));
	enum err_code rc = r->column && r->row_defects && r->refs && r->spans.end && r->spans.len
			       ? plan_null_words(r, d, e)
			       : err_oom(e);
	if (rc) {
		csv_close(r);
		return rc;
	}
	plan_columns(r, plan);
	*ret = r;
	return ERR_OK;
}

/* Lists for the index: a window beyond the marks of one pending record. */
static enum err_code make_index(struct csv_reader *r, struct err *e)
{
	size_t nl = CSV_WINDOW + CSV_INDEX_SLACK, mark = r->layout.ncol + nl + 64, dq = CSV_DQ_PENDING + nl;
	/* a run has no more marks than the list, and some slack in each column (see take_run) */
	size_t ends = mark + r->layout.ncol * 32 + 64;
	r->lists = malloc((64 + mark + nl + dq + ends) * sizeof *r->lists);
	if (!r->lists)
		return err_oom(e);
	r->ix = (struct csv_index){.sep = r->rules.sep,
				   .quote = r->rules.quote,
				   .newline = r->rules.newline,
				   .escape = r->rules.escape,
				   .quotes = r->rules.quotes,
				   .mark = r->lists + 64};
	r->ix.nl = r->ix.mark + mark;
	r->ix.dq = r->ix.nl + nl;
	r->ends = r->ix.dq + dq + 32;
	return ERR_OK;
}

enum err_code reader_prepare(struct csv_reader *r, const struct csv_plan *plan, struct err *e)
{
	struct csv_layout *l = &r->layout;
	r->cells = arena_array(&r->arena, l->ncol + 1, sizeof *r->cells);
	r->nwarnings = l->nwarnings;
	r->warnings = arena_array(&r->arena, l->nwarnings + 1, sizeof *r->warnings);
	if (!r->cells || !r->warnings)
		return err_oom(e);
	if (l->nwarnings)
		memcpy(r->warnings, l->warnings, l->nwarnings * sizeof *r->warnings);
	return make_index(r, e);
}

enum err_code reader_header(struct csv_reader *r, const char *data, const struct csv_record *rec, struct err *e)
{
	if (rec->rule) {
		err_set(e, ERR_REFUSED, "the header line is broken: %s",
			strcmp(rec->rule, RULE_UNCLOSED_QUOTE) == 0 ? "a quote never closes"
			: strcmp(rec->rule, RULE_BAD_QUOTE) == 0    ? "text behind a closing quote"
								    : "it is too long");
		return err_hint(e, "look at its quotes, and at csv.quote.char");
	}
	if (utf8_valid_prefix(data + rec->off, rec->len) != rec->len) {
		err_set(e, ERR_REFUSED, "the header line is no UTF-8");
		return err_hint(e, "write the file as UTF-8, or name its charset in csv.file.charset");
	}
	if (memchr(data + rec->off, 0, rec->len)) {
		err_set(e, ERR_REFUSED, "the header line has a NUL byte");
		return err_hint(e, "is it text? UTF-16 must be named in csv.file.charset");
	}
	if (rec->ncell > CSV_COLUMNS_MAX)
		return err_set(e, ERR_REFUSED, "the header has %u columns, at most %u are allowed", rec->ncell,
			       CSV_COLUMNS_MAX);
	r->header_line = arena_span(&r->arena, (struct span){data + rec->off, rec->len});
	struct csv_cell *cells = arena_array(&r->arena, rec->ncell, sizeof *cells);
	struct span *name = arena_array(&r->arena, rec->ncell, sizeof *name);
	if (!cells || !name || !r->header_line.p)
		return err_oom(e);
	struct csv_record again;
	(void)csv_scan(&r->rules, r->header_line.p, 0, r->header_line.n, true, cells, rec->ncell, &again);
	for (uint32_t c = 0; c < rec->ncell; c++) {
		const char *p = r->header_line.p + cells[c].off;
		char *text = arena_alloc(&r->arena, cells[c].len);
		if (!text)
			return err_oom(e);
		name[c].p = text;
		name[c].n = cells[c].len;
		if (cells[c].repair)
			name[c].n = csv_unescape(&r->rules, p, cells[c].len, text);
		else if (cells[c].len)
			memcpy(text, p, cells[c].len);
	}
	return layout_by_header(r->schema, name, rec->ncell, &r->arena, &r->layout, e);
}
