/*
 * sqlite_db.c: see sqlite_db.h.
 *
 * PRAGMA application_id tells our files from others, PRAGMA user_version is the format number: how many migrations ran.
 * A program that raises the format writes the release needed to read it into _mysimbdp_meta ('needs').
 */
#include "sink/sqlite_db.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pages are large and few in the cache: rows come in key order. FULL: a commit is on disk when it returns. The log is
 * emptied by the sink (sqlite.c), which wants to know how long it is. */
#define SETTINGS                                                                                                       \
	"PRAGMA synchronous=FULL; PRAGMA cache_size=-2048; PRAGMA wal_autocheckpoint=0;"                               \
	"PRAGMA journal_size_limit=33554432; PRAGMA foreign_keys=OFF; PRAGMA secure_delete=OFF; PRAGMA "               \
	"trusted_schema=OFF;"

/* Entry n makes format n + 1 out of format n. Never change an entry that was released. */
static const char *const migrations[SQLITE_DB_FORMAT] = {
    "CREATE TABLE _mysimbdp_meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "INSERT INTO _mysimbdp_meta VALUES('needs', '" MYSIMBDP_VERSION "'), ('epoch', 0);"
    "CREATE TABLE _mysimbdp_table(name TEXT PRIMARY KEY COLLATE NOCASE, key TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE _mysimbdp_column(tbl TEXT NOT NULL COLLATE NOCASE, n INTEGER NOT NULL, name TEXT NOT NULL,"
    " type TEXT NOT NULL, PRIMARY KEY(tbl, n)) WITHOUT ROWID;"
    "CREATE TABLE _mysimbdp_position(file INTEGER PRIMARY KEY, name TEXT NOT NULL, tbl TEXT NOT NULL COLLATE NOCASE,"
    " position INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, version_base INTEGER NOT NULL,"
    " version_top INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,"
    " superseded INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX _mysimbdp_position_top ON _mysimbdp_position(tbl, version_top);",
};

enum err_code sqlite_db_path(const char *dir, const char *key_space, struct arena *a, char **ret, struct err *e)
{
	if (!*key_space || *key_space == '.' || strchr(key_space, '/'))
		return err_set(e, ERR_INVALID, "key space \"%s\" is no name of a database", key_space);
	*ret = arena_printf(a, "%s/%s.db", dir, key_space);
	return *ret ? ERR_OK : err_oom(e);
}

/* ---- errors */

static enum err_code io_err(sqlite3 *db, const char *path, const char *what, struct err *e)
{
	int sys = sqlite3_system_errno(db);
	if (sys)
		return err_sys(e, sys, "%s: %s: %s", path, what, sqlite3_errmsg(db));
	return err_set(e, ERR_IO, "%s: %s: %s", path, what, sqlite3_errmsg(db));
}

enum err_code sqlite_db_err(sqlite3 *db, int rc, const char *what, struct err *e)
{
	const char *path = db ? sqlite3_db_filename(db, "main") : NULL,
		   *msg = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	enum err_code code;
	path = path ? path : "database";
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = err_set(e, ERR_BUSY, "%s: %s: %s", path, what, msg);
		if (e)
			e->retriable = true;
		err_hint(e, "another program is writing to this database; it has to end its transaction first");
		return code;
	case SQLITE_FULL:
		return err_sys(e, ENOSPC, "%s: %s", path, what);
	case SQLITE_NOMEM:
		return err_oom(e);
	case SQLITE_IOERR:
		return (rc == SQLITE_IOERR_NOMEM) ? err_oom(e) : io_err(db, path, what, e);
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return io_err(db, path, what, e);
	case SQLITE_READONLY:
		code = err_set(e, ERR_IO, "%s: %s: %s", path, what, msg);
		err_hint(e, "make the file and its directory writable for this user");
		return code;
	case SQLITE_NOTADB:
		code = err_set(e, ERR_CORRUPT, "%s: %s: this is no SQLite database", path, what);
		err_hint(e, "move the file away, or choose another directory");
		return code;
	case SQLITE_CORRUPT:
		code = err_set(e, ERR_CORRUPT, "%s: %s: %s", path, what, msg);
		err_hint(
		    e,
		    "look at it with: sqlite3 FILE 'PRAGMA integrity_check'; restore it, or move it away and deliver "
		    "the retained files again");
		return code;
	case SQLITE_INTERRUPT:
		return err_set(e, ERR_INTERRUPTED, "%s: %s: interrupted", path, what);
	case SQLITE_TOOBIG:
		return err_set(e, ERR_LIMIT, "%s: %s: %s", path, what, msg);
	default:
		return err_set(e, ERR_INTERNAL, "%s: %s: %s (%d)", path, what, msg, rc);
	}
}

