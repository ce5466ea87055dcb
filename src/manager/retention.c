/*
 * retention.c: erases what data_retention_period_days says, and keeps a record of each erasure.
 *
 * The period counts from the end of a file's way (delivered, refused or failed), so nothing is erased that is still to
 * be delivered, however late. Erased are originals, outputs, quarantined records and the printed output of runs.
 *
 *   absent   everything is kept (printed output: manager.keep_logs)
 *   0        originals and outputs are erased as soon as they are delivered; what could not be delivered (failed,
 *            refused, quarantined) is kept one day, so that its owner can see and replay it
 *   N        after N days
 *
 * The quarantine is the worker's to write: it gets a job. A pass erases at most PASS_MAX files a tenant, oldest first.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASS_MAX 500
#define HOUR_NS (INT64_C(3600) * 1000000000)

static int64_t days_of(const struct tenant_ctx *t, bool delivered)
{
	int64_t days = t->agreement->retention_days;
	return days == 0 && !delivered ? 1 : days;
}

static bool is_old(const struct tenant_ctx *t, bool delivered, int64_t since_us)
{
	return since_us <= clock_now_us() - days_of(t, delivered) * US_PER_DAY;
}

/* Gone already is fine: an earlier pass was cut. */
static enum err_code erase(const char *path, struct err *e)
{
	if (!path)
		return err_oom(e);
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, errno, "erase \"%s\"", path);
	return ERR_OK;
}

static enum err_code erase_file(struct manager *m, const struct tenant_ctx *t, const struct catalog_file *f,
				struct err *e)
{
	char why[400];
	enum err_code rc = erase(path_original(&m->arena, m->data, t->id, f->id), e);
	fault_hit("retention.unlinked");
	if (rc)
		return rc;
	snprintf(why, sizeof why, "erased: data_retention_period_days is %" PRId64 "; before that: %s. %.250s",
		 t->agreement->retention_days, file_state_name(f->state), f->status ? f->status : "");
	/* On record before the file is done with: a crash may repeat the record, never leave it out. */
	if (f->sha256[0]) /* a refused upload had no content */
		rc = catalog_erased(m->catalog, t->id, "original", f->id, f->name, f->size,
				    "data_retention_period_days", e);
	fault_hit("retention.recorded");
	return rc ? rc : catalog_file_move(m->catalog, f->id, 1u << f->state, FILE_EXPIRED, 0, why, e);
}

static size_t files_pass(struct manager *m, const struct tenant_ctx *t, struct err *e)
{
	struct catalog_file_filter filter = {.tenant = t->id,
					     .limit = PASS_MAX,
					     .oldest_first = true,
					     .states = 1u << FILE_DELIVERED | 1u << FILE_REFUSED | 1u << FILE_FAILED};
	struct catalog_file *f;
	size_t n, erased = 0;
	do {
		if (catalog_files(m->catalog, &filter, &m->arena, &f, &n, e))
			return erased;
		for (size_t i = 0; i < n && erased < PASS_MAX; i++) {
			filter.before = f[i].id;
			if (!is_old(t, f[i].state == FILE_DELIVERED, f[i].updated_us))
				continue;
			if (erase_file(m, t, &f[i], e))
				return erased;
			erased++;
		}
	} while (n == PASS_MAX && erased < PASS_MAX);
	return erased;
}

static enum err_code erase_output(struct manager *m, const struct tenant_ctx *t, const struct catalog_output *o,
				  struct err *e)
{
	char *path = path_output(&m->arena, m->data, t->id, o->id, o->name);
	enum err_code rc = erase(path, e);
	if (!rc) {
		char *dir = arena_strndup(&m->arena, path, (size_t)(path_base(path) - path - 1));
		if (dir)
			rmdir(dir);
		rc = catalog_erased(m->catalog, t->id, "output", o->id, o->name, o->size, "data_retention_period_days",
				    e);
	}
	return rc ? rc
		  : catalog_output_done(m->catalog, o->id, OUTPUT_EXPIRED, "erased: data_retention_period_days", e);
}

