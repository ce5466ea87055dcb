/*
 * sqlite_outputs.c: the files that the gate reads, their row versions, what was said about them and what sinks took.
 *
 * Settling a run: when the last of its outputs has reached an end, its input files learn it. An output made of one
 * input (source) speaks for that file only, one without a source for all files of the run.
 */
#include "catalog/ledger.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define FOLD_MAX 256
#define OUTPUT_COLUMNS                                                                                                 \
	"id, run, tenant, name, source, size, sha256, state, reason, version_base, version_rows, document_version, "   \
	"records, accepted, rejected, delivered, superseded, refused, replayed, verdict, created_us, updated_us, "     \
	"replayed_sink, tbl"

static enum err_code output_from_row(sqlite3_stmt *st, struct arena *a, struct catalog_output *ret, struct err *e)
{
	uint64_t rejected = (uint64_t)db_int(st, 14), replayed = (uint64_t)db_int(st, 18);
	uint64_t refused = (uint64_t)db_int(st, 17), sunk = (uint64_t)db_int(st, 22);
	if (replayed > rejected)
		replayed = rejected;
	if (sunk > refused)
		sunk = refused;
	*ret = (struct catalog_output){
	    .id = db_int(st, 0),
	    .run = db_int(st, 1),
	    .tenant = db_text_copy(st, 2, a),
	    .name = db_text_copy(st, 3, a),
	    .source = db_text_copy(st, 4, a),
	    .size = (uint64_t)db_int(st, 5),
	    .sha256 = db_text_copy(st, 6, a),
	    .state = (enum output_state)db_int(st, 7),
	    .reason = db_text_copy(st, 8, a),
	    .version_base = db_int(st, 9),
	    .version_rows = db_int(st, 10),
	    .document_version = db_int(st, 11),
	    .records = (uint64_t)db_int(st, 12),
	    .accepted = (uint64_t)db_int(st, 13) + replayed,
	    .rejected = rejected - replayed,
	    .delivered = (uint64_t)db_int(st, 15) + replayed + sunk,
	    .superseded = (uint64_t)db_int(st, 16),
	    .refused_by_sink = refused - sunk,
	    .verdict = db_text_copy(st, 19, a),
	    .created_us = db_int(st, 20),
	    .updated_us = db_int(st, 21),
	    .table = db_text_copy(st, 23, a),
	};
	return ret->table && ret->tenant && ret->name && ret->source && ret->sha256 && ret->reason && ret->verdict
		   ? ERR_OK
		   : err_oom(e);
}

