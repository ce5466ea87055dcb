/*
 * replay.c: quarantined records that now pass are delivered once, with the versions they always had.
 *
 *   again_run -> records that pass, in key order -> sink (rows durable) -> quarantine: replayed -> ledger: how many
 *
 * Each step may be repeated after a kill: a row that the store has already has the same version and changes nothing;
 * a record marked replayed is not read again; the ledger is told the total of the output and not a difference, and is
 * told it for every output each time. Newer rows of the same key keep their place, for they have higher versions.
 *
 * Only outputs that were delivered take part: the records of a refused file belong to the file, and those of a file
 * still under way are not final. The sink's position of the output is left as it is: replayed rows are no part of it.
 */
#include "ingest/again.h"

#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OUTPUT_MEMORY ((size_t)4 << 20)

struct replay {
	const struct ingest_plan *plan;
	const struct ingest_target *target;
	bool dry_run;
	struct replay_result n;
	struct packed_plan packed;
	struct arena arena; /* of the output */
	struct catalog_output out;
	uint64_t position;
	bool begun; /* at the sink */
};

/* A stand-alone directory may hold several tables with one quarantine: only records that were meant for this one. */
static bool of_this_table(const struct replay *r)
{
	const struct data_file *df = r->plan->data_file;
	char table[160];
	snprintf(table, sizeof table, "%s.%s", df->key_space, df->schema->name);
	return !*r->out.table || strcasecmp(r->out.table, table) == 0;
}

static enum err_code take_output(void *ctx, int64_t output, bool *ret_take, int64_t *ret_now_us, struct err *e)
{
	struct replay *r = ctx;
	arena_reset(&r->arena);
	r->begun = false;
	enum err_code code = catalog_output_get(r->target->catalog, output, &r->arena, &r->out, e);
	if (code == ERR_NOT_FOUND) { /* a ledger that was begun anew: it does not know the records' versions */
		*ret_take = false;
		return ERR_OK;
	}
	*ret_take = !code && r->out.state == OUTPUT_DELIVERED && r->out.version_rows > 0 && of_this_table(r);
	*ret_now_us = code ? 0 : r->out.created_us;
	return code;
}

static enum err_code sink_begin(struct replay *r, struct err *e)
{
	if (r->begun)
		return ERR_OK;
	struct sink_file f = {r->out.id, r->out.name, r->out.version_base, r->target->epoch};
	enum err_code code = r->target->sink_class->begin(r->target->sink, &f, &r->position, e);
	r->begun = !code;
	return code;
}

/* A record on its way from the page to the store. */
struct passed {
	struct packed_row *row;
	const struct quarantine_entry *entry;
};

static int by_key(const void *a, const void *b)
{
	const struct passed *x = a, *y = b;
	int c = packed_compare(x->row, y->row);
	return c ? c : (x->row->row > y->row->row) - (x->row->row < y->row->row);
}

/* The page's records that pass, packed under their own record numbers, in the order that a store wants. */
static enum err_code collect(struct replay *r, const struct again_page *p, struct passed **ret, uint32_t *ret_n,
			     struct err *e)
{
	const struct batch *b = p->batch;
	struct passed *list = arena_array(p->arena, b->nrow, sizeof *list);
	uint32_t n = 0;
	if (!list)
		return err_oom(e);
	for (uint32_t i = 0; i < b->nrow; i++) {
		const struct quarantine_entry *en = &p->entry[p->of[i]];
		size_t key_len;
		if (b->bad[i])
			continue;
		struct packed_row *row = arena_alloc(p->arena, packed_size(&r->packed, b, i, &key_len));
		if (!row)
			return err_oom(e);
		packed_write(&r->packed, b, i, row);
		row->row = en->row;
		list[n++] = (struct passed){row, en};
	}
	qsort(list, n, sizeof *list, by_key);
	*ret = list;
	*ret_n = n;
	return ERR_OK;
}

static enum err_code leave_out(struct passed *list, uint32_t *n, const struct sink_refusal *refusal, struct err *e)
{
	uint32_t k = 0;
	while (k < *n && list[k].row->row != refusal->row)
		k++;
	if (k == *n)
		return err_set(e, ERR_INTERNAL, "the store refused record %llu, which it was not given",
			       (unsigned long long)refusal->row);
	memmove(&list[k], &list[k + 1], (*n - k - 1) * sizeof *list);
	--*n;
	return ERR_OK;
}

