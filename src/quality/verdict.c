/*
 * verdict.c: a verdict as JSON; see docs/quality.md for each member.
 */
#include "quality/gate.h"

static const char *const action_names[] = {[DEFECT_REJECT] = "record", [DEFECT_FILE] = "file", [DEFECT_WARN] = "warn"};

uint64_t verdict_defects(const struct verdict *v, const char *rule)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < v->nrules; i++) {
		if (strcmp(v->rules[i].rule, rule) == 0)
			n += v->rules[i].records_new;
	}
	return n;
}

static bool told_before(const struct verdict *v, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (strcmp(v->rules[j].rule, v->rules[i].rule) == 0)
			return true;
	}
	return false;
}

void verdict_write_defects(const struct verdict *v, struct jsonw *w)
{
	for (uint32_t i = 0; i < v->nrules; i++) {
		uint64_t n = verdict_defects(v, v->rules[i].rule);
		if (n == 0 || told_before(v, i))
			continue;
		jsonw_key(w, v->rules[i].rule);
		jsonw_uint(w, n);
	}
}

static void write_rule(const struct rule_count *c, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_kstr(w, "rule", c->rule);
	jsonw_kstr(w, "field", c->field);
	jsonw_kstr(w, "action", action_names[c->action]);
	jsonw_key(w, "records");
	jsonw_uint(w, c->records);
	if (c->budget[0]) {
		jsonw_kstr(w, "budget", c->budget);
		jsonw_kbool(w, "budget_used_up", c->budget_used_up);
	}
	jsonw_end(w, '}');
}

void verdict_write(const struct verdict *v, struct jsonw *w)
{
	jsonw_key(w, "records");
	jsonw_uint(w, v->records);
	jsonw_key(w, "accepted");
	jsonw_uint(w, v->accepted);
	jsonw_key(w, "rejected");
	jsonw_uint(w, v->rejected);
	jsonw_key(w, "defects");
	jsonw_begin(w, '{');
	verdict_write_defects(v, w);
	jsonw_end(w, '}');
	jsonw_key(w, "rules");
	jsonw_begin(w, '[');
	for (uint32_t i = 0; i < v->nrules; i++)
		write_rule(&v->rules[i], w);
	jsonw_end(w, ']');
	jsonw_kbool(w, "refused", v->refused);
	if (v->refused)
		jsonw_kstr(w, "reason", v->reason);
}
