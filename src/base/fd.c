/* fd.c: the few system calls that everybody makes, with EINTR, short counts and error texts handled once. */
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err_code fd_open(const char *path, int flags, mode_t mode, int *ret_fd, struct err *e)
{
	int fd = open(path, flags | O_CLOEXEC, mode);
	if (fd < 0)
		return err_sys(e, errno, "open \"%s\"", path);
	*ret_fd = fd;
	return ERR_OK;
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void file_closep(FILE **f)
{
	if (*f)
		fclose(*f);
	*f = NULL;
}

enum err_code fd_write_all(int fd, const void *p, size_t n, const char *path, struct err *e)
{
	const char *at = p;
	while (n) {
		ssize_t done = write(fd, at, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(e, errno, "write \"%s\"", path);
		at += done;
		n -= (size_t)done;
	}
	return ERR_OK;
}

enum err_code fd_pwrite_all(int fd, const void *p, size_t n, int64_t off, const char *path, struct err *e)
{
	const char *at = p;
	while (n) {
		ssize_t done = pwrite(fd, at, n, off);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(e, errno, "write \"%s\" at %lld", path, (long long)off);
		at += done;
		n -= (size_t)done;
		off += done;
	}
	return ERR_OK;
}

enum err_code fd_read_full(int fd, void *p, size_t n, size_t *ret_n, const char *path, struct err *e)
{
	char *at = p;
	size_t left = n;
	while (left) {
		ssize_t got = read(fd, at, left);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, errno, "read \"%s\"", path);
		if (got == 0)
			break;
		at += got;
		left -= (size_t)got;
	}
	*ret_n = n - left;
	return ERR_OK;
}

enum err_code fd_sync(int fd, const char *path, struct err *e)
{
	if (fsync(fd) == 0)
		return ERR_OK;
	return err_sys(e, errno, "make \"%s\" durable", path);
}

enum err_code dir_sync_parent(const char *path, struct err *e)
{
	char copy[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (n >= sizeof copy)
		return err_set(e, ERR_INVALID, "path of %zu bytes is too long", n);
	memcpy(copy, path, n);
	copy[n] = 0;
	const char *dir = !slash ? "." : n == 0 ? "/" : copy;
	AUTO_FD int fd = -1;
	enum err_code c = fd_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, e);
	return c ? c : fd_sync(fd, dir, e);
}

static enum err_code make_path(const char *path, mode_t mode, bool durable, struct err *e)
{
	char copy[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof copy)
		return err_set(e, ERR_INVALID, "make directory: a path of %zu bytes; 1 to %d are allowed", n,
			       PATH_MAX - 1);
	memcpy(copy, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (copy[i] != '/' && copy[i] != 0)
			continue;
		copy[i] = 0;
		bool made = mkdir(copy, mode) == 0;
		if (!made && errno != EEXIST && !(errno == EROFS || errno == EACCES))
			return err_sys(e, errno, "make directory \"%s\"", copy);
		enum err_code c = made && durable ? dir_sync_parent(copy, e) : ERR_OK;
		if (c)
			return c;
		if (i < n)
			copy[i] = '/';
	}
	struct stat st;
	if (stat(path, &st) < 0)
		return err_sys(e, errno == ENOENT ? EACCES : errno, "make directory \"%s\"", path);
	if (!S_ISDIR(st.st_mode))
		return err_sys(e, ENOTDIR, "make directory \"%s\"", path);
	return ERR_OK;
}

enum err_code dir_make(const char *path, mode_t mode, struct err *e)
{
	return make_path(path, mode, false, e);
}

enum err_code dir_make_durable(const char *path, mode_t mode, struct err *e)
{
	return make_path(path, mode, true, e);
}

/* Removes what dirfd holds; depth bounds recursion on hostile trees. */
static enum err_code remove_in(int dirfd, const char *path, int depth, struct err *e)
{
	if (depth > 128)
		return err_set(e, ERR_LIMIT, "remove \"%s\": deeper than 128 directories", path);
	int dup_fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	DIR *d = dup_fd >= 0 ? fdopendir(dup_fd) : NULL;
	if (!d) {
		fd_close(&dup_fd);
		return err_sys(e, errno, "read directory \"%s\"", path);
	}
	enum err_code c = ERR_OK;
	for (struct dirent *ent; !c && (ent = readdir(d));) {
		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd, ent->d_name, 0) == 0 || errno == ENOENT)
			continue;
		int sys = errno;
		AUTO_FD int sub = openat(dirfd, ent->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0) {
			c = err_sys(e, sys, "remove \"%s/%s\"", path, ent->d_name);
			break;
		}
		c = remove_in(sub, path, depth + 1, e);
		if (!c && unlinkat(dirfd, ent->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			c = err_sys(e, errno, "remove \"%s/%s\"", path, ent->d_name);
	}
	closedir(d);
	return c;
}

enum err_code dir_remove_all(const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return ERR_OK;
	if (fd < 0)
		return unlink(path) == 0 || errno == ENOENT ? ERR_OK : err_sys(e, errno, "remove \"%s\"", path);
	enum err_code c = remove_in(fd, path, 0, e);
	if (!c && rmdir(path) < 0 && errno != ENOENT)
		c = err_sys(e, errno, "remove \"%s\"", path);
	return c;
}

enum err_code file_read(const char *path, size_t max, struct arena *a, struct span *ret, struct err *e)
{
	AUTO_FD int fd = -1;
	enum err_code c = fd_open(path, O_RDONLY, 0, &fd, e);
	if (c)
		return c;
	size_t cap = 4096, n = 0;
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return err_sys(e, EISDIR, "read \"%s\"", path);
	if (st.st_size > 0)
		cap = (size_t)st.st_size + 1;
	char *p = malloc(cap);
	for (;;) {
		if (!p)
			return err_oom(e);
		size_t got;
		if ((c = fd_read_full(fd, p + n, cap - n, &got, path, e)))
			break;
		n += got;
		if (n > max) {
			c = err_set(e, ERR_TOO_BIG, "\"%s\" is over %zu bytes, the most that is read here", path, max);
			break;
		}
		if (n < cap)
			break;
		char *more = realloc(p, cap * 2);
		if (!more)
			free(p);
		p = more;
		cap *= 2;
	}
	char *copy = c ? NULL : arena_strndup(a, p, n);
	free(p);
	if (!c && !copy)
		return err_oom(e);
	if (!c)
		*ret = (struct span){copy, n};
	return c;
}

enum err_code file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	char tmp[PATH_MAX];
	if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp-%d", path, (int)getpid()) >= sizeof tmp)
		return err_set(e, ERR_INVALID, "path \"%.100s...\" is too long", path);
	AUTO_FD int fd = -1;
	enum err_code c = fd_open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode, &fd, e);
	if (c)
		return c;
	if (!(c = fd_write_all(fd, p, n, tmp, e)))
		c = fd_sync(fd, tmp, e);
	if (!c && rename(tmp, path) < 0)
		c = err_sys(e, errno, "rename \"%s\" to \"%s\"", tmp, path);
	if (c) {
		unlink(tmp);
		return c;
	}
	return dir_sync_parent(path, e);
}

bool path_is_stream(const char *path)
{
	struct stat st;
	return strcmp(path, "-") == 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

char *path_join(struct arena *a, const char *dir, const char *name)
{
	size_t n = strlen(dir);
	return arena_printf(a, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}
