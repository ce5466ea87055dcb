/*
 * ingest.c: one file to the store, resumable at every point.
 *
 *   pass 1   parse, gate; accepted records packed and sorted on disk (a second thread sorts), rejected ones to the
 *            quarantine, which is durable before anything is delivered
 *   verdict  refused: nothing is delivered
 *   versions a range of row versions is reserved in the ledger, or the file's earlier one reused
 *   deliver  records in the order of the store's key, behind the position that the store itself remembers; rows and
 *            position are one transaction
 *
 * Everything before "deliver" has the same outcome whenever it is repeated, so a kill anywhere is followed by the same
 * call again. The ledger's counts are written after the store's and are upserts by position.
 */
#include "ingest/ingest.h"

#include "base/clock.h"
#include "base/extsort.h"
#include "base/fault.h"
#include "ingest/pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESULT_MEMORY ((size_t)8 << 20)
#define DEFAULT_SINK_ROWS 250000u
#define REFUSALS_MAX ((size_t)64 << 10)
#define VERDICT_JSON_MAX ((size_t)1 << 20)

struct job {
	const struct ingest_plan *plan;
	const struct ingest_target *target;
	const struct catalog_output *out;
	const char *path;
	const struct ingest_progress *progress;
	struct packed_plan packed;
	struct extsort *sort;
	struct gate *gate;
	struct ingest_result *ret;
	int64_t version_base;
	uint64_t position;	       /* of the store, in the sorted order */
	struct sink_refusal *refusals; /* of the open transaction */
	size_t nrefusals, refusals_cap;
};

void ingest_result_done(struct ingest_result *r)
{
	arena_done(&r->arena);
}

static void result_init(struct ingest_result *r)
{
	*r = (struct ingest_result){.state = "interrupted"};
	arena_init(&r->arena, RESULT_MEMORY);
}

enum err_code ingest_check(const struct ingest_plan *p, const char *path, const struct ingest_progress *progress,
			   struct ingest_result *ret, struct err *e)
{
	struct gate *g = NULL;
	int64_t t0 = clock_mono_ns();
	result_init(ret);
	enum err_code c = pass_run(p, path, progress, "check", NULL, ret, &g, e);
	if (!c)
		c = pass_show_late(p, path, ret, e);
	gate_free(g);
	ret->verdict.late = NULL;
	ret->seconds = (double)(clock_mono_ns() - t0) / 1e9;
	if (!c)
		ret->state = ret->refused ? "refused" : "checked";
	return c;
}

/* ---- pass 1: into the sorter and the quarantine */

static void defect_entry(struct job *j, const struct batch *b, const struct defect *d, struct span header,
			 struct quarantine_entry *en)
{
	*en = (struct quarantine_entry){
	    .output = j->out->id,
	    .file = j->out->name,
	    .row = d->row,
	    .line = d->line,
	    .offset = d->offset,
	    .column = d->column,
	    .stage = d->stage,
	    .rule = d->rule,
	    .field = d->field >= 0 ? b->schema->fields[d->field].name : "",
	    .reason = d->reason,
	    .raw = {b->data + b->raw[d->index].off, b->raw[d->index].len},
	    .header = header,
	    .at_us = clock_now_us(),
	};
}

/* One entry a record: its first rejecting defect, which is the earliest stage's. */
static enum err_code quarantine_batch(struct job *j, const struct batch *b, struct span header, struct err *e)
{
	uint64_t taken[BATCH_ROWS_MAX / 64] = {0};
	for (uint32_t i = 0; i < b->ndefect; i++) {
		const struct defect *d = &b->defect[i];
		struct quarantine_entry en;
		if (d->action == DEFECT_WARN || d->row == 0 || d->index >= b->nrow)
			continue;
		uint64_t *word = &taken[d->index / 64], bit = UINT64_C(1) << (d->index % 64);
		if (*word & bit)
			continue;
		*word |= bit;
		defect_entry(j, b, d, header, &en);
		enum err_code c = quarantine_add(j->target->quarantine, &en, e);
		if (c)
			return c;
	}
	return ERR_OK;
}

