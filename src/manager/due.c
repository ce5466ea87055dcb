/*
 * due.c: the part of a tick that starts runs: by schedule, for what was left over (drain), for what failed (retry), by
 * hand. Whatever does not start although it was due is put on record with the reason.
 *
 * Forbid and a run is still at work: the start waits for its end, within startingDeadlineSeconds (as CronJob does).
 * Replace: the run is stopped, its files are dealt anew to the new one. Allow: they run side by side; no file is dealt
 * twice.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void skip(struct manager *m, const struct tenant_ctx *t, uint32_t i, int64_t at_us, const char *reason)
{
	struct err e = {0};
	if (catalog_run_skip(m->catalog, t->id, t->agreement->apps[i].name, at_us, reason, &e))
		log_err("a start that did not happen cannot be recorded", &e, NULL, 0);
	log_debug("run not started", LF("tenant", "%s", t->id), LF("app", "%s", t->agreement->apps[i].name),
		  LF("reason", "%s", reason));
}

/* A tenant may have at most half of the places, so that one with hanging programs does not stop the others. */
static bool place_free(struct manager *m, const struct tenant_ctx *t)
{
	size_t max = (size_t)setting(m, "manager.max_runs"), own = 0;
	for (const struct run_slot *s = m->slots; s; s = s->next)
		own += !strcmp(s->tenant, t->id);
	return m->nslots < max && own < (max + 1) / 2;
}

/* Deal files and start; false with a reason when there was nothing to start, or it failed. */
static bool start(struct manager *m, struct tenant_ctx *t, uint32_t i, enum trigger trigger, int64_t at_us,
		  int64_t *ret_run, char reason[256], struct err *e)
{
	struct app_state *st = &t->apps[i];
	struct deal d;
	*ret_run = 0;
	enum err_code rc = deal_select(m, t, i, trigger, trigger == TRIGGER_DRAIN ? st->drain_to : 0, &m->arena, &d, e);
	if (!rc && trigger == TRIGGER_RETRY) {
		st->retries = d.n > 0 || d.retry_at_us;
		st->retry_at_us = d.retry_at_us;
	}
	if (!rc && d.n == 0) {
		if (trigger == TRIGGER_DRAIN)
			st->drain_to = 0;
		snprintf(reason, 256, "%s",
			 d.highest ? "nothing new is staged; files that failed wait for their next try"
				   : "nothing is staged");
		return false;
	}
	if (!rc)
		rc = run_begin(m, t, i, &d, d.trigger == TRIGGER_RETRY ? TRIGGER_RETRY : trigger, at_us, ret_run, e);
	if (rc) {
		snprintf(reason, 256, "could not be started: %.220s", e->msg);
		log_err("a run could not be started", e, (struct log_field[]){LF("tenant", "%s", t->id)}, 1);
		return false;
	}
	if (trigger == TRIGGER_SCHEDULE || trigger == TRIGGER_MANUAL)
		st->drain_to = d.waiting > (d.trigger == TRIGGER_RETRY ? 0 : d.n) ? d.highest : 0;
	return true;
}

/* Is there anything for the next start to take? An empty start must not stop a run. */
static bool something_new(struct manager *m, struct tenant_ctx *t, uint32_t i)
{
	struct deal d;
	return deal_select(m, t, i, TRIGGER_SCHEDULE, 0, &m->arena, &d, NULL) || d.n > 0;
}

static void on_schedule(struct manager *m, struct tenant_ctx *t, uint32_t i, const struct due *d, int64_t now)
{
	const struct agreement *ag = t->agreement;
	struct app_state *st = &t->apps[i];
	int64_t at_us = d->at * US_PER_S;
	char reason[256];
	if (d->missed) {
		snprintf(reason, sizeof reason,
			 "%s%u earlier starts were missed while the platform did not run or the machine "
			 "slept; one run catches up",
			 d->missed == DUE_COUNT_MAX ? "at least " : "", d->missed);
		skip(m, t, i, at_us, reason);
	}
	if (t->paused) {
		skip(m, t, i, at_us, "the tenant is paused (mysimbdp tenant resume)");
	} else if (ag->suspend) {
		skip(m, t, i, at_us, "suspended by the agreement (\"suspend\": true)");
	} else if (ag->starting_deadline_s >= 0 && now - d->at > ag->starting_deadline_s) {
		snprintf(reason, sizeof reason, "too late: due %" PRId64 " s ago, startingDeadlineSeconds is %" PRId64,
			 now - d->at, ag->starting_deadline_s);
		skip(m, t, i, at_us, reason);
	} else {
		st->pending = TRIGGER_SCHEDULE;
		st->pending_us = at_us;
		struct run_slot *s = run_of_app(m, t->id, ag->apps[i].name);
		if (s && ag->concurrency == CONCURRENCY_FORBID) {
			snprintf(reason, sizeof reason,
				 "run r%" PRId64 " is still at work (concurrencyPolicy Forbid); starts when it "
				 "has ended",
				 s->run);
			skip(m, t, i, at_us, reason);
		} else if (s && ag->concurrency == CONCURRENCY_REPLACE && !something_new(m, t, i)) {
			st->pending = TRIGGER_NONE;
			snprintf(reason, sizeof reason, "nothing new is staged; run r%" PRId64 " goes on", s->run);
			skip(m, t, i, at_us, reason);
		} else if (s && ag->concurrency == CONCURRENCY_REPLACE) {
			run_ask_stop(s, "replaced by the next start (concurrencyPolicy Replace)");
		} else if (!place_free(m, t)) {
			skip(m, t, i, at_us,
			     "all places for runs are taken (manager.max_runs); starts when one is free");
		}
	}
}

