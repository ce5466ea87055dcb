/*
 * promote.c: what a run left in out/ becomes outputs, in an order that a crash may cut anywhere:
 *
 *   1. workspace/RUN/TENANT/out  is renamed to  outputs/TENANT/.run-RUN       (one rename: all or nothing)
 *   2. every file there is checked, made ours, hashed and fsynced             (may be repeated)
 *   3. catalog_run_end: the rows of the outputs, the inputs processed         (the decision, durable)
 *   4. .run-RUN/NAME is renamed to ID/NAME                                    (may be repeated; recover.c finishes it)
 *
 * out/ is hostile. Only regular files count; links, devices, pipes, directories, hidden and half-written names are left
 * out and named in the run's record. A file with other names elsewhere is copied, so that nobody can write to it later,
 * except when it is one of the run's own inputs handed through: that is a link to the original, which nobody may write.
 */
#include "manager/internal.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/fd.h"
#include "record/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WARNINGS_SHOWN 3

struct taking {
	struct run_slot *s;
	const char *dir; /* outputs/TENANT/.run-RUN */
	int fd;
	struct promoted *ret;
	struct stat *inputs; /* of the originals */
	size_t cap;
	unsigned ignored;
	struct buf warnings;
};

char *promoted_dir(struct arena *a, const char *data, const char *tenant, int64_t run)
{
	return arena_printf(a, "%s/outputs/%s/.run-%" PRId64, data, tenant, run);
}

/* Step 1. */
static enum err_code take_directory(struct run_slot *s, const char *dir, struct err *e)
{
	char *base = arena_printf(&s->taking, "%s/%s", s->workspace, s->tenant);
	char *out = arena_printf(&s->taking, "%s/%s/out", s->workspace, s->tenant);
	char *parent = arena_printf(&s->taking, "%s/outputs/%s", s->m->data, s->tenant);
	struct stat st;
	if (!base || !out || !parent)
		return err_oom(e);
	if (!lstat(dir, &st))
		return ERR_OK; /* an earlier incarnation came this far */
	/* An app of our own user may have closed them to us; moving a directory writes into it and its parent. */
	(void)chmod(base, 0711);
	if (lstat(out, &st) || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_REFUSED, "the app replaced its out/ by something that is no directory");
	(void)chmod(out, 0700);
	enum err_code rc = dir_make_durable(parent, 0700, e);
	if (!rc && rename(out, dir))
		rc = err_sys(e, errno, "promote out/");
	return rc ? rc : dir_sync_parent(dir, e);
}

static void ignore(struct taking *t, const char *name, const char *why)
{
	if (t->ignored++ < WARNINGS_SHOWN) {
		buf_printf(&t->warnings, "%sout/", t->warnings.n ? "; " : "");
		for (const char *p = name; *p && p < name + 60; p++)
			buf_char(&t->warnings, (unsigned char)*p < 32 || *p == 127 ? '?' : *p);
		buf_printf(&t->warnings, " %s", why);
	}
	char *path = arena_printf(&t->s->taking, "%s/%s", t->dir, name);
	if (unlinkat(t->fd, name, 0) && path)
		(void)!workspace_remove(path, NULL);
}

static const char *bad_name(const char *name)
{
	size_t n = strlen(name);
	if (name[0] == '.')
		return "is hidden: left out";
	if ((n > 4 && !strcmp(name + n - 4, ".tmp")) || (n > 5 && !strcmp(name + n - 5, ".part")))
		return "has the name of an unfinished file: left out";
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 32 || *p == 127)
			return "has control characters in its name: left out";
	return utf8_valid_prefix(name, n) == n ? NULL : "has a name that is no UTF-8: left out";
}

static const char *bad_type(mode_t mode)
{
	return S_ISREG(mode)	? NULL
	       : S_ISLNK(mode)	? "is a symbolic link: left out"
	       : S_ISDIR(mode)	? "is a directory: left out"
	       : S_ISFIFO(mode) ? "is a pipe: left out"
	       : S_ISSOCK(mode) ? "is a socket: left out"
				: "is a device: left out";
}

/* The input that this file is, when the app moved or linked one. */
static const struct catalog_file *same_input(const struct taking *t, const struct stat *st)
{
	for (size_t i = 0; i < t->s->nfiles; i++)
		if (t->inputs[i].st_ino == st->st_ino && t->inputs[i].st_dev == st->st_dev)
			return &t->s->files[i];
	return NULL;
}

