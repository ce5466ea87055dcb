/*
 * gate.c: the rules of a plan at work over the batches of one file.
 *
 * Per batch: count the reader's defects (each record once per rule), run every rule column at a time over the rows
 * that typed well, uniqueness last over the rows that nothing else rejected. Without rules only counting is left.
 */
#include "base/clock.h"
#include "quality/late.h"
#include "quality/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WARN_DEFECTS_MAX 100 /* listed per rule and file; all are counted */
#define DEFAULT_MEMORY (8u << 20)

struct gate {
	const struct quality_plan *plan;
	struct gate_options opt;
	uint64_t records, rejected;
	uint64_t builtin[BUILTIN_RULES], other;
	uint64_t *found, *found_new; /* per rule */
	struct rule_run *run;	     /* per rule */
	bool *opened;
	uint64_t *seen; /* per row of the batch: names that found it */
	uint8_t *skip;
	uint32_t *hit;
	uint32_t cap;
	struct late *late;
	uint64_t late_next; /* second pass */
};

/* Number of a rule of the reader, -1. */
static int builtin_index(const char *rule)
{
	for (int i = 0; i < BUILTIN_RULES; i++) {
		if (rule == builtin_rules[i] || strcmp(rule, builtin_rules[i]) == 0)
			return i;
	}
	return -1;
}

static enum err_code open_rules(struct gate *g, struct err *e)
{
	for (uint32_t i = 0; i < g->plan->nrule; i++) {
		const struct rule *r = &g->plan->rule[i];
		struct rule_run *x = &g->run[i];

		*x = (struct rule_run){.rule = r, .opt = &g->opt};
		if (g->opt.verdict && (r->class->flags & (RULE_WHOLE | RULE_FILE)))
			continue;
		x->state = calloc(1, r->class->state_size ? r->class->state_size : 1);
		if (!x->state)
			return err_oom(e);
		g->opened[i] = true;
		if (r->class->open && r->class->open(x, e))
			return err_prefix(e, "rule \"%s\"", r->name);
	}
	return ERR_OK;
}

static void share_memory(struct gate *g)
{
	size_t n = 0;

	for (uint32_t i = 0; i < g->plan->nrule; i++)
		n += (g->plan->rule[i].class->flags & RULE_WHOLE) != 0;
	if (g->opt.memory == 0)
		g->opt.memory = DEFAULT_MEMORY;
	if (n > 1)
		g->opt.memory /= n;
}

enum err_code gate_new(const struct quality_plan *p, const struct gate_options *opt, struct gate **ret, struct err *e)
{
	struct gate *g = calloc(1, sizeof(*g));
	size_t n = p->nrule ? p->nrule : 1;

	if (!g)
		return err_oom(e);
	g->plan = p;
	if (opt)
		g->opt = *opt;
	if (g->opt.verdict)
		g->opt.now_us = g->opt.verdict->now_us;
	if (g->opt.now_us == 0)
		g->opt.now_us = clock_now_us();
	share_memory(g);
	g->found = calloc(n, sizeof(*g->found));
	g->found_new = calloc(n, sizeof(*g->found_new));
	g->run = calloc(n, sizeof(*g->run));
	g->opened = calloc(n, sizeof(*g->opened));
	if (!g->found || !g->found_new || !g->run || !g->opened)
		err_oom(e);
	else if (open_rules(g, e) == ERR_OK) {
		*ret = g;
		return ERR_OK;
	}
	gate_free(g);
	return e->code;
}

static enum err_code make_room(struct gate *g, uint32_t rows, struct err *e)
{
	if (rows <= g->cap)
		return ERR_OK;
	free(g->seen);
	free(g->skip);
	free(g->hit);
	g->cap = 0;
	g->seen = malloc(rows * sizeof(*g->seen));
	g->skip = malloc(rows);
	g->hit = malloc(rows * sizeof(*g->hit));
	if (!g->seen || !g->skip || !g->hit)
		return err_oom(e);
	g->cap = rows;
	return ERR_OK;
}

