/*
 * rule_text.c: validity of text columns: length, pattern, date_format.
 */
#include "quality/automaton.h"
#include "quality/rules.h"
#include "quality/value.h"

#include <inttypes.h>

static struct span cell_span(const struct batch *b, const struct column *c, uint32_t r)
{
	return (struct span){b->data + c->ref[r].off, c->ref[r].len};
}

/* ---- length: in characters (bytes and fixed: in bytes) */

struct length {
	uint64_t min, max;
	bool bytes;
};

static void length_parse(struct rule_parse *x, struct rule *r)
{
	const struct field *f = &r->schema->fields[r->field[0]];
	struct length *p = arena_alloc(x->a, sizeof(*p));

	if (!p)
		return;
	if (f->storage != STORE_TEXT && f->storage != STORE_BYTES) {
		rule_wrong_type(x, f, "a text or bytes column", "for numbers use \"range\"");
		return;
	}
	if (!rule_need_one(x, "min", "max"))
		return;
	p->min = rule_uint(x, "min", 0);
	p->max = rule_uint(x, "max", UINT64_MAX);
	p->bytes = f->storage == STORE_BYTES;
	if (p->min > p->max)
		rule_error(x, "min", NULL, "at most \"max\"", "no value can pass");
	r->param = p;
}

/* UTF-8 characters: all bytes that continue none. */
static uint64_t characters(struct span s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static enum err_code length_scan(struct rule_run *x, struct err *e)
{
	const struct length *p = x->rule->param;
	const struct batch *b = x->b;
	const struct column *c = &b->col[x->rule->field[0]];

	(void)e;
	for (uint32_t r = 0; r < b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r))
			continue;
		uint64_t n = p->bytes ? c->ref[r].len : characters(cell_span(b, c, r));
		if (n < p->min || n > p->max)
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void length_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct length *p = x->rule->param;
	const struct column *c = &x->b->col[x->rule->field[0]];
	struct span s = cell_span(x->b, c, row);
	uint64_t n = p->bytes ? s.n : characters(s);
	char cell[200];

	rule_cell_text(x->rule, x->rule->field[0], x->b, row, cell);
	rule_say(out, "%s has %" PRIu64 " %s, %s %" PRIu64 " are allowed", cell, n, p->bytes ? "bytes" : "characters",
		 n < p->min ? "at least" : "at most", n < p->min ? p->min : p->max);
}

static const struct rule_param length_params[] = {
    {"min", "count", "at least so many characters"},
    {"max", "count", "at most so many characters"},
    {0},
};

const struct rule_class rule_length = {
    .name = "length",
    .kind = "validity",
    .summary = "text has at least and at most so many characters",
    .flags = RULE_COLUMN,
    .params = length_params,
    .parse = length_parse,
    .scan = length_scan,
    .reason = length_reason,
};

/* ---- pattern: the whole cell matches a regular expression */

struct pattern_param {
	const struct automaton *pattern;
	const char *text;
};

static void pattern_parse(struct rule_parse *x, struct rule *r)
{
	const struct field *f = &r->schema->fields[r->field[0]];
	struct pattern_param *p = arena_alloc(x->a, sizeof(*p));
	const char *s = rule_str(x, "pattern");
	char wrong[AUTOMATON_ERROR_MAX];

	if (!p)
		return;
	if (f->storage != STORE_TEXT)
		rule_wrong_type(x, f, "a text column", "for numbers use \"range\" or \"set\"");
	if (!s) {
		if (!rule_has(x, "pattern"))
			rule_error(x, "pattern", "", "a regular expression", "for instance \"[A-Z]{2}[0-9]+\"");
		return;
	}
	p->text = s;
	p->pattern = automaton_compile(span_str(s), x->a, wrong);
	if (!p->pattern)
		rule_error(x, "pattern", NULL, arena_strdup(x->a, wrong), "");
	r->param = p;
}

static enum err_code pattern_scan(struct rule_run *x, struct err *e)
{
	const struct pattern_param *p = x->rule->param;
	const struct batch *b = x->b;
	const struct column *c = &b->col[x->rule->field[0]];

	(void)e;
	for (uint32_t r = 0; r < b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r))
			continue;
		if (!automaton_match(p->pattern, b->data + c->ref[r].off, c->ref[r].len))
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void pattern_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct pattern_param *p = x->rule->param;
	char cell[200];

	rule_cell_text(x->rule, x->rule->field[0], x->b, row, cell);
	rule_say(out, "%s does not match %.100s", cell, p->text);
}

static const struct rule_param pattern_params[] = {
    {"pattern", "regular expression", "POSIX extended, for the whole cell; \\d \\w \\s are understood"},
    {0},
};

const struct rule_class rule_pattern = {
    .name = "pattern",
    .kind = "validity",
    .summary = "the whole cell matches a regular expression",
    .flags = RULE_COLUMN,
    .params = pattern_params,
    .parse = pattern_parse,
    .scan = pattern_scan,
    .reason = pattern_reason,
};

/* ---- date_format: text is a date of this form */

static void format_parse(struct rule_parse *x, struct rule *r)
{
	const struct field *f = &r->schema->fields[r->field[0]];
	struct datefmt *p = arena_alloc(x->a, sizeof(*p));

	if (!p)
		return;
	if (f->storage != STORE_TEXT || f->logical != LOGICAL_NONE) {
		rule_wrong_type(x, f, "a string column", "columns of type date or timestamp are checked by their type");
		return;
	}
	if (!rule_has(x, "format"))
		rule_error(x, "format", "", "a date format", "for instance \"%d/%m/%Y %H:%M:%S\"");
	else
		rule_format(x, f, p);
	r->param = p;
}

static enum err_code format_scan(struct rule_run *x, struct err *e)
{
	const struct datefmt *p = x->rule->param;
	const struct batch *b = x->b;
	const struct column *c = &b->col[x->rule->field[0]];
	int64_t us;

	(void)e;
	for (uint32_t r = 0; r < b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r))
			continue;
		if (!datefmt_match(p, b->data + c->ref[r].off, c->ref[r].len, &us))
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void format_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	char cell[200];

	rule_cell_text(x->rule, x->rule->field[0], x->b, row, cell);
	rule_say(out, "%s is no date of the expected format, or does not exist", cell);
}

static const struct rule_param format_params[] = {
    {"format", "date format", "for instance \"%d/%m/%Y %H:%M:%S\""},
    {0},
};

const struct rule_class rule_date_format = {
    .name = "date_format",
    .kind = "validity",
    .summary = "text is an existing date of this format",
    .flags = RULE_COLUMN,
    .params = format_params,
    .parse = format_parse,
    .scan = format_scan,
    .reason = format_reason,
};
