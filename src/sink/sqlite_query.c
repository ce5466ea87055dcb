/*
 * sqlite_query.c: untrusted SQL over the coredms, read-only in four ways: the file is opened read-only, query_only is
 * on, an authorizer admits reading only, and a statement that SQLite does not call read-only is refused. Limits keep
 * hostile statements small; a deadline and a stop flag end long ones.
 */
#include "sink/sqlite.h"

#include "base/clock.h"
#include "base/problems.h"
#include "sink/sqlite_db.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define ATTACH_MAX 10
#define FILES_MAX 1000
#define PROGRESS_OPS 20000
#define VALUE_MAX (128 << 20)
#define SQL_TEXT_MAX (1 << 20)

struct sqlite_query {
	struct arena arena;
	sqlite3 *db;
	sqlite3_stmt *st;
	int64_t deadline_ns; /* 0: none */
	const atomic_bool *stop;
	const char *denied; /* what the authorizer refused, for the message */
	char denied_what[160];
	const char **shared; /* names of tables that several databases have */
	size_t nshared;
	const char *sql;
	char ambiguous[160];
};

/* ---- what a statement may do */

static int deny(struct sqlite_query *q, const char *why, const char *what)
{
	q->denied = why;
	snprintf(q->denied_what, sizeof q->denied_what, "%s", what ? what : "");
	return SQLITE_DENY;
}

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++) {
		if (s && strcasecmp(s, *list) == 0)
			return true;
	}
	return false;
}

/* Does the statement say "schema." anywhere, quoted or not? */
static bool says_schema(const char *sql, const char *schema)
{
	size_t n = strlen(schema);
	for (const char *p = sql; (p = strcasestr(p, schema)); p += n) {
		const char *q = p + n;
		q += *q == '"' || *q == ']' || *q == '`';
		q += strspn(q, " \t\n");
		if (*q == '.')
			return true;
	}
	return false;
}

/* SQLite would silently take the first. */
static int read_table(struct sqlite_query *q, const char *table, const char *schema)
{
	for (size_t i = 0; table && i < q->nshared; i++) {
		if (strcasecmp(q->shared[i], table) != 0 || (schema && says_schema(q->sql, schema)))
			continue;
		/* Without a schema: a table of which no column is used, named without one. */
		snprintf(q->ambiguous, sizeof q->ambiguous, "%s.%s", schema ? schema : sqlite3_db_name(q->db, 0),
			 table);
		return deny(q, "", table);
	}
	return SQLITE_OK;
}

static int authorize(void *arg, int action, const char *a, const char *b, const char *schema, const char *trigger)
{
	static const char *const pragmas[] = {"table_info", "table_xinfo", "table_list", "index_list",
					      "index_info", "index_xinfo", NULL};
	static const char *const functions[] = {"load_extension", "readfile", "writefile", "edit",
						"fts3_tokenizer", "fts5",     NULL};
	struct sqlite_query *q = arg;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_READ:
		return read_table(q, a, schema);
	case SQLITE_FUNCTION:
		return one_of(b, functions) ? deny(q, "function", b) : SQLITE_OK;
	case SQLITE_PRAGMA:
		return one_of(a, pragmas) ? SQLITE_OK : deny(q, "PRAGMA", a);
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
		return deny(q, "ATTACH and DETACH", NULL);
	default:
		return deny(q, "what this statement does", NULL);
	}
}

static int progress(void *arg)
{
	struct sqlite_query *q = arg;
	return (q->stop && atomic_load_explicit(q->stop, memory_order_relaxed)) ||
	       (q->deadline_ns && clock_mono_ns() > q->deadline_ns);
}

void sqlite_query_limit(struct sqlite_query *q, double seconds, const atomic_bool *stop)
{
	q->deadline_ns = seconds > 0 ? clock_mono_ns() + (int64_t)(seconds * 1e9) : 0;
	q->stop = stop;
	sqlite3_progress_handler(q->db, seconds > 0 || stop ? PROGRESS_OPS : 0, progress, q);
}

/* ---- errors */

/* The line of the statement around byte `at`, with a caret under it. */
static void show_place(const char *sql, int at, struct buf *out)
{
	const char *p = sql + at, *from = p, *to = p;
	while (from > sql && from[-1] != '\n' && p - from < 60)
		from--;
	while (from > sql && ((unsigned char)*from & 0xc0) == 0x80)
		from--;
	while (*to && *to != '\n' && to - p < 40)
		to++;
	while (to > p && ((unsigned char)*to & 0xc0) == 0x80)
		to--;
	int line = 1;
	for (const char *c = sql; c < from; c++)
		line += *c == '\n';
	buf_printf(out, "\n  %d | ", line);
	for (const char *c = from; c < to; c++)
		buf_char(out, *c == '\t' ? ' ' : *c);
	buf_printf(out, "\n  %*s   ", snprintf(NULL, 0, "%d", line), "");
	for (const char *c = from; c < p; c++) {
		if (((unsigned char)*c & 0xc0) != 0x80)
			buf_char(out, ' ');
	}
	buf_char(out, '^');
}

