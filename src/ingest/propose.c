/*
 * propose.c: the smallest change of the schema that takes the quarantined values.
 *
 *   1  every open record is read again under the present schema; defects of type and null are counted by column, with
 *      what the bad values have in common
 *   2  each column with bad values gets the narrowest type that fits them: int, long, then for whole numbers beyond
 *      long a decimal (in a key column a string: such a number is a name, nobody calculates with it), double for
 *      fractions, string for the rest; nullable when values are missing (never a key column)
 *   3  the document's text is changed at those places only
 *   4  the records are read a third time under the changed schema: how many does it help?
 */
#include "ingest/again.h"
#include "ingest/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 38 /* of a decimal, as most stores take it */

/* What the bad values of one column are like. Lengths count digits. */
struct column_facts {
	uint64_t bad, missing;
	bool text;     /* some are no plain numbers */
	bool fraction; /* some have a point or an exponent */
	bool beyond_long, beyond_double;
	uint32_t whole, behind; /* most digits before and behind the point */
	char example[200];
	int example_rank; /* how much the example says: the value that forces the widest type is shown */
};

struct proposing {
	struct quarantine *q;
	const struct data_file *df;
	struct arena *a;
	struct column_facts *column;
	uint64_t open;
};

/* ---- 1: what the values are like */

/* [+-] digits [. digits]; true for an exponent too, with *ret_exponent. */
static bool plain_number(struct span s, uint32_t *ret_whole, uint32_t *ret_behind, bool *ret_exponent)
{
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+'), from = i;
	*ret_exponent = false;
	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	size_t whole = i - from, behind = 0;
	if (i < s.n && s.p[i] == '.') {
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			behind++;
	}
	if (whole + behind == 0)
		return false;
	*ret_whole = (uint32_t)whole;
	*ret_behind = (uint32_t)behind;
	if (i == s.n)
		return true;
	double d;
	bool range;
	*ret_exponent = true;
	return parse_f64(s.p, s.n, &d, &range) || range;
}

static void example(struct column_facts *c, struct span cell, int rank)
{
	if (rank <= c->example_rank && c->example[0])
		return;
	cell_quote(cell, c->example);
	c->example_rank = rank;
}

static void note_value(struct column_facts *c, struct span cell)
{
	uint32_t whole, behind;
	bool exponent, range = false;
	int64_t i;
	double d;
	c->bad++;
	if (!plain_number(cell, &whole, &behind, &exponent)) {
		c->text = true;
		example(c, cell, 4);
		return;
	}
	if (whole > c->whole)
		c->whole = whole;
	if (behind > c->behind)
		c->behind = behind;
	if (exponent || behind || memchr(cell.p, '.', cell.n)) {
		c->fraction = true;
		if (!parse_f64(cell.p, cell.n, &d, &range))
			c->beyond_double = true;
		example(c, cell, c->beyond_double ? 3 : 2);
	} else if (!parse_i64(cell.p, cell.n, &i, &range)) {
		c->beyond_long = true;
		example(c, cell, 3);
	} else {
		example(c, cell, 1);
	}
}

static enum err_code study_page(void *ctx, const struct again_page *p, struct err *e)
{
	struct proposing *g = ctx;
	const struct batch *b = p->batch;
	g->open += p->n;
	for (uint32_t i = 0; b && i < b->ndefect; i++) {
		const struct defect *d = &b->defect[i];
		if (d->field < 0 || d->row == 0)
			continue;
		struct column_facts *c = &g->column[d->field];
		if (strcmp(d->rule, RULE_TYPE) == 0)
			note_value(c, d->cell);
		else if (strcmp(d->rule, RULE_NOT_NULL) == 0)
			c->missing++;
	}
	return ERR_OK;
}

/* ---- 2: the narrowest type */

static bool is_key(const struct data_file *df, uint32_t field)
{
	for (uint32_t i = 0; i < df->nkey; i++) {
		if (df->key[i] == field)
			return true;
	}
	return false;
}

static const char *decimal(struct proposing *g, uint32_t whole, uint32_t behind)
{
	if (whole + behind > DIGITS_MAX)
		return "\"string\"";
	/* Room for growth before the point, as far as it costs nothing. */
	return arena_printf(g->a,
			    "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": %d, \"scale\": %u}",
			    DIGITS_MAX, behind);
}