/* What the reader found: each record once per rule. */
static enum err_code count_builtin(struct gate *g, const struct batch *b, struct err *e)
{
	if (b->ndefect == 0)
		return ERR_OK;
	if (make_room(g, b->cap, e))
		return e->code;
	memset(g->seen, 0, b->nrow * sizeof(*g->seen));
	for (uint32_t i = 0; i < b->ndefect; i++) {
		const struct defect *d = &b->defect[i];
		int k = builtin_index(d->rule);

		if (k < 0 || d->row == 0 || d->index >= b->nrow) {
			g->other++;
			continue;
		}
		uint64_t bit = UINT64_C(1) << k;
		if (!(g->seen[d->index] & bit))
			g->builtin[k]++;
		g->seen[d->index] |= bit;
	}
	return ERR_OK;
}

/* The column of a defect in many columns is the first of them. */
static enum err_code add_defect(const struct rule_run *x, struct batch *b, uint32_t row, const char *reason,
				struct err *e)
{
	const struct rule *r = x->rule;
	struct defect d = {.rule = r->name, .stage = "quality", .action = r->action, .field = -1};

	if (r->nfield) {
		d.field = (int32_t)r->field[0];
		const struct column *c = &b->col[d.field];
		if (c->ref && !c->null[row])
			d.cell = (struct span){b->data + c->ref[row].off, c->ref[row].len};
	}
	snprintf(d.reason, sizeof(d.reason), "%s", reason);
	return batch_defect(b, row, &d, e);
}

static enum err_code take_hits(struct gate *g, struct rule_run *x, struct batch *b, struct err *e)
{
	uint32_t n = x->rule->number;
	uint8_t bit = g->plan->name_bit[n];
	char reason[REASON_MAX];

	for (uint32_t i = 0; i < x->nhit; i++) {
		uint32_t row = x->hit[i];

		if (bit == NAME_BIT_NONE || !(g->seen[row] >> bit & 1))
			g->found_new[n]++;
		if (bit != NAME_BIT_NONE)
			g->seen[row] |= UINT64_C(1) << bit;
		if (x->rule->action == DEFECT_WARN && g->found[n] >= WARN_DEFECTS_MAX) {
			g->found[n]++;
			continue;
		}
		g->found[n]++;
		x->rule->class->reason(x, row, reason);
		if (add_defect(x, b, row, reason, e))
			return e->code;
	}
	return ERR_OK;
}

static enum err_code scan_rule(struct gate *g, struct rule_run *x, struct batch *b, struct err *e)
{
	x->b = b;
	x->hit = g->hit;
	x->nhit = 0;
	if (x->rule->class->scan(x, e))
		return err_prefix(e, "rule \"%s\"", x->rule->name);
	return x->nhit ? take_hits(g, x, b, e) : ERR_OK;
}

/* All rules but uniqueness (late false), or uniqueness alone over what is still good. */
static enum err_code scan_rules(struct gate *g, struct batch *b, bool late, struct err *e)
{
	const uint8_t *skip = NULL;

	if (b->nbad) {
		memcpy(g->skip, b->bad, b->nrow);
		skip = g->skip;
	}
	for (uint32_t i = 0; i < g->plan->nrule; i++) {
		const struct rule_class *c = g->plan->rule[i].class;
		if (!c->scan || !g->opened[i] || ((c->flags & RULE_WHOLE) != 0) != late)
			continue;
		g->run[i].skip = skip;
		if (scan_rule(g, &g->run[i], b, e))
			return e->code;
	}
	return ERR_OK;
}

static void late_reason(const struct rule *r, uint64_t of, char out[REASON_MAX])
{
	size_t n = (size_t)snprintf(out, REASON_MAX, "same ");

	for (uint32_t i = 0; i < r->nfield && n < REASON_MAX; i++)
		n += (size_t)snprintf(out + n, REASON_MAX - n, "%s%s", i ? ", " : "",
				      r->schema->fields[r->field[i]].name);
	if (n < REASON_MAX)
		snprintf(out + n, REASON_MAX - n, " as record %" PRIu64, of);
}

