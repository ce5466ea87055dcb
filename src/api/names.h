/*
 * names.h: the names of uploaded files: where a request says them, and which ones are taken.
 */
#ifndef API_NAMES_H
#define API_NAMES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define FILE_NAME_MAX 255

/* NULL when a file may be called that, else what is wrong, as the end of a sentence ("has a path separator ..."). */
const char *file_name_check(const char *name, size_t n);

/* Content-Disposition (RFC 6266, RFC 7578): the type, name= and filename= or filename*= (RFC 8187), decoded. Members
 * that are missing are NULL. A quoted value may escape \" and \\, and browsers' %22 is a quote. */
struct disposition {
	const char *type, *name, *filename;
};
enum err_code disposition_parse(struct span value, struct arena *a, struct disposition *ret, struct err *e) MUST_USE;

/* One parameter of a header value such as Content-Type; NULL: not there or broken. */
const char *header_param(struct span value, const char *name, struct arena *a);

/* For messages: control characters and broken bytes as \xNN, cut at 80 bytes. Returns out. */
const char *name_printable(const char *name, size_t n, char out[360]);

#endif
