/*
 * csv_record.c: records and cells one by one: everything that is irregular, and the second look at a column in which a
 * kernel found something.
 */
#include "format/csv_reader.h"

#include "record/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool is_null_word(const struct csv_reader *r, const char *p, size_t n)
{
	for (uint32_t w = 0; w < r->nnull_word; w++)
		if (span_eq(r->null_word[w].text, (struct span){p, n}))
			return true;
	return false;
}

/* Reads 8 bytes of each cell: blocks have BLOCK_PAD bytes behind them. */
bool mark_null_words(const struct csv_reader *r, const char *data, const struct cell_ref *ref, uint8_t *null,
		     uint32_t n)
{
	unsigned any = 0;
	for (uint32_t w = 0; w < r->nnull_word; w++) {
		const struct null_word *word = &r->null_word[w];
		for (uint32_t i = 0; i < n; i++) {
			uint64_t first;
			memcpy(&first, data + ref[i].off, 8);
			if ((first & word->mask) != word->first || ref[i].len != word->text.n)
				continue;
			/* a quoted word is a text */
			if (r->rules.quotes && data[(int64_t)ref[i].off - 1] == r->rules.quote)
				continue;
			if (ref[i].len > 8 && memcmp(data + ref[i].off, word->text.p, ref[i].len) != 0)
				continue;
			null[i] = 1;
			any = 1;
		}
	}
	return any;
}

static void no_value(struct batch *b, uint32_t i, uint32_t f)
{
	struct column *c = &b->col[f];
	c->null[i] = 1;
	c->any_null = true;
	if (c->i64)
		c->i64[i] = 0;
	else if (c->f64)
		c->f64[i] = 0;
	else
		c->ref[i] = (struct cell_ref){b->raw[i].off, 0};
}

static enum err_code type_defect(struct csv_reader *r, struct batch *b, uint32_t i, uint32_t f, const char *rule,
				 struct csv_cell cell, const char *reason, struct err *e)
{
	no_value(b, i, f);
	if (r->row_defects[i] == CSV_DEFECTS_PER_RECORD)
		return ERR_OK;
	r->row_defects[i]++;
	struct defect d = {.rule = rule,
			   .stage = "type",
			   .action = DEFECT_REJECT,
			   .field = (int32_t)f,
			   .cell = {b->data + cell.off, cell.len}};
	snprintf(d.reason, sizeof d.reason, "%s", reason);
	return batch_defect(b, i, &d, e);
}

/* Room in the block's scratch; callers made sure that it is there. */
static char *scratch_take(struct csv_block *blk, size_t n)
{
	char *p = blk->data + block_scratch_at(blk);
	blk->scratch_used += n;
	return p;
}

void store_value(struct csv_reader *r, struct batch *b, uint32_t i, uint32_t f, struct span text, const struct value *v)
{
	struct column *c = &b->col[f];
	c->null[i] = 0;
	if (c->i64) {
		c->i64[i] = v->i;
	} else if (c->f64) {
		c->f64[i] = v->d;
	} else if (v->s.p == text.p || (v->s.n == text.n && memcmp(v->s.p, text.p, text.n) == 0)) {
		/* the text is its own canonical form; repaired ones lie in scratch already */
		c->ref[i] = (struct cell_ref){(uint32_t)(text.p - b->data), (uint32_t)text.n};
	} else {
		char *p = scratch_take(r->feed.cur, v->s.n);
		memcpy(p, v->s.p, v->s.n);
		c->ref[i] = (struct cell_ref){(uint32_t)(p - b->data), (uint32_t)v->s.n};
	}
}