/* The JSON of the column's new type without null; NULL when the present one can stay (or nothing is known to help). */
static const char *new_type(struct proposing *g, uint32_t field)
{
	const struct column_facts *c = &g->column[field];
	const struct field *f = &g->df->schema->fields[field];
	bool key = is_key(g->df, field), plain = f->logical == LOGICAL_NONE;
	bool integer = plain && (f->type == AVRO_T_INT || f->type == AVRO_T_LONG || f->type == AVRO_T_BOOLEAN);
	bool real = f->type == AVRO_T_FLOAT || f->type == AVRO_T_DOUBLE;
	if (!c->bad)
		return NULL;
	if (c->text || (!integer && !real && f->logical != LOGICAL_DECIMAL))
		return "\"string\"";
	if (f->logical == LOGICAL_DECIMAL) {
		uint32_t whole = f->precision - f->scale > c->whole ? f->precision - f->scale : c->whole;
		return decimal(g, whole, f->scale > c->behind ? f->scale : c->behind);
	}
	if (key)
		return integer && !c->fraction && !c->beyond_long ? "\"long\"" : "\"string\"";
	if (c->beyond_long)
		return integer && !c->fraction ? decimal(g, c->whole, 0) : "\"string\"";
	if (c->fraction || real)
		return c->beyond_double || f->type == AVRO_T_DOUBLE ? "\"string\"" : "\"double\"";
	return "\"long\"";
}

/* ---- 3: the text */

static const char *const beside[] = {"logicalType", "precision", "scale"};

static const struct json *union_part(const struct json *type)
{
	if (type->type != JN_ARRAY)
		return type;
	for (const struct json *v = type->child; v; v = v->next) {
		if (v->type != JN_STRING || !span_is(v->s, "null"))
			return v;
	}
	return NULL;
}

/* The present type as one JSON value, with what was written beside it moved inside. */
static const char *type_inside(struct proposing *g, struct edits *ed, const struct json *node, const struct json *type)
{
	struct buf b;
	struct span own = edit_value_text(ed, type);
	bool any = false;
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
		const struct json *m = json_get(node, beside[i]);
		struct span text = m ? edit_value_text(ed, m) : (struct span){"", 0};
		if (m)
			buf_printf(&b, ", \"%s\": " SPAN_FMT, beside[i], SPAN_ARG(text));
		any |= m != NULL;
	}
	const char *out = any ? arena_printf(g->a, "{\"type\": " SPAN_FMT "%s}", SPAN_ARG(own), buf_cstr(&b))
			      : arena_strndup(g->a, own.p, own.n);
	buf_done(&b);
	return out;
}

static void change_field(struct proposing *g, struct edits *ed, const struct json *node, const char *type,
			 bool nullable)
{
	const struct json *at = json_get(node, "type"), *part = at ? union_part(at) : NULL;
	if (!part) {
		ed->failed = true;
		return;
	}
	const char *base = type ? type : type_inside(g, ed, node, part);
	if (nullable && at->type != JN_ARRAY)
		edit_replace(ed, at, base ? arena_printf(g->a, "[\"null\", %s]", base) : NULL);
	else
		edit_replace(ed, nullable ? at : part, base);
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
		const struct json *m = json_get(node, beside[i]);
		if (m)
			edit_remove_member(ed, m);
	}
}

static const struct json *field_node(const struct json *root, uint32_t field)
{
	const struct json *fields = json_get(json_get(root, "schema"), "fields");
	const struct json *v = fields ? fields->child : NULL;
	for (uint32_t i = 0; v && i < field; i++)
		v = v->next;
	return v;
}

static enum err_code change_text(struct proposing *g, struct span *ret, struct err *e)
{
	struct json *root;
	struct edits ed = {.text = g->df->text, .arena = g->a};
	enum err_code code = json_parse(g->df->text, g->a, &root, e);
	if (code)
		return code;
	for (uint32_t i = 0; i < g->df->schema->nfields; i++) {
		const char *type = new_type(g, i);
		bool nullable = g->column[i].missing && !is_key(g->df, i) && !g->df->schema->fields[i].nullable;
		if (type || nullable)
			change_field(g, &ed, field_node(root, i), type, nullable);
	}
	if (ed.n == 0 && !ed.failed) {
		*ret = (struct span){NULL, 0};
		return ERR_OK;
	}
	*ret = edits_apply(&ed);
	if (!ret->p)
		return err_set(e, ERR_UNSUPPORTED,
			       "the schema in the data file configuration could not be changed in place");
	return ERR_OK;
}

/* ---- 4: what it would help */

struct helping {
	uint64_t helped, left;
};

