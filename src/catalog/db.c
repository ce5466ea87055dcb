/* db.c: SQLite connections: opening, format numbers, the statement cache, binding and errors. */
#include "catalog/db.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 10000

enum err_code db_error(struct db *d, int rc, struct err *e)
{
	const char *text = d->h ? sqlite3_errmsg(d->h) : sqlite3_errstr(rc);
	int sys = d->h ? sqlite3_system_errno(d->h) : 0;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return err_sys(e, ENOSPC, "write \"%s\"", d->path);
	case SQLITE_IOERR:
		if (sys == ENOSPC || sys == EDQUOT)
			return err_sys(e, sys, "write \"%s\"", d->path);
		return err_set(e, ERR_IO, "\"%s\": %s%s%s", d->path, text, sys ? ": " : "", sys ? strerror(sys) : "");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		err_set(e, ERR_BUSY, "\"%s\" is locked by another process", d->path);
		if (e)
			e->retriable = true;
		return err_hint(e, "wait for the other mysimbdp to end, or stop it");
	case SQLITE_NOMEM:
		return err_oom(e);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		err_set(e, ERR_CORRUPT, "\"%s\": %s", d->path, text);
		return err_hint(e, "restore it from a copy, or move it away and start anew");
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		err_set(e, ERR_IO, "\"%s\": %s%s%s", d->path, text, sys ? ": " : "", sys ? strerror(sys) : "");
		return err_hint(e, "check who owns the file and its directory");
	case SQLITE_TOOBIG:
		return err_set(e, ERR_LIMIT, "\"%s\": a value is longer than SQLite takes", d->path);
	default:
		return err_set(e, ERR_INTERNAL, "\"%s\": %s (%d)", d->path, text, rc);
	}
}

/* ---- statements */

static enum err_code statement(struct db *d, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	size_t i = ((uintptr_t)sql >> 3) * 0x9E3779B97F4A7C15u >> 32 & (DB_STATEMENTS - 1);
	for (size_t n = 0; n < DB_STATEMENTS; n++, i = (i + 1) & (DB_STATEMENTS - 1)) {
		struct db_cached *c = &d->cache[i];
		if (c->sql == sql) {
			*ret = c->st;
			return ERR_OK;
		}
		if (c->sql)
			continue;
		sqlite3_stmt *st = NULL;
		int rc = sqlite3_prepare_v3(d->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
		if (rc != SQLITE_OK)
			return db_error(d, rc, e);
		*c = (struct db_cached){sql, st};
		*ret = st;
		return ERR_OK;
	}
	return err_set(e, ERR_INTERNAL, "more than %d statements on one connection", DB_STATEMENTS);
}

static int bind_one(sqlite3_stmt *st, int i, char type, va_list *ap)
{
	switch (type) {
	case 'i':
		return sqlite3_bind_int64(st, i, va_arg(*ap, int64_t));
	case 'd':
		return sqlite3_bind_int64(st, i, va_arg(*ap, int));
	case 'f':
		return sqlite3_bind_double(st, i, va_arg(*ap, double));
	case 't': {
		const char *s = va_arg(*ap, const char *);
		return s ? sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC) : sqlite3_bind_null(st, i);
	}
	case 's': {
		struct span s = va_arg(*ap, struct span);
		return sqlite3_bind_text64(st, i, s.p ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
	}
	case 'b': {
		struct span s = va_arg(*ap, struct span);
		return sqlite3_bind_blob64(st, i, s.p ? s.p : "", s.n, SQLITE_STATIC);
	}
	default:
		return SQLITE_MISUSE;
	}
}

static enum err_code bound(struct db *d, const char *sql, const char *types, va_list *ap, sqlite3_stmt **ret,
			   struct err *e)
{
	sqlite3_stmt *st = NULL;
	enum err_code code = statement(d, sql, &st, e);
	if (code)
		return code;
	sqlite3_reset(st);
	if ((int)strlen(types) != sqlite3_bind_parameter_count(st))
		return err_set(e, ERR_INTERNAL, "%zu values for %d parameters of: %.200s", strlen(types),
			       sqlite3_bind_parameter_count(st), sql);
	for (int i = 0; types[i]; i++) {
		int rc = bind_one(st, i + 1, types[i], ap);
		if (rc != SQLITE_OK)
			return db_error(d, rc, e);
	}
	*ret = st;
	return ERR_OK;
}

enum err_code db_exec(struct db *d, struct err *e, const char *sql, const char *types, ...)
{
	va_list ap;
	va_start(ap, types);
	sqlite3_stmt *st;
	enum err_code code = bound(d, sql, types, &ap, &st, e);
	va_end(ap);
	if (code)
		return code;
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		continue;
	if (rc != SQLITE_DONE)
		code = db_error(d, rc, e);
	db_reset(st);
	return code;
}

enum err_code db_query(struct db *d, sqlite3_stmt **ret, struct err *e, const char *sql, const char *types, ...)
{
	va_list ap;
	va_start(ap, types);
	enum err_code code = bound(d, sql, types, &ap, ret, e);
	va_end(ap);
	return code;
}

enum err_code db_next(struct db *d, sqlite3_stmt *st, bool *ret_row, struct err *e)
{
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*ret_row = true;
		return ERR_OK;
	}
	enum err_code code = rc == SQLITE_DONE ? ERR_OK : db_error(d, rc, e);
	db_reset(st);
	if (!code)
		*ret_row = false;
	return code;
}