enum err_code take_cell(struct csv_reader *r, struct batch *b, uint32_t i, uint32_t f, struct csv_cell cell,
			struct err *e)
{
	const struct field *field = &r->schema->fields[f];
	struct span text = {b->data + cell.off, cell.len};
	if (!cell.quoted && (cell.len == 0 || is_null_word(r, text.p, text.n))) {
		if (r->column[f].key)
			return type_defect(r, b, i, f, RULE_KEY, cell, "no value in a column of the primary key", e);
		if (!field->nullable)
			return type_defect(r, b, i, f, RULE_NOT_NULL, cell, "no value in a field that may not be null",
					   e);
		no_value(b, i, f);
		return ERR_OK;
	}
	if (cell.repair) {
		char *p = scratch_take(r->feed.cur, 0);
		text = (struct span){p, csv_unescape(&r->rules, text.p, text.n, p)};
		scratch_take(r->feed.cur, text.n);
	}
	char scratch[CONVERT_SCRATCH];
	struct value v = {0};
	enum convert_result why = convert_cell(field, text, &v, scratch);
	if (why) {
		char reason[192];
		convert_reason(field, text, why, reason);
		return type_defect(r, b, i, f, RULE_TYPE, cell, reason, e);
	}
	store_value(r, b, i, f, text, &v);
	if (r->column[f].key && text.n == 0)
		return type_defect(r, b, i, f, RULE_KEY, cell, "an empty text in a column of the primary key", e);
	return ERR_OK;
}

/* ---- defects of the parse stage */

static enum err_code parse_defect(struct batch *b, uint32_t i, const char *rule, int32_t field, struct csv_cell cell,
				  const char *reason, struct err *e)
{
	struct defect d = {.rule = rule,
			   .stage = "parse",
			   .action = DEFECT_REJECT,
			   .field = field,
			   .cell = {b->data + cell.off, cell.len}};
	snprintf(d.reason, sizeof d.reason, "%s", reason);
	return batch_defect(b, i, &d, e);
}

static int32_t field_of(const struct csv_reader *r, uint32_t col)
{
	return col < r->layout.ncol ? r->layout.field_of[col] : -1;
}

static enum err_code broken_record(struct csv_reader *r, struct batch *b, uint32_t i, const struct csv_record *rec,
				   struct err *e)
{
	char reason[192];
	if (strcmp(rec->rule, RULE_UNCLOSED_QUOTE) == 0)
		snprintf(reason, sizeof reason,
			 "the quote that opens here never closes; reading goes on at the next line");
	else if (strcmp(rec->rule, RULE_BAD_QUOTE) == 0)
		snprintf(reason, sizeof reason, "text behind the closing quote; quotes inside a quoted cell must be %s",
			 r->rules.escape == r->rules.quote ? "doubled" : "escaped");
	else
		snprintf(reason, sizeof reason, "the record is longer than %zu bytes", r->rules.max_row);
	return parse_defect(b, i, rec->rule, field_of(r, rec->at_col), rec->at, reason, e);
}

static enum err_code wrong_count(struct csv_reader *r, struct batch *b, uint32_t i, const struct csv_record *rec,
				 struct err *e)
{
	char reason[192];
	if (rec->ncell == CSV_SEVERAL)
		snprintf(reason, sizeof reason, "more than one record");
	else
		snprintf(reason, sizeof reason, "%u field%s, the %s has %u", rec->ncell, rec->ncell == 1 ? "" : "s",
			 r->header ? "header" : "schema", r->layout.ncol);
	return parse_defect(b, i, RULE_FIELD_COUNT, -1, (struct csv_cell){rec->off, rec->len, false, false}, reason, e);
}

/* What is wrong with the bytes of a cell; NULL: nothing. */
static const char *broken_cell(const struct csv_reader *r, struct span text, char reason[192])
{
	if (text.n > r->max_cell) {
		snprintf(reason, 192, "the cell has %zu bytes, at most %zu are allowed", text.n, r->max_cell);
		return RULE_CELL_TOO_LONG;
	}
	const char *nul = memchr(text.p, 0, text.n);
	if (nul) {
		snprintf(reason, 192, "the cell has a NUL byte as its character %zu",
			 utf8_count(text.p, (size_t)(nul - text.p)) + 1);
		return RULE_NUL;
	}
	size_t good = utf8_valid_prefix(text.p, text.n);
	if (good == text.n)
		return NULL;
	snprintf(reason, 192, "byte 0x%02x behind %zu characters of the cell is no UTF-8; is csv.file.charset right?",
		 (unsigned char)text.p[good], utf8_count(text.p, good));
	return RULE_ENCODING;
}