/* Another name of the file may exist where its writer can reach it: take the bytes, not the file. */
static enum err_code detach(struct taking *t, const char *name, int *fd, struct err *e)
{
	char tmp[64];
	AUTO_FD int copy = -1;
	snprintf(tmp, sizeof tmp, ".copy-%" PRId64, t->s->run);
	unlinkat(t->fd, tmp, 0);
	copy = openat(t->fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (copy < 0)
		return err_sys(e, errno, "copy \"out/%s\"", name);
	for (;;) {
		ssize_t n = copy_file_range(*fd, NULL, copy, NULL, 1 << 30, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "copy \"out/%s\"", name);
		if (n == 0)
			break;
	}
	if (renameat(t->fd, tmp, t->fd, name))
		return err_sys(e, errno, "copy \"out/%s\"", name);
	close(*fd);
	*fd = fcntl(copy, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? err_sys(e, errno, "copy \"out/%s\"", name) : ERR_OK;
}

/* Which input a result was made of: the same name, the only input, or the input whose name it begins with. */
static const struct catalog_file *source_of(const struct run_slot *s, const char *name)
{
	const struct catalog_file *best = NULL;
	size_t best_n = 0;
	for (size_t i = 0; i < s->nfiles; i++) {
		size_t n = strlen(s->files[i].name);
		if (!strcmp(s->files[i].name, name))
			return &s->files[i];
		const char *dot = strrchr(s->files[i].name, '.');
		size_t stem = dot && dot > s->files[i].name ? (size_t)(dot - s->files[i].name) : n;
		if (!strncmp(s->files[i].name, name, stem) && stem > best_n) {
			best = &s->files[i];
			best_n = stem;
		}
	}
	return s->nfiles == 1 ? &s->files[0] : best;
}

/* Asked before a byte is read: a hole of many gigabytes costs its maker nothing. */
static enum err_code fits(const struct taking *t, uint64_t size, struct err *e)
{
	uint64_t most = t->s->spec.max_output_bytes;
	if (!most || (t->ret->bytes <= most && size <= most - t->ret->bytes))
		return ERR_OK;
	return err_set(e, ERR_REFUSED, "the app left more than %" PRIu64 " bytes in out/ (apps.max_output)", most);
}

static enum err_code record(struct taking *t, const char *name, int fd, const struct catalog_file *input, uint64_t size,
			    struct err *e)
{
	char hex[SHA256_HEX], self[64];
	uint64_t read = size;
	enum err_code rc = ERR_OK;
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	if (input)
		snprintf(hex, sizeof hex, "%s", input->sha256);
	else
		rc = sha256_file(self, hex, &read, e);
	if (!rc)
		rc = fd_sync(fd, name, e);
	if (rc)
		return err_prefix(e, "promote \"out/%s\"", name);
	if (t->ret->n == OUTPUTS_MAX)
		return err_set(e, ERR_REFUSED, "the app left more than %d files in out/", OUTPUTS_MAX);
	t->ret->bytes += read;
	const struct catalog_file *from = input ? input : source_of(t->s, name);
	t->ret->outputs[t->ret->n++] = (struct catalog_output_new){
	    .name = arena_strdup(&t->s->taking, name),
	    .size = read,
	    .sha256 = arena_strdup(&t->s->taking, hex),
	    .source = from ? from->name : "",
	};
	return t->ret->outputs[t->ret->n - 1].name && t->ret->outputs[t->ret->n - 1].sha256 ? ERR_OK : err_oom(e);
}

static enum err_code take_file(struct taking *t, const char *name, struct err *e)
{
	struct stat st;
	const char *why = bad_name(name);
	if (!why && fstatat(t->fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_sys(e, errno, "look at \"out/%s\"", name);
	if (!why)
		why = bad_type(st.st_mode);
	if (why) {
		ignore(t, name, why);
		return ERR_OK;
	}
	/* Only now opened, and looked at again: the name cannot change any more, nobody else may enter here. */
	int fd = openat(t->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && !fchmodat(t->fd, name, 0400, 0))
		fd = openat(t->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open \"out/%s\"", name);
	const struct catalog_file *input = fstat(fd, &st) ? NULL : same_input(t, &st);
	enum err_code rc = fits(t, (uint64_t)st.st_size, e);
	if (!rc && !input && st.st_nlink > 1)
		rc = detach(t, name, &fd, e);
	if (!rc && !input && (fchown(fd, geteuid(), getegid()) || fchmod(fd, 0400)))
		rc = err_sys(e, errno, "take over \"out/%s\"", name);
	if (!rc)
		rc = record(t, name, fd, input, (uint64_t)st.st_size, e);
	fd_close(&fd);
	return rc;
}

/* By the order of the inputs that they were made of, then by name: the order in which the gate takes them, so that a
 * correction uploaded later wins. */
static int by_input(const void *x, const void *y, void *ctx)
{
	const struct catalog_output_new *a = x, *b = y;
	const struct run_slot *s = ctx;
	int64_t ia = INT64_MAX, ib = INT64_MAX;
	for (size_t i = 0; i < s->nfiles; i++) {
		if (!strcmp(s->files[i].name, a->source))
			ia = s->files[i].id;
		if (!strcmp(s->files[i].name, b->source))
			ib = s->files[i].id;
	}
	return ia != ib ? (ia < ib ? -1 : 1) : strcmp(a->name, b->name);
}

static enum err_code take_files(struct taking *t, struct err *e)
{
	char **names = NULL;
	size_t n = 0, cap = 0;
	char left[64];
	snprintf(left, sizeof left, ".copy-%" PRId64, t->s->run);
	unlinkat(t->fd, left, 0); /* of a promotion that was cut */
	int copy = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	enum err_code rc = d ? ERR_OK : err_sys(e, errno, "read out/");
	/* Names first: entries come and go below. A million names is the app's failure, not our memory. */
	for (struct dirent *en; !rc && (en = readdir(d));) {
		if (!strcmp(en->d_name, ".") || !strcmp(en->d_name, ".."))
			continue;
		if (n == cap) {
			char **more = realloc(names, (cap = cap ? cap * 2 : 64) * sizeof *names);
			if (!more) {
				rc = err_oom(e);
				break;
			}
			names = more;
		}
		if (n > (size_t)2 * OUTPUTS_MAX)
			rc = err_set(e, ERR_REFUSED, "the app left more than %d names in out/", 2 * OUTPUTS_MAX);
		else if (!(names[n] = strdup(en->d_name)))
			rc = err_oom(e);
		else
			n++;
	}
	if (d)
		closedir(d);
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = take_file(t, names[i], e);
		free(names[i]);
	}
	free(names);
	if (!rc)
		qsort_r(t->ret->outputs, t->ret->n, sizeof *t->ret->outputs, by_input, t->s);
	return rc;
}

static enum err_code stat_inputs(struct taking *t, struct err *e)
{
	t->inputs = arena_array(&t->s->taking, t->s->nfiles + 1, sizeof *t->inputs);
	if (!t->inputs)
		return err_oom(e);
	for (size_t i = 0; i < t->s->nfiles; i++) {
		const struct catalog_file *f = &t->s->files[i];
		char *p = path_original(&t->s->taking, t->s->m->data, f->tenant, f->id);
		if (!p)
			return err_oom(e);
		(void)lstat(p, &t->inputs[i]);
	}
	return ERR_OK;
}

enum err_code promote_take(struct run_slot *s, struct promoted *ret, struct err *e)
{
	struct taking t = {.s = s, .fd = -1, .ret = ret};
	*ret = (struct promoted){0};
	arena_reset(&s->taking); /* of the try before */
	buf_init(&t.warnings, sizeof ret->warnings - 48);
	t.dir = promoted_dir(&s->taking, s->m->data, s->tenant, s->run);
	ret->outputs = arena_array(&s->taking, OUTPUTS_MAX, sizeof *ret->outputs);
	if (!t.dir || !ret->outputs)
		return err_oom(e);
	enum err_code rc = take_directory(s, t.dir, e);
	fault_hit("promote.taken");
	if (!rc)
		rc = fd_open(t.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &t.fd, e);
	if (!rc && (fchown(t.fd, geteuid(), getegid()) || fchmod(t.fd, 0700)))
		rc = err_sys(e, errno, "take over out/");
	if (!rc)
		rc = stat_inputs(&t, e);
	if (!rc)
		rc = take_files(&t, e);
	if (!rc)
		rc = fd_sync(t.fd, t.dir, e);
	fd_close(&t.fd);
	snprintf(ret->warnings, sizeof ret->warnings, "%s", buf_cstr(&t.warnings));
	if (t.ignored > WARNINGS_SHOWN)
		snprintf(ret->warnings + strlen(ret->warnings), 40, "; and %u more", t.ignored - WARNINGS_SHOWN);
	buf_done(&t.warnings);
	fault_hit("promote.checked");
	return rc;
}

static enum err_code place_one(const char *data, const char *dir, const struct catalog_output *o, struct arena *a,
			       struct err *e)
{
	char *from = path_join(a, dir, o->name), *to = path_output(a, data, o->tenant, o->id, o->name);
	if (!from || !to)
		return err_oom(e);
	char *parent = arena_strndup(a, to, (size_t)(path_base(to) - to - 1));
	if (!parent)
		return err_oom(e);
	enum err_code rc = dir_make_durable(parent, 0700, e);
	if (!rc && rename(from, to) && (errno != ENOENT || access(to, F_OK)))
		rc = err_sys(e, errno, "place output o%" PRId64, o->id);
	if (!rc)
		rc = dir_sync_parent(to, e);
	fault_hit("promote.placed");
	return rc;
}

enum err_code promote_place(struct catalog *c, const char *data, const char *tenant, int64_t run, struct arena *a,
			    struct err *e)
{
	struct catalog_output *o;
	size_t n;
	char *dir = promoted_dir(a, data, tenant, run);
	if (!dir)
		return err_oom(e);
	enum err_code rc = catalog_outputs(c, tenant, 0, run, OUTPUTS_MAX, a, &o, &n, e);
	for (size_t i = 0; !rc && i < n; i++)
		rc = o[i].state == OUTPUT_EXPIRED ? ERR_OK : place_one(data, dir, &o[i], a, e);
	if (!rc)
		rc = dir_sync_parent(dir, e);
	return rc ? rc : workspace_remove(dir, e);
}

void promote_discard(struct run_slot *s)
{
	char *dir = promoted_dir(&s->arena, s->m->data, s->tenant, s->run);
	if (dir)
		(void)!workspace_remove(dir, NULL);
}
