/* incoming.c: the way of an uploaded file onto the disk and into the ledger (incoming.h has the order and why). */
#include "api/incoming.h"

#include "api/server.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SPACE_STEP (16u << 20)	  /* look at the free space every so many bytes */
#define WRITEBACK_STEP (8u << 20) /* start writing to the device early, so that the fsync at the end is short */

static enum err_code space_check(struct incoming *in, uint64_t need, struct err *e)
{
	struct statvfs v;
	in->checked_free = in->size;
	if (fstatvfs(in->fd, &v))
		return ERR_OK;
	uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	uint64_t keep = api_min_free(in->api, (uint64_t)v.f_blocks * v.f_frsize);
	if (free_bytes >= keep && free_bytes - keep >= need)
		return ERR_OK;
	err_set(e, ERR_NOSPACE, "no room for \"%s\": %" PRIu64 " MiB are free, %" PRIu64 " MiB must stay free",
		in->name, free_bytes >> 20, keep >> 20);
	err_hint(e, "free space on the platform's disk, or lower upload.min_free; then send the file again");
	if (e)
		e->retriable = true;
	return ERR_NOSPACE;
}

static enum err_code open_tmp(struct incoming *in, struct err *e)
{
	uint8_t rnd[8];
	random_bytes(rnd, sizeof rnd);
	if (asprintf(&in->dir, "%s/staging/%s/.files", in->api->o.data, in->tenant) < 0) {
		in->dir = NULL;
		return err_oom(e);
	}
	uint64_t n;
	memcpy(&n, rnd, sizeof n);
	if (asprintf(&in->path, "%s/tmp-%016" PRIx64, in->dir, n) < 0) {
		in->path = NULL;
		return err_oom(e);
	}
	enum err_code code = dir_make_durable(in->dir, 0700, e);
	return code ? code : fd_open(in->path, O_WRONLY | O_CREAT | O_EXCL, 0600, &in->fd, e);
}

enum err_code incoming_open(struct api *a, const char *tenant, const char *name, uint64_t expected,
			    struct incoming **ret, struct err *e)
{
	struct incoming *in = calloc(1, sizeof *in);
	if (!in)
		return err_oom(e);
	*in = (struct incoming){.api = a, .tenant = tenant, .name = name, .fd = -1};
	in->buf = malloc(INCOMING_BUFFER);
	enum err_code code = in->buf ? sha256_init(&in->sha, e) : err_oom(e);
	in->sha_open = in->buf != NULL;
	if (!code)
		code = open_tmp(in, e);
	if (!code)
		code = space_check(in, expected, e);
	if (code) {
		incoming_free(in);
		return code;
	}
	*ret = in;
	return ERR_OK;
}

static enum err_code flush(struct incoming *in, struct err *e)
{
	if (fault_hit("upload.write"))
		return err_sys(e, errno ? errno : EIO, "write \"%s\"", in->name);
	enum err_code code = fd_write_all(in->fd, in->buf, in->nbuf, in->name, e);
	if (code)
		return code;
	sha256_add(&in->sha, in->buf, in->nbuf);
	in->size += in->nbuf;
	in->nbuf = 0;
	if (in->size - in->flushed >= WRITEBACK_STEP) {
		sync_file_range(in->fd, (off_t)in->flushed, (off_t)(in->size - in->flushed), SYNC_FILE_RANGE_WRITE);
		in->flushed = in->size;
	}
	return in->size - in->checked_free >= SPACE_STEP ? space_check(in, 0, e) : ERR_OK;
}

enum err_code incoming_write(struct incoming *in, const char *p, size_t n, struct err *e)
{
	while (n) {
		size_t k = INCOMING_BUFFER - in->nbuf < n ? INCOMING_BUFFER - in->nbuf : n;
		memcpy(in->buf + in->nbuf, p, k);
		in->nbuf += k;
		p += k;
		n -= k;
		enum err_code code = in->nbuf == INCOMING_BUFFER ? flush(in, e) : ERR_OK;
		if (code)
			return code;
	}
	return ERR_OK;
}

