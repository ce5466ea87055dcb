/*
 * sqlite.c: the SQLite coredms as a sink.
 *
 * Rows come in key order and go in through a virtual table (sqlite_vtab.h), some thousand a statement. Two statements:
 *   replace  a plain REPLACE without looking at the old row; right when every row of this file is newer than all that
 *            other files wrote, and none of this file was there before this begin
 *   upsert   compares versions row by row; for re-runs, replays and resumed files
 * Which one is decided under the write lock of each transaction, from the highest version of each file in
 * _mysimbdp_position. The same lock guards the comparison of epochs.
 *
 * Both look up each key from the root. Where the file has many of the keys that are stored, a third statement goes
 * first: scan     walks the stored rows between the first and the last key of some thousand rows and changes those it
 * meets in place; what it did not meet is left to the others A sample of each lot tells whether that pays.
 *
 * The write-ahead log is copied back after each commit that leaves WAL_PAGES in it. A reader that holds an old snapshot
 * keeps it from being emptied; over the limit writes are refused until the reader is gone.
 */
#include "sink/sqlite.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "sink/sink.h"
#include "sink/sqlite_db.h"
#include "sink/sqlite_table.h"
#include "sink/sqlite_vtab.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAL_PAGES 1000
#define WAL_LIMIT (UINT64_C(256) << 20)
#define SQL_MAX (1u << 20)

/* Rows of a sample, and how many stored rows may lie among them for a scan to pay: passing one costs about a fifth of
 * looking a key up. */
#define SAMPLE 256u
#define SCAN_RATIO 3u

struct sink {
	struct arena arena;
	const struct data_file *df;
	char *path;
	sqlite3 *db;
	struct rows_source *rows;
	sqlite3_stmt *begin, *commit, *epoch, *others_top, *position;
	sqlite3_stmt *replace, *upsert;
	sqlite3_stmt *sample, *scan_replace, *scan_upsert; /* NULL for append tables */

	struct sink_file file; /* name is not kept */
	bool begun, fresh;     /* fresh: no row of this file was in the store at begin */
	bool in_tx, replacing;
	uint64_t tx_rows, tx_superseded;
	int64_t tx_top; /* highest version written */

	uint64_t wal_pages, wal_limit;
	bool blocked;
};

static enum err_code fault(const char *name, const char *path, struct err *e)
{
	errno = EIO;
	return fault_hit(name) ? err_sys(e, errno, "%s: fault point %s", path, name) : ERR_OK;
}

/* ---- the write-ahead log */

static int wal_hook(void *arg, sqlite3 *db, const char *schema, int pages)
{
	struct sink *s = arg;
	s->wal_pages = (uint64_t)pages;
	return SQLITE_OK;
}

/* After a commit. Failing is no loss: all is in the log, and the next commit tries again. */
static void wal_copy_back(struct sink *s)
{
	int pages, copied;
	if (s->wal_pages < WAL_PAGES)
		return;
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied) == SQLITE_OK &&
	    pages >= 0)
		s->wal_pages = (uint64_t)pages;
}

/* Before a transaction: may the log grow further? */
static enum err_code wal_check(struct sink *s, struct err *e)
{
	uint64_t bytes = s->wal_pages * SQLITE_DB_PAGE;
	if (bytes > s->wal_limit) {
		sqlite3_busy_timeout(s->db, 0);
		int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
		sqlite3_busy_timeout(s->db, SQLITE_DB_BUSY_MS);
		if (rc == SQLITE_OK) {
			s->wal_pages = 0;
		} else if ((rc & 0xff) != SQLITE_BUSY) {
			return sqlite_db_err(s->db, rc, "empty the write-ahead log", e);
		} else {
			s->blocked = true;
			err_set(e, ERR_BUSY,
				"%s: the write-ahead log has %" PRIu64 " bytes, %" PRIu64
				" are allowed: a reader holds an old snapshot, so it can't be emptied",
				s->path, bytes, s->wal_limit);
			if (e)
				e->retriable = true;
			err_hint(e, "end long queries and idle transactions on this database");
			return ERR_BUSY;
		}
	}
	s->blocked = false;
	return ERR_OK;
}

/* ---- opening */

static bool is_key(const struct data_file *df, uint32_t f)
{
	for (uint32_t k = 0; k < df->nkey; k++) {
		if (df->key[k] == f)
			return true;
	}
	return false;
}

