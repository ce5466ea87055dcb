/*
 * rule_null.c: completeness: not_null (per record), null_share and row_count (of the file).
 */
#include "quality/rules.h"

#include <inttypes.h>

/* ---- not_null: a column that the schema lets be null must not be */

static void not_null_parse(struct rule_parse *x, struct rule *r)
{
	for (uint32_t i = 0; i < r->nfield; i++) {
		const struct field *f = &r->schema->fields[r->field[i]];
		if (!f->nullable)
			problem_add(x->p, PROBLEM_WARNING, x->node, x->path, f->name, "a column that may be null",
				    "the schema says already that it is never null: such records are rejected whatever "
				    "this line says");
	}
}

static enum err_code not_null_scan(struct rule_run *x, struct err *e)
{
	const struct rule *r = x->rule;
	const struct batch *b = x->b;
	bool any = false;

	(void)e;
	for (uint32_t i = 0; i < r->nfield; i++)
		any |= b->col[r->field[i]].any_null;
	for (uint32_t row = 0; any && row < b->nrow; row++) {
		bool null = false;
		for (uint32_t i = 0; i < r->nfield; i++)
			null |= b->col[r->field[i]].null[row] != 0;
		if (null && !rule_skips(x, row))
			rule_hit(x, row);
	}
	return ERR_OK;
}

static void not_null_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct rule *r = x->rule;
	uint32_t i = 0;

	while (i + 1 < r->nfield && !x->b->col[r->field[i]].null[row])
		i++;
	rule_say(out, "%s is null", r->schema->fields[r->field[i]].name);
}

const struct rule_class rule_not_null = {
    .name = RULE_NOT_NULL,
    .kind = "completeness",
    .summary = "the column has a value, although the schema lets it be null",
    .flags = RULE_COLUMN | RULE_COLUMNS,
    .parse = not_null_parse,
    .scan = not_null_scan,
    .reason = not_null_reason,
};

/* ---- null_share: at most so many nulls in a column */

struct null_share {
	struct budget max;
};

struct null_count {
	uint64_t nulls, records;
};

static void null_share_parse(struct rule_parse *x, struct rule *r)
{
	struct null_share *p = arena_alloc(x->a, sizeof(*p));
	const struct json *v = json_get(x->node, "max");

	if (!v) {
		rule_error(x, "max", "", "a share like \"5%\" or a count", "say how many nulls are fine");
		return;
	}
	const char *allowed = p ? budget_parse(v, &p->max) : "less memory";
	if (allowed)
		rule_error(x, "max", NULL, allowed, "");
	r->param = p;
}

static enum err_code null_share_scan(struct rule_run *x, struct err *e)
{
	struct null_count *c = x->state;
	const struct batch *b = x->b;
	const struct column *col = &b->col[x->rule->field[0]];

	(void)e;
	if (!x->skip && !col->any_null) {
		c->records += b->nrow;
		return ERR_OK;
	}
	for (uint32_t r = 0; r < b->nrow; r++) {
		bool counts = !rule_skips(x, r);
		c->records += counts;
		c->nulls += counts && col->null[r] != 0;
	}
	return ERR_OK;
}

static bool null_share_judge(const struct rule_run *x, const struct file_facts *f, uint64_t *ret_records,
			     char out[REASON_MAX])
{
	const struct null_count *c = x->state;
	const struct null_share *p = x->rule->param;

	(void)f;
	*ret_records = c->nulls;
	rule_say(out, "%s is null in %" PRIu64 " of %" PRIu64 " records, at most %s may be",
		 x->rule->schema->fields[x->rule->field[0]].name, c->nulls, c->records, p->max.text);
	return !budget_used_up(&p->max, c->nulls, c->records);
}

static const struct rule_param null_share_params[] = {
    {"max", "share or count", "nulls that are fine, for instance \"5%\""},
    {0},
};

const struct rule_class rule_null_share = {
    .name = "null_share",
    .kind = "completeness",
    .summary = "at most a share of a column is null",
    .flags = RULE_COLUMN | RULE_FILE,
    .params = null_share_params,
    .state_size = sizeof(struct null_count),
    .parse = null_share_parse,
    .scan = null_share_scan,
    .judge = null_share_judge,
};

/* ---- row_count: the file has so many records */

struct row_count {
	uint64_t min, max;
};

static void row_count_parse(struct rule_parse *x, struct rule *r)
{
	struct row_count *p = arena_alloc(x->a, sizeof(*p));

	if (!rule_need_one(x, "min", "max") || !p)
		return;
	p->min = rule_uint(x, "min", 0);
	p->max = rule_uint(x, "max", UINT64_MAX);
	if (p->min > p->max)
		rule_error(x, "min", NULL, "at most \"max\"", "no file can pass");
	r->param = p;
}

static bool row_count_judge(const struct rule_run *x, const struct file_facts *f, uint64_t *ret_records,
			    char out[REASON_MAX])
{
	const struct row_count *p = x->rule->param;

	*ret_records = 0;
	if (f->records < p->min)
		rule_say(out, "the file has %" PRIu64 " records, at least %" PRIu64 " are expected", f->records,
			 p->min);
	else if (f->records > p->max)
		rule_say(out, "the file has %" PRIu64 " records, at most %" PRIu64 " are expected", f->records, p->max);
	else
		return true;
	*ret_records = f->records ? f->records : 1;
	return false;
}

static const struct rule_param row_count_params[] = {
    {"min", "count", "at least so many records"},
    {"max", "count", "at most so many records"},
    {0},
};

const struct rule_class rule_row_count = {
    .name = "row_count",
    .kind = "completeness",
    .summary = "the file has at least and at most so many records, good and bad",
    .flags = RULE_FILE,
    .params = row_count_params,
    .parse = row_count_parse,
    .judge = row_count_judge,
};
