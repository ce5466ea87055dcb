/*
 * recover.c: what the last incarnation left, after a kill -9 as after a clean stop. Nothing is dealt before its
 * children are seen gone.
 *
 *   children in the ledger     ended, seen gone, forgotten
 *   runs with assigned files   picked up by a thread each: a status says how they ended (exit 0: promoted now), no
 *                              status means lost, and their files are dealt anew
 *   outputs/TENANT/.run-RUN    of a run that succeeded: its files go to their places; of any other: removed
 *   workspace/RUN              of no run under way: ended, removed
 *   staging/TENANT/in          one link for each staged file
 *   staging/TENANT/.files      no content of a file that its owner deleted
 */
#include "manager/internal.h"

#include "base/fd.h"
#include "base/log.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err_code end_children(struct manager *m, struct err *e)
{
	struct catalog_child *ch;
	size_t n;
	enum err_code rc = catalog_children(m->catalog, &m->arena, &ch, &n, e);
	for (size_t i = 0; !rc && i < n; i++) {
		rc = runner_process.reap((pid_t)ch[i].pid, ch[i].pid_start, ch[i].cgroup, e);
		if (!rc)
			rc = catalog_child_remove(m->catalog, ch[i].pid, ch[i].pid_start, e);
		if (!rc)
			log_info("ended what an earlier start left", LF("kind", "%s", ch[i].kind),
				 LF("tenant", "%s", ch[i].tenant), LF("pid", "%" PRId64, ch[i].pid));
	}
	return rc;
}

static bool under_way(struct manager *m, int64_t run)
{
	for (const struct run_slot *s = m->slots; s; s = s->next)
		if (s->run == run)
			return true;
	return false;
}

static enum err_code pick_up_runs(struct manager *m, struct err *e)
{
	struct catalog_file_filter filter = {.states = 1u << FILE_ASSIGNED, .limit = 1000, .oldest_first = true};
	size_t n;
	do {
		struct catalog_file *f;
		enum err_code rc = catalog_files(m->catalog, &filter, &m->arena, &f, &n, e);
		for (size_t i = 0; !rc && i < n; i++) {
			filter.before = f[i].id;
			if (!under_way(m, f[i].run))
				rc = run_recover(m, f[i].run, e);
		}
		if (rc)
			return rc;
	} while (n == filter.limit);
	return ERR_OK;
}

static enum err_code finish_promotion(struct manager *m, const char *tenant, int64_t run, struct err *e)
{
	struct catalog_run r;
	if (under_way(m, run))
		return ERR_OK; /* its thread does it */
	enum err_code rc = catalog_run_get(m->catalog, run, &m->arena, &r, e);
	if (!rc && r.state == RUN_SUCCEEDED)
		return promote_place(m->catalog, m->data, tenant, run, &m->arena, e);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	char *dir = promoted_dir(&m->arena, m->data, tenant, run);
	return dir ? workspace_remove(dir, e) : err_oom(e);
}

static enum err_code finish_promotions(struct manager *m, struct err *e)
{
	enum err_code rc = ERR_OK;
	for (struct tenant_ctx *t = m->tenants; t && !rc; t = t->next) {
		char *path = arena_printf(&m->arena, "%s/outputs/%s", m->data, t->id);
		DIR *d = path ? opendir(path) : NULL;
		for (struct dirent *en; d && !rc && (en = readdir(d));)
			if (!strncmp(en->d_name, ".run-", 5))
				rc = finish_promotion(m, t->id, strtoll(en->d_name + 5, NULL, 10), e);
		if (d)
			closedir(d);
	}
	return rc;
}

static enum err_code clear_workspaces(struct manager *m, struct err *e)
{
	enum err_code rc = ERR_OK;
	char *path = path_join(&m->arena, m->data, "workspace");
	DIR *d = path ? opendir(path) : NULL;
	for (struct dirent *en; d && !rc && (en = readdir(d));) {
		char *end;
		int64_t run = strtoll(en->d_name, &end, 10);
		if (*end || run <= 0 || under_way(m, run))
			continue;
		char *ws = path_join(&m->arena, path, en->d_name);
		rc = ws ? runner_reap_workspace(ws, e) : err_oom(e);
		/* What cannot be removed is of no run any more, and no reason not to start. */
		if (!rc && workspace_remove(ws, e))
			log_err("a workspace cannot be removed", e, (struct log_field[]){LF("run", "r%" PRId64, run)},
				1);
	}
	if (d)
		closedir(d);
	return rc;
}

/* Links in staging/TENANT/in that no staged file has. */
static void clear_staging(struct manager *m, const struct tenant_ctx *t)
{
	char *path = arena_printf(&m->arena, "%s/staging/%s/in", m->data, t->id);
	DIR *d = path ? opendir(path) : NULL;
	for (struct dirent *en; d && (en = readdir(d));) {
		struct catalog_file_filter f = {
		    .tenant = t->id, .name = en->d_name, .limit = 1, .states = 1u << FILE_STAGED | 1u << FILE_RECEIVED};
		struct catalog_file *found;
		size_t n;
		if (en->d_name[0] != '.' && !catalog_files(m->catalog, &f, &m->arena, &found, &n, NULL) && !n)
			stage_unlink(m->data, t->id, en->d_name);
	}
	if (d)
		closedir(d);
}

static void link_staged(struct manager *m)
{
	struct catalog_file_filter filter = {.states = 1u << FILE_STAGED, .limit = 1000, .oldest_first = true};
	struct catalog_file *f;
	size_t n = 0;
	do {
		if (catalog_files(m->catalog, &filter, &m->arena, &f, &n, NULL))
			return;
		for (size_t i = 0; i < n; i++) {
			struct err e = {0};
			filter.before = f[i].id;
			if (stage_link(m->data, &f[i], &e))
				log_err(
				    "a staged file has no link", &e,
				    (struct log_field[]){LF("tenant", "%s", f[i].tenant), LF("file", "%s", f[i].name)},
				    2);
		}
	} while (n == filter.limit);
}

/* Deleted by their owner when the platform ended, before their content was. */
static void erase_deleted(struct manager *m)
{
	struct catalog_file_filter filter = {.states = 1u << FILE_DELETED, .limit = 1000, .oldest_first = true};
	struct catalog_file *f;
	size_t n = 0;
	do {
		if (catalog_files(m->catalog, &filter, &m->arena, &f, &n, NULL))
			return;
		for (size_t i = 0; i < n; i++) {
			struct err e = {0};
			filter.before = f[i].id;
			char *original = path_original(&m->arena, m->data, f[i].tenant, f[i].id);
			if (original && !access(original, F_OK) && manager_unstage(m, &f[i], &e))
				log_err(
				    "a deleted file cannot be erased", &e,
				    (struct log_field[]){LF("tenant", "%s", f[i].tenant), LF("file", "%s", f[i].name)},
				    2);
		}
	} while (n == filter.limit);
}

enum err_code recover(struct manager *m, struct err *e)
{
	enum err_code rc = end_children(m, e);
	if (!rc)
		rc = tenants_refresh(m, e);
	if (!rc)
		rc = pick_up_runs(m, e);
	if (!rc)
		rc = finish_promotions(m, e);
	if (!rc)
		rc = clear_workspaces(m, e);
	if (rc)
		return err_prefix(e, "pick up what the last start left");
	for (struct tenant_ctx *t = m->tenants; t; t = t->next)
		clear_staging(m, t);
	link_staged(m);
	erase_deleted(m);
	return ERR_OK;
}
