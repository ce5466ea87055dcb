/* ledger_check.c: recounting from evidence. One output is at most a few thousand bytes of memory at a time. */
#include "cli/ledger_check.h"

#include "base/fd.h"
#include "base/hash.h"
#include "manager/manager.h"
#include "sink/sqlite.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY ((size_t)256 << 20)
#define TRIES 3 /* an output that is at work meanwhile is looked at again */

__attribute__((format(printf, 3, 4))) static void problem(char list[][200], unsigned *n, const char *fmt, ...)
{
	va_list ap;
	if (*n == RECOUNT_PROBLEMS)
		return;
	va_start(ap, fmt);
	vsnprintf(list[(*n)++], 200, fmt, ap);
	va_end(ap);
}

#define PROBLEM(c, ...) problem((c)->problem, &(c)->nproblems, __VA_ARGS__)

/* ---- documents of an output */

static enum err_code docs_load(struct recount *r, int64_t version, struct err *e)
{
	struct catalog_tenant t;
	struct problems p;
	if (r->docs_file && r->docs_version == version)
		return ERR_OK;
	data_file_done(r->docs_file);
	r->docs_file = NULL;
	arena_reset(&r->docs_arena);
	enum err_code code = catalog_tenant_version(r->catalog, r->tenant, version, &r->docs_arena, &t, e);
	if (code)
		return code;
	problems_init(&p, "data-file.json", &r->docs_arena);
	r->docs_file = data_file_parse(span_str(t.data_file), "data-file.json", &r->docs_arena, &p);
	struct agreement *ag = agreement_parse(span_str(t.agreement), "service-agreement.json", &r->docs_arena, &p);
	r->plan.data_file = r->docs_file;
	r->plan.quality = r->docs_file && ag ? quality_plan_new(r->docs_file, ag->quality, &r->docs_arena, &p) : NULL;
	r->docs_version = version;
	if (r->plan.quality)
		return ERR_OK;
	return err_set(e, ERR_DOCUMENT, "version %" PRId64 " of the documents of tenant \"%s\" can't be read any more",
		       version, r->tenant);
}

/* ---- evidence */

/* The retained file of an output, or NULL. Stand-alone: one of the files named, of the same content. */
static const char *find_file(const struct recount *r, const struct catalog_output *o)
{
	struct arena *a = (struct arena *)&r->arena;
	if (r->data) {
		const char *path = path_output(a, r->data, r->tenant, o->id, o->name);
		return path && access(path, R_OK) == 0 ? path : NULL;
	}
	for (size_t i = 0; r->files && r->files[i]; i++) {
		char sha[SHA256_HEX];
		uint64_t size;
		if (strcmp(path_base(r->files[i]), o->name) == 0 &&
		    sha256_file(r->files[i], sha, &size, NULL) == ERR_OK && strcmp(sha, o->sha256) == 0)
			return r->files[i];
	}
	return NULL;
}

static enum err_code read_again(struct recount *r, struct recounted *c, struct err *e)
{
	struct ingest_result res = {0};
	const char *path = r->quick ? NULL : find_file(r, &c->out);
	if (!path) {
		c->note = r->quick ? "" : "its file is not kept here";
		return ERR_OK;
	}
	struct ingest_plan plan = r->plan;
	plan.options.now_us = c->out.created_us; /* as when it was taken */
	plan.options.stop = r->cli->stop;
	enum err_code code = ingest_check(&plan, path, NULL, &res, e);
	if (!code) {
		c->reread = true;
		c->parsed = res.verdict.records;
		c->accepted = res.verdict.accepted;
		c->rejected = res.verdict.rejected;
	}
	ingest_result_done(&res);
	return code;
}

static int by_output(const void *a, const void *b)
{
	const struct quarantine_sums *x = a, *y = b;
	return (x->output > y->output) - (x->output < y->output);
}

static enum err_code gather(struct recount *r, struct recounted *c, struct err *e)
{
	const struct data_file *df = r->plan.data_file;
	enum err_code code = read_again(r, c, e);
	if (!code)
		code = sqlite_position(r->coredms, df, c->out.id, &c->in_store, &c->position, &c->done, e);
	if (!code)
		code = sqlite_count_rows(r->coredms, df, c->out.id, &c->rows, e);
	struct quarantine_sums key = {.output = c->out.id};
	const struct quarantine_sums *s = r->nsums ? bsearch(&key, r->sums, r->nsums, sizeof key, by_output) : NULL;
	c->q = s ? *s : key;
	return code;
}

/* ---- equations */

static bool is_builtin(const char *rule)
{
	static const char *const rules[] = {RULE_FIELD_COUNT,  RULE_UNCLOSED_QUOTE,
					    RULE_BAD_QUOTE,    RULE_CELL_TOO_LONG,
					    RULE_ROW_TOO_LONG, RULE_ENCODING,
					    RULE_NUL,	       RULE_TYPE,
					    RULE_NOT_NULL,     RULE_KEY};
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		if (strcmp(rules[i], rule) == 0)
			return true;
	}
	return false;
}