enum err_code db_int_of(struct db *d, int64_t dflt, int64_t *ret, struct err *e, const char *sql, const char *types,
			...)
{
	va_list ap;
	va_start(ap, types);
	sqlite3_stmt *st;
	enum err_code code = bound(d, sql, types, &ap, &st, e);
	va_end(ap);
	bool row;
	if (code || (code = db_next(d, st, &row, e)))
		return code;
	*ret = row ? db_int(st, 0) : dflt;
	db_reset(st);
	return ERR_OK;
}

/* Bindings point into the caller's memory, which may go before the statement is used again. */
void db_reset(sqlite3_stmt *st)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

void db_reset_all(struct db *d)
{
	for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(d->h, st));) {
		if (sqlite3_stmt_busy(st))
			db_reset(st);
	}
}

int64_t db_changes(const struct db *d)
{
	return sqlite3_changes64(d->h);
}

int64_t db_last_id(const struct db *d)
{
	return sqlite3_last_insert_rowid(d->h);
}

const char *db_text(sqlite3_stmt *st, int col)
{
	const unsigned char *s = sqlite3_column_text(st, col);
	return s ? (const char *)s : "";
}

struct span db_blob(sqlite3_stmt *st, int col)
{
	const void *p = sqlite3_column_blob(st, col);
	int n = sqlite3_column_bytes(st, col);
	return (struct span){p ? p : "", p && n > 0 ? (size_t)n : 0};
}

char *db_text_copy(sqlite3_stmt *st, int col, struct arena *a)
{
	const char *s = db_text(st, col);
	return arena_strndup(a, s, (size_t)sqlite3_column_bytes(st, col));
}

/* ---- opening */