static enum err_code take_batch(void *ctx, const struct batch *b, struct span header, struct err *e)
{
	struct job *j = ctx;
	for (uint32_t r = 0; r < b->nrow; r++) {
		if (b->bad[r])
			continue;
		size_t key_len, size = packed_size(&j->packed, b, r, &key_len);
		void *room;
		enum err_code c = extsort_reserve(j->sort, size, sizeof(struct packed_row), key_len, &room, e);
		if (c)
			return c;
		packed_write(&j->packed, b, r, room);
	}
	return b->ndefect ? quarantine_batch(j, b, header, e) : ERR_OK;
}

/* ---- records that were rejected after their batch had gone: their text is read once more */

/* The defect that the gate gave the record when it saw it again, or NULL. */
static const struct defect *own_defect(const struct batch *b, uint64_t row)
{
	for (uint32_t i = 0; i < b->ndefect; i++) {
		if (b->defect[i].row == row && b->defect[i].action != DEFECT_WARN)
			return &b->defect[i];
	}
	return NULL;
}

static int by_row(const void *x, const void *y)
{
	const struct sink_refusal *a = x, *b = y;
	return (a->row > b->row) - (a->row < b->row);
}

/* Rejected by a rule that needs the whole file, or refused by the store. */
static enum err_code late_found(void *ctx, struct batch *b, uint32_t r, struct span header, struct err *e)
{
	struct job *j = ctx;
	struct sink_refusal key = {.row = b->first_row + r}, *refusal = NULL;
	struct defect own = {.rule = "refused", .stage = "sink", .row = key.row, .index = r, .field = -1};
	const struct defect *d = own_defect(b, key.row);
	struct quarantine_entry en;
	if (j->nrefusals)
		refusal = bsearch(&key, j->refusals, j->nrefusals, sizeof key, by_row);
	if (!d && !refusal)
		return err_set(e, ERR_INTERNAL, "record %llu was rejected, and nothing says why",
			       (unsigned long long)key.row);
	if (!d) {
		memcpy(own.reason, refusal->reason, sizeof own.reason);
		if (b->locate)
			b->locate(b, &own);
		d = &own;
	}
	defect_entry(j, b, d, header, &en);
	return quarantine_add(j->target->quarantine, &en, e);
}

static enum err_code quarantine_rows(struct job *j, const uint64_t *rows, uint64_t n, struct err *e)
{
	struct pass_wanted w = {rows, n, &j->ret->verdict, late_found, j};
	return n ? pass_find(j->plan, j->path, &w, e) : ERR_OK;
}

/* What the store refused of the open transaction lies in the quarantine before that transaction is committed: a kill
 * between the two repeats the transaction and with it the refusals. */
static enum err_code quarantine_refusals(struct job *j, struct err *e)
{
	uint64_t *rows = malloc(j->nrefusals * sizeof *rows);
	if (!rows)
		return err_oom(e);
	qsort(j->refusals, j->nrefusals, sizeof *j->refusals, by_row);
	for (size_t i = 0; i < j->nrefusals; i++)
		rows[i] = j->refusals[i].row;
	enum err_code c = quarantine_rows(j, rows, j->nrefusals, e);
	free(rows);
	j->nrefusals = 0;
	return c ? c : quarantine_commit(j->target->quarantine, e);
}

static enum err_code ledger_checked(struct job *j, struct err *e)
{
	const struct verdict *v = &j->ret->verdict;
	struct buf b;
	struct jsonw w;
	buf_init(&b, VERDICT_JSON_MAX);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	verdict_write(v, &w);
	jsonw_end(&w, '}');
	enum err_code c = catalog_output_checked(j->target->catalog, j->out->id, v->records, v->accepted, v->rejected,
						 v->refused, v->reason, buf_cstr(&b), e);
	buf_done(&b);
	return c;
}

