/*
 * quarantine.c: the quarantine of one tenant as a SQLite database.
 *
 * Adding runs inside one transaction that commits by itself now and then (the entries are upserts, so a part of a pass
 * that became durable early does no harm) and finally in quarantine_commit. File name and header are stored once per
 * output in `source`, together with how many records retention has erased, so that the ledger still balances then.
 */
#include "ingest/quarantine.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "catalog/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_ENTRIES 65536 /* and no more than COMMIT_BYTES of records in one transaction */
#define COMMIT_BYTES ((size_t)64 << 20)
#define PAGE_BYTES ((size_t)16 << 20)
#define PAGE_LIMIT 100
#define PAGE_LIMIT_MAX 100000

/* application_id is "mbdQ". Entries of one record differ by stage; the record numbers of an output are its own. */
static const char step_0_to_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE source(output INTEGER PRIMARY KEY, file TEXT NOT NULL, header BLOB NOT NULL,"
    " erased INTEGER NOT NULL DEFAULT 0, erased_replayed INTEGER NOT NULL DEFAULT 0,"
    " sink_erased INTEGER NOT NULL DEFAULT 0, sink_erased_replayed INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE entry(id INTEGER PRIMARY KEY AUTOINCREMENT, output INTEGER NOT NULL, row INTEGER NOT NULL,"
    " stage TEXT NOT NULL, state TEXT NOT NULL, rule TEXT NOT NULL, field TEXT NOT NULL, line INTEGER NOT NULL,"
    " col INTEGER NOT NULL, start INTEGER NOT NULL, cut INTEGER NOT NULL, at_us INTEGER NOT NULL,"
    " reason TEXT NOT NULL, raw BLOB NOT NULL);"
    "CREATE UNIQUE INDEX entry_key ON entry(output, row, stage);"
    "CREATE INDEX entry_output ON entry(output);"
    "PRAGMA application_id = 1835164753;"
    "PRAGMA user_version = 1;";

static const char *const steps[] = {step_0_to_1};
_Static_assert(sizeof steps / sizeof *steps == QUARANTINE_FORMAT, "one step for each format");
static const struct db_format format = {"quarantine", 1835164753, steps, QUARANTINE_FORMAT};

struct quarantine {
	struct db *db;
	bool open;	  /* a transaction */
	uint32_t entries; /* in it */
	size_t bytes;
	int64_t output; /* whose source row was written last */
};

static enum err_code open_mode(const char *dir, enum db_mode mode, struct quarantine **ret, struct err *e)
{
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/quarantine.db", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(e, ERR_INVALID, "the path \"%.100s...\" is too long", dir);
	struct quarantine *q = calloc(1, sizeof *q);
	if (!q)
		return err_oom(e);
	enum err_code code = mode == DB_WRITE ? dir_make(dir, 0700, e) : ERR_OK;
	if (!code)
		code = db_open(path, &format, mode, &q->db, e);
	/* What is erased shall be gone from the disk too. */
	if (!code && mode == DB_WRITE)
		code = db_exec(q->db, e, "PRAGMA secure_delete = 1", "");
	if (code) {
		quarantine_close(q);
		return code;
	}
	*ret = q;
	return ERR_OK;
}

enum err_code quarantine_open(const char *dir, struct quarantine **ret, struct err *e)
{
	return open_mode(dir, DB_WRITE, ret, e);
}

enum err_code quarantine_open_readonly(const char *dir, struct quarantine **ret, struct err *e)
{
	return open_mode(dir, DB_READ, ret, e);
}

void quarantine_close(struct quarantine *q)
{
	if (!q)
		return;
	db_close(q->db); /* rolls back */
	free(q);
}

/* ---- writing */

static enum err_code give_up(struct quarantine *q, enum err_code code)
{
	if (code && q->open) {
		sqlite3_exec(q->db->h, "ROLLBACK", NULL, NULL, NULL);
		q->open = false;
		q->output = 0;
	}
	return code;
}

static enum err_code begin(struct quarantine *q, struct err *e)
{
	if (q->open)
		return ERR_OK;
	enum err_code code = db_exec(q->db, e, "BEGIN IMMEDIATE", "");
	q->open = !code;
	q->entries = 0;
	q->bytes = 0;
	return code;
}