/* Records of a rule that is judged at the end of the file are part of the sorted order, and so of positions.
 * Stand-alone the documents given need not be those of that day: then any record of a quality rule may be one
 * (*ret_most). */
static enum err_code late_records(struct recount *r, int64_t output, uint64_t *ret_least, uint64_t *ret_most,
				  struct err *e)
{
	struct quarantine_count *list;
	struct arena a;
	size_t n;
	*ret_least = *ret_most = 0;
	if (!r->quarantine)
		return ERR_OK;
	arena_init(&a, 1 << 20);
	enum err_code code = quarantine_counts(r->quarantine, output, &a, &list, &n, e);
	for (size_t i = 0; !code && i < n; i++) {
		bool late = quality_plan_rule_is_late(r->plan.quality, list[i].rule);
		uint64_t records = list[i].open + list[i].replayed;
		*ret_least += late ? records : 0;
		*ret_most += late || (!r->data && !is_builtin(list[i].rule)) ? records : 0;
	}
	arena_done(&a);
	return code;
}

static void judge_file(const struct recount *r, struct recounted *c)
{
	const struct catalog_output *o = &c->out;
	uint64_t kept = c->q.open + c->q.replayed + c->q.erased;
	if (c->parsed != c->accepted + c->rejected)
		PROBLEM(c, "parsed = accepted + rejected: the file gives %" PRIu64 " = %" PRIu64 " + %" PRIu64,
			c->parsed, c->accepted, c->rejected);
	if (c->parsed != o->records)
		PROBLEM(c, "the file has %" PRIu64 " records, the ledger says %" PRIu64, c->parsed, o->records);
	/* Under other documents than those of the day the file divides otherwise, which is no fault. */
	if (!r->data && c->rejected != kept && c->rejected != c->q.open) {
		c->note = "the documents given divide the file otherwise than those it was taken with";
		return;
	}
	if (r->data && c->rejected != kept)
		PROBLEM(c, "the gate rejects %" PRIu64 " records of the file, the quarantine got %" PRIu64, c->rejected,
			kept);
}

static enum err_code judge_delivered(struct recount *r, struct recounted *c, struct err *e)
{
	const struct catalog_output *o = &c->out;
	uint64_t first = o->accepted - (c->q.replayed < o->accepted ? c->q.replayed : o->accepted), late, most;
	uint64_t refused = c->q.sink_open + c->q.sink_erased;
	enum err_code code = late_records(r, o->id, &late, &most, e);
	if (code)
		return code;
	if (o->records != o->accepted + c->q.open + c->q.erased)
		PROBLEM(c,
			"parsed = accepted + rejected: %" PRIu64 " = %" PRIu64 " + %" PRIu64 " in quarantine + %" PRIu64
			" erased",
			o->records, o->accepted, c->q.open, c->q.erased);
	if (o->rejected != c->q.open + c->q.erased)
		PROBLEM(c,
			"the ledger says %" PRIu64 " rejected, the quarantine holds %" PRIu64 " and %" PRIu64
			" were erased",
			o->rejected, c->q.open, c->q.erased);
	if (o->accepted != o->delivered + refused)
		PROBLEM(c, "accepted = delivered + refused by the sink: %" PRIu64 " = %" PRIu64 " + %" PRIu64,
			o->accepted, o->delivered, refused);
	if (o->refused_by_sink != refused)
		PROBLEM(c, "the ledger says %" PRIu64 " refused by the sink, the quarantine holds %" PRIu64,
			o->refused_by_sink, refused);
	if (!c->in_store || !c->done)
		PROBLEM(c, "the ledger says delivered, the store %s",
			c->in_store ? "has not all of it" : "never saw it");
	else if ((c->position < first + late || c->position > first + most) && c->q.erased == 0)
		PROBLEM(c, "delivered: the store took %" PRIu64 " records, %" PRIu64 " were accepted%s", c->position,
			first + late, late ? " (with repeats that were left out)" : "");
	if (c->rows > o->delivered)
		PROBLEM(c, "rows <= delivered: %" PRIu64 " rows came from it, %" PRIu64 " were delivered", c->rows,
			o->delivered);
	if (r->plan.data_file->nkey == 0 && c->rows != o->delivered)
		PROBLEM(c, "rows = delivered in a table without key: %" PRIu64 " rows, %" PRIu64 " delivered", c->rows,
			o->delivered);
	return ERR_OK;
}

static enum err_code judge(struct recount *r, struct recounted *c, struct err *e)
{
	const struct catalog_output *o = &c->out;
	switch (o->state) {
	case OUTPUT_REFUSED:
		if (c->rows || c->position)
			PROBLEM(c, "a refused file delivers nothing: %" PRIu64 " rows came from it", c->rows);
		return ERR_OK;
	case OUTPUT_WAITING:
	case OUTPUT_CHECKED:
	case OUTPUT_FAILED:
		if (c->rows > c->position)
			PROBLEM(c, "rows <= position: %" PRIu64 " rows, position %" PRIu64, c->rows, c->position);
		c->note = "not delivered yet";
		return ERR_OK;
	case OUTPUT_EXPIRED:
		if (!c->in_store) /* it may have been refused before it expired */
			return ERR_OK;
		return judge_delivered(r, c, e);
	default:
		if (c->reread)
			judge_file(r, c);
		return judge_delivered(r, c, e);
	}
}

