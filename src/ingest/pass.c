/*
 * pass.c: reads a file once, in batches, through the gate.
 *
 *   source (file, gzip, zstd, charset) -> csv reader -> gate -> consumer (sorter and quarantine, or nothing)
 */
#include "ingest/pass.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_ROWS 4096u
#define SHOWN_RECORD 2000u /* bytes of a shown record that are kept */
#define TICK_NS INT64_C(50000000)

enum err_code ingest_interrupted(struct err *e)
{
	err_set(e, ERR_INTERRUPTED, "interrupted; what was delivered stays, nothing is lost");
	return err_hint(e, "run the same command again to go on where it stopped");
}

struct reading {
	struct source *src;
	struct csv_reader *csv;
	struct csv_plan plan;
	struct batch *batch;
	uint64_t size; /* of the file as it lies there; 0 unknown */
	int64_t mtime_us, ticked_ns;
};

static void reading_close(struct reading *r)
{
	batch_free(r->batch);
	csv_close(r->csv);
	source_close(r->src);
}

static enum err_code reading_open(const struct ingest_plan *p, const char *path, struct reading *r, struct err *e)
{
	struct source_options so = {.charset = p->data_file->csv.charset, .max_bytes = p->options.max_decoded};
	struct stat st;
	*r = (struct reading){.plan = data_file_csv_plan(p->data_file)};
	if (strcmp(path, "-") != 0 && stat(path, &st) == 0) {
		r->size = (uint64_t)st.st_size;
		r->mtime_us = (int64_t)st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / 1000;
	}
	struct csv_options co = p->options.csv;
	if (!co.batch_rows)
		co.batch_rows = DEFAULT_ROWS;
	enum err_code c = source_open(path, &so, &r->src, e);
	if (!c)
		c = csv_open(r->src, &r->plan, &co, &r->csv, e);
	if (!c && !(r->batch = batch_new(p->data_file->schema, co.batch_rows)))
		c = err_oom(e);
	if (c)
		reading_close(r);
	return c;
}

/* Errors that speak about the tenant's bytes, not about our machine: the file is refused, with the reason. */
static bool is_refusal(enum err_code c)
{
	return c == ERR_REFUSED || c == ERR_CORRUPT || c == ERR_TOO_BIG || c == ERR_UNSUPPORTED;
}

static void refuse(struct ingest_result *ret, const struct err *e)
{
	ret->refused = ret->verdict.refused = true;
	snprintf(ret->verdict.reason, sizeof ret->verdict.reason, "%.300s%s%.200s", e->msg, e->hint[0] ? "; " : "",
		 e->hint);
}

static struct span copy_span(struct arena *a, struct span s, size_t max)
{
	if (s.n > max)
		s.n = max;
	return arena_span(a, s);
}

static void show_one(const struct ingest_plan *p, const struct batch *b, const struct defect *d,
		     struct ingest_result *ret)
{
	unsigned max = p->options.show_defects;
	if (ret->nshown >= max)
		return;
	if (!ret->shown && !(ret->shown = arena_array(&ret->arena, max, sizeof *ret->shown)))
		return;
	struct shown_defect *s = &ret->shown[ret->nshown++];
	*s = (struct shown_defect){.d = *d};
	s->d.cell = copy_span(&ret->arena, d->cell, SHOWN_RECORD);
	if (d->field >= 0)
		s->field_name = b->schema->fields[d->field].name;
	if (d->row && d->index < b->nrow) {
		struct span raw = {b->data + b->raw[d->index].off, b->raw[d->index].len};
		s->record = copy_span(&ret->arena, raw, SHOWN_RECORD);
	}
}

static void show(const struct ingest_plan *p, const struct batch *b, struct ingest_result *ret)
{
	for (uint32_t i = 0; i < b->ndefect && ret->nshown < p->options.show_defects; i++)
		show_one(p, b, &b->defect[i], ret);
}

static void keep_warnings(const struct csv_reader *r, struct ingest_result *ret)
{
	uint32_t n;
	const struct csv_warning *w = csv_warnings(r, &n);
	struct csv_warning *copy = n ? arena_array(&ret->arena, n, sizeof *copy) : NULL;
	for (uint32_t i = 0; copy && i < n; i++) {
		copy[i] = w[i];
		copy[i].text = arena_strdup(&ret->arena, w[i].text);
	}
	ret->warnings = copy;
	ret->nwarnings = copy ? n : 0;
}

static void tick(struct reading *r, const struct ingest_progress *progress, const char *phase, uint64_t records)
{
	if (!progress || !progress->tick)
		return;
	int64_t now = clock_mono_ns();
	if (now - r->ticked_ns < TICK_NS)
		return;
	r->ticked_ns = now;
	progress->tick(progress->ctx, phase, source_raw_bytes(r->src), r->size, records);
}

