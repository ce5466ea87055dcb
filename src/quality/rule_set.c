/*
 * rule_set.c: validity: a column's values are among the listed ones ("in"), or none of them ("not_in").
 *
 * Up to 8 numbers are compared one by one in a loop without branches; more, and all text, go through a hash table made
 * with the plan.
 */
#include "quality/rules.h"

#include "base/hash.h"

#define SET_VALUES_MAX 10000
#define SET_FEW 8

struct set {
	bool in;
	const struct field *field;
	uint32_t n;
	struct value *v;
	uint32_t *slot; /* hash table of index + 1; 0 empty */
	uint32_t mask;
	const char *text; /* what is allowed, shortened */
};

static uint64_t value_hash(const struct field *f, const struct value *v)
{
	double d = v->d + 0.0; /* -0 equals 0 */

	if (f->storage == STORE_I64)
		return hash64(&v->i, sizeof(v->i), 0);
	if (f->storage == STORE_F64)
		return hash64(&d, sizeof(d), 0);
	return hash64(v->s.p, v->s.n, 0);
}

static bool value_same(const struct field *f, const struct value *a, const struct value *b)
{
	if (f->storage == STORE_I64)
		return a->i == b->i;
	if (f->storage == STORE_F64)
		return a->d == b->d;
	return span_eq(a->s, b->s);
}

static bool set_has(const struct set *s, const struct value *v)
{
	uint32_t h = (uint32_t)value_hash(s->field, v) & s->mask;

	for (; s->slot[h]; h = (h + 1) & s->mask) {
		if (value_same(s->field, &s->v[s->slot[h] - 1], v))
			return true;
	}
	return false;
}

static void set_put(struct set *s, uint32_t i)
{
	uint32_t h = (uint32_t)value_hash(s->field, &s->v[i]) & s->mask;

	while (s->slot[h])
		h = (h + 1) & s->mask;
	s->slot[h] = i + 1;
}

static const char *set_text(struct arena *a, const struct json *list)
{
	struct buf b;
	uint32_t i = 0;

	buf_init(&b, 256);
	for (const struct json *v = list->child; v && i < 6 && b.n < 90; v = v->next, i++) {
		const char *quote = v->type == JN_STRING ? "\"" : "";
		struct span t = v->type == JN_BOOL ? span_str(v->b ? "true" : "false") : v->s;
		buf_printf(&b, "%s%s%.*s%s", i ? ", " : "", quote, (int)(t.n < 24 ? t.n : 24), t.p ? t.p : "", quote);
	}
	if (i < list->count)
		buf_printf(&b, " ... (%u values)", list->count);
	const char *s = arena_strdup(a, buf_cstr(&b));
	buf_done(&b);
	return s ? s : "";
}

static void set_parse(struct rule_parse *x, struct rule *r)
{
	const struct json *in = json_get(x->node, "in"), *not_in = json_get(x->node, "not_in");
	const char *key = in ? "in" : "not_in";
	const struct json *list = in ? in : not_in;
	struct set *s = arena_alloc(x->a, sizeof(*s));

	if (!list || (in && not_in)) {
		rule_error(x, key, list ? NULL : "", "\"in\" or \"not_in\": a list of values", "");
		return;
	}
	if (list->type != JN_ARRAY || list->count == 0 || list->count > SET_VALUES_MAX) {
		rule_error(x, key, NULL, "a list of 1 to 10000 values", "");
		return;
	}
	uint32_t size = 16;
	while (size < list->count * 2)
		size *= 2;
	struct value *v = arena_array(x->a, list->count, sizeof(*v));
	uint32_t *slot = arena_array(x->a, size, sizeof(*slot));
	if (!s || !v || !slot) {
		rule_error(x, key, NULL, "a shorter list", "no memory for it");
		return;
	}
	*s = (struct set){in != NULL, &r->schema->fields[r->field[0]], 0, v, slot, size - 1, set_text(x->a, list)};
	int index = 0;
	for (const struct json *j = list->child; j; j = j->next, index++) {
		if (!rule_value(x, s->field, j, key, index, &v[s->n]))
			continue;
		if (!set_has(s, &v[s->n])) {
			set_put(s, s->n);
			s->n++;
		}
	}
	r->param = s;
}

/* Few whole numbers: is every one of the batch as it should be? */
static bool set_all_good(const struct set *s, const int64_t *v, uint32_t n)
{
	bool good = true;

	for (uint32_t r = 0; r < n; r++) {
		bool member = false;
		for (uint32_t i = 0; i < s->n; i++)
			member |= v[r] == s->v[i].i;
		good &= member == s->in;
	}
	return good;
}

static enum err_code set_scan(struct rule_run *x, struct err *e)
{
	const struct set *s = x->rule->param;
	const struct batch *b = x->b;
	uint32_t f = x->rule->field[0];
	const struct column *c = &b->col[f];

	(void)e;
	if (c->i64 && s->n <= SET_FEW && set_all_good(s, c->i64, b->nrow))
		return ERR_OK;
	for (uint32_t r = 0; r < b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r))
			continue;
		struct value v = batch_value(b, r, f);
		if (set_has(s, &v) != s->in)
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void set_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct set *s = x->rule->param;
	char cell[200];

	rule_cell_text(x->rule, x->rule->field[0], x->b, row, cell);
	rule_say(out, "%s is %s %s", cell, s->in ? "none of" : "one of the forbidden", s->text);
}

static const struct rule_param set_params[] = {
    {"in", "list", "the values that are fine"},
    {"not_in", "list", "the values that are not (instead of \"in\")"},
    {0},
};

const struct rule_class rule_set = {
    .name = "set",
    .kind = "validity",
    .summary = "values are among the listed ones, or none of them",
    .flags = RULE_COLUMN,
    .params = set_params,
    .parse = set_parse,
    .scan = set_scan,
    .reason = set_reason,
};