/* ---- small helpers */

enum err_code sqlite_db_exec(sqlite3 *db, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return ERR_OK;
	char what[48];
	size_t n = strcspn(sql, "(;\n");
	if (n >= sizeof what)
		n = sizeof what - 1;
	memcpy(what, sql, n);
	what[n] = 0;
	return sqlite_db_err(db, rc, what, e);
}

enum err_code sqlite_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
	return rc == SQLITE_OK ? ERR_OK : sqlite_db_err(db, rc, "prepare", e);
}

enum err_code sqlite_db_run(sqlite3 *db, sqlite3_stmt *st, struct err *e)
{
	int rc = sqlite3_step(st);
	enum err_code code = rc == SQLITE_DONE ? ERR_OK : sqlite_db_err(db, rc, "write", e);
	sqlite3_reset(st);
	return code;
}

enum err_code sqlite_db_int(sqlite3 *db, sqlite3_stmt *st, int64_t *ret, bool *ret_found, struct err *e)
{
	int rc = sqlite3_step(st);
	enum err_code code = ERR_OK;
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	else if (rc != SQLITE_DONE)
		code = sqlite_db_err(db, rc, "read", e);
	if (ret_found)
		*ret_found = rc == SQLITE_ROW;
	sqlite3_reset(st);
	return code;
}

void sqlite_db_rollback(sqlite3 *db)
{
	if (db && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

static void quoted(struct buf *b, const char *s, char quote)
{
	buf_char(b, quote);
	for (; *s; s++) {
		if (*s == quote)
			buf_char(b, quote);
		buf_char(b, *s);
	}
	buf_char(b, quote);
}

void sql_name(struct buf *b, const char *name)
{
	quoted(b, name, '"');
}

void sql_text(struct buf *b, const char *text)
{
	quoted(b, text, '\'');
}

/* ---- format */

static enum err_code one_int(sqlite3 *db, const char *sql, int64_t *ret, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = sqlite_db_prepare(db, sql, &st, e);
	if (rc)
		return rc;
	rc = sqlite_db_int(db, st, ret, NULL, e);
	sqlite3_finalize(st);
	return rc;
}

static enum err_code too_new(sqlite3 *db, int64_t format, struct err *e)
{
	char needs[64] = "a newer";
	sqlite3_stmt *st;
	if (sqlite3_prepare_v2(db, "SELECT value FROM _mysimbdp_meta WHERE name='needs'", -1, &st, NULL) == SQLITE_OK) {
		const char *t = sqlite3_step(st) == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
		if (t)
			snprintf(needs, sizeof needs, "%s", t);
	}
	sqlite3_finalize(st);
	enum err_code code =
	    err_set(e, ERR_VERSION, "%s has format %lld, this mysimbdp " MYSIMBDP_VERSION " knows formats up to %d",
		    sqlite3_db_filename(db, "main"), (long long)format, SQLITE_DB_FORMAT);
	err_hint(e, "use mysimbdp %s or later", needs);
	return code;
}

/* What the file is: *ret_format is -1 for an empty one. */
static enum err_code format_read(sqlite3 *db, int64_t *ret_format, struct err *e)
{
	int64_t app = 0, format = 0, tables = 0;
	enum err_code rc;
	if ((rc = one_int(db, "SELECT count(*) FROM sqlite_schema", &tables, e)) ||
	    (rc = one_int(db, "PRAGMA application_id", &app, e)) ||
	    (rc = one_int(db, "PRAGMA user_version", &format, e)))
		return rc;
	if (app == 0 && format == 0 && tables == 0) {
		*ret_format = -1;
		return ERR_OK;
	}
	if (app != SQLITE_DB_APPLICATION) {
		rc = err_set(e, ERR_CONFLICT,
			     "%s is an SQLite database of another program (application_id %lld, %lld tables)",
			     sqlite3_db_filename(db, "main"), (long long)app, (long long)tables);
		err_hint(e, "choose another directory or key space, or move the file away");
		return rc;
	}
	if (format > SQLITE_DB_FORMAT)
		return too_new(db, format, e);
	*ret_format = format;
	return ERR_OK;
}

/* Under the write lock, since another process may be at the same work. */
static enum err_code migrate(sqlite3 *db, struct err *e)
{
	char sql[96];
	int64_t format = 0;
	enum err_code rc = sqlite_db_exec(db, "BEGIN IMMEDIATE", e);
	if (rc)
		return rc;
	rc = format_read(db, &format, e);
	for (int64_t f = format < 0 ? 0 : format; rc == ERR_OK && f < SQLITE_DB_FORMAT; f++)
		rc = sqlite_db_exec(db, migrations[f], e);
	snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", SQLITE_DB_APPLICATION,
		 SQLITE_DB_FORMAT);
	if (rc == ERR_OK && format < SQLITE_DB_FORMAT)
		rc = sqlite_db_exec(db, sql, e);
	if (rc == ERR_OK)
		rc = sqlite_db_exec(db, "COMMIT", e);
	if (rc)
		sqlite_db_rollback(db);
	return rc;
}

/* ---- opening */

static enum err_code connect(const char *path, int flags, sqlite3 **ret, struct err *e)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc) {
		enum err_code code = db ? sqlite_db_err(db, rc, "open", e) : err_oom(e);
		sqlite3_close(db);
		return code;
	}
	sqlite3_busy_timeout(db, SQLITE_DB_BUSY_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	*ret = db;
	return ERR_OK;
}