static enum err_code tell_rejected(const struct ingest_plan *p, const struct reading *r, struct err *e)
{
	const struct batch *b = r->batch;
	for (uint32_t i = 0; p->options.rejected && b->nbad && i < b->nrow; i++) {
		if (b->bad[i] && p->options.rejected(p->options.rejected_ctx, b, i, csv_header(r->csv), e))
			return e->code;
	}
	return ERR_OK;
}

/* All batches of an open file through gate and consumer. */
static enum err_code batches(const struct ingest_plan *p, struct reading *r, struct gate *g,
			     const struct ingest_progress *progress, const char *phase,
			     const struct pass_consumer *consumer, struct ingest_result *ret, struct err *e)
{
	uint64_t records = 0;
	for (;;) {
		bool more;
		enum err_code c = csv_next(r->csv, r->batch, &more, e);
		if (c || !more)
			return c;
		if ((c = gate_batch(g, r->batch, e)))
			return c;
		records += r->batch->nrow;
		show(p, r->batch, ret);
		if ((c = tell_rejected(p, r, e)))
			return c;
		if (fault_hit("gate.batch"))
			return err_set(e, ERR_IO, "fault gate.batch");
		if (consumer && consumer->batch &&
		    (c = consumer->batch(consumer->ctx, r->batch, csv_header(r->csv), e)))
			return c;
		tick(r, progress, phase, records);
		if (ingest_stopped(p))
			return ingest_interrupted(e);
	}
}

enum err_code pass_run(const struct ingest_plan *p, const char *path, const struct ingest_progress *progress,
		       const char *phase, const struct pass_consumer *consumer, struct ingest_result *ret,
		       struct gate **ret_gate, struct err *e)
{
	struct reading r;
	enum err_code c = reading_open(p, path, &r, e);
	if (is_refusal(c)) {
		refuse(ret, e);
		return ERR_OK;
	}
	if (c)
		return c;
	struct gate_options go = {.spill_dir = p->options.spill_dir,
				  .file_time_us = p->options.file_time_us,
				  .now_us = p->options.now_us,
				  .memory = p->options.sort_memory};
	if (!go.file_time_us)
		go.file_time_us = r.mtime_us;
	struct gate *g = NULL;
	if (!(c = gate_new(p->quality, &go, &g, e)))
		c = batches(p, &r, g, progress, phase, consumer, ret, e);
	ret->bytes = source_bytes(r.src);
	keep_warnings(r.csv, ret);
	reading_close(&r);
	bool refused = is_refusal(c);
	struct err why = *e;
	if (refused)
		c = ERR_OK;
	if (!c)
		c = gate_finish(g, &ret->verdict, e);
	if (!c && refused)
		refuse(ret, &why);
	if (c) {
		gate_free(g);
		return c;
	}
	ret->refused = ret->verdict.refused;
	*ret_gate = g;
	return ERR_OK;
}

enum err_code pass_find(const struct ingest_plan *p, const char *path, const struct pass_wanted *w, struct err *e)
{
	struct reading r;
	enum err_code c = reading_open(p, path, &r, e);
	uint64_t at = 0;
	if (c)
		return c;
	struct gate_options go = {.spill_dir = p->options.spill_dir, .verdict = w->verdict};
	struct gate *g = NULL;
	c = gate_new(p->quality, &go, &g, e);
	while (!c && at < w->n) {
		bool more;
		if ((c = csv_next(r.csv, r.batch, &more, e)) || !more || (c = gate_batch(g, r.batch, e)))
			break;
		uint64_t first = r.batch->first_row, end = first + r.batch->nrow;
		for (; !c && at < w->n && w->rows[at] < end; at++)
			c = w->found(w->ctx, r.batch, (uint32_t)(w->rows[at] - first), csv_header(r.csv), e);
		if (!c && ingest_stopped(p))
			c = ingest_interrupted(e);
	}
	gate_free(g);
	reading_close(&r);
	return c;
}

/* pass_find's callback: the defect that rejects the record under the first verdict. */
struct late_show {
	const struct ingest_plan *plan;
	struct ingest_result *ret;
};

static enum err_code show_found(void *ctx, struct batch *b, uint32_t r, struct span header, struct err *e)
{
	struct late_show *l = ctx;
	for (uint32_t i = 0; i < b->ndefect; i++) {
		if (b->defect[i].index == r && b->defect[i].action != DEFECT_WARN)
			show_one(l->plan, b, &b->defect[i], l->ret);
	}
	const struct ingest_options *o = &l->plan->options;
	return o->rejected ? o->rejected(o->rejected_ctx, b, r, header, e) : ERR_OK;
}

enum err_code pass_show_late(const struct ingest_plan *p, const char *path, struct ingest_result *ret, struct err *e)
{
	const struct verdict *v = &ret->verdict;
	unsigned room = p->options.show_defects - (unsigned)ret->nshown;
	struct late_show l = {p, ret};
	struct pass_wanted w = {v->late, v->nlate, v, show_found, &l};
	if (!p->options.rejected && w.n > room)
		w.n = room;
	if (w.n == 0 || path_is_stream(path))
		return ERR_OK;
	return pass_find(p, path, &w, e);
}