static enum err_code help_page(void *ctx, const struct again_page *p, struct err *e)
{
	struct helping *h = ctx;
	h->left += p->nheld;
	for (uint32_t i = 0; p->batch && i < p->batch->nrow; i++) {
		const char *stage = p->entry[p->of[i]].stage;
		/* A rule's record stays the rule's business. */
		bool helped = !p->batch->bad[i] && (strcmp(stage, "type") == 0 || strcmp(stage, "parse") == 0);
		h->helped += helped;
		h->left += !helped;
	}
	return ERR_OK;
}

static const char *because(struct proposing *g, const struct column_facts *c, const struct field *was, bool typed)
{
	char type[64];
	struct field plain = *was;
	plain.nullable = false;
	const char *name = field_type_text(&plain, type);
	if (typed && c->beyond_long && !c->text && !c->fraction)
		name = "long";
	if (!typed)
		return arena_printf(g->a, "%llu record%s no value", (unsigned long long)c->missing,
				    c->missing == 1 ? " has" : "s have");
	return arena_printf(g->a, c->text ? "\"%s\" is no %s" : "%s fits no %s", c->example, name);
}

/* The changes in words: one for the type and one for nulls, so that people can take them apart. */
static enum err_code list_changes(struct proposing *g, const struct data_file *now, struct proposal *ret, struct err *e)
{
	const struct schema *s = g->df->schema;
	struct proposal_change *list = arena_array(g->a, 2 * (size_t)s->nfields, sizeof *list);
	size_t n = 0;
	if (!list)
		return err_oom(e);
	for (uint32_t i = 0; i < s->nfields; i++) {
		struct field was = s->fields[i], is = now->schema->fields[i];
		const struct column_facts *c = &g->column[i];
		char from[64], to[64];
		bool typed = c->bad && new_type(g, i), nulls = is.nullable && !was.nullable;
		for (int k = 0; k < 2; k++) {
			if (!(k ? nulls : typed))
				continue;
			struct field target = is;
			target.nullable = k ? true : was.nullable;
			if (k && typed)
				was = is, was.nullable = false;
			list[n] =
			    (struct proposal_change){s->fields[i].name, arena_strdup(g->a, field_type_text(&was, from)),
						     arena_strdup(g->a, field_type_text(&target, to)),
						     because(g, c, &s->fields[i], k == 0), k ? c->missing : c->bad};
			if (!list[n].from || !list[n].to || !list[n].because)
				return err_oom(e);
			n++;
		}
	}
	ret->changes = list;
	ret->nchanges = n;
	return ERR_OK;
}

static enum err_code changed_file(struct proposing *g, struct span text, struct data_file **ret, struct err *e)
{
	struct problems p;
	problems_init(&p, "the proposed data file configuration", g->a);
	*ret = data_file_parse(text, "proposal", g->a, &p);
	if (*ret)
		return ERR_OK;
	return err_set(e, ERR_INTERNAL, "the proposed schema is not valid: %s: found %s, allowed %s",
		       p.first ? p.first->path : "", p.first ? p.first->found : "", p.first ? p.first->allowed : "");
}

static enum err_code propose(struct proposing *g, struct proposal *ret, struct err *e)
{
	struct ingest_plan plan = {.data_file = g->df};
	struct again_walk w = {.plan = &plan, .quarantine = g->q, .page = study_page, .ctx = g};
	struct span text;
	struct data_file *changed;
	struct helping h = {0};
	enum err_code code = again_run(&w, e);
	if (!code)
		code = change_text(g, &text, e);
	if (code)
		return code;
	*ret = (struct proposal){.left = g->open};
	if (!text.p)
		return ERR_OK;
	if ((code = changed_file(g, text, &changed, e)))
		return code;
	plan.data_file = changed;
	w.page = help_page;
	w.ctx = &h;
	code = again_run(&w, e);
	if (!code && h.helped)
		code = list_changes(g, changed, ret, e);
	data_file_done(changed);
	if (code || !h.helped)
		return code;
	ret->data_file = text.p;
	ret->helped = h.helped;
	ret->left = h.left;
	return ERR_OK;
}

enum err_code ingest_propose(struct quarantine *q, const struct data_file *df, const struct quality_plan *quality,
			     struct arena *a, struct proposal *ret, struct err *e)
{
	(void)quality; /* rules do not change what a value is */
	struct proposing g = {.q = q, .df = df, .a = a};
	g.column = arena_array(a, df->schema->nfields, sizeof *g.column);
	if (!g.column)
		return err_oom(e);
	return propose(&g, ret, e);
}
