/*
 * plan.c: the agreement's "quality" part, checked and turned into rules. Every problem is told, with its place.
 */
#include "quality/plan.h"

#include <stdio.h>
#include <string.h>

const char *const builtin_rules[BUILTIN_RULES] = {
    RULE_TYPE,	    RULE_NOT_NULL, RULE_KEY, RULE_FIELD_COUNT,	 RULE_UNCLOSED_QUOTE,
    RULE_BAD_QUOTE, RULE_ENCODING, RULE_NUL, RULE_CELL_TOO_LONG, RULE_ROW_TOO_LONG,
};

static const char *const common_keys[] = {"rule", "action", "budget", "name"};

/* Names that other tools use for what we have. */
static const struct {
	const char *theirs, *ours;
} also_known[] = {
    {"regex", "pattern"},
    {"matches", "pattern"},
    {"like", "pattern"},
    {"between", "range"},
    {"min", "range"},
    {"max", "range"},
    {"in", "set"},
    {"in_set", "set"},
    {"not_in", "set"},
    {"enum", "set"},
    {"values", "set"},
    {"accepted_values", "set"},
    {"missing", "null_share"},
    {"completeness", "null_share"},
    {"required", "not_null"},
    {"min_length", "length"},
    {"max_length", "length"},
    {"primary_key", "unique"},
    {"duplicates", "unique"},
    {"count", "row_count"},
    {"format", "date_format"},
    {"greater", "compare"},
    {"less", "compare"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *list_rules(struct arena *a)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; rule_classes[i]; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", rule_classes[i]->name);
	const char *s = arena_strdup(a, buf_cstr(&b));
	buf_done(&b);
	return s ? s : "";
}

static const char *suggest_rule(struct arena *a, const char *name)
{
	const char *names[64];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(also_known); i++) {
		if (strcasecmp(name, also_known[i].theirs) == 0)
			return arena_printf(a, "here it is called \"%s\"", also_known[i].ours);
	}
	for (size_t i = 0; rule_classes[i] && n < COUNT(names); i++)
		names[n++] = rule_classes[i]->name;
	const char *near = nearest_name(name, names, n);
	return near ? arena_printf(a, "did you mean \"%s\"?", near) : "";
}

static const struct rule_class *find_class(struct rule_parse *x)
{
	const char *name = rule_str(x, "rule");

	if (!name) {
		if (!rule_has(x, "rule"))
			rule_error(x, "rule", "", list_rules(x->a),
				   "every rule says which one it is: \"rule\": \"range\"");
		return NULL;
	}
	for (size_t i = 0; rule_classes[i]; i++) {
		if (strcmp(rule_classes[i]->name, name) == 0)
			return rule_classes[i];
	}
	rule_error(x, "rule", NULL, list_rules(x->a), suggest_rule(x->a, name));
	return NULL;
}

static size_t known_keys(const struct rule_class *c, const char *out[], size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < COUNT(common_keys); i++)
		out[n++] = common_keys[i];
	if (c->flags & (RULE_COLUMN | RULE_COLUMNS | RULE_COLUMNS_OPT))
		out[n++] = "column";
	if (c->flags & (RULE_COLUMNS | RULE_COLUMNS_OPT))
		out[n++] = "columns";
	for (size_t i = 0; c->params && c->params[i].name && n < cap; i++)
		out[n++] = c->params[i].name;
	return n;
}

/* An unknown key: which ones there are, and the nearest. */
static void unknown_key(struct problems *p, struct arena *a, const struct json *m, const char *path,
			const char *const *keys, size_t n)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", keys[i]);
	const char *near = nearest_name(m->key.p, keys, n);
	const struct json at = {.type = JN_STRING, .s = m->key, .line = m->key_line, .col = m->key_col};
	problem_add(p, PROBLEM_ERROR, &at, path, NULL, buf_cstr(&b),
		    near ? arena_printf(a, "did you mean \"%s\"?", near) : "take it out");
	buf_done(&b);
}

static void check_keys(struct rule_parse *x, const struct rule_class *c)
{
	const char *keys[32];
	size_t n = known_keys(c, keys, COUNT(keys));

	for (const struct json *m = x->node->child; m; m = m->next) {
		bool known = false;
		for (size_t i = 0; i < n && !known; i++)
			known = span_is(m->key, keys[i]);
		if (!known) {
			unknown_key(x->p, x->a, m, x->path, keys, n);
			x->errors++;
		}
	}
}

