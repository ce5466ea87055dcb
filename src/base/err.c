/* err.c: the one table from error code to HTTP status and exit code, and the four ways to fill a struct err. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Exit codes: 3 fatal, 2 refused, 4 interrupted, 64 usage, 78 documents and configuration (sysexits.h, DSBulk). */
static const struct err_info infos[ERR_COUNT] = {
    [ERR_OK] = {"ok", "OK", 200, 0},
    [ERR_USAGE] = {"usage", "Wrong usage", 400, 64},
    [ERR_CONFIG] = {"config", "Invalid configuration", 500, 78},
    [ERR_DOCUMENT] = {"document", "Invalid document", 422, 78},
    [ERR_INVALID] = {"invalid", "Invalid request", 400, 64},
    [ERR_AUTH] = {"auth", "Authentication required", 401, 3},
    [ERR_DENIED] = {"denied", "Not allowed", 403, 3},
    [ERR_NOT_FOUND] = {"not_found", "Not found", 404, 3},
    [ERR_CONFLICT] = {"conflict", "Conflict", 409, 3},
    [ERR_TOO_BIG] = {"too_big", "Too big", 413, 3},
    [ERR_UNSUPPORTED] = {"unsupported", "Unsupported type", 415, 3},
    [ERR_QUOTA] = {"quota", "Over quota", 429, 3},
    [ERR_REFUSED] = {"refused", "File refused", 422, 2},
    [ERR_LIMIT] = {"limit", "Over a limit", 413, 3},
    [ERR_MEMORY] = {"memory", "Out of memory", 503, 3},
    [ERR_IO] = {"io", "Input/output error", 500, 3},
    [ERR_NOSPACE] = {"no_space", "Storage full", 507, 3},
    [ERR_CORRUPT] = {"corrupt", "Corrupt data", 500, 3},
    [ERR_VERSION] = {"version", "Newer format", 500, 3},
    [ERR_BUSY] = {"busy", "Busy", 503, 3},
    [ERR_UNAVAILABLE] = {"unavailable", "Service unavailable", 503, 3},
    [ERR_TIMEOUT] = {"timeout", "Timed out", 504, 3},
    [ERR_INTERRUPTED] = {"interrupted", "Interrupted", 503, 4},
    [ERR_FENCED] = {"fenced", "Fenced by a newer worker", 409, 3},
    [ERR_INTERNAL] = {"internal", "Internal error", 500, 3},
};

const struct err_info *err_info(enum err_code code)
{
	return &infos[(unsigned)code < ERR_COUNT ? code : ERR_INTERNAL];
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	if (!e)
		return code;
	char text[sizeof e->msg];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	*e = (struct err){.code = code};
	memcpy(e->msg, text, sizeof text);
	return code;
}

static enum err_code code_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case ENOMEM:
		return ERR_MEMORY;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EINTR:
		return ERR_INTERRUPTED;
	default:
		return ERR_IO;
	}
}

enum err_code err_sys(struct err *e, int sys, const char *fmt, ...)
{
	enum err_code code = code_of_errno(sys);
	if (!e)
		return code;
	char text[sizeof e->msg];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	*e = (struct err){.code = code, .sys = sys};
	size_t n = strnlen(text, sizeof text - 1);
	memcpy(e->msg, text, n);
	snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(sys));
	if (code == ERR_NOSPACE) {
		e->retriable = true;
		err_hint(e, "free some space on that file system and try again");
	} else if (sys == EACCES || sys == EPERM) {
		err_hint(e, "run as a user who may do this, or choose another place");
	}
	return code;
}

enum err_code err_hint(struct err *e, const char *fmt, ...)
{
	if (!e)
		return ERR_INTERNAL;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof e->hint, fmt, ap);
	va_end(ap);
	return e->code;
}

enum err_code err_prefix(struct err *e, const char *fmt, ...)
{
	if (!e)
		return ERR_INTERNAL;
	char text[sizeof e->msg];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof text - 3)
		return e->code;
	snprintf(text + n, sizeof text - (size_t)n, ": %.*s", (int)(sizeof text - (size_t)n - 3), e->msg);
	memcpy(e->msg, text, sizeof text);
	return e->code;
}

enum err_code err_oom(struct err *e)
{
	return err_set(e, ERR_MEMORY, "out of memory");
}
