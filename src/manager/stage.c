/*
 * stage.c: received files become staged: the original is protected (0440, the platform's own, readable for the
 * tenant's group) and gets a hard link in staging/TENANT/in under its name, which is what people see there.
 *
 * The link is a view: dealing reads the original. Everything here may be repeated; a file received by an upload whose
 * staging failed, or that was recovered after a crash, is staged by the next tick.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tenant/pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err_code stage_link(const char *data, const struct catalog_file *f, struct err *e)
{
	struct arena a;
	struct stat o, l;
	enum err_code rc = ERR_OK;
	arena_init(&a, 64 << 10);
	char *original = path_original(&a, data, f->tenant, f->id),
	     *link_name = path_staged(&a, data, f->tenant, f->name);
	char *dir = arena_printf(&a, "%s/staging/%s/in", data, f->tenant);
	if (!original || !link_name || !dir)
		rc = err_oom(e);
	if (!rc)
		rc = dir_make(dir, 0700, e);
	if (!rc && lstat(original, &o))
		rc = err_sys(e, errno, "find the content of file f%" PRId64, f->id);
	if (!rc && lstat(link_name, &l) == 0 && (l.st_ino != o.st_ino || l.st_dev != o.st_dev))
		unlink(link_name);
	if (!rc && link(original, link_name) && errno != EEXIST)
		rc = err_sys(e, errno, "link \"%s\" into staging", f->name);
	arena_done(&a);
	return rc;
}

void stage_unlink(const char *data, const char *tenant, const char *name)
{
	struct arena a;
	arena_init(&a, 64 << 10);
	char *p = path_staged(&a, data, tenant, name);
	if (p)
		unlink(p);
	arena_done(&a);
}

static enum err_code protect(struct manager *m, const struct catalog_file *f, struct err *e)
{
	struct arena a;
	uid_t uid;
	int fd = -1;
	enum err_code rc = user_of(m, f->tenant, &uid, e);
	if (rc)
		return rc;
	arena_init(&a, 64 << 10);
	char *original = path_original(&a, m->data, f->tenant, f->id);
	rc = original ? fd_open(original, O_RDONLY | O_NOFOLLOW, 0, &fd, e) : err_oom(e);
	if (!rc && ((uid && fchown(fd, geteuid(), uid)) || fchmod(fd, 0440)))
		rc = err_sys(e, errno, "protect file f%" PRId64, f->id);
	fd_close(&fd);
	arena_done(&a);
	return rc;
}

enum err_code manager_stage(struct manager *m, const struct catalog_file *f, struct err *e)
{
	enum err_code rc = protect(m, f, e);
	if (!rc)
		rc = stage_link(m->data, f, e);
	if (rc)
		return err_prefix(e, "stage \"%s\"", f->name);
	rc = catalog_file_move(m->catalog, f->id, 1u << FILE_RECEIVED, FILE_STAGED, 0, "waits for the next run", e);
	return rc == ERR_CONFLICT ? ERR_OK : rc; /* another thread was faster */
}

enum err_code manager_unstage(struct manager *m, const struct catalog_file *f, struct err *e)
{
	struct arena a;
	enum err_code rc = ERR_OK;
	arena_init(&a, 64 << 10);
	char *original = path_original(&a, m->data, f->tenant, f->id);
	struct catalog_file_filter same = {
	    .tenant = f->tenant, .name = f->name, .states = 1u << FILE_STAGED, .limit = 1};
	struct catalog_file *other;
	size_t n = 0;
	/* The name may be a newer file's by now. */
	if (!catalog_files(m->catalog, &same, &a, &other, &n, NULL) && n == 0)
		stage_unlink(m->data, f->tenant, f->name);
	if (!original)
		rc = err_oom(e);
	else if (!unlink(original))
		rc = catalog_erased(m->catalog, f->tenant, "original", f->id, f->name, f->size, "deleted by its owner",
				    e);
	else if (errno != ENOENT) /* else it was erased before */
		rc = err_sys(e, errno, "erase file f%" PRId64, f->id);
	arena_done(&a);
	return rc;
}

static bool some_app_takes(const struct tenant_ctx *t, const char *name)
{
	for (uint32_t i = 0; i < t->agreement->napps; i++)
		if (!t->apps[i].has_regex || pattern_matches(&t->apps[i].regex, name))
			return true;
	return false;
}

static void orphans_of(struct manager *m, const struct tenant_ctx *t)
{
	static const char status[] = "no app takes a file of this name: see input.file.pattern of the agreement's apps";
	struct catalog_file_filter filter = {
	    .tenant = t->id, .states = 1u << FILE_STAGED, .limit = 1000, .oldest_first = true};
	struct catalog_file *f;
	size_t n;
	if (catalog_files(m->catalog, &filter, &m->arena, &f, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		if (!some_app_takes(t, f[i].name) && strcmp(f[i].status, status))
			(void)!catalog_file_move(m->catalog, f[i].id, 1u << FILE_STAGED, FILE_STAGED, f[i].run, status,
						 NULL);
}

void stage_orphans(struct manager *m)
{
	for (const struct tenant_ctx *t = m->tenants; t; t = t->next) {
		bool all_have_patterns = t->agreement != NULL;
		for (uint32_t i = 0; t->agreement && i < t->agreement->napps; i++)
			all_have_patterns &= t->apps[i].has_regex;
		if (all_have_patterns)
			orphans_of(m, t);
	}
}

void stage_tick(struct manager *m)
{
	struct catalog_file_filter filter = {.states = 1u << FILE_RECEIVED, .limit = 1000, .oldest_first = true};
	struct catalog_file *f;
	struct err e = {0};
	size_t n;
	if (catalog_files(m->catalog, &filter, &m->arena, &f, &n, &e)) {
		log_err("received files cannot be listed", &e, NULL, 0);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		enum err_code rc = manager_stage(m, &f[i], &e);
		/* Not found: its upload is just being put in place (api/incoming.c). */
		if (rc && rc != ERR_NOT_FOUND)
			log_err("a file cannot be staged", &e,
				(struct log_field[]){LF("tenant", "%s", f[i].tenant), LF("file", "%s", f[i].name)}, 2);
	}
}