enum err_code quarantine_commit(struct quarantine *q, struct err *e)
{
	if (!q->open)
		return ERR_OK;
	if (fault_hit("quarantine.commit"))
		return give_up(q, err_sys(e, errno == ENOSPC ? ENOSPC : EIO, "write \"%s\" (fault quarantine.commit)",
					  q->db->path));
	enum err_code code = db_exec(q->db, e, "COMMIT", "");
	if (code)
		return give_up(q, code);
	q->open = false;
	return ERR_OK;
}

static enum err_code source_put(struct quarantine *q, const struct quarantine_entry *en, struct err *e)
{
	if (q->output == en->output)
		return ERR_OK;
	enum err_code code = db_exec(q->db, e,
				     "INSERT INTO source(output, file, header) VALUES(?1, ?2, ?3) ON CONFLICT(output) "
				     "DO UPDATE SET file = excluded.file, header = excluded.header "
				     "WHERE header <> excluded.header",
				     "itb", en->output, en->file ? en->file : "", en->header);
	if (!code)
		q->output = en->output;
	return code;
}

static const char *text(const char *s)
{
	return s ? s : "";
}

enum err_code quarantine_add(struct quarantine *q, const struct quarantine_entry *en, struct err *e)
{
	struct span raw = en->raw;
	bool cut = en->cut || strcmp(text(en->rule), RULE_ROW_TOO_LONG) == 0;
	if (raw.n > QUARANTINE_RAW_MAX) {
		raw.n = QUARANTINE_RAW_MAX;
		cut = true;
	}
	enum err_code code = begin(q, e);
	if (!code)
		code = source_put(q, en, e);
	/* A record that came out of the quarantine stays out, even when its file's pass is repeated. */
	if (!code)
		code = db_exec(
		    q->db, e,
		    "INSERT INTO entry(output, row, stage, state, rule, field, line, col, start, cut, at_us, reason, "
		    "raw) VALUES(?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
		    "ON CONFLICT(output, row, stage) DO UPDATE SET rule = excluded.rule, field = excluded.field, "
		    "line = excluded.line, col = excluded.col, start = excluded.start, cut = excluded.cut, "
		    "reason = excluded.reason, raw = excluded.raw WHERE state = 'open'",
		    "iitttiiidisb", en->output, (int64_t)en->row, text(en->stage), text(en->rule), text(en->field),
		    (int64_t)en->line, (int64_t)en->column, (int64_t)en->offset, (int)cut,
		    en->at_us ? en->at_us : clock_now_us(), span_str(text(en->reason)), raw);
	if (code)
		return give_up(q, code);
	q->bytes += raw.n;
	if (++q->entries >= COMMIT_ENTRIES || q->bytes >= COMMIT_BYTES)
		return quarantine_commit(q, e);
	return ERR_OK;
}

