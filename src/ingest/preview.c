/* preview.c: what changed documents would make of the files at hand and of the quarantine; nothing is written. */
#include "ingest/again.h"

#include <string.h>

/* Add up by rule, field and action. */
static void add_rules(struct preview_result *ret, const struct verdict *v)
{
	for (uint32_t i = 0; i < v->nrules; i++) {
		const struct rule_count *c = &v->rules[i];
		uint32_t k = 0;
		while (k < ret->nrules &&
		       (strcmp(ret->rules[k].rule, c->rule) != 0 || ret->rules[k].action != c->action ||
			strcmp(ret->rules[k].field ? ret->rules[k].field : "", c->field ? c->field : "") != 0))
			k++;
		if (k == ret->nrules) {
			if (k == VERDICT_RULES_MAX)
				continue;
			ret->rules[ret->nrules++] = *c;
			continue;
		}
		ret->rules[k].records += c->records;
		ret->rules[k].records_new += c->records_new;
		ret->rules[k].budget_used_up |= c->budget_used_up;
	}
}

/* A refused file delivers nothing, so none of its records count as accepted. */
static enum err_code one_file(const struct ingest_plan *plan, const char *path, struct preview_result *ret,
			      struct err *e)
{
	struct ingest_result r;
	enum err_code code = ingest_check(plan, path, NULL, &r, e);
	if (!code) {
		ret->files++;
		ret->records += r.verdict.records;
		ret->accepted += r.refused ? 0 : r.verdict.accepted;
		ret->rejected += r.refused ? r.verdict.records : r.verdict.rejected;
		add_rules(ret, &r.verdict);
	}
	ingest_result_done(&r);
	return code;
}

static enum err_code take_page(void *ctx, const struct again_page *p, struct err *e)
{
	struct preview_result *ret = ctx;
	ret->quarantined += p->n;
	if (p->batch)
		ret->would_pass += p->batch->nrow - p->batch->nbad;
	return ERR_OK;
}

enum err_code ingest_preview(const struct ingest_plan *changed, const char *const *paths, size_t npaths,
			     struct quarantine *q, struct preview_result *ret, struct err *e)
{
	struct preview_result n = {0};
	struct again_walk w = {.plan = changed, .quarantine = q, .gate = true, .page = take_page, .ctx = &n};
	enum err_code code = ERR_OK;
	for (size_t i = 0; !code && i < npaths; i++)
		code = one_file(changed, paths[i], &n, e);
	if (!code && q)
		code = again_run(&w, e);
	if (!code)
		*ret = n;
	return code;
}