static size_t outputs_pass(struct manager *m, const struct tenant_ctx *t, struct err *e)
{
	static const enum output_state states[] = {OUTPUT_DELIVERED, OUTPUT_REFUSED, OUTPUT_FAILED};
	size_t erased = 0;
	for (size_t k = 0; k < 3; k++) {
		struct catalog_output *o;
		size_t n;
		if (catalog_outputs(m->catalog, t->id, 1u << states[k], 0, PASS_MAX, &m->arena, &o, &n, e))
			return erased;
		for (size_t i = 0; i < n && is_old(t, k == 0, o[i].updated_us); i++, erased++)
			if (erase_output(m, t, &o[i], e))
				return erased;
	}
	return erased;
}

/* The worker's answer to the last request becomes a record of erasure; then ask again, once an hour. */
static void quarantine_pass(struct manager *m, struct tenant_ctx *t, struct err *e)
{
	struct catalog_job j;
	struct catalog_counts counts;
	struct json *result;
	char params[64];
	if (t->expire_job && !catalog_job_get(m->catalog, t->expire_job, &m->arena, &j, e) && j.state >= JOB_DONE) {
		t->expire_job = 0;
		int64_t n = j.state == JOB_DONE && !json_parse(span_str(j.result), &m->arena, &result, NULL)
				? json_get_int(result, "erased", 0)
				: 0;
		char *name = arena_printf(&m->arena, "%" PRId64 " records", n);
		if (n && name &&
		    catalog_erased(m->catalog, t->id, "quarantine", 0, name, 0, "data_retention_period_days", e))
			log_err("an erasure cannot be recorded", e, NULL, 0);
	}
	if (t->expire_job || (t->expire_asked_ns && clock_mono_ns() - t->expire_asked_ns < HOUR_NS))
		return;
	t->expire_asked_ns = clock_mono_ns();
	if (catalog_counts(m->catalog, t->id, &counts, e))
		return;
	/* Replayed records are kept verbatim too. */
	if (!(counts.rejected + counts.replayed + counts.refused_by_sink + counts.replayed_sink))
		return;
	snprintf(params, sizeof params, "{\"before_us\":%" PRId64 "}", clock_now_us() - days_of(t, false) * US_PER_DAY);
	if (catalog_job_add(m->catalog, t->id, "expire", params, &t->expire_job, e))
		log_err("the quarantine cannot be cleared", e, (struct log_field[]){LF("tenant", "%s", t->id)}, 1);
}

/* What runs printed may hold tenants' data too. */
static void logs_pass(struct manager *m)
{
	int64_t now = clock_now_us(), keep = setting(m, "manager.keep_logs") * US_PER_S;
	char *dir = arena_printf(&m->arena, "%s/logs/runs", m->data);
	DIR *d = dir ? opendir(dir) : NULL;
	for (struct dirent *en; d && (en = readdir(d));) {
		struct stat st;
		struct catalog_run r;
		int64_t run = strtoll(en->d_name, NULL, 10);
		if (run <= 0 || fstatat(dirfd(d), en->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		int64_t age = now - st.st_mtim.tv_sec * US_PER_S, most = keep;
		if (age < US_PER_DAY && age < keep)
			continue;
		if (!catalog_run_get(m->catalog, run, &m->arena, &r, NULL)) {
			struct tenant_ctx *t = tenant_known(m, r.tenant);
			int64_t days = t && t->agreement ? t->agreement->retention_days : -1;
			if (days >= 0 && days_of(t, false) * US_PER_DAY < most)
				most = days_of(t, false) * US_PER_DAY;
		}
		if (age >= most)
			unlinkat(dirfd(d), en->d_name, 0);
	}
	if (d)
		closedir(d);
}

void retention_tick(struct manager *m)
{
	struct err e = {0};
	for (struct tenant_ctx *t = m->tenants; t; t = t->next) {
		if (!t->agreement || t->agreement->retention_days < 0)
			continue;
		size_t files = files_pass(m, t, &e), outputs = outputs_pass(m, t, &e);
		quarantine_pass(m, t, &e);
		if (files || outputs)
			log_info("retention erased", LF("tenant", "%s", t->id), LF("originals", "%zu", files),
				 LF("outputs", "%zu", outputs));
		if (e.code)
			log_err("retention could not finish", &e, (struct log_field[]){LF("tenant", "%s", t->id)}, 1);
		e = (struct err){0};
	}
	if (!m->logs_ns || clock_mono_ns() - m->logs_ns > HOUR_NS) {
		m->logs_ns = clock_mono_ns();
		logs_pass(m);
	}
}