/* Other modes would let readers and the writer wait for each other. */
static enum err_code use_wal(sqlite3 *db, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = sqlite_db_prepare(db, "PRAGMA journal_mode=WAL", &st, e);
	if (rc)
		return rc;
	int step = sqlite3_step(st);
	const char *mode = step == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	if (step != SQLITE_ROW) {
		rc = sqlite_db_err(db, step, "turn on the write-ahead log", e);
	} else if (!mode || strcmp(mode, "wal") != 0) {
		rc = err_set(e, ERR_UNSUPPORTED,
			     "%s: the file system can't keep a write-ahead log (journal mode \"%s\")",
			     sqlite3_db_filename(db, "main"), mode ? mode : "");
		err_hint(e, "put the directory on a local file system");
	}
	sqlite3_finalize(st);
	return rc;
}

static enum err_code prepare_for_writing(sqlite3 *db, struct err *e)
{
	int64_t format = 0;
	char sql[64];
	enum err_code rc = format_read(db, &format, e);
	if (rc == ERR_OK && format < 0) {
		snprintf(sql, sizeof sql, "PRAGMA page_size=%d", SQLITE_DB_PAGE);
		rc = sqlite_db_exec(db, sql, e);
	}
	if (rc == ERR_OK)
		rc = use_wal(db, e);
	if (rc == ERR_OK)
		rc = sqlite_db_exec(db, SETTINGS, e);
	if (rc == ERR_OK && format < SQLITE_DB_FORMAT)
		rc = migrate(db, e);
	return rc;
}

enum err_code sqlite_db_open(const char *path, sqlite3 **ret, struct err *e)
{
	sqlite3 *db;
	/* SQLite would make it readable for others; its -wal and -shm files take over the mode. Only a file that nobody
	 * has open yet may be closed here: closing drops this process' locks on it. */
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EEXIST)
		return err_sys(e, errno, "make database \"%s\"", path);
	fd_close(&fd);
	enum err_code rc = connect(path, SQLITE_OPEN_READWRITE, &db, e);
	if (rc)
		return rc;
	if ((rc = prepare_for_writing(db, e))) {
		sqlite3_close(db);
		return rc;
	}
	*ret = db;
	return ERR_OK;
}

static enum err_code open_existing(const char *path, sqlite3 **ret, int64_t *ret_format, struct err *e)
{
	struct stat st;
	if (stat(path, &st))
		return err_sys(e, errno, "open database \"%s\"", path);
	enum err_code rc = connect(path, SQLITE_OPEN_READONLY, ret, e);
	if (rc)
		return rc;
	if ((rc = format_read(*ret, ret_format, e)) && rc != ERR_CONFLICT)
		sqlite3_close(*ret);
	return rc;
}

enum err_code sqlite_db_open_read(const char *path, sqlite3 **ret, struct err *e)
{
	sqlite3 *db;
	int64_t format = 0;
	enum err_code rc = open_existing(path, &db, &format, e);
	if (rc == ERR_OK && format >= 0) {
		*ret = db;
		return ERR_OK;
	}
	if (rc == ERR_OK || rc == ERR_CONFLICT)
		sqlite3_close(db);
	return rc ? rc : err_set(e, ERR_NOT_FOUND, "database \"%s\" is empty", path);
}

enum err_code sqlite_db_open_query(const char *path, sqlite3 **ret, struct err *e)
{
	struct err local = {0};
	int64_t format;
	enum err_code rc = open_existing(path, ret, &format, &local);
	if (rc == ERR_CONFLICT)
		return ERR_OK;
	if (rc && e)
		*e = local;
	return rc;
}
