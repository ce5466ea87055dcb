/*
 * workspace.c: the private directory of one run.
 *
 *   workspace/RUN             0711 the platform's: spec.json, status.json, alive
 *   workspace/RUN/TENANT      0711 the platform's
 *   workspace/RUN/TENANT/in   0700 the app's: hard links of the originals, 0440 and not the app's own
 *   workspace/RUN/TENANT/out  0700 the app's
 *   workspace/RUN/tmp         0700 the app's: HOME and TMPDIR
 *
 * A link protects an original only from another user. When apps run as we do (not root), an input is a reflink, or a
 * copy where the file system has none, and the run's record says which.
 */
#include "manager/internal.h"

#include "base/fault.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum input_way { WAY_LINK, WAY_REFLINK, WAY_COPY };
static const char *const way_names[] = {"hard link, 0440, not the app's own", "reflink", "copy"};

char *workspace_path(struct arena *a, const char *data, int64_t run)
{
	return arena_printf(a, "%s/workspace/%" PRId64, data, run);
}

static enum err_code copy_bytes(int from, int to, const char *name, enum input_way *way, struct err *e)
{
	if (ioctl(to, FICLONE, from) == 0) {
		*way = WAY_REFLINK;
		return ERR_OK;
	}
	*way = WAY_COPY;
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "copy \"%s\" into the workspace", name);
		if (n == 0)
			return ERR_OK;
	}
}

static enum err_code give_copy(const char *original, const char *to, const struct catalog_file *f, uid_t uid,
			       enum input_way *way, struct err *e)
{
	int in = -1, out = -1;
	enum err_code rc = fd_open(original, O_RDONLY | O_NOFOLLOW, 0, &in, e);
	if (!rc)
		rc = fd_open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0440, &out, e);
	if (!rc)
		rc = copy_bytes(in, out, f->name, way, e);
	if (!rc && ((uid && fchown(out, geteuid(), uid)) || fchmod(out, 0440)))
		rc = err_sys(e, errno, "protect the copy of \"%s\"", f->name);
	fd_close(&in);
	fd_close(&out);
	return rc;
}

static enum err_code give(struct run_slot *s, const char *in, const struct catalog_file *f, enum input_way *worst,
			  struct err *e)
{
	enum input_way way = WAY_LINK;
	char *original = path_original(&s->arena, s->m->data, f->tenant, f->id),
	     *to = path_join(&s->arena, in, f->name);
	if (!original || !to)
		return err_oom(e);
	if (fault_hit("workspace.link"))
		return err_sys(e, errno ? errno : EIO, "link \"%s\" into the workspace", f->name);
	/* Other file system, too many links, or a file system without links: copy. */
	if (!s->spec.uid || link(original, to)) {
		if (s->spec.uid && errno == ENOENT)
			return err_set(e, ERR_NOT_FOUND, "the content of file f%" PRId64 " is not on disk", f->id);
		enum err_code rc = give_copy(original, to, f, s->spec.uid, &way, e);
		if (rc)
			return rc;
	}
	if (way > *worst)
		*worst = way;
	return ERR_OK;
}

static enum err_code make(const char *path, mode_t mode, uid_t uid, struct err *e)
{
	if (mkdir(path, mode))
		return err_sys(e, errno, "make \"%s\"", path);
	if (chmod(path, mode) || (uid && chown(path, uid, uid)))
		return err_sys(e, errno, "hand \"%s\" to the app's user", path);
	return ERR_OK;
}

enum err_code workspace_make(struct run_slot *s, const char **ret_inputs, struct err *e)
{
	const char *ws = s->workspace;
	char *base = arena_printf(&s->arena, "%s/%s", ws, s->tenant), *tmp = arena_printf(&s->arena, "%s/tmp", ws);
	char *in = arena_printf(&s->arena, "%s/in", base), *out = arena_printf(&s->arena, "%s/out", base);
	enum input_way worst = WAY_LINK;
	if (!base || !in || !out || !tmp)
		return err_oom(e);
	enum err_code rc = workspace_remove(ws, e); /* of a start that did not come far */
	if (!rc)
		rc = make(ws, 0711, 0, e);
	if (!rc)
		rc = make(base, 0711, 0, e);
	if (!rc)
		rc = make(in, 0700, 0, e);
	for (size_t i = 0; !rc && i < s->nfiles; i++)
		rc = give(s, in, &s->files[i], &worst, e);
	if (!rc && s->spec.uid && chown(in, s->spec.uid, s->spec.uid))
		rc = err_sys(e, errno, "hand \"%s\" to the app's user", in);
	if (!rc)
		rc = make(out, 0700, s->spec.uid, e);
	if (!rc)
		rc = make(tmp, 0700, s->spec.uid, e);
	*ret_inputs = way_names[worst];
	return rc;
}

/* Empty one directory of top: files are unlinked, directories are moved up into top, where their turn comes. */
static enum err_code flatten(int top, const char *name, unsigned *counter, struct err *e)
{
	AUTO_FD int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && !fchmodat(top, name, 0700, 0))
		fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d)
		return err_sys(e, errno, "read directory \"%s\" of a workspace", name);
	(void)fchmod(fd, 0700);
	enum err_code rc = ERR_OK;
	for (struct dirent *en; !rc && (en = readdir(d));) {
		char to[32];
		if (!strcmp(en->d_name, ".") || !strcmp(en->d_name, "..") || !unlinkat(fd, en->d_name, 0))
			continue;
		(void)fchmodat(fd, en->d_name, 0700, 0); /* moving a directory writes its ".." */
		snprintf(to, sizeof to, ".gone-%u", (*counter)++);
		if (renameat(fd, en->d_name, top, to) && errno != ENOENT)
			rc = err_sys(e, errno, "remove \"%s\" of a workspace", en->d_name);
	}
	closedir(d);
	if (!rc && unlinkat(top, name, AT_REMOVEDIR) && errno != ENOENT && errno != ENOTEMPTY)
		rc = err_sys(e, errno, "remove directory \"%s\" of a workspace", name);
	return rc;
}

/* rm -r of what a hostile program may have left: any depth, any mode, in constant memory and without following links.
 */
enum err_code workspace_remove(const char *workspace, struct err *e)
{
	struct stat st;
	/* An app of our own user may have closed the directory itself to us. */
	if (!lstat(workspace, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 0700) != 0700)
		(void)chmod(workspace, 0700);
	AUTO_FD int top = open(workspace, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	enum err_code rc = ERR_OK;
	unsigned counter = 0;
	if (top < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, errno, "open workspace \"%s\"", workspace);
	for (bool again = true; again && !rc;) {
		int copy = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = copy < 0 ? NULL : fdopendir(copy);
		if (!d)
			return err_sys(e, errno, "read workspace \"%s\"", workspace);
		again = false;
		for (struct dirent *en; !rc && (en = readdir(d));) {
			if (!strcmp(en->d_name, ".") || !strcmp(en->d_name, "..") || !unlinkat(top, en->d_name, 0))
				continue;
			again = true;
			rc = flatten(top, en->d_name, &counter, e);
		}
		closedir(d);
	}
	if (!rc && rmdir(workspace) && errno != ENOENT)
		rc = err_sys(e, errno, "remove workspace \"%s\"", workspace);
	return rc;
}