enum err_code quarantine_set_state(struct quarantine *q, int64_t id, const char *state, struct err *e)
{
	bool erased = strcmp(state, "erased") == 0;
	if (!erased && strcmp(state, "open") != 0 && strcmp(state, "replayed") != 0)
		return err_set(e, ERR_INVALID, "\"%.40s\" is no state of a quarantined record: open, replayed, erased",
			       state);
	enum err_code code = begin(q, e);
	if (!code)
		code = erased ? db_exec(q->db, e, "UPDATE entry SET state = ?2, raw = x'', reason = '' WHERE id = ?1",
					"it", id, state)
			      : db_exec(q->db, e, "UPDATE entry SET state = ?2 WHERE id = ?1", "it", id, state);
	if (!code && db_changes(q->db) == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no quarantined record q%lld", (long long)id);
	return give_up(q, code);
}

enum err_code quarantine_set_reason(struct quarantine *q, const struct quarantine_entry *en, struct err *e)
{
	enum err_code code = begin(q, e);
	if (!code)
		code = db_exec(q->db, e,
			       "UPDATE OR IGNORE entry SET stage = ?2, rule = ?3, field = ?4, reason = ?5, col = ?6 "
			       "WHERE id = ?1 AND state = 'open'",
			       "ittttd", en->id, text(en->stage), text(en->rule), text(en->field), text(en->reason),
			       (int)en->column);
	return give_up(q, code);
}

enum err_code quarantine_expire(struct quarantine *q, int64_t before_us, uint64_t *ret_n, struct err *e)
{
	enum err_code code = quarantine_commit(q, e);
	if (!code)
		code = begin(q, e);
	if (!code)
		code = db_exec(q->db, e,
			       "UPDATE source SET (erased, erased_replayed, sink_erased, sink_erased_replayed) = "
			       "(SELECT source.erased + coalesce(sum(stage <> 'sink' AND state <> 'replayed'), 0), "
			       "source.erased_replayed + coalesce(sum(stage <> 'sink' AND state = 'replayed'), 0), "
			       "source.sink_erased + coalesce(sum(stage = 'sink' AND state <> 'replayed'), 0), "
			       "source.sink_erased_replayed + coalesce(sum(stage = 'sink' AND state = 'replayed'), 0) "
			       "FROM entry WHERE entry.output = source.output AND entry.at_us < ?1)",
			       "i", before_us);
	if (!code)
		code = db_exec(q->db, e, "DELETE FROM entry WHERE at_us < ?1", "i", before_us);
	uint64_t n = code ? 0 : (uint64_t)db_changes(q->db);
	if (code)
		return give_up(q, code);
	code = quarantine_commit(q, e);
	if (!code)
		*ret_n = n;
	return code;
}

/* ---- reading */

static enum err_code entry_from_row(sqlite3_stmt *st, struct arena *a, struct quarantine_entry *ret, struct err *e)
{
	*ret = (struct quarantine_entry){
	    .id = db_int(st, 0),
	    .output = db_int(st, 1),
	    .row = (uint64_t)db_int(st, 2),
	    .stage = db_text_copy(st, 3, a),
	    .state = db_text_copy(st, 4, a),
	    .rule = db_text_copy(st, 5, a),
	    .field = db_text_copy(st, 6, a),
	    .line = (uint64_t)db_int(st, 7),
	    .column = (uint32_t)db_int(st, 8),
	    .offset = (uint64_t)db_int(st, 9),
	    .cut = db_int(st, 10) != 0,
	    .at_us = db_int(st, 11),
	    .reason = db_text_copy(st, 12, a),
	    .raw = arena_span(a, db_blob(st, 13)),
	};
	return ret->stage && ret->state && ret->rule && ret->field && ret->reason && ret->raw.p ? ERR_OK : err_oom(e);
}

/* One copy of name and header for all entries of an output. */
static enum err_code entry_source(struct quarantine *q, struct quarantine_entry *en,
				  const struct quarantine_entry *last, struct arena *a, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	if (last && last->output == en->output) {
		en->file = last->file;
		en->header = last->header;
		return ERR_OK;
	}
	enum err_code code =
	    db_query(q->db, &st, e, "SELECT file, header FROM source WHERE output = ?1", "i", en->output);
	if (code || (code = db_next(q->db, st, &row, e)))
		return code;
	en->file = row ? db_text_copy(st, 0, a) : "";
	en->header = row ? arena_span(a, db_blob(st, 1)) : (struct span){"", 0};
	db_reset(st);
	return en->file && en->header.p ? ERR_OK : err_oom(e);
}

#define LIST(from)                                                                                                     \
	"SELECT id, output, row, stage, state, rule, field, line, col, start, cut, at_us, reason, raw FROM "           \
	"entry " from " AND (?3 IS NULL OR rule = ?3) AND (?4 IS NULL OR field = ?4) AND (?5 = '*' OR state = ?5) "    \
	"AND (?6 IS NULL OR output IN (SELECT output FROM source WHERE file = ?6)) ORDER BY id LIMIT ?7"

enum err_code quarantine_list(struct quarantine *q, const struct quarantine_filter *f, struct arena *a,
			      struct quarantine_entry **ret, size_t *ret_n, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	const char *state = f->state ? f->state : "open";
	const char *sql = f->id	      ? LIST("WHERE id = ?1 AND ?2 = ?2")
			  : f->output ? LIST("INDEXED BY entry_output WHERE id > ?1 AND output = ?2")
				      : LIST("WHERE id > ?1 AND ?2 = 0");
	size_t limit = !f->limit ? PAGE_LIMIT : f->limit > PAGE_LIMIT_MAX ? PAGE_LIMIT_MAX : f->limit;
	size_t most = f->bytes ? f->bytes : PAGE_BYTES, bytes = 0, n = 0;
	struct quarantine_entry *list = arena_array(a, limit, sizeof *list);
	if (!list)
		return err_oom(e);
	enum err_code code = db_query(q->db, &st, e, sql, "iitttti", f->id ? f->id : f->after, f->output, f->rule,
				      f->field, state, f->file, (int64_t)limit);
	while (!code && n < limit && bytes < most && !(code = db_next(q->db, st, &row, e)) && row) {
		code = entry_from_row(st, a, &list[n], e);
		if (!code)
			code = entry_source(q, &list[n], n ? &list[n - 1] : NULL, a, e);
		bytes += list[n].raw.n;
		n += !code;
	}
	db_reset_all(q->db);
	if (!code) {
		*ret = list;
		*ret_n = n;
	}
	return code;
}

enum err_code quarantine_counts(struct quarantine *q, int64_t output, struct arena *a, struct quarantine_count **ret,
				size_t *ret_n, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	int64_t groups;
	enum err_code code = db_int_of(q->db, 0, &groups, e,
				       "SELECT count(*) FROM (SELECT 1 FROM entry "
				       "WHERE ?1 = 0 OR output = ?1 GROUP BY rule, field)",
				       "i", output);
	if (code)
		return code;
	struct quarantine_count *list = arena_array(a, (size_t)groups, sizeof *list);
	size_t n = 0;
	if (!list)
		return err_oom(e);
	code = db_query(q->db, &st, e,
			"SELECT rule, field, sum(state = 'open'), sum(state = 'replayed') FROM entry "
			"WHERE ?1 = 0 OR output = ?1 GROUP BY rule, field ORDER BY 3 DESC, 1, 2",
			"i", output);
	while (!code && n < (size_t)groups && !(code = db_next(q->db, st, &row, e)) && row) {
		list[n] = (struct quarantine_count){db_text_copy(st, 0, a), db_text_copy(st, 1, a),
						    (uint64_t)db_int(st, 2), (uint64_t)db_int(st, 3)};
		if (!list[n].rule || !list[n].field)
			code = err_oom(e);
		n++;
	}
	db_reset_all(q->db);
	if (!code) {
		*ret = list;
		*ret_n = n;
	}
	return code;
}

/* Records, not entries: one may have an entry of the parse and one of the quality stage. */
#define SUMS                                                                                                           \
	"SELECT s.output, s.erased, s.erased_replayed, s.sink_erased, s.sink_erased_replayed, "                        \
	"count(DISTINCT CASE WHEN e.stage <> 'sink' AND e.state = 'open' THEN e.row END), "                            \
	"count(DISTINCT CASE WHEN e.stage <> 'sink' AND e.state = 'replayed' THEN e.row END), "                        \
	"count(DISTINCT CASE WHEN e.stage <> 'sink' AND e.state = 'erased' THEN e.row END), "                          \
	"count(DISTINCT CASE WHEN e.stage = 'sink' AND e.state = 'open' THEN e.row END), "                             \
	"count(DISTINCT CASE WHEN e.stage = 'sink' AND e.state = 'replayed' THEN e.row END), "                         \
	"count(DISTINCT CASE WHEN e.stage = 'sink' AND e.state = 'erased' THEN e.row END) "                            \
	"FROM source s LEFT JOIN entry e ON e.output = s.output WHERE ?1 = 0 OR s.output = ?1 GROUP BY s.output"

enum err_code quarantine_sum(struct quarantine *q, int64_t output, struct arena *a, struct quarantine_sums **ret,
			     size_t *ret_n, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	int64_t sources;
	enum err_code code =
	    db_int_of(q->db, 0, &sources, e, "SELECT count(*) FROM source WHERE ?1 = 0 OR output = ?1", "i", output);
	if (code)
		return code;
	struct quarantine_sums *list = arena_array(a, (size_t)sources, sizeof *list);
	size_t n = 0;
	if (!list)
		return err_oom(e);
	code = db_query(q->db, &st, e, SUMS, "i", output);
	while (!code && n < (size_t)sources && !(code = db_next(q->db, st, &row, e)) && row)
		list[n++] = (struct quarantine_sums){
		    .output = db_int(st, 0),
		    .open = (uint64_t)db_int(st, 5),
		    .replayed = (uint64_t)(db_int(st, 6) + db_int(st, 2)),
		    .erased = (uint64_t)(db_int(st, 7) + db_int(st, 1)),
		    .sink_open = (uint64_t)db_int(st, 8),
		    .sink_replayed = (uint64_t)(db_int(st, 9) + db_int(st, 4)),
		    .sink_erased = (uint64_t)(db_int(st, 10) + db_int(st, 3)),
		};
	db_reset_all(q->db);
	if (!code) {
		*ret = list;
		*ret_n = n;
	}
	return code;
}
