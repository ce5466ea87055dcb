/*
 * rule_age.c: timeliness: age (per record), freshness (of the newest record), file_age.
 *
 * An age is now minus the value, in microseconds; now is one instant for the whole file (gate_options.now_us), so that
 * reading a file twice decides the same. A date counts from its midnight UTC, a time without zone is UTC.
 */
#include "base/clock.h"
#include "quality/rules.h"
#include "quality/value.h"

#include <stdio.h>

struct age {
	bool has_min, has_max, text;
	int64_t min, max; /* microseconds */
	struct datefmt fmt;
	const char *min_text, *max_text;
};

/* "3 days", "2 hours": one unit, rounded down. */
static void age_text(int64_t us, char out[40])
{
	static const struct {
		const char *name;
		int64_t s;
	} units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
	int64_t s = (us < 0 ? -(us + 1) : us) / US_PER_S;
	size_t i = 0;

	while (i < 3 && s < units[i].s * 2)
		i++;
	long long n = (long long)(s / units[i].s);
	snprintf(out, 40, "%lld %s%s", n, units[i].name, n == 1 ? "" : "s");
}

static void limits_parse(struct rule_parse *x, struct age *p)
{
	p->has_min = rule_duration(x, "min", &p->min);
	p->has_max = rule_duration(x, "max", &p->max);
	p->min_text = p->has_min ? json_get(x->node, "min")->s.p : "";
	p->max_text = p->has_max ? json_get(x->node, "max")->s.p : "";
	if (p->has_min && p->has_max && p->min > p->max)
		rule_error(x, "min", NULL, "at most \"max\"", "no value can pass");
}

static void age_parse(struct rule_parse *x, struct rule *r)
{
	const struct field *f = &r->schema->fields[r->field[0]];
	struct age *p = arena_alloc(x->a, sizeof(*p));

	if (!p)
		return;
	r->param = p;
	if (rule_has(x, "format")) {
		p->text = rule_format(x, f, &p->fmt);
		if (!p->text)
			return;
		if (!p->fmt.has_date)
			rule_error(x, "format", NULL, "a format with year, month and day", "");
	} else if (!field_has_time(f)) {
		rule_wrong_type(x, f, "a date or timestamp column, or dates as text with \"format\"",
				f->storage == STORE_TEXT ? "say how the dates look: \"format\": \"%d/%m/%Y\"" : "");
		return;
	}
	if (rule_need_one(x, "max", "min"))
		limits_parse(x, p);
}

/* The instant of a cell; false when a text is no date. */
static bool cell_time(const struct rule_run *x, const struct age *p, uint32_t r, int64_t *ret_us)
{
	uint32_t f = x->rule->field[0];
	const struct column *c = &x->b->col[f];

	if (p->text)
		return datefmt_match(&p->fmt, x->b->data + c->ref[r].off, c->ref[r].len, ret_us);
	*ret_us = field_time_us(&x->rule->schema->fields[f], c->i64[r]);
	return true;
}

static int64_t age_of(int64_t now, int64_t us)
{
	int64_t age;

	if (__builtin_sub_overflow(now, us, &age))
		return us < 0 ? INT64_MAX : INT64_MIN;
	return age;
}

static bool age_good(const struct age *p, int64_t age)
{
	return (!p->has_max || age <= p->max) && (!p->has_min || age >= p->min);
}

static enum err_code age_scan(struct rule_run *x, struct err *e)
{
	const struct age *p = x->rule->param;
	const struct column *c = &x->b->col[x->rule->field[0]];
	int64_t us;

	(void)e;
	for (uint32_t r = 0; r < x->b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r))
			continue;
		if (!cell_time(x, p, r, &us) || !age_good(p, age_of(x->opt->now_us, us)))
			rule_hit(x, r);
	}
	return ERR_OK;
}

static void say_age(const struct age *p, const char *what, int64_t age, char out[REASON_MAX])
{
	char text[40];

	age_text(age, text);
	bool old = p->has_max && age > p->max;
	rule_say(out, "%.90s is %s %s, %s %s is allowed", what, text, age < 0 ? "in the future" : "old",
		 old ? "at most" : "at least", old ? p->max_text : p->min_text);
}

