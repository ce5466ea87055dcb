/*
 * fd.h: files, directories and descriptors. All descriptors are close-on-exec at birth; errors name the path.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* open(2) with O_CLOEXEC; *ret_fd is touched on success only. ERR_INTERRUPTED if a signal came while waiting for a
 * pipe's other end. */
enum err_code fd_open(const char *path, int flags, mode_t mode, int *ret_fd, struct err *e) MUST_USE;
/* close and set to -1; -1 is ignored. */
void fd_close(int *fd);
/* Everything or an error; path is for the message. */
enum err_code fd_write_all(int fd, const void *p, size_t n, const char *path, struct err *e) MUST_USE;
enum err_code fd_pwrite_all(int fd, const void *p, size_t n, int64_t off, const char *path, struct err *e) MUST_USE;
/* Up to n bytes, fewer only at the end of the file. */
enum err_code fd_read_full(int fd, void *p, size_t n, size_t *ret_n, const char *path, struct err *e) MUST_USE;
enum err_code fd_sync(int fd, const char *path, struct err *e) MUST_USE;

/* mkdir -p; existing directories keep their mode. */
enum err_code dir_make(const char *path, mode_t mode, struct err *e) MUST_USE;
/* As dir_make; directories that it had to make survive a loss of power. */
enum err_code dir_make_durable(const char *path, mode_t mode, struct err *e) MUST_USE;
/* fsync of the directory that holds path (after a rename or unlink). */
enum err_code dir_sync_parent(const char *path, struct err *e) MUST_USE;
/* rm -r without following links; a missing path is fine. */
enum err_code dir_remove_all(const char *path, struct err *e) MUST_USE;

/* The file's contents (at most max bytes, else ERR_TOO_BIG) in the arena, NUL-terminated. */
enum err_code file_read(const char *path, size_t max, struct arena *a, struct span *ret, struct err *e) MUST_USE;
/* Replace path atomically: temporary name, write, fsync, rename, fsync of the directory. */
enum err_code file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, struct err *e) MUST_USE;

/* "-", a pipe, a terminal: what can be read once only, from its beginning to its end. */
bool path_is_stream(const char *path);
/* dir + "/" + name, in the arena; NULL without memory. */
char *path_join(struct arena *a, const char *dir, const char *name);
/* The part after the last slash. */
const char *path_base(const char *path);

#define AUTO_FD __attribute__((cleanup(fd_close)))
void file_closep(FILE **f);
#define AUTO_FILE __attribute__((cleanup(file_closep)))

#endif