static void load_sql(const struct data_file *df, bool replace, struct buf *b)
{
	const struct schema *s = df->schema;
	buf_str(b, replace ? "INSERT INTO main." : "INSERT OR FAIL INTO main.");
	sql_name(b, s->name);
	buf_str(b, " AS _mysimbdp_t(");
	sqlite_columns_sql(df, b);
	buf_str(b, ") SELECT * FROM " ROWS_TABLE);
	if (replace)
		return;
	buf_str(b, " WHERE true ON CONFLICT(");
	sqlite_key_sql(df, b);
	buf_str(b, ") DO UPDATE SET ");
	for (uint32_t f = 0; f < s->nfields; f++) {
		if (is_key(df, f))
			continue;
		sql_name(b, s->fields[f].name);
		buf_str(b, "=excluded.");
		sql_name(b, s->fields[f].name);
		buf_char(b, ',');
	}
	buf_str(b, COL_FILE "=excluded." COL_FILE "," COL_ROW "=excluded." COL_ROW "," COL_VERSION
			    "=excluded." COL_VERSION " WHERE excluded." COL_VERSION ">_mysimbdp_t." COL_VERSION);
}

/* (key) >= (first) AND (key) <= (last); parameters 1..nkey and nkey+1..2*nkey. */
static void range_sql(const struct data_file *df, struct buf *b)
{
	buf_str(b, " WHERE ");
	for (uint32_t side = 0; side < 2; side++) {
		buf_str(b, side ? " AND (" : "(");
		sqlite_key_sql(df, b);
		buf_str(b, side ? ")<=(" : ")>=(");
		for (uint32_t k = 0; k < df->nkey; k++)
			buf_printf(b, "%s?%u", k ? "," : "", side * df->nkey + k + 1);
		buf_char(b, ')');
	}
}

static void scan_sql(const struct data_file *df, bool replace, struct buf *b)
{
	const struct schema *s = df->schema;
	buf_str(b, "UPDATE OR FAIL main.");
	sql_name(b, s->name);
	buf_str(b, " SET ");
	for (uint32_t f = 0; f < s->nfields; f++) {
		if (is_key(df, f))
			continue;
		sql_name(b, s->fields[f].name);
		buf_printf(b, "=" ROWS_VALUE "(%u),", f);
	}
	buf_printf(b, COL_FILE "=" ROWS_VALUE "(%u)," COL_ROW "=" ROWS_VALUE "(%u)," COL_VERSION "=" ROWS_VALUE "(%u)",
		   s->nfields, s->nfields + 1, s->nfields + 2);
	range_sql(df, b);
	buf_str(b, " AND " ROWS_AT "(");
	sqlite_key_sql(df, b);
	buf_str(b, replace ? ",NULL)" : "," COL_VERSION ")");
}

static void sample_sql(const struct data_file *df, bool unused, struct buf *b)
{
	buf_str(b, "SELECT count(*) FROM (SELECT 1 FROM main.");
	sql_name(b, df->schema->name);
	range_sql(df, b);
	buf_printf(b, " LIMIT %u)", SAMPLE * SCAN_RATIO + 1);
}

static enum err_code prepare_made(struct sink *s, void (*make)(const struct data_file *, bool, struct buf *), bool arg,
				  sqlite3_stmt **ret, struct err *e)
{
	struct buf sql;
	if (*ret)
		return ERR_OK;
	buf_init(&sql, SQL_MAX);
	make(s->df, arg, &sql);
	enum err_code rc = sql.failed ? err_oom(e) : sqlite_db_prepare(s->db, buf_cstr(&sql), ret, e);
	buf_done(&sql);
	return rc;
}

static enum err_code prepare_loading(struct sink *s, struct err *e)
{
	enum err_code rc;
	if ((rc = prepare_made(s, load_sql, true, &s->replace, e)) ||
	    (rc = prepare_made(s, load_sql, false, &s->upsert, e)))
		return rc;
	if (s->df->nkey == 0)
		return ERR_OK;
	if ((rc = prepare_made(s, scan_sql, true, &s->scan_replace, e)) ||
	    (rc = prepare_made(s, scan_sql, false, &s->scan_upsert, e)))
		return rc;
	return prepare_made(s, sample_sql, false, &s->sample, e);
}

static void sink_close(struct sink *s)
{
	if (!s)
		return;
	sqlite_db_rollback(s->db);
	sqlite3_stmt *st[] = {s->begin,	  s->commit, s->epoch,	s->others_top,	 s->position,
			      s->replace, s->upsert, s->sample, s->scan_replace, s->scan_upsert};
	for (size_t i = 0; i < sizeof st / sizeof *st; i++)
		sqlite3_finalize(st[i]);
	sqlite3_close(s->db);
	arena_done(&s->arena);
	free(s);
}