static void parse_action(struct rule_parse *x, struct rule *r)
{
	const char *s = rule_str(x, "action");
	bool file_rule = r->class->flags & RULE_FILE;
	bool builtin = r->class->flags & RULE_BUILTIN;
	const char *allowed = file_rule ? "\"file\" or \"warn\""
			      : builtin ? "\"record\" or \"file\""
					: "\"record\", \"file\" or \"warn\"";

	r->action = file_rule ? DEFECT_FILE : DEFECT_REJECT;
	if (!s)
		return;
	if (strcmp(s, "file") == 0)
		r->action = DEFECT_FILE;
	else if (strcmp(s, "record") == 0 && !file_rule)
		r->action = DEFECT_REJECT;
	else if (strcmp(s, "warn") == 0 && !builtin)
		r->action = DEFECT_WARN;
	else
		rule_error(x, "action", NULL, allowed,
			   strcmp(s, "record") == 0 ? "this rule judges the file as a whole"
			   : strcmp(s, "warn") == 0 ? "a record that can't be read can't be delivered"
						    : "");
}

static void parse_budget(struct rule_parse *x, struct rule *r)
{
	const struct json *v = json_get(x->node, "budget");

	if (v && (r->class->flags & RULE_FILE)) {
		rule_error(x, "budget", NULL, "no budget here",
			   "this rule judges the file as a whole: use its own limits");
		return;
	}
	if (v) {
		const char *allowed = budget_parse(v, &r->budget);
		if (allowed)
			rule_error(x, "budget", NULL, allowed, "");
	} else if (r->action == DEFECT_FILE && !(r->class->flags & RULE_FILE)) {
		r->budget = (struct budget){.set = true, .text = "0"};
	}
}

static bool good_name(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 64)
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

/* Index of a column that the agreement names, -1 (told). */
static int find_column(struct rule_parse *x, const struct json *v, const char *key)
{
	const struct schema *s = x->df->schema;
	const char *names[SCHEMA_FIELDS_MAX];

	if (v->type != JN_STRING) {
		rule_error(x, key, NULL, "the name of a column", "");
		return -1;
	}
	int f = schema_find(s, v->s.p, v->s.n);
	if (f >= 0)
		return f;
	uint32_t n = s->nfields < SCHEMA_FIELDS_MAX ? s->nfields : SCHEMA_FIELDS_MAX;
	for (uint32_t i = 0; i < n; i++)
		names[i] = s->fields[i].name;
	const char *near = nearest_name(v->s.p, names, n);
	struct buf b;
	buf_init(&b, 4096);
	for (uint32_t i = 0; i < n && i < 20; i++)
		buf_printf(&b, "%s%s", i ? ", " : "a column of the schema: ", names[i]);
	if (n > 20)
		buf_str(&b, " ...");
	problem_add(x->p, PROBLEM_ERROR, v, arena_printf(x->a, "%s.%s", x->path, key), NULL, buf_cstr(&b),
		    near ? arena_printf(x->a, "did you mean \"%s\"?", near) : "");
	x->errors++;
	buf_done(&b);
	return -1;
}

static void columns_from_list(struct rule_parse *x, struct rule *r, const struct json *list)
{
	uint32_t *f = arena_array(x->a, list->count, sizeof(*f));

	if (list->count == 0 || list->count > KEY_FIELDS_MAX || !f) {
		rule_error(x, "columns", NULL, "a list of 1 to 32 column names", "");
		return;
	}
	uint32_t n = 0;
	for (const struct json *v = list->child; v; v = v->next) {
		int i = find_column(x, v, "columns");
		if (i < 0)
			continue;
		for (uint32_t j = 0; j < n; j++) {
			if (f[j] == (uint32_t)i) {
				rule_error(x, "columns", v->s.p, "each column once", "take one of the two out");
				break;
			}
		}
		f[n++] = (uint32_t)i;
	}
	r->field = f;
	r->nfield = n;
}

static void parse_columns(struct rule_parse *x, struct rule *r)
{
	unsigned flags = r->class->flags;
	const struct json *one = json_get(x->node, "column"), *list = json_get(x->node, "columns");

	if (!(flags & (RULE_COLUMN | RULE_COLUMNS | RULE_COLUMNS_OPT)))
		return;
	if (list && (flags & (RULE_COLUMNS | RULE_COLUMNS_OPT))) {
		if (one)
			rule_error(x, "column", NULL, "\"column\" or \"columns\", not both", "");
		if (list->type == JN_ARRAY)
			columns_from_list(x, r, list);
		else
			rule_error(x, "columns", NULL, "a list of column names", "for a single one use \"column\"");
		return;
	}
	if (one) {
		int f = find_column(x, one, "column");
		uint32_t *field = arena_alloc(x->a, sizeof(*field));
		if (f >= 0 && field) {
			*field = (uint32_t)f;
			r->field = field;
			r->nfield = 1;
		}
		return;
	}
	if (!(flags & RULE_COLUMNS_OPT))
		rule_error(x, "column", "",
			   flags & RULE_COLUMN ? "\"column\": a column of the schema"
					       : "\"columns\": a list of columns of the schema",
			   "say which column the rule is about");
}