/* What the store refuses stays in the quarantine. *n is what it took, in list[0..n). */
static enum err_code deliver(struct replay *r, const struct again_page *p, struct passed *list, uint32_t *n,
			     struct err *e)
{
	const struct packed_row **rows = arena_array(p->arena, *n, sizeof *rows);
	enum err_code code = rows ? sink_begin(r, e) : err_oom(e);
	while (!code) {
		struct sink_result sr = {0};
		struct sink_refusal refusal = {0};
		for (uint32_t i = 0; i < *n; i++)
			rows[i] = list[i].row;
		struct sink_rows sw = {.rows = rows, .n = *n, .position = r->position};
		code = r->target->sink_class->write(r->target->sink, &sw, &sr, &refusal, e);
		if (code != ERR_INVALID) {
			r->n.delivered += sr.delivered;
			return code;
		}
		code = leave_out(list, n, &refusal, e);
	}
	return code;
}

/* Still bad, but perhaps for another reason now, which is the one that people should see. */
static enum err_code retell(struct replay *r, const struct again_page *p, struct err *e)
{
	const struct batch *b = p->batch;
	for (uint32_t i = 0; i < b->nrow; i++) {
		struct quarantine_entry en = p->entry[p->of[i]];
		const struct defect *d = b->bad[i] ? again_defect(b, i) : NULL;
		if (!d || strcmp(en.stage, "sink") == 0)
			continue;
		const char *field = d->field >= 0 ? b->schema->fields[d->field].name : "";
		if (strcmp(en.rule, d->rule) == 0 && strcmp(en.field, field) == 0 && strcmp(en.reason, d->reason) == 0)
			continue;
		en.stage = d->stage;
		en.rule = d->rule;
		en.field = field;
		en.reason = d->reason;
		enum err_code code = quarantine_set_reason(r->target->quarantine, &en, e);
		if (code)
			return code;
	}
	return ERR_OK;
}

static enum err_code take_page(void *ctx, const struct again_page *p, struct err *e)
{
	struct replay *r = ctx;
	struct passed *list = NULL;
	uint32_t n = 0;
	enum err_code code = p->batch ? collect(r, p, &list, &n, e) : ERR_OK;
	if (!code && n && !r->dry_run)
		code = deliver(r, p, list, &n, e);
	if (code)
		return code;
	r->n.tried += p->n;
	r->n.passed += n;
	r->n.still_bad += p->n - n;
	if (r->dry_run)
		return ERR_OK;
	if (fault_hit("replay.delivered"))
		return err_set(e, ERR_IO, "fault replay.delivered");
	for (uint32_t i = 0; !code && i < n; i++)
		code = quarantine_set_state(r->target->quarantine, list[i].entry->id, "replayed", e);
	if (!code && p->batch)
		code = retell(r, p, e);
	return code ? code : quarantine_commit(r->target->quarantine, e);
}

static enum err_code end_output(void *ctx, int64_t output, struct err *e)
{
	struct replay *r = ctx;
	struct quarantine_sums *s;
	size_t n;
	if (r->dry_run)
		return ERR_OK;
	enum err_code code = r->begun ? r->target->sink_class->end(r->target->sink, e) : ERR_OK;
	if (!code && fault_hit("replay.marked"))
		code = err_set(e, ERR_IO, "fault replay.marked");
	if (!code)
		code = quarantine_sum(r->target->quarantine, output, &r->arena, &s, &n, e);
	if (!code && n && (s->replayed || s->sink_replayed))
		code = catalog_output_replayed(r->target->catalog, output, s->replayed, s->sink_replayed, e);
	return code;
}

enum err_code ingest_replay(const struct ingest_plan *p, const struct ingest_target *t,
			    const struct quarantine_filter *f, bool dry_run, struct replay_result *ret, struct err *e)
{
	struct replay r = {.plan = p, .target = t, .dry_run = dry_run, .packed = data_file_packed_plan(p->data_file)};
	struct again_walk w = {.plan = p,
			       .quarantine = t->quarantine,
			       .gate = true,
			       .output = take_output,
			       .page = take_page,
			       .output_end = end_output,
			       .ctx = &r};
	if (f)
		w.filter = *f;
	arena_init(&r.arena, OUTPUT_MEMORY);
	enum err_code code = again_run(&w, e);
	arena_done(&r.arena);
	*ret = r.n;
	return code;
}