static void age_reason(const struct rule_run *x, uint32_t row, char out[REASON_MAX])
{
	const struct age *p = x->rule->param;
	char cell[200];
	int64_t us;

	rule_cell_text(x->rule, x->rule->field[0], x->b, row, cell);
	if (!cell_time(x, p, row, &us))
		rule_say(out, "%s is no date of the rule's format", cell);
	else
		say_age(p, cell, age_of(x->opt->now_us, us), out);
}

static const struct rule_param age_params[] = {
    {"max", "time span", "the oldest that is fine: \"90s\", \"15m\", \"24h\", \"7d\", \"2w\""},
    {"min", "time span", "the youngest that is fine; \"0s\": nothing in the future"},
    {"format", "date format", "the column is text and holds dates of this format"},
    {0},
};

const struct rule_class rule_age = {
    .name = "age",
    .kind = "timeliness",
    .summary = "dates of a column are at most and at least so old",
    .flags = RULE_COLUMN,
    .params = age_params,
    .parse = age_parse,
    .scan = age_scan,
    .reason = age_reason,
};

/* ---- freshness: the newest record of the file is recent enough */

struct newest {
	int64_t us;
	bool any;
};

static enum err_code freshness_scan(struct rule_run *x, struct err *e)
{
	struct newest *s = x->state;
	const struct age *p = x->rule->param;
	const struct column *c = &x->b->col[x->rule->field[0]];
	int64_t us;

	(void)e;
	for (uint32_t r = 0; r < x->b->nrow; r++) {
		if (c->null[r] || rule_skips(x, r) || !cell_time(x, p, r, &us))
			continue;
		if (!s->any || us > s->us)
			s->us = us;
		s->any = true;
	}
	return ERR_OK;
}

static bool freshness_judge(const struct rule_run *x, const struct file_facts *f, uint64_t *ret_records,
			    char out[REASON_MAX])
{
	const struct newest *s = x->state;
	const struct age *p = x->rule->param;
	char what[REASON_MAX];

	*ret_records = f->records ? f->records : 1;
	const char *name = x->rule->schema->fields[x->rule->field[0]].name;
	if (!s->any) {
		rule_say(out, "no record has a readable %.100s", name);
		return false;
	}
	snprintf(what, sizeof(what), "the newest %.80s", name);
	int64_t age = age_of(x->opt->now_us, s->us);
	say_age(p, what, age, out);
	bool good = age_good(p, age);
	if (good)
		*ret_records = 0;
	return good;
}

const struct rule_class rule_freshness = {
    .name = "freshness",
    .kind = "timeliness",
    .summary = "the newest date of a column is at most and at least so old",
    .flags = RULE_COLUMN | RULE_FILE,
    .params = age_params,
    .state_size = sizeof(struct newest),
    .parse = age_parse,
    .scan = freshness_scan,
    .judge = freshness_judge,
};

/* ---- file_age: since the file arrived or was written; not judged when that is unknown (standard input) */

static void file_age_parse(struct rule_parse *x, struct rule *r)
{
	struct age *p = arena_alloc(x->a, sizeof(*p));

	if (!p)
		return;
	r->param = p;
	if (rule_need_one(x, "max", "min"))
		limits_parse(x, p);
}

static bool file_age_judge(const struct rule_run *x, const struct file_facts *f, uint64_t *ret_records,
			   char out[REASON_MAX])
{
	const struct age *p = x->rule->param;

	*ret_records = 0;
	if (x->opt->file_time_us == 0)
		return true;
	int64_t age = age_of(x->opt->now_us, x->opt->file_time_us);
	say_age(p, "the file", age, out);
	if (age_good(p, age))
		return true;
	*ret_records = f->records ? f->records : 1;
	return false;
}

static const struct rule_param file_age_params[] = {
    {"max", "time span", "the oldest that is fine: \"90s\", \"15m\", \"24h\", \"7d\", \"2w\""},
    {"min", "time span", "the youngest that is fine"},
    {0},
};

const struct rule_class rule_file_age = {
    .name = "file_age",
    .kind = "timeliness",
    .summary = "the file was written at most and at least so long ago",
    .flags = RULE_FILE,
    .params = file_age_params,
    .parse = file_age_parse,
    .judge = file_age_judge,
};