/* True when the rule is good. */
static bool parse_rule(struct rule_parse *x, struct rule *r)
{
	if (x->node->type != JN_OBJECT) {
		problem_add(x->p, PROBLEM_ERROR, x->node, x->path, NULL, "an object like {\"rule\": \"range\", ...}",
			    "");
		return false;
	}
	r->class = find_class(x);
	if (!r->class)
		return false;
	r->name = r->class->name;
	r->schema = x->df->schema;
	check_keys(x, r->class);
	parse_action(x, r);
	parse_budget(x, r);
	const char *name = rule_str(x, "name");
	if (name && !good_name(name))
		rule_error(x, "name", NULL, "1 to 64 letters, digits, '_', '-' or '.'", "");
	else if (name && (r->class->flags & RULE_BUILTIN))
		rule_error(x, "name", NULL, "no name here", "records are counted under the rule's own name");
	else if (name)
		r->name = name;
	unsigned before = x->errors;
	parse_columns(x, r);
	/* Without its columns a rule can't say what fits them. */
	if (r->class->parse && x->errors == before)
		r->class->parse(x, r);
	return x->errors == 0;
}

static void share_names(struct quality_plan *q)
{
	uint8_t next = BUILTIN_RULES;

	for (uint32_t i = 0; i < q->nrule; i++)
		q->name_bit[i] = NAME_BIT_NONE;
	for (uint32_t i = 0; i < q->nrule; i++) {
		if (q->name_bit[i] != NAME_BIT_NONE || next >= 64)
			continue;
		bool shared = false;
		for (uint32_t j = i + 1; j < q->nrule; j++) {
			if (strcmp(q->rule[i].name, q->rule[j].name) == 0) {
				q->name_bit[j] = next;
				shared = true;
			}
		}
		if (shared)
			q->name_bit[i] = next++;
	}
}

static void parse_rules(const struct json *rules, struct quality_plan *q, struct arena *a, struct problems *p)
{
	struct rule *r = arena_array(a, rules->count, sizeof(*r));

	q->name_bit = arena_array(a, rules->count, 1);
	if (!r || !q->name_bit) {
		problem_add(p, PROBLEM_ERROR, rules, "$.quality.rules", "", "less", "the rules need too much memory");
		return;
	}
	uint32_t i = 0;
	for (const struct json *v = rules->child; v; v = v->next, i++) {
		struct rule_parse x = {
		    .node = v, .path = arena_printf(a, "$.quality.rules[%u]", i), .df = q->df, .a = a, .p = p};
		struct rule *one = &r[q->nrule];
		one->number = q->nrule;
		if (!x.path || !parse_rule(&x, one))
			continue;
		if (one->class->scan)
			q->nscan++;
		if (one->action != DEFECT_WARN &&
		    (one->budget.set || (one->class->flags & (RULE_FILE | RULE_WHOLE)) || one->action == DEFECT_FILE))
			q->whole_file = true;
		q->nrule++;
	}
	q->rule = r;
	share_names(q);
}

static void parse_quality(const struct json *quality, struct quality_plan *q, struct arena *a, struct problems *p)
{
	static const char *const keys[] = {"rules", "max_rejected"};

	if (quality->type != JN_OBJECT) {
		problem_add(p, PROBLEM_ERROR, quality, "$.quality", NULL,
			    "an object like {\"rules\": [...], \"max_rejected\": \"1%\"}", "");
		return;
	}
	for (const struct json *m = quality->child; m; m = m->next) {
		if (span_is(m->key, "rules")) {
			if (m->type != JN_ARRAY)
				problem_add(p, PROBLEM_ERROR, m, "$.quality.rules", NULL, "a list of rules", "");
			else if (m->count > QUALITY_RULES_MAX)
				problem_add(p, PROBLEM_ERROR, m, "$.quality.rules",
					    arena_printf(a, "%u rules", m->count), "at most 100 rules", "");
			else
				parse_rules(m, q, a, p);
		} else if (span_is(m->key, "max_rejected")) {
			const char *allowed = budget_parse(m, &q->max_rejected);
			if (allowed)
				problem_add(p, PROBLEM_ERROR, m, "$.quality.max_rejected", NULL, allowed, "");
			q->whole_file |= q->max_rejected.set;
		} else {
			unknown_key(p, a, m, "$.quality", keys, COUNT(keys));
		}
	}
}

const struct quality_plan *quality_plan_new(const struct data_file *df, const struct json *quality, struct arena *a,
					    struct problems *p)
{
	struct quality_plan *q = arena_alloc(a, sizeof(*q));
	unsigned before = p->errors;

	if (!q) {
		problem_add(p, PROBLEM_ERROR, quality, "$.quality", "", "less", "no memory");
		return NULL;
	}
	q->df = df;
	if (quality)
		parse_quality(quality, q, a, p);
	return p->errors == before ? q : NULL;
}

bool quality_plan_needs_whole_file(const struct quality_plan *p)
{
	return p->whole_file;
}

bool quality_plan_rule_is_late(const struct quality_plan *p, const char *name)
{
	for (uint32_t i = 0; i < p->nrule; i++) {
		if (p->rule[i].class->late && strcmp(p->rule[i].name, name) == 0)
			return true;
	}
	return false;
}