static void look_at_schedule(struct manager *m, struct tenant_ctx *t, uint32_t i, int64_t now)
{
	const struct app *app = &t->agreement->apps[i];
	struct app_state *st = &t->apps[i];
	struct err e = {0};
	if (!app->has_schedule)
		return;
	if (!st->last) { /* the first sight: nothing was missed */
		st->last = now;
		if (catalog_schedule_seen(m->catalog, t->id, app->name, now * US_PER_S, &e))
			log_err("a schedule cannot be recorded", &e, NULL, 0);
		return;
	}
	struct due d = schedule_due(&app->schedule, st->last, now);
	if (d.clock_back) {
		char reason[256];
		snprintf(reason, sizeof reason,
			 "the clock was set back by %" PRId64 " s; the schedule goes on from the new time",
			 st->last - now);
		skip(m, t, i, now * US_PER_S, reason);
		log_warn("the clock was set back", LF("tenant", "%s", t->id),
			 LF("seconds", "%" PRId64, st->last - now));
		st->last = now;
	} else if (d.due) {
		st->last = d.at;
		on_schedule(m, t, i, &d, now);
	}
}

/* May another run of the app begin now? */
static bool room(struct manager *m, const struct tenant_ctx *t, uint32_t i)
{
	if (t->agreement->concurrency != CONCURRENCY_ALLOW && run_of_app(m, t->id, t->agreement->apps[i].name))
		return false;
	return place_free(m, t);
}

static void start_pending(struct manager *m, struct tenant_ctx *t, uint32_t i, int64_t now)
{
	struct app_state *st = &t->apps[i];
	enum trigger trigger = st->pending;
	int64_t run, late = now - st->pending_us / US_PER_S, deadline = t->agreement->starting_deadline_s;
	char reason[256];
	struct err e = {0};
	if (trigger == TRIGGER_NONE || t->paused || !room(m, t, i))
		return;
	st->pending = TRIGGER_NONE;
	if (trigger == TRIGGER_SCHEDULE && deadline >= 0 && late > deadline + 1) {
		snprintf(reason, sizeof reason,
			 "too late: an earlier run ended %" PRId64 " s after the start was due, "
			 "startingDeadlineSeconds is %" PRId64,
			 late, deadline);
		skip(m, t, i, st->pending_us, reason);
	} else if (!start(m, t, i, trigger, st->pending_us, &run, reason, &e) && trigger == TRIGGER_SCHEDULE) {
		skip(m, t, i, st->pending_us, reason);
	}
}

static void start_retry(struct manager *m, struct tenant_ctx *t, uint32_t i)
{
	struct app_state *st = &t->apps[i];
	int64_t run, now_us = clock_now_us();
	char reason[256];
	struct err e = {0};
	if (!st->retries || t->paused || now_us < st->retry_at_us || !room(m, t, i))
		return;
	(void)start(m, t, i, TRIGGER_RETRY, now_us, &run, reason, &e);
}

void starts_tick(struct manager *m)
{
	int64_t now = clock_now_us() / US_PER_S;
	for (struct tenant_ctx *t = m->tenants; t; t = t->next) {
		if (!t->agreement || !t->data_file || !t->seen)
			continue;
		for (uint32_t i = 0; i < t->agreement->napps; i++) {
			if (t->agreement->apps[i].mode != APP_BATCH)
				continue;
			look_at_schedule(m, t, i, now);
			start_pending(m, t, i, now);
			start_retry(m, t, i);
		}
	}
}

static enum err_code find_app(struct tenant_ctx *t, const char *name, uint32_t *ret, struct err *e)
{
	char known[200] = "";
	for (uint32_t i = 0; i < t->agreement->napps; i++) {
		const struct app *a = &t->agreement->apps[i];
		if (a->mode != APP_BATCH)
			continue;
		if (!name || !*name || !strcmp(a->name, name)) {
			*ret = i;
			return ERR_OK;
		}
		size_t n = strlen(known);
		snprintf(known + n, sizeof known - n, "%s%.40s", n ? ", " : "", a->name);
	}
	err_set(e, ERR_NOT_FOUND, "tenant \"%s\" has no batch app \"%.60s\"", t->id, name ? name : "");
	return err_hint(e, "its batch apps: %s", known[0] ? known : "none");
}

enum err_code start_now(struct manager *m, struct request *q)
{
	struct tenant_ctx *t = tenant_known(m, q->tenant);
	uint32_t i = 0;
	struct err e = {0};
	if (!t || !t->seen)
		return err_set(&q->err, ERR_NOT_FOUND, "there is no tenant \"%.60s\"", q->tenant);
	if (!t->agreement || !t->data_file)
		return err_set(&q->err, ERR_DOCUMENT, "the documents of tenant \"%s\" cannot be read", t->id);
	enum err_code rc = find_app(t, q->app, &i, &q->err);
	if (rc)
		return rc;
	struct run_slot *s = run_of_app(m, t->id, t->agreement->apps[i].name);
	if (atomic_load(&m->draining))
		snprintf(q->reason, 256, "the platform is shutting down");
	else if (t->paused)
		snprintf(q->reason, 256, "the tenant is paused (mysimbdp tenant resume)");
	else if (s && t->agreement->concurrency != CONCURRENCY_ALLOW)
		snprintf(q->reason, 256, "run r%" PRId64 " is still at work", s->run);
	else if (!place_free(m, t))
		snprintf(q->reason, 256, "all places for runs are taken (manager.max_runs)");
	else if (start(m, t, i, TRIGGER_MANUAL, clock_now_us(), &q->run, q->reason, &e))
		return ERR_OK;
	skip(m, t, i, 0, q->reason);
	return ERR_OK;
}