/* All tables of the attached databases, for "no such table". */
static void hint_tables(struct sqlite_query *q, struct err *e)
{
	sqlite3_stmt *st;
	struct buf b;
	int n = 0;
	sqlite3_set_authorizer(q->db, NULL, NULL);
	if (sqlite3_prepare_v2(q->db,
			       "SELECT schema, name FROM pragma_table_list WHERE type='table' AND schema<>'temp' AND"
			       " name NOT LIKE '\\_mysimbdp%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
			       " ORDER BY 1,2 LIMIT 13",
			       -1, &st, NULL))
		return;
	buf_init(&b, sizeof e->hint - 32);
	while (sqlite3_step(st) == SQLITE_ROW)
		buf_printf(&b, "%s%s.%s", n++ ? ", " : "", sqlite3_column_text(st, 0), sqlite3_column_text(st, 1));
	sqlite3_finalize(st);
	err_hint(e, "%s%s%s", n ? "there are: " : "there are no tables yet", buf_cstr(&b),
		 n > 12 || b.failed ? " ..." : "");
	buf_done(&b);
}

static enum err_code sql_err(struct sqlite_query *q, const char *sql, int rc, struct err *e)
{
	const char *msg = sqlite3_errmsg(q->db);
	struct buf b;
	enum err_code code;
	if ((rc & 0xff) == SQLITE_AUTH && *q->ambiguous) {
		code = err_set(e, ERR_INVALID, "several key spaces have a table \"%s\"; say which, as in %s",
			       q->denied_what, q->ambiguous);
		hint_tables(q, e);
		return code;
	}
	if ((rc & 0xff) == SQLITE_AUTH && q->denied) {
		code = err_set(e, ERR_DENIED, "a query only reads: %s%s%s is refused", q->denied,
			       *q->denied_what ? " " : "", q->denied_what);
		err_hint(e, "give one SELECT statement");
		return code;
	}
	if ((rc & 0xff) != SQLITE_ERROR)
		return sqlite_db_err(q->db, rc, "query", e);
	buf_init(&b, sizeof e->msg - 1);
	buf_printf(&b, "SQL: %.200s", msg);
	int at = sqlite3_error_offset(q->db);
	if (sql && at >= 0 && (size_t)at <= strlen(sql))
		show_place(sql, at, &b);
	code = err_set(e, ERR_INVALID, "%s", buf_cstr(&b));
	buf_done(&b);
	if (strncmp(msg, "no such table", 13) == 0)
		hint_tables(q, e);
	return code;
}

/* ---- databases */

struct db_file {
	char *path, *name;
	bool named; /* the statement mentions it */
};

static int by_use_and_name(const void *a, const void *b)
{
	const struct db_file *x = a, *y = b;
	return x->named != y->named ? (x->named ? -1 : 1) : strcmp(x->name, y->name);
}

static enum err_code list_files(struct arena *a, const char *dir, const char *sql, struct db_file **ret, size_t *ret_n,
				struct err *e)
{
	struct db_file *f = arena_array(a, FILES_MAX, sizeof *f);
	DIR *d = opendir(dir);
	size_t n = 0;
	if (!f || !d) {
		enum err_code rc = f ? err_sys(e, errno, "open directory \"%s\"", dir) : err_oom(e);
		if (d)
			closedir(d);
		return rc;
	}
	for (struct dirent *en; n < FILES_MAX && (en = readdir(d));) {
		size_t len = strlen(en->d_name);
		if (len < 4 || en->d_name[0] == '.' || strcmp(en->d_name + len - 3, ".db") != 0)
			continue;
		f[n].path = arena_printf(a, "%s/%s", dir, en->d_name);
		f[n].name = arena_strndup(a, en->d_name, len - 3);
		if (!f[n].path || !f[n].name) {
			closedir(d);
			return err_oom(e);
		}
		f[n].named = strcasestr(sql, f[n].name) != NULL;
		n++;
	}
	closedir(d);
	if (n == 0) {
		enum err_code rc = err_set(e, ERR_NOT_FOUND, "no database in \"%s\"", dir);
		err_hint(e, "nothing was delivered there yet");
		return rc;
	}
	qsort(f, n, sizeof *f, by_use_and_name);
	*ret = f;
	*ret_n = n;
	return ERR_OK;
}