static enum err_code first_pass(struct job *j, struct err *e)
{
	struct extsort_options so = {
	    .dir = j->plan->options.spill_dir,
	    .memory = j->plan->options.sort_memory,
	    .background = true,
	    /* Uniqueness may reject a later record of a key that then must not have displaced the first. */
	    .last_only = j->packed.nkey > 0 && !quality_plan_needs_whole_file(j->plan->quality),
	};
	struct pass_consumer consumer = {take_batch, j};
	enum err_code c = extsort_new(&so, &j->sort, e);
	if (!c)
		c = pass_run(j->plan, j->path, j->progress, "check", &consumer, j->ret, &j->gate, e);
	if (!c)
		c = pass_show_late(j->plan, j->path, j->ret, e);
	const struct verdict *v = &j->ret->verdict;
	if (!c && !j->ret->refused)
		c = quarantine_rows(j, v->late, v->nlate, e);
	if (!c)
		c = quarantine_commit(j->target->quarantine, e);
	return c ? c : ledger_checked(j, e);
}

/* ---- delivery */

static bool is_late(const struct verdict *v, uint64_t row)
{
	uint64_t lo = 0, hi = v->nlate;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (v->late[mid] < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->nlate && v->late[lo] == row;
}

static enum err_code note_refusal(struct job *j, const struct sink_refusal *r, struct err *e)
{
	if (j->nrefusals == j->refusals_cap) {
		size_t cap = j->refusals_cap ? j->refusals_cap * 2 : 16;
		struct sink_refusal *more = cap > REFUSALS_MAX ? NULL : realloc(j->refusals, cap * sizeof *more);
		if (!more)
			return err_set(e, ERR_REFUSED, "the store refuses more than %zu records of one transaction: %s",
				       j->nrefusals, r->reason);
		j->refusals = more;
		j->refusals_cap = cap;
	}
	j->refusals[j->nrefusals++] = *r;
	j->ret->sink_refused++;
	return ERR_OK;
}

/* Write rows; a row that the store refuses is left out and the others are written, in a transaction that then stays
 * open (end_with_refusals). */
static enum err_code write_rows(struct job *j, const struct packed_row **rows, uint32_t n, uint64_t position, bool more,
				struct sink_result *sr, struct err *e)
{
	for (;;) {
		struct sink_rows sw = {.rows = rows, .n = n, .position = position, .more = more || j->nrefusals};
		struct sink_refusal refusal = {0};
		enum err_code c = j->target->sink_class->write(j->target->sink, &sw, sr, &refusal, e);
		if (c != ERR_INVALID)
			return c;
		uint32_t k = 0;
		while (k < n && rows[k]->row != refusal.row)
			k++;
		if (k == n && refusal.row == 0)
			return err_set(e, ERR_INTERNAL, "the store refused a record without saying which");
		if ((c = note_refusal(j, &refusal, e)))
			return c;
		if (k == n) /* of an earlier call of this transaction */
			continue;
		memmove(&rows[k], &rows[k + 1], (n - k - 1) * sizeof *rows);
		n--;
	}
}

/* The open transaction had refusals: they are made durable first, then it. */
static enum err_code end_with_refusals(struct job *j, uint64_t position, struct sink_result *sr, struct err *e)
{
	enum err_code c = quarantine_refusals(j, e);
	return c ? c : write_rows(j, NULL, 0, position, false, sr, e);
}

/* A transaction is durable in the store: tell the ledger. Late records have a place in the order but are rejected ones,
 * neither delivered nor refused by the store. */
static enum err_code ledger_delivered(struct job *j, uint64_t to, const struct sink_result *sr, uint64_t refused,
				      uint64_t late, struct err *e)
{
	j->ret->delivered += sr->delivered;
	j->ret->superseded += sr->superseded;
	uint64_t from = j->position;
	j->position = to;
	if (fault_hit("ingest.delivered"))
		return err_set(e, ERR_IO, "fault ingest.delivered");
	return catalog_delivery(j->target->catalog, j->out->id, j->target->sink_name, from, to,
				to - from - refused - late, sr->superseded, refused, e);
}

struct chunk {
	const struct packed_row **rows; /* of this block, without the late ones */
	size_t cap;
	uint64_t late; /* left out since the last transaction */
};

static enum err_code chunk_fill(struct job *j, struct chunk *ch, const void *const *recs, size_t n, uint32_t *ret_n,
				struct err *e)
{
	if (n > ch->cap) {
		const struct packed_row **more = realloc(ch->rows, n * sizeof *more);
		if (!more)
			return err_oom(e);
		ch->rows = more;
		ch->cap = n;
	}
	uint32_t k = 0;
	for (size_t i = 0; i < n; i++) {
		const struct packed_row *row = recs[i];
		if (j->ret->verdict.nlate && is_late(&j->ret->verdict, row->row))
			ch->late++;
		else
			ch->rows[k++] = row;
	}
	*ret_n = k;
	return ERR_OK;
}

static enum err_code deliver_blocks(struct job *j, struct chunk *ch, struct err *e)
{
	uint32_t limit = j->plan->options.sink_rows ? j->plan->options.sink_rows : DEFAULT_SINK_ROWS;
	uint64_t in_tx = 0, rank = j->position, next_rank, refused_before = j->ret->sink_refused;
	int64_t ticked = 0;
	for (;;) {
		const void *const *recs;
		size_t n;
		uint32_t k = 0;
		uint64_t total = j->ret->verdict.accepted;
		enum err_code c = extsort_next_block(j->sort, &recs, &n, &next_rank, e);
		if (!c)
			c = chunk_fill(j, ch, recs, n, &k, e);
		if (c)
			return c;
		if (n == 0 && in_tx == 0)
			return ERR_OK;
		struct sink_result sr = {0};
		in_tx += n;
		bool more = n > 0 && in_tx < limit;
		if (n > 0)
			rank = next_rank;
		if ((c = write_rows(j, ch->rows, k, rank, more, &sr, e)))
			return c;
		if (!more && j->nrefusals && (c = end_with_refusals(j, rank, &sr, e)))
			return c;
		if (!more) {
			uint64_t refused = j->ret->sink_refused - refused_before;
			if ((c = ledger_delivered(j, rank, &sr, refused, ch->late, e)))
				return c;
			refused_before = j->ret->sink_refused;
			ch->late = in_tx = 0;
			if (ingest_stopped(j->plan))
				return ingest_interrupted(e);
		}
		int64_t now = clock_mono_ns();
		if (j->progress && j->progress->tick && now - ticked > INT64_C(50000000)) {
			ticked = now;
			j->progress->tick(j->progress->ctx, "deliver", rank, total, rank);
		}
		if (n == 0)
			return ERR_OK;
	}
}

/* Behind the store's position. What it took before is told the ledger once more, for it may not have heard of it. */
static enum err_code resume(struct job *j, struct err *e)
{
	const struct sink_result known = {0, j->out->superseded};
	uint64_t to = j->position;
	j->ret->resumed = to > 0;
	if (to == 0)
		return ERR_OK;
	extsort_skip(j->sort, to);
	j->position = 0;
	j->ret->sink_refused = j->out->refused_by_sink;
	return ledger_delivered(j, to, &known, j->out->refused_by_sink, 0, e);
}

/* Which of the records before the point of resumption were late ones is not known there; at the end the sums are. */
static enum err_code settle_counts(struct job *j, struct err *e)
{
	const struct ingest_result *r = j->ret;
	if (!r->resumed || r->verdict.nlate == 0)
		return ERR_OK;
	return catalog_delivery(j->target->catalog, j->out->id, j->target->sink_name, 0, j->position,
				r->verdict.accepted - r->sink_refused, r->superseded, r->sink_refused, e);
}

static enum err_code deliver(struct job *j, struct err *e)
{
	const struct ingest_target *t = j->target;
	const struct verdict *v = &j->ret->verdict;
	char table[160];
	snprintf(table, sizeof table, "%s.%s", j->plan->data_file->key_space, j->plan->data_file->schema->name);
	enum err_code c =
	    catalog_output_versions(t->catalog, j->out->id, table, (int64_t)v->records + 1, &j->version_base, e);
	struct sink_file f = {j->out->id, j->out->name, j->version_base, t->epoch};
	if (!c)
		c = t->sink_class->begin(t->sink, &f, &j->position, e);
	if (!c)
		c = extsort_finish(j->sort, e);
	if (c)
		return c;
	if ((c = resume(j, e)))
		return c;
	struct chunk ch = {0};
	c = deliver_blocks(j, &ch, e);
	free(ch.rows);
	if (!c)
		c = settle_counts(j, e);
	return c ? c : t->sink_class->end(t->sink, e);
}

static enum err_code all(struct job *j, struct err *e)
{
	enum err_code c = first_pass(j, e);
	if (c)
		return c;
	if (j->ret->refused) {
		j->ret->state = "refused";
		return catalog_output_done(j->target->catalog, j->out->id, OUTPUT_REFUSED, j->ret->verdict.reason, e);
	}
	if ((c = deliver(j, e)))
		return c;
	j->ret->delivered = j->ret->verdict.accepted - j->ret->sink_refused;
	if (fault_hit("ingest.done"))
		return err_set(e, ERR_IO, "fault ingest.done");
	c = catalog_output_done(j->target->catalog, j->out->id, OUTPUT_DELIVERED, "", e);
	if (!c)
		j->ret->state = "delivered";
	return c;
}

/* What the ledger kept of an earlier call; the rules come back from its verdict document. */
static void already(const struct catalog_output *o, struct ingest_result *ret)
{
	struct verdict *v = &ret->verdict;
	struct json *doc = NULL;
	ret->state = "already";
	ret->already = true;
	v->records = o->records;
	v->accepted = o->accepted;
	v->rejected = o->rejected;
	ret->delivered = o->delivered;
	if (!o->verdict || !*o->verdict || json_parse(span_str(o->verdict), &ret->arena, &doc, NULL))
		return;
	const struct json *defects = json_get(doc, "defects");
	for (const struct json *d = defects ? defects->child : NULL; d && v->nrules < VERDICT_RULES_MAX; d = d->next)
		v->rules[v->nrules++] =
		    (struct rule_count){.rule = d->key.p, .records = (uint64_t)d->i, .records_new = (uint64_t)d->i};
}

enum err_code ingest_file(const struct ingest_plan *p, const struct ingest_target *t, const char *path,
			  const struct catalog_output *out, const struct ingest_progress *progress,
			  struct ingest_result *ret, struct err *e)
{
	int64_t t0 = clock_mono_ns();
	struct job j = {.target = t, .out = out, .path = path, .progress = progress, .ret = ret};
	result_init(ret);
	ret->output = out->id;
	if (out->state == OUTPUT_DELIVERED) {
		already(out, ret);
		return ERR_OK;
	}
	struct ingest_plan plan = *p;
	if (!plan.options.now_us)
		plan.options.now_us = out->created_us;
	j.plan = &plan;
	j.packed = data_file_packed_plan(p->data_file);
	enum err_code c = all(&j, e);
	extsort_free(j.sort);
	gate_free(j.gate);
	free(j.refusals);
	ret->verdict.late = NULL;
	ret->seconds = (double)(clock_mono_ns() - t0) / 1e9;
	return c;
}