static enum err_code open_db(struct sink *s, const char *target, struct err *e)
{
	enum err_code rc;
	if ((rc = sqlite_db_path(target, s->df->key_space, &s->arena, &s->path, e)) ||
	    (rc = dir_make(target, 0700, e)) || (rc = sqlite_db_open(s->path, &s->db, e)))
		return rc;
	sqlite3_wal_hook(s->db, wal_hook, s);
	struct packed_plan plan = data_file_packed_plan(s->df);
	return rows_source_new(s->db, &plan, &s->rows, e);
}

static enum err_code sink_open(const char *target, const struct data_file *df, struct sink **ret, struct err *e)
{
	struct sink *s = calloc(1, sizeof *s);
	if (!s)
		return err_oom(e);
	s->df = df;
	s->wal_limit = WAL_LIMIT;
	arena_init(&s->arena, 1 << 20);
	enum err_code rc = open_db(s, target, e);
	if (rc) {
		sink_close(s);
		return rc;
	}
	*ret = s;
	return ERR_OK;
}

static enum err_code sink_table(struct sink *s, struct err *e)
{
	enum err_code rc = sqlite_table_ensure(s->db, s->df, e);
	const struct {
		const char *sql;
		sqlite3_stmt **st;
	} small[] = {
	    {"BEGIN IMMEDIATE", &s->begin},
	    {"COMMIT", &s->commit},
	    {"SELECT value FROM _mysimbdp_meta WHERE name='epoch'", &s->epoch},
	    {"SELECT version_top FROM _mysimbdp_position WHERE tbl=?1 AND file<>?2 ORDER BY version_top DESC LIMIT 1",
	     &s->others_top},
	    {"UPDATE _mysimbdp_position SET position=max(position,?2), version_top=max(version_top,?3),"
	     " delivered=delivered+?4, superseded=superseded+?5, epoch=?6, done=max(done,?7), at=?8 WHERE file=?1",
	     &s->position},
	};
	for (size_t i = 0; i < sizeof small / sizeof *small && rc == ERR_OK; i++) {
		if (!*small[i].st)
			rc = sqlite_db_prepare(s->db, small[i].sql, small[i].st, e);
	}
	return rc ? rc : prepare_loading(s, e);
}

/* ---- a file */

static enum err_code epoch_check(struct sink *s, int64_t epoch, struct err *e)
{
	int64_t seen = 0;
	enum err_code rc = sqlite_db_int(s->db, s->epoch, &seen, NULL, e);
	if (rc || seen <= epoch)
		return rc;
	return err_set(e, ERR_FENCED, "%s: a worker of epoch %" PRId64 " has taken over, this one is of %" PRId64,
		       s->path, seen, epoch);
}

static enum err_code known_file(struct sink *s, const struct sink_file *f, sqlite3_stmt *st, uint64_t *ret_position,
				struct err *e)
{
	const char *name = (const char *)sqlite3_column_text(st, 0), *tbl = (const char *)sqlite3_column_text(st, 1);
	int64_t base = sqlite3_column_int64(st, 2), position = sqlite3_column_int64(st, 3);
	if (!name || !tbl)
		return err_oom(e);
	if (strcmp(name, f->name) != 0 || sqlite3_stricmp(tbl, s->df->schema->name) != 0 || base != f->version_base) {
		err_set(e, ERR_CONFLICT,
			"%s knows output %" PRId64 " as \"%s\" of table %s with versions from %" PRId64
			", not as \"%s\" of table %s with versions from %" PRId64,
			s->path, f->id, name, tbl, base, f->name, s->df->schema->name, f->version_base);
		err_hint(
		    e, "the ledger and this database do not belong together: use the ledger that filled it, or another "
		       "directory");
		return ERR_CONFLICT;
	}
	s->fresh = sqlite3_column_int64(st, 4) == 0 && sqlite3_column_int64(st, 5) == 0;
	*ret_position = (uint64_t)position;
	return ERR_OK;
}

static enum err_code new_file(struct sink *s, const struct sink_file *f, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc = sqlite_db_prepare(s->db,
					     "INSERT INTO _mysimbdp_position(file,name,tbl,version_base,epoch,at)"
					     " VALUES(?1,?2,?3,?4,?5,?6)",
					     &st, e);
	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, f->id);
	sqlite3_bind_text(st, 2, f->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, s->df->schema->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 4, f->version_base);
	sqlite3_bind_int64(st, 5, f->epoch);
	sqlite3_bind_int64(st, 6, clock_now_us());
	rc = sqlite_db_run(s->db, st, e);
	sqlite3_finalize(st);
	s->fresh = true;
	return rc;
}