static enum err_code find_files(struct arena *a, const char *where, const char *sql, struct db_file **ret,
				size_t *ret_n, struct err *e)
{
	struct stat st;
	if (stat(where, &st))
		return err_sys(e, errno, "open \"%s\"", where);
	if (S_ISDIR(st.st_mode))
		return list_files(a, where, sql, ret, ret_n, e);
	struct db_file *f = arena_array(a, 1, sizeof *f);
	const char *slash = strrchr(where, '/'), *base = slash ? slash + 1 : where, *dot = strrchr(base, '.');
	if (!f || !(f->path = arena_strdup(a, where)) ||
	    !(f->name = arena_strndup(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base))))
		return err_oom(e);
	*ret = f;
	*ret_n = 1;
	return ERR_OK;
}

static enum err_code attach(struct sqlite_query *q, const struct db_file *f, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = sqlite_db_prepare(q->db, "ATTACH ?1 AS ?2", &st, e);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 1, f->path, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, f->name, -1, SQLITE_STATIC);
	int step = sqlite3_step(st);
	if (step != SQLITE_DONE) {
		rc = sqlite_db_err(q->db, step, "attach", e);
		err_prefix(e, "\"%s\"", f->path);
	}
	sqlite3_finalize(st);
	return rc;
}

static enum err_code find_shared(struct sqlite_query *q, struct err *e)
{
	sqlite3_stmt *st;
	size_t room = 0;
	int step;
	enum err_code rc =
	    sqlite_db_prepare(q->db,
			      "SELECT lower(name) FROM pragma_table_list WHERE name NOT LIKE 'sqlite\\_%'"
			      " ESCAPE '\\' GROUP BY 1 HAVING count(*)>1",
			      &st, e);
	while (rc == ERR_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		if (q->nshared == room) {
			const char **more = arena_array(&q->arena, room = room ? room * 2 : 16, sizeof *more);
			if (!more) {
				rc = err_oom(e);
				break;
			}
			if (q->nshared)
				memcpy(more, q->shared, q->nshared * sizeof *more);
			q->shared = more;
		}
		const char *name = (const char *)sqlite3_column_text(st, 0);
		q->shared[q->nshared] = name ? arena_strdup(&q->arena, name) : NULL;
		if (!q->shared[q->nshared++])
			rc = err_oom(e);
	}
	if (rc == ERR_OK && step != SQLITE_DONE)
		rc = sqlite_db_err(q->db, step, "list the tables", e);
	sqlite3_finalize(st);
	return rc;
}

