/*
 * recover.c: what the last incarnation left in staging/TENANT/.files (see incoming.h).
 *
 * Ledger rows without their original get it from a ready- file with their SHA-256; every other ready- and tmp- file
 * is of an upload that was never acknowledged, and goes.
 */
#include "api/incoming.h"
#include "api/server.h"
#include "base/fd.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define READY "ready-"
#define TMP "tmp-"

/* A file of dir whose name begins with prefix; NULL: none. */
static char *find(struct arena *a, const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	if (!d)
		return NULL;
	char *path = NULL;
	for (struct dirent *en; !path && (en = readdir(d));)
		if (strncmp(en->d_name, prefix, strlen(prefix)) == 0)
			path = path_join(a, dir, en->d_name);
	closedir(d);
	return path;
}

static enum err_code complete(struct api *api, const struct catalog_file *f, struct arena *a, struct err *e)
{
	char *path = path_original(a, api->o.data, f->tenant, f->id);
	char *dir = arena_printf(a, "%s/staging/%s/.files", api->o.data, f->tenant);
	char *prefix = arena_printf(a, READY "%s-", f->sha256);
	if (!path || !dir || !prefix)
		return err_oom(e);
	if (access(path, F_OK) == 0)
		return ERR_OK;
	char *ready = find(a, dir, prefix);
	if (!ready) {
		if (f->state != FILE_RECEIVED)
			return ERR_OK; /* the manager's to judge */
		log_error("a received file is not on disk", LF("tenant", "%s", f->tenant),
			  LF("file_id", "f%" PRId64, f->id));
		return catalog_file_move(api->o.catalog, f->id, 1u << FILE_RECEIVED, FILE_FAILED, 0,
					 "its content is not on disk; upload it again", e);
	}
	if (rename(ready, path))
		return err_sys(e, errno, "give file f%" PRId64 " its place", f->id);
	log_info("an upload was completed after a crash", LF("tenant", "%s", f->tenant),
		 LF("file_id", "f%" PRId64, f->id));
	return dir_sync_parent(path, e);
}

static void clean(const char *dir)
{
	DIR *d = opendir(dir);
	if (!d)
		return;
	for (struct dirent *en; (en = readdir(d));)
		if (strncmp(en->d_name, TMP, strlen(TMP)) == 0 || strncmp(en->d_name, READY, strlen(READY)) == 0)
			unlinkat(dirfd(d), en->d_name, 0);
	closedir(d);
}

static enum err_code recover_tenant(struct api *api, const char *tenant, struct arena *a, struct err *e)
{
	struct catalog_file_filter filter = {
	    .tenant = tenant,
	    .states = 1u << FILE_RECEIVED | 1u << FILE_STAGED | 1u << FILE_ASSIGNED,
	    .limit = 1000,
	    .oldest_first = true,
	};
	enum err_code code;
	size_t n;
	do {
		struct catalog_file *f;
		arena_reset(a);
		code = catalog_files(api->o.catalog, &filter, a, &f, &n, e);
		if (code)
			return code;
		for (size_t i = 0; i < n && !code; i++) {
			filter.before = f[i].id;
			code = complete(api, &f[i], a, e);
		}
	} while (!code && n == filter.limit);
	char *dir = arena_printf(a, "%s/staging/%s/.files", api->o.data, tenant);
	if (!code && dir)
		clean(dir);
	return code;
}

enum err_code incoming_recover(struct api *api, struct err *e)
{
	struct arena names, a;
	arena_init(&names, 64u << 20);
	arena_init(&a, 64u << 20);
	struct catalog_tenant *t;
	size_t n;
	enum err_code code = catalog_tenants(api->o.catalog, &names, &t, &n, e);
	for (size_t i = 0; i < n && !code; i++)
		code = recover_tenant(api, t[i].id, &a, e);
	arena_done(&names);
	arena_done(&a);
	return code;
}
