/* csv_raw.c: the scanner alone over the same feed. */
#include "format/csv_raw.h"

#include "format/csv_block.h"
#include "format/csv_scan.h"
#include "record/utf8.h"

#include <stdlib.h>
#include <string.h>

#define CELLS_FIRST 64u

struct csv_raw {
	struct csv_rules rules;
	size_t max_cell;
	struct csv_feed feed;
	struct csv_cell *cells;
	struct raw_cell *out;
	uint32_t cap;
	uint64_t row, line, window_full_at;
	bool skipping;
};

static bool grow(struct csv_raw *r, uint32_t n)
{
	struct csv_cell *cells = realloc(r->cells, n * sizeof *cells);
	if (cells)
		r->cells = cells;
	struct raw_cell *out = cells ? realloc(r->out, n * sizeof *out) : NULL;
	if (!out)
		return false;
	r->out = out;
	r->cap = n;
	return true;
}

enum err_code csv_raw_open(struct source *src, const struct csv_dialect *dialect, const struct csv_options *opt,
			   struct csv_raw **ret, struct err *e)
{
	struct csv_raw *r = calloc(1, sizeof *r);
	if (!r)
		return err_oom(e);
	r->rules = csv_rules_of(dialect, opt);
	r->max_cell = opt && opt->max_cell ? opt->max_cell : CSV_MAX_CELL;
	r->line = 1;
	size_t block = opt && opt->block >= 64 ? opt->block : CSV_BLOCK;
	enum err_code rc = grow(r, CELLS_FIRST) ? feed_init(&r->feed, src, block, 0, e) : err_oom(e);
	do {
		if (!rc)
			rc = feed_more(&r->feed, 1, e);
	} while (!rc && !csv_find_newline(&r->rules, r->feed.cur->data, r->feed.n, r->feed.eof));
	if (rc) {
		csv_raw_close(r);
		return rc;
	}
	*ret = r;
	return ERR_OK;
}

static uint64_t lines_in(const struct csv_raw *r, size_t from, size_t to)
{
	uint64_t n = 0;
	for (const char *p = r->feed.cur->data + from, *end = r->feed.cur->data + to; p < end; p++)
		n += *p == r->rules.newline;
	return n;
}

/* Behind a record that was too long: to the next line end. */
static void skip_rest(struct csv_raw *r)
{
	struct csv_feed *f = &r->feed;
	const char *nl = memchr(f->cur->data + f->pos, r->rules.newline, f->n - f->pos);
	f->pos = nl ? (size_t)(nl - f->cur->data) + 1 : f->n;
	r->line += nl != NULL;
	r->skipping = !nl && !f->eof;
}

static const char *bytes_rule(const struct csv_raw *r, struct span text)
{
	if (text.n > r->max_cell)
		return RULE_CELL_TOO_LONG;
	if (memchr(text.p, 0, text.n))
		return RULE_NUL;
	return utf8_valid_prefix(text.p, text.n) == text.n ? NULL : RULE_ENCODING;
}

static void fill_row(struct csv_raw *r, const struct csv_record *rec, struct raw_row *ret)
{
	struct csv_block *blk = r->feed.cur;
	const char *rule = rec->rule;
	blk->scratch_used = 0;
	for (uint32_t i = 0; i < rec->ncell; i++) {
		const struct csv_cell *c = &r->cells[i];
		struct span text = {blk->data + c->off, c->len};
		rule = rule ? rule : bytes_rule(r, text);
		if (c->repair) {
			char *p = blk->data + block_scratch_at(blk);
			text = (struct span){p, csv_unescape(&r->rules, text.p, text.n, p)};
			blk->scratch_used += text.n;
		}
		r->out[i] = (struct raw_cell){text, c->quoted};
	}
	*ret = (struct raw_row){.cell = r->out,
				.ncell = rec->ncell,
				.row = ++r->row,
				.line = r->line,
				.rule = rule,
				.raw = {blk->data + rec->off, rec->len},
				.whole = {blk->data + rec->off, rec->next - rec->off}};
	r->line += lines_in(r, rec->off, rec->next);
}

enum err_code csv_raw_next(struct csv_raw *r, struct raw_row *ret, bool *ret_more, struct err *e)
{
	struct csv_feed *f = &r->feed;
	for (;;) {
		enum err_code rc;
		struct csv_record rec;
		if (r->skipping)
			skip_rest(r);
		enum scan_result s = r->skipping ? SCAN_MORE : SCAN_END;
		if (!r->skipping) {
			csv_window(&r->rules, &r->window_full_at, f->cur->offset + f->pos, NULL);
			s = csv_scan(&r->rules, f->cur->data, f->pos, f->n, f->eof, r->cells, r->cap, &rec);
		}
		switch (s) {
		case SCAN_END:
			*ret_more = false;
			return ERR_OK;
		case SCAN_MORE:
			if ((rc = feed_more(f, r->line, e)))
				return rc;
			continue;
		case SCAN_BLANK:
			f->pos = rec.next;
			r->line++;
			continue;
		default:
			break;
		}
		if (rec.ncell > r->cap) {
			if (!grow(r, rec.ncell))
				return err_oom(e);
			continue;
		}
		csv_window(&r->rules, &r->window_full_at, f->cur->offset + rec.off, rec.rule);
		fill_row(r, &rec, ret);
		r->skipping = rec.skip;
		f->pos = rec.next;
		*ret_more = true;
		return ERR_OK;
	}
}

void csv_raw_close(struct csv_raw *r)
{
	if (!r)
		return;
	feed_done(&r->feed);
	free(r->cells);
	free(r->out);
	free(r);
}
