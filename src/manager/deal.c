/*
 * deal.c: which staged files go into the next run of an app.
 *
 * Files that never failed go together, oldest first, at most maxFilesPerRun. Files that failed together (they name the
 * same run) go together again, but only half of them, then half of that half, down to one, so that the bad one is found
 * in about 2 log2(n) runs and the good ones are through. How many failed together is read from the run's row, so a
 * restart of the platform does not forget where the search was. A run that failed for no fault of the files (never
 * started, stopped, lost with the platform) is repeated whole.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "tenant/pattern.h"

#include <string.h>

#define PAGE 1000
#define PAUSE_MAX_US (INT64_C(600) * US_PER_S)

int64_t retry_pause_us(int64_t base_s, int64_t attempts)
{
	int64_t us = base_s * US_PER_S;
	for (int64_t i = 1; i < attempts && us < PAUSE_MAX_US; i++)
		us *= 2;
	return us < PAUSE_MAX_US ? us : PAUSE_MAX_US;
}

size_t retry_size(uint64_t failed_together, bool apps_fault)
{
	uint64_t n = apps_fault ? failed_together / 2 : failed_together;
	return n < 1 ? 1 : n > DEAL_MAX ? DEAL_MAX : (size_t)n;
}

bool run_was_apps_fault(const struct catalog_run *r)
{
	return r->state == RUN_FAILED && !(r->exit_code == -1 && r->signal == 0);
}

struct selector {
	struct manager *m;
	struct tenant_ctx *t;
	uint32_t app;
	enum trigger want;
	int64_t limit_id;
	struct arena *a;
	struct deal *ret;
	size_t max;    /* files that may still be taken */
	int64_t group; /* the run that the retried files failed in; 0: none chosen */
	int64_t asked; /* the last run that was looked up, and what it said */
	bool asked_due;
	size_t asked_size;
};

static bool takes(const struct selector *s, const char *name)
{
	const struct app_state *st = &s->t->apps[s->app];
	return !st->has_regex || pattern_matches(&st->regex, name);
}

/* May the files that failed in this run go again? */
static enum err_code group_due(struct selector *s, const struct catalog_file *f, struct err *e)
{
	struct catalog_run r;
	if (s->asked == f->run)
		return ERR_OK;
	enum err_code rc = catalog_run_get(s->m->catalog, f->run, s->a, &r, e);
	if (rc)
		return rc;
	int64_t at = r.ended_us + retry_pause_us(setting(s->m, "manager.retry_delay"), f->attempts);
	s->asked = f->run;
	s->asked_due = s->want == TRIGGER_MANUAL || at <= clock_now_us();
	s->asked_size = retry_size(r.files_in, run_was_apps_fault(&r));
	if (!s->asked_due && (!s->ret->retry_at_us || at < s->ret->retry_at_us))
		s->ret->retry_at_us = at;
	return ERR_OK;
}

static enum err_code consider(struct selector *s, const struct catalog_file *f, struct err *e)
{
	bool retry = f->attempts > 0, take;
	if (!takes(s, f->name))
		return ERR_OK;
	if (f->id > s->ret->highest)
		s->ret->highest = f->id;
	s->ret->waiting += !retry;
	if (retry && s->want != TRIGGER_MANUAL && s->want != TRIGGER_RETRY)
		return ERR_OK;
	if (retry) {
		enum err_code rc = group_due(s, f, e);
		if (rc || !s->asked_due)
			return rc;
		if (!s->group && !s->ret->n) {
			s->group = f->run;
			s->ret->trigger = TRIGGER_RETRY;
			s->max = s->asked_size < s->max ? s->asked_size : s->max;
		}
		take = s->group == f->run;
	} else {
		take = !s->group && s->want != TRIGGER_RETRY && (!s->limit_id || f->id <= s->limit_id);
	}
	if (take && s->ret->n < s->max)
		s->ret->files[s->ret->n++] = *f;
	return ERR_OK;
}

enum err_code deal_select(struct manager *m, struct tenant_ctx *t, uint32_t app, enum trigger want, int64_t limit_id,
			  struct arena *a, struct deal *ret, struct err *e)
{
	size_t max = t->agreement->max_files_per_run, n;
	struct selector s = {.m = m,
			     .t = t,
			     .app = app,
			     .want = want,
			     .limit_id = limit_id,
			     .a = a,
			     .ret = ret,
			     .max = max && max < DEAL_MAX ? max : DEAL_MAX};
	struct catalog_file_filter filter = {
	    .tenant = t->id, .states = 1u << FILE_STAGED, .limit = PAGE, .oldest_first = true};
	*ret = (struct deal){.trigger = want};
	ret->files = arena_array(a, s.max, sizeof *ret->files);
	if (!ret->files)
		return err_oom(e);
	do {
		struct catalog_file *f;
		enum err_code rc = catalog_files(m->catalog, &filter, a, &f, &n, e);
		for (size_t i = 0; !rc && i < n; i++) {
			rc = consider(&s, &f[i], e);
			filter.before = f[i].id;
		}
		if (rc)
			return rc;
	} while (n == PAGE);
	return ERR_OK;
}
