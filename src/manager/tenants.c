/*
 * tenants.c: the tick thread's view of the tenants: their documents parsed once per version, their apps' states.
 *
 * Documents were checked when they were taken; should one not parse any more (a newer version reads more strictly), the
 * tenant's runs stop and the log says why.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "tenant/pattern.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENTS_MAX (64 << 20)

struct tenant_ctx *tenant_known(struct manager *m, const char *id)
{
	for (struct tenant_ctx *t = m->tenants; t; t = t->next)
		if (!strcmp(t->id, id))
			return t;
	return NULL;
}

static void documents_free(struct tenant_ctx *t)
{
	for (size_t i = 0; i < APPS_MAX; i++)
		if (t->apps[i].has_regex)
			regfree(&t->apps[i].regex);
	memset(t->apps, 0, sizeof t->apps);
	data_file_done(t->data_file);
	t->data_file = NULL;
	t->agreement = NULL;
	arena_done(&t->arena);
}

static void free_one(struct tenant_ctx *t)
{
	documents_free(t);
	free(t);
}

/* changed: new documents while we run, so no start of a new schedule has been missed. */
static void apps_load(struct manager *m, struct tenant_ctx *t, bool changed)
{
	for (uint32_t i = 0; i < t->agreement->napps; i++) {
		const struct app *app = &t->agreement->apps[i];
		struct app_state *st = &t->apps[i];
		int64_t us = 0;
		char why[160];
		if (!catalog_last_schedule(m->catalog, t->id, app->name, &us, NULL))
			st->last = us / 1000000;
		if (changed && st->last) {
			st->last = clock_now_us() / 1000000;
			(void)!catalog_schedule_seen(m->catalog, t->id, app->name, st->last * 1000000, NULL);
		}
		st->retries = true; /* the first look tells */
		if (app->pattern)
			st->has_regex = pattern_compile(app->pattern, false, &st->regex, why);
	}
}

static void load(struct manager *m, struct tenant_ctx *t, const struct catalog_tenant *row)
{
	struct problems p;
	bool changed = t->version > 0;
	documents_free(t);
	arena_init(&t->arena, DOCUMENTS_MAX);
	problems_init(&p, "service-agreement.json", &t->arena);
	const char *agreement = arena_strdup(&t->arena, row->agreement), *df = arena_strdup(&t->arena, row->data_file);
	t->agreement = agreement ? agreement_parse(span_str(agreement), "service-agreement.json", &t->arena, &p) : NULL;
	t->data_file = df ? data_file_parse(span_str(df), "data-file.json", &t->arena, &p) : NULL;
	t->version = row->version;
	t->maybe_work = true;
	if (t->agreement)
		apps_load(m, t, changed);
	if (!t->agreement || !t->data_file)
		log_error("the tenant's documents cannot be read; its apps do not run", LF("tenant", "%s", t->id),
			  LF("problem", "%s", p.first ? p.first->allowed : "out of memory"));
}

enum err_code tenants_refresh(struct manager *m, struct err *e)
{
	struct catalog_tenant *rows;
	size_t n;
	enum err_code rc = catalog_tenants(m->catalog, &m->arena, &rows, &n, e);
	if (rc)
		return rc;
	for (struct tenant_ctx *t = m->tenants; t; t = t->next)
		t->seen = false;
	for (size_t i = 0; i < n; i++) {
		struct tenant_ctx *t = tenant_known(m, rows[i].id);
		if (!t) {
			t = calloc(1, sizeof *t);
			if (!t)
				return err_oom(e);
			snprintf(t->id, sizeof t->id, "%s", rows[i].id);
			t->next = m->tenants;
			m->tenants = t;
		}
		t->seen = true;
		t->paused = rows[i].paused;
		if (t->version != rows[i].version)
			load(m, t, &rows[i]);
	}
	for (struct tenant_ctx **at = &m->tenants; *at;) {
		struct tenant_ctx *t = *at;
		if (!t->seen && !t->worker) {
			*at = t->next;
			free_one(t);
		} else {
			at = &t->next;
		}
	}
	return ERR_OK;
}

void tenants_free(struct manager *m)
{
	while (m->tenants) {
		struct tenant_ctx *t = m->tenants;
		m->tenants = t->next;
		free_one(t);
	}
}
