/*
 * err.h: how a function says that it failed.
 *
 *   struct err e = {0};
 *   if (file_open(path, &f, &e))
 *       return err_prefix(&e, "open the ledger");
 *
 * The caller owns the struct; it is a fixed-size value, so failing allocates nothing. A function returns the code (0
 * is success) and fills the struct only when it fails. Messages read outside-in, in lower case, quote names with
 * "..." and say what was found and what is allowed; the hint says what to do. Library code never logs: the outermost
 * layer prints or logs the error once.
 *
 * Bad data is not an error: see record/defect.h.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum err_code {
	ERR_OK = 0,
	ERR_USAGE,    /* the command line is wrong */
	ERR_CONFIG,   /* the configuration is wrong */
	ERR_DOCUMENT, /* a tenant's document is wrong */
	ERR_INVALID,  /* a request or a value is wrong */
	ERR_AUTH,     /* no token, or an unknown one */
	ERR_DENIED,   /* a known caller may not do this */
	ERR_NOT_FOUND,
	ERR_CONFLICT,	 /* the state of the thing does not allow it now */
	ERR_TOO_BIG,	 /* over a declared size */
	ERR_UNSUPPORTED, /* a type or form we do not take */
	ERR_QUOTA,	 /* over a declared rate or count */
	ERR_REFUSED,	 /* a file broke a file-level rule or a budget */
	ERR_LIMIT,	 /* a memory or length limit of ours */
	ERR_MEMORY,	 /* the system has no memory */
	ERR_IO,		 /* the system refused a read, a write, a start */
	ERR_NOSPACE,	 /* a full disk or a disk quota */
	ERR_CORRUPT,	 /* what we wrote is not what we read */
	ERR_VERSION,	 /* a database of a newer format */
	ERR_BUSY,	 /* somebody else holds it */
	ERR_UNAVAILABLE, /* a service does not answer */
	ERR_TIMEOUT,
	ERR_INTERRUPTED, /* a signal asked us to stop; what was done is kept */
	ERR_FENCED,	 /* a newer incarnation of us is at work */
	ERR_INTERNAL,	 /* a bug of ours */
	ERR_COUNT
};

struct err {
	enum err_code code;
	bool retriable; /* trying the same again may succeed */
	int sys;	/* errno, or 0 */
	char msg[768];
	char hint[384];
};

struct err_info {
	const char *name;  /* "not_found": metric label, problem type, JSON */
	const char *title; /* "Not found" */
	int http;	   /* HTTP status */
	int exit;	   /* process exit code */
};

/* Facts of a code; never NULL. */
const struct err_info *err_info(enum err_code code);

/* Fill *e and return the code, so that a failing path is one line. e may be NULL. */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set, with the text of sys behind the message. ENOSPC and EDQUOT become ERR_NOSPACE, ENOMEM ERR_MEMORY,
 * ENOENT ERR_NOT_FOUND, EACCES and EPERM keep ERR_IO with a hint. */
enum err_code err_sys(struct err *e, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What the user can do about it; returns e->code. */
enum err_code err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "text: " before the message; returns e->code. */
enum err_code err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum err_code err_oom(struct err *e);

#define MUST_USE __attribute__((warn_unused_result))

#endif