static enum err_code raise_epoch(struct sink *s, int64_t epoch, struct err *e)
{
	char sql[128];
	snprintf(sql, sizeof sql, "UPDATE _mysimbdp_meta SET value=%" PRId64 " WHERE name='epoch' AND value<%" PRId64,
		 epoch, epoch);
	return sqlite_db_exec(s->db, sql, e);
}

static enum err_code begin_locked(struct sink *s, const struct sink_file *f, uint64_t *ret_position, struct err *e)
{
	sqlite3_stmt *st;
	enum err_code rc;
	if ((rc = epoch_check(s, f->epoch, e)) || (rc = raise_epoch(s, f->epoch, e)))
		return rc;
	rc = sqlite_db_prepare(s->db,
			       "SELECT name, tbl, version_base, position, version_top, done FROM _mysimbdp_position"
			       " WHERE file=?1",
			       &st, e);
	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, f->id);
	int step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		rc = known_file(s, f, st, ret_position, e);
	} else if (step != SQLITE_DONE) {
		rc = sqlite_db_err(s->db, step, "read the position", e);
	} else {
		*ret_position = 0;
		rc = new_file(s, f, e);
	}
	sqlite3_finalize(st);
	return rc ? rc : sqlite_db_run(s->db, s->commit, e);
}

static enum err_code sink_begin(struct sink *s, const struct sink_file *f, uint64_t *ret_position, struct err *e)
{
	uint64_t position;
	enum err_code rc;
	s->begun = s->in_tx = false;
	sqlite_db_rollback(s->db); /* of a file that was given up */
	if ((rc = fault("sink.begin", s->path, e)) || (rc = sqlite_db_run(s->db, s->begin, e)))
		return rc;
	if ((rc = begin_locked(s, f, &position, e))) {
		sqlite_db_rollback(s->db);
		return rc;
	}
	s->file = *f;
	s->file.name = NULL;
	s->begun = true;
	*ret_position = position;
	return ERR_OK;
}

/* ---- a transaction */

static enum err_code tx_open(struct sink *s, struct err *e)
{
	int64_t others = 0;
	enum err_code rc;
	if ((rc = wal_check(s, e)) || (rc = sqlite_db_run(s->db, s->begin, e)))
		return rc;
	if ((rc = epoch_check(s, s->file.epoch, e)))
		return rc;
	sqlite3_bind_text(s->others_top, 1, s->df->schema->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s->others_top, 2, s->file.id);
	if ((rc = sqlite_db_int(s->db, s->others_top, &others, NULL, e)))
		return rc;
	s->replacing = s->fresh && others <= s->file.version_base;
	s->in_tx = true;
	s->tx_rows = s->tx_superseded = 0;
	s->tx_top = 0;
	return ERR_OK;
}

/* Do enough of the stored keys lie among those of this lot? */
static enum err_code worth_a_scan(struct sink *s, uint32_t n, bool *ret, struct err *e)
{
	int64_t stored = 0;
	uint32_t sample = n < SAMPLE ? n : SAMPLE;
	*ret = false;
	if (!s->sample)
		return ERR_OK;
	rows_bind_key(s->rows, 0, s->sample, 1);
	rows_bind_key(s->rows, sample - 1, s->sample, (int)s->df->nkey + 1);
	enum err_code rc = sqlite_db_int(s->db, s->sample, &stored, NULL, e);
	*ret = stored > 0 && stored <= (int64_t)sample * SCAN_RATIO;
	return rc;
}

static enum err_code lot_scan(struct sink *s, uint32_t n, struct err *e)
{
	sqlite3_stmt *st = s->replacing ? s->scan_replace : s->scan_upsert;
	rows_bind_key(s->rows, 0, st, 1);
	rows_bind_key(s->rows, n - 1, st, (int)s->df->nkey + 1);
	return sqlite_db_run(s->db, st, e);
}

static enum err_code lot_write(struct sink *s, const struct packed_row *const *rows, uint32_t n, struct err *e)
{
	bool scan;
	uint32_t met = 0, older = 0;
	rows_set(s->rows, rows, n, s->file.id, s->file.version_base);
	enum err_code rc = worth_a_scan(s, n, &scan, e);
	if (rc == ERR_OK && scan) {
		rc = lot_scan(s, n, e);
		met = rows_met(s->rows, &older);
	}
	if (rc || met == n) {
		s->tx_superseded += older;
		return rc;
	}
	if ((rc = sqlite_db_run(s->db, s->replacing ? s->replace : s->upsert, e)))
		return rc;
	if (!s->replacing)
		older += n - met - (uint32_t)sqlite3_changes64(s->db);
	s->tx_superseded += older;
	return ERR_OK;
}