static enum err_code output_load(struct db *d, int64_t id, struct arena *a, struct catalog_output *ret, struct err *e)
{
	sqlite3_stmt *st;
	struct catalog_output o;
	bool row;
	enum err_code code = db_query(d, &st, e, "SELECT " OUTPUT_COLUMNS " FROM output WHERE id = ?1", "i", id);
	if (code || (code = db_next(d, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no output o%lld", (long long)id);
	code = output_from_row(st, a, &o, e);
	db_reset(st);
	if (!code)
		*ret = o;
	return code;
}

/* The few facts of an output that a change needs; also checks that a worker may touch it. */
struct brief {
	int64_t run, base, rows;
	enum output_state state;
	char name[256], source[256];
};

static enum err_code brief_load(struct tx *tx, int64_t id, struct brief *ret, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	char what[32];
	enum err_code code = db_query(tx->db, &st, e,
				      "SELECT run, version_base, version_rows, state, name, source, tenant "
				      "FROM output WHERE id = ?1",
				      "i", id);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no output o%lld", (long long)id);
	*ret = (struct brief){.run = db_int(st, 0),
			      .base = db_int(st, 1),
			      .rows = db_int(st, 2),
			      .state = (enum output_state)db_int(st, 3)};
	snprintf(ret->name, sizeof ret->name, "%s", db_text(st, 4));
	snprintf(ret->source, sizeof ret->source, "%s", db_text(st, 5));
	snprintf(what, sizeof what, "output o%lld", (long long)id);
	code = guard_tenant(tx->c, db_text(st, 6), what, e);
	db_reset(st);
	return code;
}

/* An event for the files that the output was made of. */
static enum err_code output_event(struct tx *tx, const struct brief *b, const char *what, const char *text,
				  struct err *e)
{
	if (!b->run)
		return ERR_OK;
	return db_exec(tx->db, e,
		       "INSERT INTO event(file, at_us, what, text) SELECT f.id, ?3, ?4, ?5 FROM run_file rf "
		       "JOIN file f ON f.id = rf.file WHERE rf.run = ?1 AND (?2 = '' OR f.name = ?2)",
		       "ititt", b->run, b->source, tx->now, what, text);
}

/* ---- identity and row versions */

static enum err_code output_add_in(struct tx *tx, const char *tenant, const char *name, uint64_t size,
				   const char *sha256, bool again, int64_t *ret_id, bool *ret_existing, struct err *e)
{
	int64_t id = 0;
	enum err_code code = ERR_OK;
	if (!again)
		code = db_int_of(tx->db, 0, &id, e,
				 "SELECT id FROM output WHERE tenant = ?1 AND name = ?2 AND sha256 = ?3 "
				 "ORDER BY id DESC LIMIT 1",
				 "ttt", tenant, name, sha256);
	*ret_existing = id != 0;
	if (!code && !id) {
		code = db_exec(tx->db, e,
			       "INSERT INTO output(run, tenant, name, source, size, sha256, state, "
			       "document_version, created_us, updated_us) VALUES(0, ?1, ?2, '', ?3, ?4, ?5, "
			       "coalesce((SELECT version FROM tenant WHERE id = ?1), 0), ?6, ?6)",
			       "ttitdi", tenant, name, (int64_t)size, sha256, (int)OUTPUT_WAITING, tx->now);
		id = code ? 0 : db_last_id(tx->db);
	}
	*ret_id = id;
	return code;
}

static enum err_code output_add(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				const char *sha256, bool again, bool *ret_existing, struct arena *a,
				struct catalog_output *ret, struct err *e)
{
	struct tx tx;
	struct catalog_output o;
	bool existing;
	int64_t id;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = output_add_in(&tx, tenant, name, size, sha256, again, &id, &existing, e);
	if (!code)
		code = output_load(tx.db, id, a, &o, e);
	code = tx_end(&tx, code, e);
	if (!code) {
		*ret = o;
		*ret_existing = existing;
	}
	return code;
}

static enum err_code versions_in(struct tx *tx, int64_t id, const char *table, int64_t rows, int64_t *ret_base,
				 struct err *e)
{
	struct brief b;
	char fold[FOLD_MAX];
	size_t n = strlen(table);
	int64_t next;
	if (n >= sizeof fold || rows < 0 || rows > INT64_C(1) << 50)
		return err_set(e, ERR_INVALID, "%lld row versions of table \"%.60s\" can't be reserved",
			       (long long)rows, table);
	for (size_t i = 0; i <= n; i++)
		fold[i] = (char)tolower((unsigned char)table[i]);
	enum err_code code = brief_load(tx, id, &b, e);
	if (code)
		return code;
	if (b.rows > 0 && b.rows >= rows) {
		*ret_base = b.base;
		return ERR_OK;
	}
	rows = rows ? rows : 1;
	code = db_int_of(tx->db, 0, &next, e, "SELECT next_version FROM version_range WHERE fold = ?1", "t", fold);
	if (code)
		return code;
	int64_t base = next > tx->now ? next : tx->now;
	/* Record numbers begin at 1, so the last version given out is base + rows. */
	code = db_exec(tx->db, e,
		       "INSERT INTO version_range(fold, next_version) VALUES(?1, ?2) "
		       "ON CONFLICT(fold) DO UPDATE SET next_version = excluded.next_version",
		       "ti", fold, base + rows + 1);
	if (!code)
		code = db_exec(tx->db, e,
			       "UPDATE output SET version_base = ?2, version_rows = ?3, updated_us = ?4, "
			       "tbl = ?5 WHERE id = ?1",
			       "iiiit", id, base, rows, tx->now, table);
	*ret_base = base;
	return code;
}

static enum err_code output_versions(struct catalog *c, int64_t id, const char *table, int64_t rows, int64_t *ret_base,
				     struct err *e)
{
	struct tx tx;
	int64_t base = 0;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = tx_end(&tx, versions_in(&tx, id, table, rows, &base, e), e);
	if (!code)
		*ret_base = base;
	return code;
}

/* ---- settling a run */

struct ending {
	enum file_state state;
	char status[768];
};

/* What the outputs that concern the file add up to. */
static enum err_code ending_of(struct tx *tx, int64_t run, const char *file, struct ending *ret, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code = db_query(tx->db, &st, e,
				      "SELECT name, state, reason FROM output WHERE run = ?1 "
				      "AND source IN ('', ?2) AND state IN (?3, ?4) ORDER BY state DESC, id LIMIT 1",
				      "itdd", run, file, (int)OUTPUT_REFUSED, (int)OUTPUT_FAILED);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	if (row) {
		bool failed = db_int(st, 1) == OUTPUT_FAILED;
		ret->state = failed ? FILE_FAILED : FILE_REFUSED;
		snprintf(ret->status, sizeof ret->status, "\"out/%.200s\" %s: %.400s", db_text(st, 0),
			 failed ? "failed" : "was refused", db_text(st, 2));
		db_reset(st);
		return ERR_OK;
	}
	code = db_query(
	    tx->db, &st, e,
	    "SELECT sum(delivered + replayed + replayed_sink), sum(records), sum(rejected - replayed) FROM output "
	    "WHERE run = ?1 AND source IN ('', ?2)",
	    "it", run, file);
	if (code || (code = db_next(tx->db, st, &row, e)) || !row)
		return code;
	ret->state = FILE_DELIVERED;
	if (db_int(st, 2) > 0)
		snprintf(ret->status, sizeof ret->status,
			 "delivered: %lld of %lld records are in coredms, %lld in quarantine", (long long)db_int(st, 0),
			 (long long)db_int(st, 1), (long long)db_int(st, 2));
	else
		snprintf(ret->status, sizeof ret->status, "delivered: all %lld records are in coredms",
			 (long long)db_int(st, 1));
	db_reset(st);
	return ERR_OK;
}

/* The next file of the run after `after` that may learn of an ending; 0: none. Files are few thousand a run at most. */
static enum err_code next_file(struct tx *tx, int64_t run, int64_t after, int64_t *ret_id, enum file_state *ret_state,
			       char name[256], struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code =
	    db_query(tx->db, &st, e,
		     "SELECT id, state, name FROM file WHERE run = ?1 AND id > ?2 "
		     "AND state IN (?3, ?4, ?5, ?6) ORDER BY id LIMIT 1",
		     "iidddd", run, after, (int)FILE_PROCESSED, (int)FILE_CHECKED, (int)FILE_REFUSED, (int)FILE_FAILED);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	*ret_id = row ? db_int(st, 0) : 0;
	if (row) {
		*ret_state = (enum file_state)db_int(st, 1);
		snprintf(name, 256, "%s", db_text(st, 2));
		db_reset(st);
	}
	return ERR_OK;
}

static enum err_code files_end(struct tx *tx, int64_t run, struct err *e)
{
	int64_t id = 0;
	enum file_state state = FILE_PROCESSED;
	char name[256];
	enum err_code code;
	while (!(code = next_file(tx, run, id, &id, &state, name, e)) && id) {
		struct ending end = {.state = FILE_DELIVERED};
		code = ending_of(tx, run, name, &end, e);
		if (!code && end.state != state)
			code = file_set(tx, id, end.state, 0, end.status, NULL, e);
		if (code)
			return code;
	}
	return code;
}

/* Files that were delivered say how many records are there now: a replay has changed it. */
static enum err_code files_restate(struct tx *tx, int64_t run, struct err *e)
{
	sqlite3_stmt *st;
	int64_t id = 0;
	for (;;) {
		char name[256];
		bool row;
		struct ending end = {.state = FILE_DELIVERED};
		enum err_code code = db_query(tx->db, &st, e,
					      "SELECT id, name FROM file WHERE run = ?1 AND id > ?2 AND state = ?3 "
					      "ORDER BY id LIMIT 1",
					      "iid", run, id, (int)FILE_DELIVERED);
		if (code || (code = db_next(tx->db, st, &row, e)) || !row)
			return code;
		id = db_int(st, 0);
		snprintf(name, sizeof name, "%s", db_text(st, 1));
		db_reset(st);
		code = ending_of(tx, run, name, &end, e);
		if (!code && end.state == FILE_DELIVERED)
			code = db_exec(tx->db, e, "UPDATE file SET status = ?2 WHERE id = ?1", "it", id, end.status);
		if (code)
			return code;
	}
}

static enum err_code settle(struct tx *tx, int64_t run, struct err *e)
{
	int64_t waiting, checked;
	if (!run)
		return ERR_OK;
	enum err_code code =
	    db_int_of(tx->db, 0, &waiting, e, "SELECT count(*) FROM output WHERE run = ?1 AND state = ?2", "id", run,
		      (int)OUTPUT_WAITING);
	if (!code)
		code = db_int_of(tx->db, 0, &checked, e, "SELECT count(*) FROM output WHERE run = ?1 AND state = ?2",
				 "id", run, (int)OUTPUT_CHECKED);
	if (code || waiting)
		return code;
	if (!checked)
		return files_end(tx, run, e);
	static const char status[] = "checked; its records are being delivered";
	code = db_exec(tx->db, e,
		       "INSERT INTO event(file, at_us, what, text) SELECT id, ?3, 'checked', ?4 FROM file "
		       "WHERE run = ?1 AND state = ?2",
		       "idit", run, (int)FILE_PROCESSED, tx->now, status);
	if (code)
		return code;
	return db_exec(tx->db, e,
		       "UPDATE file SET state = ?3, status = ?4, updated_us = ?5 WHERE run = ?1 AND state = ?2",
		       "iddti", run, (int)FILE_PROCESSED, (int)FILE_CHECKED, status, tx->now);
}

/* ---- what was said and done */

static enum err_code done_in(struct tx *tx, int64_t id, enum output_state state, const char *reason, struct err *e)
{
	struct brief b;
	char text[768];
	enum err_code code = brief_load(tx, id, &b, e);
	if (code || b.state == state)
		return code;
	code = db_exec(tx->db, e, "UPDATE output SET state = ?2, reason = ?3, updated_us = ?4 WHERE id = ?1", "idti",
		       id, (int)state, reason, tx->now);
	if (code)
		return code;
	snprintf(text, sizeof text, "output o%lld \"%.200s\" is %s%s%.400s", (long long)id, b.name,
		 output_state_name(state), reason[0] ? ": " : "", reason);
	code = output_event(tx, &b, "output", text, e);
	if (!code && state != OUTPUT_EXPIRED)
		code = settle(tx, b.run, e);
	return code;
}

static enum err_code output_done(struct catalog *c, int64_t id, enum output_state state, const char *reason,
				 struct err *e)
{
	struct tx tx;
	if ((unsigned)state >= OUTPUT_STATES || state == OUTPUT_WAITING || state == OUTPUT_CHECKED)
		return err_set(e, ERR_INVALID, "an output can't end in state %s", output_state_name(state));
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	return code ? code : tx_end(&tx, done_in(&tx, id, state, reason ? reason : "", e), e);
}

struct checked {
	uint64_t records, accepted, rejected;
	bool refused;
	const char *reason, *verdict;
};

static enum err_code checked_in(struct tx *tx, int64_t id, const struct checked *v, struct err *e)
{
	struct brief b;
	char text[512];
	enum err_code code = brief_load(tx, id, &b, e);
	if (code)
		return code;
	code = db_exec(tx->db, e,
		       "UPDATE output SET records = ?2, accepted = ?3, rejected = ?4, reason = ?5, verdict = ?6, "
		       "updated_us = ?7, state = CASE state WHEN ?8 THEN ?9 ELSE state END WHERE id = ?1",
		       "iiiittidd", id, (int64_t)v->records, (int64_t)v->accepted, (int64_t)v->rejected, v->reason,
		       v->verdict, tx->now, (int)OUTPUT_WAITING, (int)OUTPUT_CHECKED);
	if (code)
		return code;
	snprintf(text, sizeof text, "output o%lld \"%.200s\": %llu records, %llu accepted, %llu rejected",
		 (long long)id, b.name, (unsigned long long)v->records, (unsigned long long)v->accepted,
		 (unsigned long long)v->rejected);
	if (b.state == OUTPUT_WAITING)
		code = output_event(tx, &b, "gate", text, e);
	if (code)
		return code;
	if (v->refused)
		return done_in(tx, id, OUTPUT_REFUSED, v->reason, e);
	return b.state == OUTPUT_WAITING ? settle(tx, b.run, e) : ERR_OK;
}

static enum err_code output_checked(struct catalog *c, int64_t id, uint64_t records, uint64_t accepted,
				    uint64_t rejected, bool refused, const char *reason, const char *verdict_json,
				    struct err *e)
{
	struct tx tx;
	struct checked v = {
	    records, accepted, rejected, refused, reason ? reason : "", verdict_json ? verdict_json : ""};
	enum err_code code = tx_begin(c, refused ? DURABLE : SOON, &tx, e);
	return code ? code : tx_end(&tx, checked_in(&tx, id, &v, e), e);
}

/* The sums are those of the sink that has least: a record is delivered when every sink has it. */
static enum err_code delivery_sum(struct tx *tx, int64_t id, struct err *e)
{
	return db_exec(
	    tx->db, e,
	    "UPDATE output SET (delivered, superseded, refused, updated_us) = (SELECT coalesce(min(d), 0), "
	    "coalesce(max(s), 0), coalesce(max(r), 0), ?2 FROM (SELECT sum(delivered) AS d, sum(superseded) AS s, "
	    "sum(refused) AS r FROM delivery WHERE output = ?1 GROUP BY sink)) WHERE id = ?1",
	    "ii", id, tx->now);
}

struct acknowledged {
	const char *sink;
	uint64_t from, to, delivered, superseded, refused;
};

/* Positions only grow, and what the store has is the truth: a range that is told anew, perhaps longer after a restart,
 * takes the place of all that begin inside it; a part of what is known already changes nothing. */
static enum err_code delivery_in(struct tx *tx, int64_t id, const struct acknowledged *k, struct err *e)
{
	struct brief b;
	int64_t inside;
	enum err_code code = brief_load(tx, id, &b, e);
	if (!code)
		code = db_int_of(tx->db, 0, &inside, e,
				 "SELECT count(*) FROM delivery WHERE output = ?1 AND sink = ?2 "
				 "AND first <= ?3 AND last >= ?4 AND NOT (first = ?3 AND last = ?4)",
				 "itii", id, k->sink, (int64_t)k->from, (int64_t)k->to);
	if (code || inside)
		return code;
	code = db_exec(tx->db, e,
		       "DELETE FROM delivery WHERE output = ?1 AND sink = ?2 AND first >= ?3 "
		       "AND first < max(?4, ?3 + 1)",
		       "itii", id, k->sink, (int64_t)k->from, (int64_t)k->to);
	if (!code)
		code = db_exec(tx->db, e,
			       "INSERT INTO delivery(output, sink, first, last, delivered, superseded, refused, "
			       "at_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			       "itiiiiii", id, k->sink, (int64_t)k->from, (int64_t)k->to, (int64_t)k->delivered,
			       (int64_t)k->superseded, (int64_t)k->refused, tx->now);
	return code ? code : delivery_sum(tx, id, e);
}

static enum err_code delivery(struct catalog *c, int64_t id, const char *sink, uint64_t from, uint64_t to,
			      uint64_t delivered, uint64_t superseded, uint64_t refused, struct err *e)
{
	struct tx tx;
	struct acknowledged k = {sink, from, to, delivered, superseded, refused};
	if (to < from)
		return err_set(e, ERR_INVALID, "a delivery can't go from %llu to %llu", (unsigned long long)from,
			       (unsigned long long)to);
	enum err_code code = tx_begin(c, SOON, &tx, e);
	return code ? code : tx_end(&tx, delivery_in(&tx, id, &k, e), e);
}

static enum err_code replayed_in(struct tx *tx, int64_t id, uint64_t gate, uint64_t sink, struct err *e)
{
	struct brief b;
	char text[512];
	enum err_code code = brief_load(tx, id, &b, e);
	if (!code)
		code = db_exec(tx->db, e,
			       "UPDATE output SET replayed = max(replayed, ?2), replayed_sink = max(replayed_sink, "
			       "?3), updated_us = ?4 WHERE id = ?1 AND (replayed < ?2 OR replayed_sink < ?3)",
			       "iiii", id, (int64_t)gate, (int64_t)sink, tx->now);
	if (code || db_changes(tx->db) == 0)
		return code;
	snprintf(text, sizeof text,
		 "%llu record%s of output o%lld \"%.200s\" came out of the quarantine and %s delivered",
		 (unsigned long long)(gate + sink), gate + sink == 1 ? "" : "s", (long long)id, b.name,
		 gate + sink == 1 ? "is" : "are");
	code = output_event(tx, &b, "replay", text, e);
	return code || !b.run ? code : files_restate(tx, b.run, e);
}

static enum err_code output_replayed(struct catalog *c, int64_t id, uint64_t gate, uint64_t sink, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	return code ? code : tx_end(&tx, replayed_in(&tx, id, gate, sink, e), e);
}

/* ---- reading */

static enum err_code output_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_output *ret,
				struct err *e)
{
	struct db *d;
	struct catalog_output o;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = output_load(d, id, a, &o, e);
	if (!code)
		code = guard_tenant(c, o.tenant, "the output", e);
	if (!code)
		*ret = o;
	return rd_end(c, d, code);
}

#define OUTPUTS(from)                                                                                                  \
	"SELECT " OUTPUT_COLUMNS " FROM output WHERE id IN (SELECT id FROM output " from                               \
	"AND (?1 IS NULL OR tenant = ?1) AND (?2 = 0 OR run = ?2) "                                                    \
	"AND (?3 = 0 OR (?3 >> state) & 1) ORDER BY id LIMIT ?4) ORDER BY id"
#define IN_STATES "state IN (SELECT column1 FROM (VALUES(0),(1),(2),(3),(4),(5)) WHERE ?3 = 0 OR (?3 >> column1) & 1) "
_Static_assert(OUTPUT_STATES == 6, "IN_STATES lists every state");

static enum err_code outputs(struct catalog *c, const char *tenant, unsigned states, int64_t run, size_t limit,
			     struct arena *a, struct catalog_output **ret, size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_output)};
	int64_t most = limit == 0 ? 100 : limit > 1000 ? 1000 : (int64_t)limit;
	if (c->tenant)
		tenant = c->tenant;
	const char *sql = run	   ? OUTPUTS("INDEXED BY output_run WHERE run = ?2 ")
			  : tenant ? OUTPUTS("INDEXED BY output_tenant_state WHERE tenant = ?1 AND " IN_STATES)
				   : OUTPUTS("INDEXED BY output_state WHERE " IN_STATES);
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, sql, "tiii", tenant, run, (int64_t)states, most);
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_output *o = list_add(&list);
		code = o ? output_from_row(st, a, o, e) : err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

static enum err_code outputs_after(struct catalog *c, const char *tenant, int64_t after, struct arena *a,
				   struct catalog_output **ret, size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_output)};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e,
			"SELECT " OUTPUT_COLUMNS " FROM output WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT 1000",
			"ti", tenant, after);
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_output *o = list_add(&list);
		code = o ? output_from_row(st, a, o, e) : err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

void ledger_output_ops(struct catalog_ops *o)
{
	o->output_add = output_add;
	o->output_get = output_get;
	o->outputs = outputs;
	o->outputs_after = outputs_after;
	o->output_versions = output_versions;
	o->output_checked = output_checked;
	o->delivery = delivery;
	o->output_done = output_done;
	o->output_replayed = output_replayed;
}