/* Second pass: the records that the first one found at its end. */
static enum err_code reject_late(struct gate *g, struct batch *b, struct err *e)
{
	const struct verdict *v = g->opt.verdict;
	char reason[REASON_MAX];

	while (g->late_next < v->nlate && v->late[g->late_next] < b->first_row + b->nrow) {
		uint64_t i = g->late_next++;
		if (v->late[i] < b->first_row || v->late_rule[i] >= g->plan->nrule)
			return err_set(e, ERR_INTERNAL, "late record %" PRIu64 " is out of order", v->late[i]);
		const struct rule_run *x = &g->run[v->late_rule[i]];
		late_reason(x->rule, v->late_of[i], reason);
		if (add_defect(x, b, (uint32_t)(v->late[i] - b->first_row), reason, e))
			return e->code;
	}
	return ERR_OK;
}

enum err_code gate_batch(struct gate *g, struct batch *b, struct err *e)
{
	g->records += b->nrow;
	if (count_builtin(g, b, e))
		return e->code;
	if (g->plan->nscan) {
		if (make_room(g, b->cap, e))
			return e->code;
		memset(g->seen, 0, b->nrow * sizeof(*g->seen));
		if (scan_rules(g, b, false, e) || scan_rules(g, b, true, e))
			return e->code;
		if (g->opt.verdict && reject_late(g, b, e))
			return e->code;
	}
	g->rejected += b->nbad;
	return ERR_OK;
}

static void late_found(void *ctx, uint32_t rule, bool first)
{
	struct gate *g = ctx;

	g->found[rule]++;
	g->found_new[rule] += first;
	if (g->plan->rule[rule].action != DEFECT_WARN)
		g->rejected += first;
}

static enum err_code late_take(void *ctx, const struct rule *r, uint64_t row, uint64_t of, struct err *e)
{
	struct gate *g = ctx;

	if (r->action == DEFECT_WARN) {
		late_found(g, r->number, true);
		return ERR_OK;
	}
	if (!g->late) {
		struct extsort_options so = {.dir = g->opt.spill_dir, .memory = 1u << 20};
		if (late_new(&so, &g->late, e))
			return e->code;
	}
	return late_put(g->late, r->number, row, of, e);
}

static enum err_code collect_late(struct gate *g, struct err *e)
{
	for (uint32_t i = 0; i < g->plan->nrule; i++) {
		struct rule_run *x = &g->run[i];
		if (x->rule->class->late && g->opened[i] && x->rule->class->late(x, late_take, g, e))
			return err_prefix(e, "rule \"%s\"", x->rule->name);
	}
	return g->late ? late_finish(g->late, late_found, g, e) : ERR_OK;
}

__attribute__((format(printf, 2, 3))) static void refuse(struct verdict *v, const char *fmt, ...)
{
	size_t n = strlen(v->reason);
	va_list ap;

	if (v->refused && n + 2 < sizeof(v->reason))
		n += (size_t)snprintf(v->reason + n, sizeof(v->reason) - n, "; ");
	v->refused = true;
	va_start(ap, fmt);
	if (n + 1 < sizeof(v->reason))
		vsnprintf(v->reason + n, sizeof(v->reason) - n, fmt, ap);
	va_end(ap);
}

static void budget_text(const struct budget *b, char out[64])
{
	if (b->share)
		snprintf(out, 64, "the budget is %s", b->text);
	else if (b->count)
		snprintf(out, 64, "the budget is %" PRIu64, b->count);
	else
		snprintf(out, 64, "none is allowed");
}

static void judge_rule(const struct gate *g, const struct rule_run *x, struct rule_count *c, struct verdict *v)
{
	const struct rule *r = x->rule;
	char text[64], reason[REASON_MAX];

	if (r->class->judge) {
		struct file_facts f = {g->records, g->rejected};
		bool good = r->class->judge(x, &f, &c->records, reason);
		c->records_new = good ? 0 : c->records;
		c->budget_used_up = !good;
		if (!good && r->action != DEFECT_WARN)
			refuse(v, "rule \"%s\": %s", r->name, reason);
		return;
	}
	if (!budget_used_up(&r->budget, c->records, g->records))
		return;
	c->budget_used_up = true;
	budget_text(&r->budget, text);
	if (r->action != DEFECT_WARN)
		refuse(v, "rule \"%s\"%s%s: %" PRIu64 " of %" PRIu64 " records break it, %s", r->name,
		       c->field ? " of " : "", c->field ? c->field : "", c->records, g->records, text);
}