static enum err_code tx_rows(struct sink *s, const struct sink_rows *r, struct err *e)
{
	enum err_code rc = ERR_OK;
	for (uint32_t i = 0; i < r->n && rc == ERR_OK; i += ROWS_SET_MAX) {
		uint32_t n = r->n - i < ROWS_SET_MAX ? r->n - i : ROWS_SET_MAX;
		rc = lot_write(s, r->rows + i, n, e);
	}
	rows_set(s->rows, NULL, 0, 0, 0);
	if (rc)
		return rc;
	s->tx_rows += r->n;
	for (uint32_t i = 0; i < r->n; i++) {
		int64_t version = s->file.version_base + (int64_t)r->rows[i]->row;
		if (version > s->tx_top)
			s->tx_top = version;
	}
	return ERR_OK;
}

static enum err_code tx_commit(struct sink *s, uint64_t position, bool done, struct err *e)
{
	sqlite3_stmt *st = s->position;
	enum err_code rc;
	const int64_t values[] = {
	    s->file.id, (int64_t)position, s->tx_top, (int64_t)s->tx_rows, (int64_t)s->tx_superseded, s->file.epoch,
	    done,	clock_now_us()};
	for (int i = 0; i < 8; i++)
		sqlite3_bind_int64(st, i + 1, values[i]);
	if ((rc = sqlite_db_run(s->db, st, e)) || (rc = fault("sink.commit.before", s->path, e)) ||
	    (rc = sqlite_db_run(s->db, s->commit, e)))
		return rc;
	s->in_tx = false;
	wal_copy_back(s);
	return fault("sink.commit.after", s->path, e);
}

static enum err_code write_checked(struct sink *s, const struct sink_rows *r, struct err *e)
{
	enum err_code rc;
	if (!s->begun)
		return err_set(e, ERR_INTERNAL, "%s: write without begin", s->path);
	if (!s->in_tx && (rc = tx_open(s, e)))
		return rc;
	if ((rc = fault("sink.write.before", s->path, e)) || (rc = tx_rows(s, r, e)))
		return rc;
	return r->more ? ERR_OK : tx_commit(s, r->position, false, e);
}

/* SQLite takes every row that fits a packed row, so there is never a refusal. */
static enum err_code sink_write(struct sink *s, const struct sink_rows *r, struct sink_result *ret,
				struct sink_refusal *ret_refusal, struct err *e)
{
	*ret = (struct sink_result){0};
	enum err_code rc = write_checked(s, r, e);
	if (rc) {
		s->in_tx = false;
		sqlite_db_rollback(s->db);
		return rc;
	}
	if (!r->more)
		*ret = (struct sink_result){s->tx_rows, s->tx_superseded};
	return ERR_OK;
}

static enum err_code sink_end(struct sink *s, struct err *e)
{
	enum err_code rc =
	    s->begun && !s->in_tx ? ERR_OK : err_set(e, ERR_INTERNAL, "%s: end outside of a file", s->path);
	if (rc == ERR_OK && (rc = tx_open(s, e)) == ERR_OK)
		rc = tx_commit(s, 0, true, e);
	if (rc) {
		s->in_tx = false;
		sqlite_db_rollback(s->db);
		return rc;
	}
	s->begun = false;
	return ERR_OK;
}

static void sink_status(const struct sink *s, struct sink_status *ret)
{
	*ret = (struct sink_status){s->wal_pages * SQLITE_DB_PAGE, s->wal_limit, s->blocked, ""};
	if (s->blocked)
		snprintf(ret->reason, sizeof ret->reason,
			 "the write-ahead log is over its limit because a reader holds an old snapshot");
}

void sqlite_sink_limit_wal(struct sink *s, uint64_t bytes)
{
	s->wal_limit = bytes;
}

const struct sink_class sink_sqlite = {
    .name = "sqlite",
    .target_hint = "DIR",
    .summary = "one SQLite database a key space, in DIR",
    .caps = SINK_KEY_ORDER | SINK_TELLS_SUPERSEDED,
    .open = sink_open,
    .table = sink_table,
    .begin = sink_begin,
    .write = sink_write,
    .end = sink_end,
    .status = sink_status,
    .close = sink_close,
};
