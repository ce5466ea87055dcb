/*
 * again.c: quarantined records once more through a plan.
 *
 *   quarantine -> pages of one output and header -> csv_records -> gate without its file-level part -> page callback
 *
 * Budgets and counts of a file can't be judged over its rejected part, so they are not. A record that a uniqueness rule
 * rejected is held back as long as the plan has that rule: alone it would look unique.
 */
#include "ingest/again.h"

#include "base/clock.h"
#include "ingest/pass.h"

#include <string.h>

#define PAGE_ROWS 2000
#define PAGE_BYTES ((size_t)8 << 20)
#define PAGE_MEMORY ((size_t)256 << 20)
#define SUMS_MEMORY ((size_t)64 << 20)

/* State of one output. */
struct walk {
	const struct again_walk *w;
	struct csv_plan csv_plan;
	struct csv_options csv_options;
	struct csv_reader *reader;
	struct batch *batch;
	struct gate *gate;
	struct verdict verdict; /* tells the gate that this is no whole file */
	char *header;		/* of the reader */
	struct arena output_arena, page_arena;
};

const struct defect *again_defect(const struct batch *b, uint32_t r)
{
	for (uint32_t i = 0; i < b->ndefect; i++) {
		if (b->defect[i].index == r && b->defect[i].row && b->defect[i].action != DEFECT_WARN)
			return &b->defect[i];
	}
	return NULL;
}

static const char *held_back(const struct walk *k, const struct quarantine_entry *en)
{
	const struct ingest_plan *p = k->w->plan;
	if (en->cut)
		return "only its start was kept, for it is longer than a record may be";
	if (p->data_file->csv.header && en->header.n == 0)
		return "the header line of its file is not known";
	if (k->w->gate && strcmp(en->stage, "quality") == 0 && quality_plan_rule_is_late(p->quality, en->rule))
		return "it is the repeat of another record of its file, which the rule still forbids";
	return NULL;
}

static enum err_code reader_open(struct walk *k, const struct quarantine_entry *en, struct err *e)
{
	if (k->reader)
		return ERR_OK;
	k->header = arena_strndup(&k->output_arena, en->header.p, en->header.n);
	if (!k->header)
		return err_oom(e);
	enum err_code code = csv_open_records(k->header, &k->csv_plan, &k->csv_options, &k->reader, e);
	if (!code && k->w->gate && !k->gate) {
		struct gate_options go = {.spill_dir = k->w->plan->options.spill_dir, .verdict = &k->verdict};
		if (!k->verdict.now_us)
			k->verdict.now_us = en->at_us;
		code = gate_new(k->w->plan->quality, &go, &k->gate, e);
	}
	return code;
}

/* A header that lacks a column which the plan needs: the whole output stays as it is. */
static bool header_refused(enum err_code code)
{
	return code == ERR_REFUSED || code == ERR_UNSUPPORTED;
}

static enum err_code page_parse(struct walk *k, struct again_page *p, struct err *e)
{
	struct again_held *held = arena_array(&k->page_arena, p->n, sizeof *held);
	struct span *raw = arena_array(&k->page_arena, p->n, sizeof *raw);
	uint32_t *of = arena_array(&k->page_arena, p->n, sizeof *of), n = 0;
	if (!held || !raw || !of)
		return err_oom(e);
	p->held = held;
	p->of = of;
	for (size_t i = 0; i < p->n; i++) {
		const char *why = held_back(k, &p->entry[i]);
		if (why) {
			held[p->nheld++] = (struct again_held){&p->entry[i], why};
			continue;
		}
		raw[n] = p->entry[i].raw;
		of[n++] = (uint32_t)i;
	}
	if (n == 0)
		return ERR_OK;
	enum err_code code = reader_open(k, &p->entry[of[0]], e);
	if (header_refused(code)) {
		const char *why = arena_strdup(&k->page_arena, e->msg);
		for (uint32_t i = 0; i < n; i++)
			held[p->nheld++] = (struct again_held){&p->entry[of[i]], why ? why : ""};
		return ERR_OK;
	}
	if (!code)
		code = csv_records(k->reader, raw, n, k->batch, e);
	if (!code && k->gate)
		code = gate_batch(k->gate, k->batch, e);
	p->batch = k->batch;
	return code;
}

static enum err_code pages(struct walk *k, int64_t output, struct err *e)
{
	struct quarantine_filter f = k->w->filter;
	f.output = output;
	f.state = "open";
	f.after = 0;
	f.limit = PAGE_ROWS;
	f.bytes = PAGE_BYTES;
	for (;;) {
		struct quarantine_entry *list;
		struct again_page p = {.output = output, .arena = &k->page_arena};
		arena_reset(&k->page_arena);
		enum err_code code = quarantine_list(k->w->quarantine, &f, &k->page_arena, &list, &p.n, e);
		if (code || p.n == 0)
			return code;
		p.entry = list;
		f.after = list[p.n - 1].id;
		if (!(code = page_parse(k, &p, e)))
			code = k->w->page(k->w->ctx, &p, e);
		if (code)
			return code;
		if (ingest_stopped(k->w->plan))
			return ingest_interrupted(e);
	}
}

static enum err_code one_output(const struct again_walk *w, int64_t output, struct batch *b, struct err *e)
{
	struct walk k = {.w = w,
			 .csv_plan = data_file_csv_plan(w->plan->data_file),
			 .csv_options = w->plan->options.csv,
			 .batch = b};
	bool take = true;
	k.csv_options.batch_rows = PAGE_ROWS;
	enum err_code code = w->output ? w->output(w->ctx, output, &take, &k.verdict.now_us, e) : ERR_OK;
	if (code || !take)
		return code;
	arena_init(&k.output_arena, SUMS_MEMORY);
	arena_init(&k.page_arena, PAGE_MEMORY);
	code = pages(&k, output, e);
	gate_free(k.gate);
	csv_close(k.reader);
	arena_done(&k.page_arena);
	arena_done(&k.output_arena);
	return !code && w->output_end ? w->output_end(w->ctx, output, e) : code;
}

enum err_code again_run(const struct again_walk *w, struct err *e)
{
	struct arena a;
	struct quarantine_sums *sums;
	size_t n = 0;
	arena_init(&a, SUMS_MEMORY);
	struct batch *b = batch_new(w->plan->data_file->schema, PAGE_ROWS);
	enum err_code code = b ? quarantine_sum(w->quarantine, w->filter.output, &a, &sums, &n, e) : err_oom(e);
	for (size_t i = 0; !code && i < n; i++)
		code = one_output(w, sums[i].output, b, e);
	batch_free(b);
	arena_done(&a);
	return code;
}