static void restrict_db(struct sqlite_query *q)
{
	static const int limits[][2] = {
	    {SQLITE_LIMIT_LENGTH, VALUE_MAX},
	    {SQLITE_LIMIT_SQL_LENGTH, SQL_TEXT_MAX},
	    {SQLITE_LIMIT_COLUMN, 2000},
	    {SQLITE_LIMIT_EXPR_DEPTH, 200},
	    {SQLITE_LIMIT_COMPOUND_SELECT, 50},
	    {SQLITE_LIMIT_VDBE_OP, 250000},
	    {SQLITE_LIMIT_FUNCTION_ARG, 64},
	    {SQLITE_LIMIT_ATTACHED, 0},
	    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
	    {SQLITE_LIMIT_VARIABLE_NUMBER, 0},
	    {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
	    {SQLITE_LIMIT_WORKER_THREADS, 0},
	};
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		sqlite3_limit(q->db, limits[i][0], limits[i][1]);
	sqlite3_db_config(q->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(q->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_set_authorizer(q->db, authorize, q);
}

static enum err_code open_all(struct sqlite_query *q, const char *where, const char *sql, struct err *e)
{
	struct db_file *f = NULL;
	size_t n = 0;
	enum err_code rc = find_files(&q->arena, where, sql, &f, &n, e);
	if (rc == ERR_OK)
		rc = sqlite_db_open_query(f[0].path, &q->db, e);
	if (rc)
		return rc;
	sqlite3_db_config(q->db, SQLITE_DBCONFIG_MAINDBNAME, f[0].name);
	for (size_t i = 1; i < n && i <= ATTACH_MAX; i++) {
		if ((rc = attach(q, &f[i], e)))
			return rc;
	}
	rc = sqlite_db_exec(q->db, "PRAGMA query_only=1; PRAGMA cache_size=-8192", e);
	if (rc == ERR_OK && n > 1)
		rc = find_shared(q, e);
	if (rc == ERR_OK)
		restrict_db(q);
	return rc;
}

/* ---- the statement */

static enum err_code prepare(struct sqlite_query *q, const char *sql, struct err *e)
{
	const char *tail;
	sqlite3_stmt *second = NULL;
	size_t n = strlen(sql);
	if (n > SQL_TEXT_MAX)
		return err_set(e, ERR_TOO_BIG, "the statement has %zu bytes, at most %d are allowed", n, SQL_TEXT_MAX);
	int rc = sqlite3_prepare_v3(q->db, sql, -1, 0, &q->st, &tail);
	if (rc)
		return sql_err(q, sql, rc, e);
	if (!q->st)
		return err_set(e, ERR_INVALID, "there is no SQL statement");
	if (!sqlite3_stmt_readonly(q->st))
		return err_set(e, ERR_DENIED, "a query only reads: what this statement does is refused");
	while (isspace((unsigned char)*tail) || *tail == ';')
		tail++;
	rc = *tail ? sqlite3_prepare_v3(q->db, tail, -1, 0, &second, NULL) : SQLITE_OK;
	sqlite3_finalize(second);
	if (rc || second) {
		struct buf b;
		buf_init(&b, sizeof e->msg - 1);
		buf_str(&b, "one statement at a time; a second begins here:");
		show_place(sql, (int)(tail - sql), &b);
		enum err_code code = err_set(e, ERR_INVALID, "%s", buf_cstr(&b));
		buf_done(&b);
		return code;
	}
	return ERR_OK;
}

enum err_code sqlite_query_open(const char *dir_or_file, const char *sql, struct sqlite_query **ret, struct err *e)
{
	struct sqlite_query *q = calloc(1, sizeof *q);
	if (!q)
		return err_oom(e);
	arena_init(&q->arena, 4 << 20);
	q->sql = sql; /* for as long as it is being prepared */
	enum err_code rc = open_all(q, dir_or_file, sql, e);
	if (rc == ERR_OK)
		rc = prepare(q, sql, e);
	if (rc) {
		sqlite_query_close(q);
		return rc;
	}
	*ret = q;
	return ERR_OK;
}

int sqlite_query_columns(const struct sqlite_query *q)
{
	return sqlite3_column_count(q->st);
}

const char *sqlite_query_column(const struct sqlite_query *q, int i)
{
	const char *name = sqlite3_column_name(q->st, i);
	return name ? name : "";
}

enum err_code sqlite_query_next(struct sqlite_query *q, bool *ret_row, struct err *e)
{
	int rc = sqlite3_step(q->st);
	*ret_row = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return ERR_OK;
	if ((rc & 0xff) == SQLITE_INTERRUPT && q->stop && atomic_load(q->stop))
		return err_set(e, ERR_INTERRUPTED, "the query was interrupted");
	if ((rc & 0xff) == SQLITE_INTERRUPT)
		return err_set(e, ERR_TIMEOUT, "the query took longer than allowed");
	if ((rc & 0xff) == SQLITE_TOOBIG)
		return err_set(e, ERR_LIMIT, "a value of the query is longer than %d bytes", VALUE_MAX);
	return sql_err(q, NULL, rc, e);
}

struct query_value sqlite_query_value(const struct sqlite_query *q, int i)
{
	struct query_value v = {QUERY_NULL, 0, 0, {0}};
	const char *decl = sqlite3_column_decltype(q->st, i);
	switch (sqlite3_column_type(q->st, i)) {
	case SQLITE_INTEGER:
		v.i = sqlite3_column_int64(q->st, i);
		v.type = decl && strcasecmp(decl, "BOOLEAN") == 0 && (v.i == 0 || v.i == 1) ? QUERY_BOOL : QUERY_INT;
		break;
	case SQLITE_FLOAT:
		v.d = sqlite3_column_double(q->st, i);
		v.type = decl && strcasecmp(decl, "FLOAT") == 0 ? QUERY_FLOAT : QUERY_REAL;
		break;
	case SQLITE_TEXT:
		v.type = QUERY_TEXT;
		v.s.p = (const char *)sqlite3_column_text(q->st, i);
		v.s.n = v.s.p ? (size_t)sqlite3_column_bytes(q->st, i) : 0;
		break;
	case SQLITE_BLOB:
		v.type = QUERY_BLOB;
		v.s.p = sqlite3_column_blob(q->st, i);
		v.s.n = v.s.p ? (size_t)sqlite3_column_bytes(q->st, i) : 0;
		break;
	default:
		break;
	}
	return v;
}

void sqlite_query_close(struct sqlite_query *q)
{
	if (!q)
		return;
	sqlite3_finalize(q->st);
	sqlite3_close(q->db);
	arena_done(&q->arena);
	free(q);
}
