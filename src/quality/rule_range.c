/*
 * rule_range.c: validity: a column's values lie between min and max, both included.
 *
 * Numbers, decimals, dates, times and timestamps by their type; text only with "format", as dates. The loops over
 * numbers first ask whether any value of the batch is outside (one pass the compiler can vectorise, over nulls and
 * rejected rows too), and only then which.
 */
#include "quality/rules.h"
#include "quality/value.h"

#include <math.h>

struct range {
	enum order order;
	bool has_min, has_max;
	int64_t imin, imax; /* I64, DATE_TEXT */
	double dmin, dmax;
	struct span smin, smax; /* DECIMAL */
	struct datefmt fmt;
	const char *text; /* "between 1 and 5" */
};

static enum order range_order(const struct field *f)
{
	if (f->storage == STORE_I64 && f->type != AVRO_T_BOOLEAN)
		return ORDER_I64;
	if (f->storage == STORE_F64)
		return ORDER_F64;
	if (f->logical == LOGICAL_DECIMAL)
		return ORDER_DECIMAL;
	return ORDER_NONE;
}

/* One bound; false when it is not there or wrong. */
static bool range_bound(struct rule_parse *x, const struct field *f, struct range *g, const char *key, int64_t *i,
			double *d, struct span *s)
{
	const struct json *v = json_get(x->node, key);
	struct value val;

	if (!v)
		return false;
	if (g->order == ORDER_DATE_TEXT) {
		if (v->type == JN_STRING && datefmt_match(&g->fmt, v->s.p, v->s.n, i))
			return true;
		rule_error(x, key, NULL, "a date in the rule's own \"format\"", "");
		return false;
	}
	if (!rule_value(x, f, v, key, -1, &val))
		return false;
	*i = val.i;
	*d = val.d;
	*s = val.s;
	return true;
}

static const char *json_text(struct rule_parse *x, const char *key)
{
	const struct json *v = json_get(x->node, key);

	return v ? arena_strndup(x->a, v->s.p, v->s.n < 48 ? v->s.n : 48) : NULL;
}

static void range_text(struct rule_parse *x, struct range *g)
{
	const char *min = json_text(x, "min"), *max = json_text(x, "max");

	if (min && max)
		g->text = arena_printf(x->a, "not between %s and %s", min, max);
	else if (min)
		g->text = arena_printf(x->a, "below %s", min);
	else
		g->text = arena_printf(x->a, "above %s", max);
	if (!g->text)
		g->text = "out of range";
}

static void range_parse(struct rule_parse *x, struct rule *r)
{
	const struct field *f = &r->schema->fields[r->field[0]];
	struct range *g = arena_alloc(x->a, sizeof(*g));

	if (!g)
		return;
	g->order = range_order(f);
	if (rule_has(x, "format")) {
		if (!rule_format(x, f, &g->fmt))
			return;
		if (!g->fmt.has_date)
			rule_error(x, "format", NULL, "a format with year, month and day", "");
		g->order = ORDER_DATE_TEXT;
	}
	if (g->order == ORDER_NONE) {
		rule_wrong_type(x, f, "a number, date, time or timestamp, or dates as text with \"format\"",
				f->storage == STORE_TEXT
				    ? "text has no range: use \"set\", \"pattern\" or \"length\", or give the "
				      "column a type"
				    : "");
		return;
	}
	if (!rule_need_one(x, "min", "max"))
		return;
	g->imin = INT64_MIN;
	g->imax = INT64_MAX;
	g->dmin = -INFINITY;
	g->dmax = INFINITY;
	g->has_min = range_bound(x, f, g, "min", &g->imin, &g->dmin, &g->smin);
	g->has_max = range_bound(x, f, g, "max", &g->imax, &g->dmax, &g->smax);
	if (g->has_min && g->has_max &&
	    (g->imin > g->imax || g->dmin > g->dmax || decimal_compare(g->smin, g->smax) > 0))
		rule_error(x, "min", NULL, "at most \"max\"", "no value can pass");
	range_text(x, g);
	r->param = g;
}

static void range_i64(struct rule_run *x, const struct range *g)
{
	const struct column *c = &x->b->col[x->rule->field[0]];
	uint32_t n = x->b->nrow;
	unsigned out = 0;

	for (uint32_t r = 0; r < n; r++)
		out |= (unsigned)(c->i64[r] < g->imin) | (unsigned)(c->i64[r] > g->imax);
	if (!out)
		return;
	for (uint32_t r = 0; r < n; r++) {
		if ((c->i64[r] < g->imin || c->i64[r] > g->imax) && !c->null[r] && !rule_skips(x, r))
			rule_hit(x, r);
	}
}

static void range_f64(struct rule_run *x, const struct range *g)
{
	const struct column *c = &x->b->col[x->rule->field[0]];
	uint32_t n = x->b->nrow;
	unsigned out = 0;

	for (uint32_t r = 0; r < n; r++)
		out |= (unsigned)!(c->f64[r] >= g->dmin) | (unsigned)!(c->f64[r] <= g->dmax);
	if (!out)
		return;
	for (uint32_t r = 0; r < n; r++) {
		if (!(c->f64[r] >= g->dmin && c->f64[r] <= g->dmax) && !c->null[r] && !rule_skips(x, r))
			rule_hit(x, r);
	}
}

static bool text_outside(const struct range *g, struct span s)
{
	int64_t us;

	if (g->order == ORDER_DATE_TEXT)
		return !datefmt_match(&g->fmt, s.p, s.n, &us) || us < g->imin || us > g->imax;
	return (g->has_min && decimal_compare(s, g->smin) < 0) || (g->has_max && decimal_compare(s, g->smax) > 0);
}

static enum err_code range_scan(struct rule_run *x, struct err *e)
{
	const struct range *g = x->rule->param;
	const struct batch *b = x->b;
	const struct column *c = &b->col[x->rule->field[0]];

	(void)e;
	if (g->order == ORDER_I64) {
		range_i64(x, g);
		return ERR_OK;
	}
	if (g->order == ORDER_F64) {
		range_f64(x, g);
		return ERR_OK;
	}
	for (uint32_t r = 0; r < b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r))
			continue;
		if (text_outside(g, (struct span){b->data + c->ref[r].off, c->ref[r].len}))
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void range_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct range *g = x->rule->param;
	char cell[200];
	int64_t us;

	rule_cell_text(x->rule, x->rule->field[0], x->b, row, cell);
	if (g->order == ORDER_DATE_TEXT) {
		const struct cell_ref *ref = &x->b->col[x->rule->field[0]].ref[row];
		if (!datefmt_match(&g->fmt, x->b->data + ref->off, ref->len, &us)) {
			rule_say(out, "%s is no date of the rule's format", cell);
			return;
		}
	}
	rule_say(out, "%s is %s", cell, g->text);
}

static const struct rule_param range_params[] = {
    {"min", "value", "the smallest value that is fine, written as in the column's type"},
    {"max", "value", "the largest value that is fine"},
    {"format", "date format", "the column is text and holds dates of this format; min and max are written in it too"},
    {0},
};

const struct rule_class rule_range = {
    .name = "range",
    .kind = "validity",
    .summary = "values lie between min and max, both included",
    .flags = RULE_COLUMN,
    .params = range_params,
    .parse = range_parse,
    .scan = range_scan,
    .reason = range_reason,
};
