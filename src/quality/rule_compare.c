/*
 * rule_compare.c: validity: two columns of a record stand in a relation: start <= end.
 *
 * Numbers compare exactly, also a long with a double; dates with dates, timestamps with timestamps; decimals digit by
 * digit; text only as equal or not, or as dates with "format". A null on either side passes.
 */
#include "quality/rules.h"
#include "quality/value.h"

enum op { OP_LT, OP_LE, OP_EQ, OP_NE, OP_GT, OP_GE, OP_COUNT };

static const char *const op_names[OP_COUNT] = {"<", "<=", "=", "!=", ">", ">="};

struct compare {
	enum op op;
	enum order order; /* ORDER_NONE: bytes, equal or not */
	struct datefmt fmt;
};

/* Columns of the same class may be compared. */
static int value_class(const struct field *f)
{
	if (f->type == AVRO_T_BOOLEAN)
		return 1;
	if (f->logical == LOGICAL_DATE)
		return 2;
	if (f->logical == LOGICAL_TIMESTAMP_MILLIS || f->logical == LOGICAL_TIMESTAMP_MICROS)
		return 3;
	if (f->logical == LOGICAL_TIME_MILLIS || f->logical == LOGICAL_TIME_MICROS)
		return 4;
	if (f->storage == STORE_I64 || f->storage == STORE_F64)
		return 5;
	if (f->logical == LOGICAL_DECIMAL)
		return 6;
	return f->storage == STORE_TEXT ? 7 : 8;
}

static bool parse_op(struct rule_parse *x, enum op *ret)
{
	const char *s = rule_str(x, "op");

	for (int i = 0; s && i < OP_COUNT; i++) {
		if (strcmp(s, op_names[i]) == 0 || (i == OP_EQ && strcmp(s, "==") == 0) ||
		    (i == OP_NE && strcmp(s, "<>") == 0)) {
			*ret = (enum op)i;
			return true;
		}
	}
	if (s || !rule_has(x, "op"))
		rule_error(x, "op", s ? NULL : "", "\"<\", \"<=\", \"=\", \"!=\", \">\" or \">=\"", "");
	return false;
}

static void compare_parse(struct rule_parse *x, struct rule *r)
{
	struct compare *p = arena_alloc(x->a, sizeof(*p));
	char t1[64], t2[64];

	if (!p)
		return;
	bool op = parse_op(x, &p->op);
	if (r->nfield != 2) {
		rule_error(x, "columns", NULL, "a list of two columns", "[\"start\", \"end\"] with \"op\": \"<=\"");
		return;
	}
	const struct field *a = &r->schema->fields[r->field[0]], *b = &r->schema->fields[r->field[1]];
	if (value_class(a) != value_class(b)) {
		rule_error(x, "columns",
			   arena_printf(x->a, "%s is a %s, %s a %s", a->name, field_type_text(a, t1), b->name,
					field_type_text(b, t2)),
			   "two columns of comparable types", "change a column's type in the schema");
		return;
	}
	p->order = value_class(a) <= 5 ? ORDER_I64 : value_class(a) == 6 ? ORDER_DECIMAL : ORDER_NONE;
	if (p->order == ORDER_I64 && (a->storage == STORE_F64 || b->storage == STORE_F64))
		p->order = ORDER_F64;
	if (rule_has(x, "format")) {
		if (!rule_format(x, a, &p->fmt) || !rule_format(x, b, &p->fmt))
			return;
		p->order = ORDER_DATE_TEXT;
	}
	if (p->order == ORDER_NONE && op && p->op != OP_EQ && p->op != OP_NE)
		rule_error(x, "op", NULL, "\"=\" or \"!=\" for text",
			   "with \"format\" text is compared as dates; numbers need a number type in the schema");
	r->param = p;
}

/* Exact: a long double holds every int64 where its mantissa has 64 bits or more. */
static int number_order(const struct column *a, const struct column *b, uint32_t r)
{
	long double x = a->i64 ? (long double)a->i64[r] : (long double)a->f64[r];
	long double y = b->i64 ? (long double)b->i64[r] : (long double)b->f64[r];

	return (x > y) - (x < y);
}

/* -1, 0, 1; *bad when a text is no date. */
static int row_order(const struct rule_run *x, const struct compare *p, uint32_t r, bool *bad)
{
	const struct batch *b = x->b;
	uint32_t fa = x->rule->field[0], fb = x->rule->field[1];
	const struct column *ca = &b->col[fa], *cb = &b->col[fb];
	int64_t i, j;

	*bad = false;
	if (p->order == ORDER_F64)
		return number_order(ca, cb, r);
	if (p->order == ORDER_I64) {
		i = ca->i64[r];
		j = cb->i64[r];
		if (field_has_time(&x->rule->schema->fields[fa])) {
			i = field_time_us(&x->rule->schema->fields[fa], i);
			j = field_time_us(&x->rule->schema->fields[fb], j);
		}
		return (i > j) - (i < j);
	}
	struct span s = {b->data + ca->ref[r].off, ca->ref[r].len}, t = {b->data + cb->ref[r].off, cb->ref[r].len};
	if (p->order == ORDER_DECIMAL)
		return decimal_compare(s, t);
	if (p->order == ORDER_NONE)
		return !span_eq(s, t);
	if (!datefmt_match(&p->fmt, s.p, s.n, &i) || !datefmt_match(&p->fmt, t.p, t.n, &j)) {
		*bad = true;
		return 0;
	}
	return (i > j) - (i < j);
}

static bool op_holds(enum op op, int order)
{
	switch (op) {
	case OP_LT:
		return order < 0;
	case OP_LE:
		return order <= 0;
	case OP_EQ:
		return order == 0;
	case OP_NE:
		return order != 0;
	case OP_GT:
		return order > 0;
	default:
		return order >= 0;
	}
}

static enum err_code compare_scan(struct rule_run *x, struct err *e)
{
	const struct compare *p = x->rule->param;
	const struct batch *b = x->b;
	const struct column *ca = &b->col[x->rule->field[0]], *cb = &b->col[x->rule->field[1]];

	(void)e;
	for (uint32_t r = 0; r < b->nrow; r++) {
		bool bad;
		if (ca->null[r] || cb->null[r] || rule_skips(x, r))
			continue;
		if (!op_holds(p->op, row_order(x, p, r, &bad)) || bad)
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void compare_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct compare *p = x->rule->param;
	const struct field *f = x->rule->schema->fields;
	uint32_t fa = x->rule->field[0], fb = x->rule->field[1];
	char a[200], b[200];
	bool bad;

	rule_cell_text(x->rule, fa, x->b, row, a);
	rule_cell_text(x->rule, fb, x->b, row, b);
	row_order(x, p, row, &bad);
	if (bad)
		rule_say(out, "%.40s %.40s or %.40s %.40s is no date of the rule's format", f[fa].name, a, f[fb].name,
			 b);
	else
		rule_say(out, "%.40s %.40s is not %s %.40s %.40s", f[fa].name, a, op_names[p->op], f[fb].name, b);
}

static const struct rule_param compare_params[] = {
    {"op", "operator", "<, <=, =, !=, > or >= between the first column and the second"},
    {"format", "date format", "both columns are text and hold dates of this format"},
    {0},
};

const struct rule_class rule_compare = {
    .name = "compare",
    .kind = "validity",
    .summary = "two columns of a record stand in a relation, for instance start <= end",
    .flags = RULE_COLUMNS,
    .params = compare_params,
    .parse = compare_parse,
    .scan = compare_scan,
    .reason = compare_reason,
};