/* path becomes dir/name; both are durable afterwards. */
static enum err_code become(struct incoming *in, char *path, struct err *e)
{
	if (rename(in->path, path)) {
		int sys = errno;
		free(path);
		return err_sys(e, sys, "rename the upload of \"%s\"", in->name);
	}
	free(in->path);
	in->path = path;
	return dir_sync_parent(path, e);
}

enum err_code incoming_seal(struct incoming *in, struct err *e)
{
	enum err_code code = in->nbuf ? flush(in, e) : ERR_OK;
	if (code)
		return code;
	uint8_t digest[SHA256_LEN];
	sha256_done(&in->sha, digest);
	in->sha_open = false;
	sha256_hex(digest, in->hex);
	free(in->buf);
	in->buf = NULL;
	if (fchmod(in->fd, 0440))
		return err_sys(e, errno, "protect the upload of \"%s\"", in->name);
	if (fault_hit("upload.sync"))
		return err_sys(e, errno ? errno : EIO, "sync \"%s\"", in->name);
	code = fd_sync(in->fd, in->name, e);
	fd_close(&in->fd);
	if (code)
		return code;
	char *path;
	const char *rnd = strrchr(in->path, '-') + 1;
	if (asprintf(&path, "%s/ready-%s-%s", in->dir, in->hex, rnd) < 0)
		return err_oom(e);
	code = become(in, path, e);
	in->sealed = !code;
	return code;
}

/* The ready file becomes the original of f, unless that is there already. */
static enum err_code adopt(struct incoming *in, const struct catalog_file *f, struct arena *a, struct err *e)
{
	char *path = path_original(a, in->api->o.data, in->tenant, f->id);
	if (!path)
		return err_oom(e);
	if (access(path, F_OK) == 0)
		return ERR_OK;
	char *copy = strdup(path);
	if (!copy)
		return err_oom(e);
	enum err_code code = become(in, copy, e);
	if (code)
		return code;
	free(in->path);
	in->path = NULL; /* no longer ours to remove */
	return ERR_OK;
}

static void stage(struct incoming *in, struct catalog_file *f, struct arena *a)
{
	struct err e = {0};
	if (!in->api->o.manager)
		return;
	/* A failure is no loss: the manager stages what is received at each of its ticks. */
	if (manager_stage(in->api->o.manager, f, &e))
		log_err("a file could not be staged yet", &e,
			(struct log_field[]){LF("tenant", "%s", in->tenant), LF("file_id", "f%" PRId64, f->id)}, 2);
	manager_wake(in->api->o.manager);
	struct catalog_file now;
	if (catalog_file_get(in->api->o.catalog, f->id, a, &now, NULL) == ERR_OK)
		*f = now;
}

enum err_code incoming_commit(struct incoming *in, struct arena *a, enum receive_result *ret_what,
			      struct catalog_file *ret, struct err *e)
{
	struct catalog_file f = {0};
	enum receive_result what;
	if (fault_hit("upload.commit.before"))
		return err_sys(e, EIO, "record \"%s\"", in->name);
	enum err_code code =
	    catalog_file_receive(in->api->o.catalog, in->tenant, in->name, in->size, in->hex, a, &what, &f, e);
	if (code)
		return code;
	(void)fault_hit("upload.commit.after"); /* for kills and delays */
	/* A repeat of a file whose rename failed or has not happened yet brings the content again. */
	bool missing = what == RECEIVE_REPEAT && f.state == FILE_RECEIVED;
	if (what == RECEIVE_NEW || missing)
		code = adopt(in, &f, a, e);
	if (code) {
		free(in->path);
		in->path = NULL; /* the ledger knows it: the ready file stays for the next start, or for a repeat */
		return err_prefix(e, "file f%" PRId64 " is recorded, but not yet in place; send it again", f.id);
	}
	(void)fault_hit("upload.rename.after");
	if (what == RECEIVE_NEW || missing)
		stage(in, &f, a);
	*ret_what = what;
	*ret = f;
	return ERR_OK;
}

void incoming_free(struct incoming *in)
{
	if (!in)
		return;
	fd_close(&in->fd);
	if (in->sha_open) {
		uint8_t digest[SHA256_LEN];
		sha256_done(&in->sha, digest);
	}
	if (in->path)
		unlink(in->path);
	free(in->path);
	free(in->dir);
	free(in->buf);
	free(in);
}