/* Defects of the bytes; at most CSV_DEFECTS_PER_RECORD. */
static enum err_code broken_cells(struct csv_reader *r, struct batch *b, uint32_t i, struct err *e)
{
	unsigned found = 0;
	for (uint32_t c = 0; c < r->layout.ncol && found < CSV_DEFECTS_PER_RECORD; c++) {
		struct csv_cell cell = r->cells[c];
		char reason[192];
		const char *rule = broken_cell(r, (struct span){b->data + cell.off, cell.len}, reason);
		if (!rule)
			continue;
		found++;
		enum err_code rc = parse_defect(b, i, rule, r->layout.field_of[c], cell, reason, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

enum err_code take_record(struct csv_reader *r, struct batch *b, const struct csv_record *rec, struct err *e)
{
	uint32_t i = b->nrow++, before = b->ndefect;
	enum err_code rc;
	b->raw[i] = (struct cell_ref){rec->off, rec->len};
	b->bad[i] = 0;
	r->row_defects[i] = 0;
	if (rec->rule)
		rc = broken_record(r, b, i, rec, e);
	else if (rec->ncell != r->layout.ncol)
		rc = wrong_count(r, b, i, rec, e);
	else
		rc = broken_cells(r, b, i, e);
	bool whole = b->ndefect == before;
	for (uint32_t f = 0; !rc && f < r->schema->nfields; f++) {
		int32_t c = r->layout.column_of[f];
		if (whole && c >= 0)
			rc = take_cell(r, b, i, f, r->cells[c], e);
		else
			no_value(b, i, f);
	}
	return rc;
}

/* ---- where a defect is */

/* The cell of a column in the record at raw; false when it has none. Own memory: the reader may be at work. */
static bool find_cell(const struct csv_reader *r, const struct batch *b, struct cell_ref raw, uint32_t col,
		      struct csv_cell *ret)
{
	struct csv_rules k = r->rules;
	k.window = k.max_row;
	struct csv_cell *cells = malloc((col + 1) * sizeof *cells);
	struct csv_record rec;
	enum scan_result s =
	    cells ? csv_scan(&k, b->data, raw.off, raw.off + raw.len, true, cells, col + 1, &rec) : SCAN_END;
	bool found = s == SCAN_RECORD && col < rec.ncell && !rec.rule;
	if (found)
		*ret = cells[col];
	free(cells);
	return found;
}

static void locate_line(struct batch *b, char newline, uint32_t off)
{
	const struct csv_block *blk = b->hold;
	if (!b->line || off < b->line_off) {
		b->line = blk->line;
		b->line_off = 0;
	}
	const char *p = b->data + b->line_off, *end = b->data + off;
	while (p < end && (p = memchr(p, newline, (size_t)(end - p)))) {
		b->line++;
		p++;
	}
	b->line_off = off;
}

void reader_locate(struct batch *b, struct defect *d)
{
	const struct csv_reader *r = b->reader;
	const struct csv_block *blk = b->hold;
	struct cell_ref raw = b->raw[d->index];
	locate_line(b, r->rules.newline, raw.off);
	d->line = b->line;
	d->offset = blk->offset + raw.off;
	const char *record = b->data + raw.off, *at = d->cell.p;
	if (!at || at < record || at > record + raw.len) {
		int32_t col = d->field >= 0 ? r->layout.column_of[d->field] : -1;
		struct csv_cell cell;
		at = NULL;
		if (col >= 0 && find_cell(r, b, raw, (uint32_t)col, &cell)) {
			at = b->data + cell.off;
			if (!d->cell.p)
				d->cell = (struct span){at, cell.len};
		}
	}
	d->column = 0;
	if (!at)
		return;
	if (at > record && r->rules.quotes && at[-1] == r->rules.quote)
		at--;
	const char *line = at;
	while (line > record && line[-1] != r->rules.newline)
		line--;
	d->column = (uint32_t)utf8_count(line, (size_t)(at - line)) + 1;
}