/* Is this output's table the one that the documents speak of? */
static bool of_this_table(const struct recount *r, const struct catalog_output *o)
{
	char table[160];
	const struct data_file *df = r->plan.data_file;
	snprintf(table, sizeof table, "%s.%s", df->key_space, df->schema->name);
	return !o->table[0] || strcasecmp(o->table, table) == 0;
}

static enum err_code sums_load(struct recount *r, struct err *e)
{
	r->nsums = 0;
	return r->quarantine ? quarantine_sum(r->quarantine, 0, &r->arena, &r->sums, &r->nsums, e) : ERR_OK;
}

static enum err_code recount_one(struct recount *r, const struct catalog_output *o, struct recounted *c, struct err *e)
{
	enum err_code code = ERR_OK;
	*c = (struct recounted){.out = *o, .note = "", .q = {.output = o->id}};
	for (int i = 0; !code && i < TRIES; i++) {
		c->nproblems = 0;
		c->note = "";
		if (r->data && (code = docs_load(r, c->out.document_version, e)))
			return code;
		if (!of_this_table(r, &c->out)) {
			c->note = "it went to another table than the documents given speak of: not looked at";
			return ERR_OK;
		}
		code = gather(r, c, e);
		if (!code)
			code = judge(r, c, e);
		if (code || !c->nproblems || i == TRIES - 1)
			break;
		/* Perhaps a worker is at it: count anew. */
		usleep(200000);
		code = catalog_output_get(r->catalog, o->id, &r->arena, &c->out, e);
		if (!code)
			code = sums_load(r, e);
	}
	return code;
}

enum err_code recount_run(struct recount *r, enum err_code (*take)(void *ctx, const struct recounted *c, struct err *e),
			  void *ctx, struct err *e)
{
	int64_t after = 0;
	struct catalog_output *list;
	size_t n = 0;
	enum err_code code = sums_load(r, e);
	do {
		struct arena page;
		arena_init(&page, MEMORY);
		if (!code)
			code = catalog_outputs_after(r->catalog, r->tenant, after, &page, &list, &n, e);
		for (size_t i = 0; !code && i < n; i++) {
			struct recounted c;
			after = list[i].id;
			code = recount_one(r, &list[i], &c, e);
			if (!code)
				code = take(ctx, &c, e);
			if (!code && atomic_load(r->cli->stop))
				code = err_set(e, ERR_INTERRUPTED, "interrupted");
		}
		arena_done(&page);
	} while (!code && n);
	return code;
}

/* ---- originals */

static void look_at(struct recount *r, const struct catalog_file *f, struct recounted_files *n)
{
	struct stat st;
	const char *path = path_original(&r->arena, r->data, r->tenant, f->id);
	if (!path || stat(path, &st) != 0) {
		n->missing++;
		problem(n->problem, &n->nproblems, "f%" PRId64 " \"%.100s\" is %s, but its original is not on disk",
			f->id, f->name, file_state_name(f->state));
	} else if ((uint64_t)st.st_size != f->size) {
		n->wrong_size++;
		problem(n->problem, &n->nproblems,
			"f%" PRId64 " \"%.100s\" was received with %" PRIu64 " bytes, its original has "
			"%" PRIu64,
			f->id, f->name, f->size, (uint64_t)st.st_size);
	} else {
		n->kept++;
	}
}

enum err_code recount_files(struct recount *r, struct recounted_files *ret, struct err *e)
{
	struct catalog_file_filter f = {.tenant = r->tenant,
					.limit = 1000,
					.oldest_first = true,
					.states = 1u << FILE_STAGED | 1u << FILE_ASSIGNED | 1u << FILE_PROCESSED |
						  1u << FILE_CHECKED | 1u << FILE_DELIVERED | 1u << FILE_FAILED};
	struct catalog_file *list;
	size_t n;
	*ret = (struct recounted_files){0};
	do {
		struct arena page;
		arena_init(&page, MEMORY);
		enum err_code code = catalog_files(r->catalog, &f, &page, &list, &n, e);
		for (size_t i = 0; !code && i < n; i++) {
			f.before = list[i].id;
			look_at(r, &list[i], ret);
		}
		arena_done(&page);
		if (code)
			return code;
	} while (n);
	return ERR_OK;
}

enum err_code recount_open(struct recount *r, struct err *e)
{
	arena_init(&r->arena, MEMORY);
	arena_init(&r->docs_arena, MEMORY);
	const char *dir = r->data ? path_quarantine(&r->arena, r->data, r->tenant) : r->coredms;
	if (!dir)
		return err_oom(e);
	enum err_code code = quarantine_open_readonly(dir, &r->quarantine, e);
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

void recount_close(struct recount *r)
{
	quarantine_close(r->quarantine);
	catalog_close(r->catalog);
	data_file_done(r->docs_file);
	arena_done(&r->docs_arena);
	arena_done(&r->arena);
}