/* The line of the agreement about a rule of the reader, NULL. */
static const struct rule *builtin_line(const struct gate *g, int k)
{
	for (uint32_t i = 0; i < g->plan->nrule; i++) {
		const struct rule *r = &g->plan->rule[i];
		if ((r->class->flags & RULE_BUILTIN) && strcmp(r->class->name, builtin_rules[k]) == 0)
			return r;
	}
	return NULL;
}

static void judge_builtin(const struct gate *g, struct verdict *v)
{
	for (int k = 0; k < BUILTIN_RULES; k++) {
		if (g->builtin[k] == 0 || builtin_line(g, k))
			continue;
		v->rules[v->nrules++] = (struct rule_count){
		    .rule = builtin_rules[k], .records = g->builtin[k], .records_new = g->builtin[k]};
	}
	if (g->other)
		v->rules[v->nrules++] =
		    (struct rule_count){.rule = "other", .records = g->other, .records_new = g->other};
}

static void judge_rules(const struct gate *g, struct verdict *v)
{
	for (uint32_t i = 0; i < g->plan->nrule; i++) {
		const struct rule *r = &g->plan->rule[i];
		struct rule_count *c = &v->rules[v->nrules++];

		*c = (struct rule_count){.rule = r->name,
					 .field = r->nfield == 1 ? r->schema->fields[r->field[0]].name : NULL,
					 .action = r->action,
					 .records = g->found[i],
					 .records_new = g->found_new[i]};
		if (r->class->flags & RULE_BUILTIN)
			c->records = c->records_new = g->builtin[builtin_index(r->class->name)];
		snprintf(c->budget, sizeof(c->budget), "%s", r->budget.text);
		judge_rule(g, &g->run[i], c, v);
	}
}

/* The second pass must have seen what the first one saw. */
static enum err_code same_verdict(const struct gate *g, struct verdict *ret, struct err *e)
{
	const struct verdict *v = g->opt.verdict;

	if (v->records != g->records || v->rejected != g->rejected) {
		err_set(e, ERR_CORRUPT,
			"the file changed while it was read: %" PRIu64 " records, %" PRIu64
			" rejected at first, now %" PRIu64 " and %" PRIu64,
			v->records, v->rejected, g->records, g->rejected);
		return err_hint(e, "give the file again when nobody writes to it");
	}
	*ret = *v;
	return ERR_OK;
}

enum err_code gate_finish(struct gate *g, struct verdict *ret, struct err *e)
{
	if (g->opt.verdict)
		return same_verdict(g, ret, e);
	if (collect_late(g, e))
		return e->code;
	*ret = (struct verdict){.records = g->records,
				.rejected = g->rejected,
				.accepted = g->records - g->rejected,
				.now_us = g->opt.now_us};
	judge_builtin(g, ret);
	judge_rules(g, ret);
	if (budget_used_up(&g->plan->max_rejected, g->rejected, g->records)) {
		char text[64];
		budget_text(&g->plan->max_rejected, text);
		refuse(ret, "max_rejected: %" PRIu64 " of %" PRIu64 " records are rejected, %s", g->rejected,
		       g->records, text);
	}
	if (g->late) {
		ret->late = g->late->row;
		ret->late_of = g->late->of;
		ret->late_rule = g->late->rule;
		ret->nlate = g->late->n;
	}
	return ERR_OK;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; g->run && g->opened && i < g->plan->nrule; i++) {
		if (g->opened[i] && g->plan->rule[i].class->close)
			g->plan->rule[i].class->close(&g->run[i]);
		free(g->run[i].state);
	}
	late_free(g->late);
	free(g->found);
	free(g->found_new);
	free(g->run);
	free(g->opened);
	free(g->seen);
	free(g->skip);
	free(g->hit);
	free(g);
}