static enum err_code script(struct db *d, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(d->h, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? ERR_OK : db_error(d, rc, e);
}

/* Which program wrote a format newer than ours; "" when it does not say. */
static void writer_of(struct db *d, char out[64])
{
	out[0] = 0;
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(d->h, "SELECT value FROM meta WHERE key = 'program'", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		snprintf(out, 64, "%s", db_text(st, 0));
	sqlite3_finalize(st);
}

static enum err_code too_new(struct db *d, const struct db_format *f, int64_t version, struct err *e)
{
	char program[64];
	writer_of(d, program);
	err_set(e, ERR_VERSION, "%s \"%s\" has format %lld, this mysimbdp " MYSIMBDP_VERSION " knows formats up to %d",
		f->what, d->path, (long long)version, f->nsteps);
	if (program[0])
		return err_hint(e, "use mysimbdp %s or newer", program);
	return err_hint(e, "use the newer mysimbdp that wrote it");
}

/* The format that is there, or an error when the file is somebody else's or too new. */
static enum err_code format_read(struct db *d, const struct db_format *f, int64_t *ret, struct err *e)
{
	int64_t version, id, tables;
	enum err_code code;
	if ((code = db_int_of(d, 0, &version, e, "PRAGMA user_version", "")) ||
	    (code = db_int_of(d, 0, &id, e, "PRAGMA application_id", "")) ||
	    (code = db_int_of(d, 0, &tables, e, "SELECT count(*) FROM sqlite_schema", "")))
		return code;
	if (id != f->application_id && (id != 0 || tables != 0)) {
		err_set(e, ERR_CORRUPT, "\"%s\" is no %s of mysimbdp but some other SQLite database", d->path, f->what);
		return err_hint(e, "choose another directory");
	}
	if (version > f->nsteps)
		return too_new(d, f, version, e);
	*ret = version;
	return ERR_OK;
}

static enum err_code migrate_steps(struct db *d, const struct db_format *f, struct err *e)
{
	int64_t from, now;
	enum err_code code = format_read(d, f, &from, e); /* again: another process may have been faster */
	for (int64_t v = from; !code && v < f->nsteps; v++) {
		code = script(d, f->steps[v], e);
		if (code)
			return err_prefix(e, "bring the %s from format %lld to %lld", f->what, (long long)v,
					  (long long)v + 1);
	}
	if (code || (code = db_int_of(d, 0, &now, e, "PRAGMA user_version", "")))
		return code;
	if (now != f->nsteps)
		return err_set(e, ERR_INTERNAL, "steps of the %s end at format %lld instead of %d", f->what,
			       (long long)now, f->nsteps);
	return db_exec(d, e,
		       "INSERT INTO meta(key, value) VALUES('program', ?1) "
		       "ON CONFLICT(key) DO UPDATE SET value = excluded.value",
		       "t", MYSIMBDP_VERSION);
}

static enum err_code migrate(struct db *d, const struct db_format *f, struct err *e)
{
	enum err_code code = script(d, "BEGIN IMMEDIATE", e);
	if (code)
		return code;
	code = migrate_steps(d, f, e);
	if (!code)
		code = script(d, "COMMIT", e);
	if (code)
		sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

static enum err_code setup(struct db *d, const struct db_format *f, enum db_mode mode, struct err *e)
{
	int64_t version;
	sqlite3_busy_timeout(d->h, BUSY_TIMEOUT_MS);
	sqlite3_extended_result_codes(d->h, 1);
	enum err_code code = format_read(d, f, &version, e);
	if (code)
		return code;
	if (mode == DB_READ) {
		if (version < f->nsteps)
			return err_set(e, ERR_VERSION,
				       "%s \"%s\" has format %lld, format %d is needed; start mysimbdp "
				       "once with it to bring it up to date",
				       f->what, d->path, (long long)version, f->nsteps);
		return script(d, "PRAGMA query_only = 1", e);
	}
	code = script(d, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = 0;", e);
	return !code && version < f->nsteps ? migrate(d, f, e) : code;
}

/* Made by us first, so that the file and its -wal and -shm beside it are private from birth. Never opened when it
 * exists: closing a second descriptor would drop the locks that this process holds on it (fcntl(2)). */
static enum err_code make_private(const char *path, struct err *e)
{
	if (access(path, F_OK) == 0)
		return ERR_OK;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EEXIST)
		return err_sys(e, errno, "make \"%s\"", path);
	fd_close(&fd);
	return ERR_OK;
}

enum err_code db_open(const char *path, const struct db_format *f, enum db_mode mode, struct db **ret, struct err *e)
{
	enum err_code code = ERR_OK;
	if (mode == DB_WRITE)
		code = make_private(path, e);
	else if (access(path, F_OK) != 0)
		code = err_sys(e, errno, "open %s \"%s\"", f->what, path);
	if (code)
		return code;
	struct db *d = calloc(1, sizeof *d);
	if (!d || !(d->path = strdup(path))) {
		free(d);
		return err_oom(e);
	}
	/* Reading a WAL database needs its -shm, so readers too open it for writing; query_only keeps them honest. */
	int rc = sqlite3_open_v2(path, &d->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK && mode == DB_READ) {
		sqlite3_close(d->h);
		rc = sqlite3_open_v2(path, &d->h, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	}
	code = rc == SQLITE_OK ? setup(d, f, mode, e) : db_error(d, rc, e);
	if (code) {
		db_close(d);
		return code;
	}
	*ret = d;
	return ERR_OK;
}

void db_close(struct db *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < DB_STATEMENTS; i++)
		sqlite3_finalize(d->cache[i].st);
	sqlite3_close(d->h);
	free(d->path);
	free(d);
}
